"""Write a checkpoint without what only training needs: tools/publish_model.py CKPT FOLDER.

The file is FOLDER/NAME-xxxxxxxx.pth, with the first digits of its SHA-256; it has the
student and the metadata, and loads with `torch.load(..., weights_only=True)`.
"""

import argparse
import sys

import mmlogo
from mmlogo.checkpoints.publish import publish


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint')
    parser.add_argument('folder')
    parser.add_argument('--name', help="default: the run's and the checkpoint's")
    parser.add_argument('--teacher', action='store_true', help='keep momentum copies too')
    args = parser.parse_args()
    out = publish(
        args.checkpoint,
        args.folder,
        name=args.name,
        teacher=args.teacher,
        about=dict(published_by=f'mmlogo {mmlogo.__version__}'),
    )
    print(f'{out} ({out.stat().st_size:,} bytes)')


if __name__ == '__main__':
    sys.exit(main())
