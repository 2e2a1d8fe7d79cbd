"""Convert the ResNet of a checkpoint for another library, or from another for ours.

    tools/export_backbone.py CKPT --to torchvision OUT.pth
    tools/export_backbone.py R-50.pkl --to mmpretrain OUT.pth

CKPT can be any checkpoint that `tools/train.py --pretrained` accepts. The tool prints how
to load OUT. The ending of OUT is .pth or .safetensors for torchvision and timm, .pth for
mmpretrain and mmdet, .pkl for detectron2.
"""

import argparse
import sys

from mmengine.registry import init_default_scope

import mmlogo
from mmlogo.checkpoints.export import ENDINGS, export_backbone
from mmlogo.config import load_config
from mmlogo.engine.hooks.provenance import commit


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='checkpoint to read')
    parser.add_argument(
        '--to', choices=ENDINGS, required=True, help='library that will load the file'
    )
    parser.add_argument('out', help='file to write')
    parser.add_argument(
        '--config',
        help='config of the training; default: the config in the checkpoint',
    )
    parser.add_argument(
        '--prefix',
        help='take the network whose names begin with this, such as '
        '"state_dict.teacher.backbone."; default: the network is found',
    )
    args = parser.parse_args()
    init_default_scope('mmlogo')
    about = dict(exported_by=f'mmlogo {mmlogo.__version__} {commit() or ""}'.strip())
    print(
        export_backbone(
            args.checkpoint,
            args.to,
            args.out,
            prefix=args.prefix,
            config=load_config(args.config) if args.config else None,
            about=about,
        )
    )


if __name__ == '__main__':
    sys.exit(main())
