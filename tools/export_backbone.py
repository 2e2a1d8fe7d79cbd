"""Write the ResNet of a checkpoint for another library, or another's for ours.

    tools/export_backbone.py CKPT --to torchvision OUT.pth
    tools/export_backbone.py R-50.pkl --to mmpretrain OUT.pth

CKPT is of any origin that `tools/train.py --pretrained` takes. Printed is how to load OUT.
torchvision and timm: .pth or .safetensors; mmpretrain and mmdet: .pth; detectron2: .pkl.
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
    parser.add_argument('checkpoint')
    parser.add_argument('--to', choices=ENDINGS, required=True)
    parser.add_argument('out')
    parser.add_argument(
        '--config', help='that it was trained with; default: the one in the checkpoint'
    )
    parser.add_argument(
        '--prefix',
        help='the network whose names begin so, such as state_dict.teacher.backbone. '
        '(default: found)',
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
