"""Time the views of a batch against a loop of torchvision calls.

.dev/benchmark_views.py [--batch 256] [--size 32] [--rounds 5] [--device cpu]

Both sides make the same views from the same parameters (`tests/views/test_views.py` holds
them equal): two global and two local views of real tiles, jitter, gray and blur. The
two are timed in turn; the ratio is of each pair of rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from mmlogo.datasets import PhotoTiles
from mmlogo.views import MultiCropPreprocessor
from mmlogo.views.draw import draw_boxes, draw_look

ADJUST = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)


def build(size: int, device: str) -> MultiCropPreprocessor:
    look = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.2, blur=0.5)
    views = dict(
        global_views=dict(role='global', count=2, size=size, scale=(0.4, 1.0), **look),
        local_views=dict(role='local', count=2, size=size, scale=(0.05, 0.4), **look),
    )
    ours = MultiCropPreprocessor(views=views, mean=(127.0,) * 3, std=(64.0,) * 3)
    return ours.to(device)


@torch.no_grad()
def one_by_one(ours: MultiCropPreprocessor, images: Tensor, keys: Tensor) -> list[Tensor]:
    """The same views by torchvision's functions, sample by sample."""
    views = []
    for view, spec in enumerate(ours.specs):
        look = draw_look(keys, view, spec)
        boxes = draw_boxes(keys, view, spec, *images.shape[2:]).tolist()
        made = []
        for n, image in enumerate(images):
            x = image.float() / 255
            x = TF.resized_crop(x, *boxes[n], [spec.size] * 2, antialias=True)
            x = TF.horizontal_flip(x) if look.flip[n] else x
            if look.jitter[n]:
                for operation in look.order[n].tolist():
                    x = ADJUST[operation](x, look.factors[n, operation].item())
            x = TF.rgb_to_grayscale(x, 3) if look.gray[n] else x
            if look.blur[n]:
                kernel = [2 * min(spec.blur_reach, spec.size - 1) + 1] * 2
                x = TF.gaussian_blur(x, kernel, [look.sigma[n].item()] * 2)
            made.append(x)
        views.append(ours.normalize(torch.stack(made)))
    return views


def seconds(make: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    make()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--size', type=int, default=32, help='of the views, pixels')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    ours = build(args.size, args.device)
    tiles = PhotoTiles(split='train', size=64).images
    images = tiles[torch.arange(args.batch) % len(tiles)].to(args.device)
    index = torch.arange(args.batch)
    keys = torch.stack((torch.zeros_like(index), torch.zeros_like(index), index), dim=1)

    def batched() -> list[Tensor]:
        return ours(dict(inputs=images, key=keys), True)['inputs']

    def looped() -> list[Tensor]:
        return one_by_one(ours, images, keys)

    gap = max((a - b).abs().max().item() for a, b in zip(batched(), looped(), strict=True))
    print(f'largest difference of a normalised value: {gap:.1e}')
    rounds = [
        (seconds(batched, args.device), seconds(looped, args.device))
        for _ in range(args.rounds)
    ]
    ratios = [loop / batch for batch, loop in rounds]
    count = args.batch * len(ours.specs)
    for name, side in (('batched', 0), ('one by one', 1)):
        median = statistics.median(times[side] for times in rounds)
        print(f'{name:>10}: {count / median:8.0f} views/s (median of {args.rounds})')
    print(
        f'     ratio: {statistics.median(ratios):.1f} '
        f'({min(ratios):.1f} to {max(ratios):.1f}), {args.device}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )


if __name__ == '__main__':
    main()
