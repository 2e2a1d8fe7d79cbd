"""Load and build every config: .dev/check_configs.py [CONFIG ...].

Each config is parsed, its keys are compared with the constructors that read them, and
its model, pipelines, metrics, optimiser and schedules are built. No data is read.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    METRICS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    init_default_scope,
)

from mmlogo.config import configs_folder, load_config
from mmlogo.launch import datasets_of
from mmlogo.launch.lint import check_keys


def as_list(value: dict | list | None) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def check(path: Path) -> None:
    """Raise what is wrong with a config."""
    cfg = load_config(str(path))
    check_keys(cfg)
    init_default_scope(cfg.default_scope)  # at the root, so that mmdet's are found too
    model = MODELS.build(cfg.model)
    # a config that only evaluates has none
    wrapper = cfg.get('optim_wrapper') and build_optim_wrapper(model, cfg.optim_wrapper)
    for schedule in as_list(cfg.get('param_scheduler')):
        length = 'max_epochs' if schedule.get('by_epoch', True) else 'max_iters'
        if length in cfg.train_cfg:
            schedule.setdefault('end', cfg.train_cfg[length])
        default_args = dict(optimizer=wrapper, epoch_length=100)
        PARAM_SCHEDULERS.build(schedule, default_args=default_args)
    for dataset in datasets_of(cfg):
        for transform in dataset.get('pipeline', ()):
            TRANSFORMS.build(transform)
    for metric in as_list(cfg.get('val_evaluator')) + as_list(cfg.get('test_evaluator')):
        # mmdet's read their annotations when they are built
        METRICS.build(metric | (dict(ann_file=None) if 'ann_file' in metric else {}))
    header = path.read_text().splitlines()[0]
    if not header.startswith('# '):
        raise ValueError('the first line must say what the config is, in a comment')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='*', type=Path, help='default: all of them')
    paths = parser.parse_args().configs or sorted(
        path for path in configs_folder().rglob('*.py') if '_base_' not in path.parts
    )
    failed = left = 0
    for path in paths:
        if path.parent.name == 'detection' and find_spec('mmdet') is None:
            left += 1
            print(
                f"left  {path.name}: mmdet is not installed; pip install -e '.[detection]'"
            )
            continue
        try:
            check(path)
            print(f'ok    {path.name}')
        except Exception as error:  # one bad config must not hide the next
            failed += 1
            print(f'FAIL  {path.name}: {type(error).__name__}: {error}')
    print(f'{len(paths) - failed - left} of {len(paths) - left} configs are sound')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main())
