"""Arguments that the tools share. torch is not imported before they are parsed."""

from __future__ import annotations

import argparse
from typing import Any

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


class Overrides(argparse.Action):
    """MMEngine's `DictAction`, which is imported when there is something to parse."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        parse = DictAction(self.option_strings, self.dest)
        parse(parser, namespace, values, option_string)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all tools that run a config share."""
    parser.add_argument('config', help='a path, mmlogo::name.py or mmdet::folder/name.py')
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: work_dirs/CONFIG_NAME'
    )
    parser.add_argument(
        '--data-root', help='read every data set of the config from this folder'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        default={},
        metavar='KEY=VALUE',
        help='override values, such as train_cfg.max_epochs=100',
    )
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='what started the processes; default: none, one process',
    )
    # torch.distributed.launch passes this argument. torchrun sets LOCAL_RANK instead.
    parser.add_argument('--local-rank', '--local_rank', default='0', help=argparse.SUPPRESS)
