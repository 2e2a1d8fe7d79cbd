"""Evaluate a checkpoint: tools/test.py CONFIG CHECKPOINT [--data-root DIR] ..."""

import argparse

from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.config import load_config
from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.launch.lint import check_keys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint to evaluate')
    parser.add_argument(
        '--amp', action='store_true', help='evaluate in bfloat16 or float16'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = launch.prepare(load_config(args.config), args)
    launch.set_checkpoint(cfg, args.checkpoint)
    if args.amp:
        launch.use_half_precision(cfg)
    check_keys(cfg)
    launch.check_data_roots(cfg)
    runner = Runner.from_cfg(cfg)
    parts: set[str] = set()  # classifiers and detectors need all of their weights
    if isinstance(runner.test_loop, KNNLoop):
        metrics = runner.test_evaluator.metrics
        used = {getattr(metric, 'features', None) for metric in metrics} & {'neck'}
        parts = {'backbone', *used}
    launch.check_fits(runner.model, args.checkpoint, sorted(parts))
    runner.test()


if __name__ == '__main__':
    with launch.leaving_processes():
        main()
