"""Write a page about runs: tools/report.py WORK_DIR [WORK_DIR ...] [--out FOLDER].

The page says what each run was. It shows its curves and views, and what its network has
learned: neighbours, a map of features, dense features, alignment maps. The page contains
its pictures and needs no internet. The pictures are also files beside it. A run may still
be in progress.

A work dir is read as text: its config is not run. See --trust for classes of your own.
"""

import argparse
import contextlib
import sys
import warnings
from pathlib import Path

from mmengine.logging import MMLogger

if __name__ == '__main__':  # hide what packages print while they are imported
    warnings.filterwarnings('ignore')
    MMLogger.get_instance('mmengine', log_level='ERROR')

with contextlib.redirect_stdout(None if __name__ == '__main__' else sys.stdout):
    from mmlogo.report.encoder import choose_checkpoints
    from mmlogo.report.report import write_report
    from mmlogo.runs import read_runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/report'),
        help='folder for the page; default: work_dirs/report',
    )
    parser.add_argument(
        '--data-root', help='read images from this folder; default: the one in each config'
    )
    parser.add_argument(
        '--checkpoint',
        nargs='+',
        default=[],
        help='one name for all work dirs, or one for each; default: the newest checkpoint',
    )
    parser.add_argument('--samples', type=int, default=6, help='images shown; default: 6')
    parser.add_argument(
        '--no-model', action='store_true', help='show only the logs and the views'
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='build classes that are not of mmlogo, mmpretrain or mmcv, and import what '
        'custom_imports lists; this runs their code',
    )
    args = parser.parse_args()
    try:
        runs = read_runs(args.work_dirs)
        checkpoints = choose_checkpoints(args.work_dirs, args.checkpoint)
        page = write_report(
            runs,
            checkpoints,
            args.out,
            samples=args.samples,
            data_root=args.data_root,
            use_model=not args.no_model,
            trust=args.trust,
        )
    except (ValueError, OSError) as error:
        print(f'report: {error}', file=sys.stderr)
        return 1
    print(f'report: {page} ({page.stat().st_size / 2**20:.1f} MiB)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
