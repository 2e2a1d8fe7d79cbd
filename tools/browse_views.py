"""Draw the views that a config makes: tools/browse_views.py CONFIG [IMAGE ...].

The picture shows each image with its crops marked, and the views before they are
normalised. Without images, the tool uses three photographs that scikit-image contains.
"""

import argparse
import sys
from pathlib import Path

import torch
import torchvision
from mmengine.config import DictAction
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from mmlogo.config import load_config
from mmlogo.datasets.photo_tiles import PHOTOGRAPHS, load_photograph
from mmlogo.launch.lint import check_keys
from mmlogo.report import draw_views
from mmlogo.views import SeededIndex, pack_seeds, parse_views

SIDE = 300  # shorter side of the images in the picture, pixels


def read(paths: list[str], square: bool) -> tuple[list[Tensor], list[str]]:
    """Read images (3, H, W) uint8, with a title for each.

    Without paths, they are three photographs. With `square`, they are cut to a square.
    """
    if paths:
        read_rgb = torchvision.io.ImageReadMode.RGB
        images = [torchvision.io.decode_image(path, read_rgb) for path in paths]
        titles = [Path(path).name for path in paths]
    else:
        names = ('astronaut', 'cat', 'coffee')
        images = [torch.from_numpy(load_photograph(n)).permute(2, 0, 1) for n in names]
        titles = [f'{n}, {PHOTOGRAPHS[n][2].split(", ")[1]}' for n in names]
    if square:
        images = [center_crop(image, [min(image.shape[1:])] * 2) for image in images]
    return [resize(image, [SIDE], antialias=True) for image in images], titles


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='a path, or mmlogo::name.py')
    parser.add_argument('images', nargs='*', help='image files; default: three photographs')
    parser.add_argument(
        '--out', default='views.png', help='file to write; default: views.png'
    )
    parser.add_argument(
        '--epoch', type=int, default=0, help='draw the views of this epoch; default: 0'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='draw the views of this seed; default: 0'
    )
    parser.add_argument('--square', action='store_true', help='crop images to a square')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override values, such as model.data_preprocessor.views.local_views.count=2',
    )
    args = parser.parse_args()
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    check_keys(cfg)
    images, titles = read(args.images, args.square)
    seeds = pack_seeds([SeededIndex(n, args.epoch, args.seed) for n in range(len(images))])
    specs = parse_views(cfg.model.data_preprocessor.views)
    draw_views(images, seeds, specs, args.out, titles)
    print(args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
