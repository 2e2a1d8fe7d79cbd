"""Train a model: tools/train.py CONFIG [--work-dir DIR] [--data-root DIR] ..."""

import argparse

from mmlogo.arguments import add_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='',
        metavar='auto|PATH',
        help='resume from the newest whole checkpoint of the work dir, or from PATH; auto: '
        'start a new training if there is none',
    )
    parser.add_argument(
        '--pretrained',
        metavar='CKPT',
        help='start from the backbone in this checkpoint, which may be of mmlogo, '
        'mmpretrain, torchvision, timm ...',
    )
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='with --pretrained: allow that tensors of the backbone are missing',
    )
    parser.add_argument(
        '--pretrained-prefix',
        metavar='PREFIX',
        help='with --pretrained: take the network whose names begin with this, such as '
        '"state_dict.teacher.backbone."; default: the network is found',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network with torch.compile; the first step takes longer',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale lr with the effective batch size',
    )
    return parser.parse_args()


def train(args: argparse.Namespace) -> None:
    # These take seconds to import. `--help` and a wrong argument are answered without.
    from mmengine.runner import Runner

    from mmlogo import launch
    from mmlogo.config import load_config
    from mmlogo.launch.lint import check_keys

    cfg = launch.prepare(load_config(args.config), args)
    launch.divide_global_batch(cfg)
    launch.set_resume(cfg, args.resume)
    launch.set_pretrained(cfg, args.pretrained, args.allow_partial, args.pretrained_prefix)
    if args.amp:
        launch.use_amp(cfg)
    if args.compile:
        launch.use_compile(cfg)
    if args.auto_scale_lr:
        launch.use_scaled_lr(cfg)
    check_keys(cfg)
    launch.check_schedules(cfg)
    launch.check_data_roots(cfg)
    launch.claim_work_dir(cfg)
    Runner.from_cfg(cfg).train()


def main() -> None:
    train(parse_args())


if __name__ == '__main__':
    arguments = parse_args()
    from mmlogo.launch import leaving_processes

    with leaving_processes():
        train(arguments)
