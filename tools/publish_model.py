"""Write a checkpoint without what only training needs: tools/publish_model.py CKPT FOLDER.

The file is FOLDER/NAME-xxxxxxxx.pth, where the x are the first digits of its SHA-256. It
holds the student and the metadata. `torch.load(..., weights_only=True)` loads it.
"""

import argparse
import sys

import mmlogo
from mmlogo.checkpoints.publish import publish


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='checkpoint to read')
    parser.add_argument('folder', help='folder to write to')
    parser.add_argument(
        '--name', help='NAME of the file; default: names of the run and the checkpoint'
    )
    parser.add_argument(
        '--teacher', action='store_true', help='keep the momentum networks too'
    )
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
