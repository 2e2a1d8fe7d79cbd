"""Write a checkpoint's features of many images to one file.

    tools/extract_features.py CONFIG CHECKPOINT OUT.npz --folder DIR
    tools/extract_features.py CONFIG CHECKPOINT OUT.safetensors --split bank --data-root DIR

OUT has `features` (N, D) float32, `labels` (N,) int64 (-1: unknown), `index` (N,) and the
`names` of the image files, or numbers if the images come from an archive. In .safetensors,
`names` is a JSON list in the metadata. Both formats also hold the name of the config, and
the name and SHA-256 of the checkpoint. For several processes use
`torchrun --nproc-per-node 8 tools/...` and `--launcher pytorch`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.checkpoints.export import sha256
from mmlogo.config import load_config
from mmlogo.datasets.listed import names_of
from mmlogo.launch.checks import datasets_of
from mmlogo.launch.lint import check_keys

ENDINGS = ('.npz', '.safetensors')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    launch.add_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint to load')
    parser.add_argument('out', type=Path, help='file to write, .npz or .safetensors')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--folder', help='use all images below this folder, at any depth')
    what.add_argument(
        '--split', choices=('bank', 'test'), help="use the config's bank or its queries"
    )
    parser.add_argument(
        '--features',
        choices=('backbone', 'neck'),
        default='backbone',
        help='which features are written; default: backbone',
    )
    parser.add_argument('--amp', action='store_true', help='extract in bfloat16')
    parser.add_argument(
        '--batch-size', type=int, default=256, help='images per process; default: 256'
    )
    parser.add_argument(
        '--size',
        type=int,
        help='side of the images with --folder, pixels; default: size of the first view',
    )
    return parser.parse_args()


def read_folder(folder: str, size: int, batch_size: int) -> dict:
    """Return the config of a loader of the images below a folder, cut to a central square.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'--folder {folder}: there is no such folder')
    return dict(
        batch_size=batch_size,
        num_workers=2,
        sampler=dict(type='EpochSampler', shuffle=False),
        collate_fn=dict(type='collate_batch'),
        dataset=dict(
            type='ImageFolder',
            data_root=folder,
            with_label=False,
            pipeline=[
                dict(type='LoadImage'),
                dict(type='ResizeEdge', scale=size, edge='short'),
                dict(type='CenterCrop', crop_size=size),
                dict(type='PackImage'),
            ],
        ),
    )


def prepare(cfg: Config, args: argparse.Namespace) -> None:
    """Change the config so that a test keeps features instead of scoring them."""
    if args.folder:
        views = cfg.model.get('data_preprocessor', {}).get('views') or {}
        size = args.size or next((view['size'] for view in views.values()), 224)
        cfg.test_dataloader = read_folder(args.folder, size, args.batch_size)
    else:
        cfg.test_dataloader = cfg.get(f'{args.split}_dataloader')
        if cfg.test_dataloader is None:
            raise ValueError(
                f'the config has no {args.split}_dataloader; take another --split, or '
                'give a --folder'
            )
        cfg.test_dataloader.batch_size = args.batch_size
    for dataset in datasets_of(cfg):
        # The features of a substitute would stand under the name of a bad file.
        if 'bad_samples' in dataset:
            dataset['bad_samples'] = 'raise'
    for part in ('train', 'val'):  # other data sets need not exist
        for name in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{part}_{name}'] = None
    cfg.optim_wrapper = cfg.param_scheduler = cfg.bank_dataloader = None
    cfg.pop('data_root', None)  # --data-root has already been applied
    cfg.test_cfg = dict(type='KNNTestLoop', fp16=args.amp)
    cfg.test_evaluator = dict(type='KeepFeatures', features=args.features)


def write(out: Path, arrays: dict[str, np.ndarray], names: list[str], about: dict) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == '.npz':
        np.savez(out, names=np.array(names), about=json.dumps(about), **arrays)
    else:
        from safetensors.numpy import save_file

        save_file(arrays, out, {'names': json.dumps(names), 'about': json.dumps(about)})


def main() -> None:
    args = parse_args()
    if args.out.suffix not in ENDINGS:
        raise ValueError(f'{args.out}: the file must end in one of {ENDINGS}')
    cfg = launch.prepare(load_config(args.config), args)
    prepare(cfg, args)
    launch.set_checkpoint(cfg, args.checkpoint)
    check_keys(cfg)
    launch.check_data_roots(cfg)
    runner = Runner.from_cfg(cfg)
    launch.check_fits(runner.model, args.checkpoint, sorted({'backbone', args.features}))
    runner.test()
    if not is_main_process():
        return
    kept = runner.test_evaluator.metrics[0].kept
    dataset, index = runner.test_loop.dataloader.dataset, kept.index.tolist()
    try:
        names = names_of(dataset)
    except ValueError:  # read from an archive, where images have no names
        names = [str(i) for i in range(len(dataset))]
    arrays = dict(
        features=kept.feature.cpu().numpy(),
        labels=kept.label.cpu().numpy(),
        index=kept.index.cpu().numpy(),
    )
    about = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        sha256=sha256(args.checkpoint),
        features=args.features,
    )
    write(args.out, arrays, [names[i] for i in index], about)
    print(f'{len(index)} x {arrays["features"].shape[1]} features in {args.out}')


if __name__ == '__main__':
    with launch.leaving_processes():
        main()
