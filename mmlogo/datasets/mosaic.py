"""Scenes made of small images: what LoGo is meant for, without a download."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlogo.datasets.in_memory import InMemoryImages
from mmlogo.registry import DATASETS
from mmlogo.views.apply import crop
from mmlogo.views.seeds import CHOICE_STREAM, uniform

CONTENTS = ('hetero', 'homo', 'copy')
CHUNK = 1024  # mosaics made at a time


@DATASETS.register_module()
class Mosaic(InMemoryImages):
    """Mosaics of 2 x 2 images of another data set, held in memory.

    One of the four images of mosaic n is image n of the data set, its *anchor*. It is the
    same for every content, and so is its corner. What else is in a mosaic, and where its
    seams are, is a function of (seed, n) alone.

    Args:
        dataset: Config of the data set, one in memory with labels, such as
            `InMemoryCIFAR10` or `PhotoTiles`. Its images are S x S pixels.
        content: What the other three images are. 'hetero' takes one each of three other
            classes. 'homo' takes other images of the anchor's class. 'copy' takes the
            anchor itself.
        jitter: The seams lie up to so many pixels from the middle, < S. Default: 6.
        seed: Seed of the choices. Default: 0.

    Items: dict(inputs (3, 2S, 2S) uint8, gt_label, sample_idx). The label is that of the
    anchor, or -1 in a 'hetero' mosaic, which has no one class. Images are enlarged to the
    size of the largest cell, S + jitter, and the middle of each fills its cell.

    Raises:
        ValueError: If `content` or `jitter` is out of its range, if the images are not
            square or have no labels to choose by, or if there are too few classes, or
            images of a class, to choose from.
    """

    def __init__(
        self, *, dataset: dict, content: str, jitter: int = 6, seed: int = 0
    ) -> None:
        if content not in CONTENTS:
            raise ValueError(f'content={content!r}, but it must be one of {CONTENTS}')
        source = DATASETS.build(dataset)
        side, width = source.images.shape[2:]
        if side != width:
            raise ValueError(
                f'the images are {side} x {width} pixels and the cells of a mosaic are '
                'filled with squares; give a data set of square images'
            )
        if not 0 <= jitter < side:
            raise ValueError(
                f'jitter={jitter}, but it must be pixels in [0, {side}), less than the '
                'side of an image'
            )
        if content != 'copy' and int(source.labels.min()) < 0:
            raise ValueError(
                f'content={content!r} chooses images by their class, and the data set has '
                "images without a label (-1); use a labelled split, or content='copy'"
            )
        seeds = torch.zeros(len(source), 3, dtype=torch.int64)
        seeds[:, 0], seeds[:, 2] = seed, torch.arange(len(source))
        drawn = uniform(seeds, [CHOICE_STREAM], range(4))[0].transpose(0, 1)  # (N, 4, 4)
        members = choose(source.labels, content, drawn[:, 0], drawn[:, 1])  # (N, 4)
        corner = (4 * drawn[:, 2, 0]).long()
        # The anchor goes to its corner; what was there goes to the anchor's old place.
        place = torch.arange(len(source))
        members[place, 0] = members[place, corner]
        members[place, corner] = place
        seams = (side - jitter + (2 * jitter + 1) * drawn[:, 3, :2]).long()  # (N, 2)
        images = torch.cat(
            [
                assemble_mosaics(source.images[m], s, side, jitter)
                for m, s in zip(members.split(CHUNK), seams.split(CHUNK), strict=True)
            ]
        )
        labels = source.labels if content != 'hetero' else torch.full_like(place, -1)
        super().__init__(images, labels, source.metainfo['classes'])
        self.members, self.seams = members, seams


def choose(labels: Tensor, content: str, u: Tensor, v: Tensor) -> Tensor:
    """Return the four images of every mosaic, (N, 4) int64. The first is its anchor.

    Args:
        labels: Class of each of the N images, (N,).
        content: One of `CONTENTS`, explained in `Mosaic`.
        u: Uniform numbers (N, 4), which decide the classes.
        v: Uniform numbers (N, 4), which decide the images.

    Raises:
        ValueError: If there are fewer than four classes for 'hetero', or fewer than four
            images of a class for 'homo'.
    """
    n = len(labels)
    anchor = torch.arange(n)
    if content == 'copy':
        return anchor[:, None].repeat(1, 4)
    classes, label = labels.unique(return_inverse=True)
    members = [(label == c).nonzero().squeeze(1) for c in range(len(classes))]
    count = torch.tensor([len(m) for m in members])
    padded = torch.nn.utils.rnn.pad_sequence(members, batch_first=True)  # (C, longest)
    if content == 'hetero':
        if len(classes) < 4:
            raise ValueError(
                f"content='hetero' takes images of four classes and the data set has "
                f"{len(classes)}; use another data set, or content='copy'"
            )
        others = distinct(label, len(classes), u)  # (N, 3) classes
        place = (v[:, :3] * count[others]).long()
    else:
        if int(count.min()) < 4:
            raise ValueError(
                f"content='homo' takes four images of a class and class "
                f'{classes[count.argmin()]} has {int(count.min())}; use a larger data set'
            )
        others = label[:, None].expand(-1, 3)
        rank = torch.empty_like(label)
        for m in members:
            rank[m] = torch.arange(len(m))
        place = distinct(rank, count[label], v)
    return torch.cat((anchor[:, None], padded[others, place]), dim=1)


def distinct(first: Tensor, count: int | Tensor, u: Tensor) -> Tensor:
    """Draw three numbers below `count` that differ from `first` and from each other.

    Args:
        first: (N,), int64.
        count: How many numbers there are, at least 4; one for all, or (N,).
        u: Uniform numbers (N, 4); three are used.

    Returns:
        (N, 3), int64, every such triple with the same probability.
    """
    taken = first[:, None]
    for k in range(3):
        new = (u[:, k] * (count - k - 1)).long()
        # Skip what is taken, from the smallest: the new one counts among those left.
        for t in taken.sort(dim=1).values.unbind(1):
            new = new + (new >= t)
        taken = torch.cat((taken, new[:, None]), dim=1)
    return taken[:, 1:]


def assemble_mosaics(images: Tensor, seams: Tensor, side: int, jitter: int) -> Tensor:
    """Lay four images each into mosaics (N, 3, 2 side, 2 side), uint8.

    Args:
        images: (N, 4, 3, side, side), uint8: top left, top right, bottom left, bottom
            right.
        seams: (N, 2), the row and the column where the lower and the right cells begin,
            pixels in [side - jitter, side + jitter].
        side: Side of an image, pixels.
        jitter: How far seams may be from the middle, pixels.
    """
    n, large = len(images), side + jitter
    whole = torch.tensor([0, 0, side, side]).repeat(4 * n, 1)
    no_flip = torch.zeros(4 * n, dtype=torch.bool)
    enlarged = crop(images.flatten(0, 1), whole, no_flip, large)
    enlarged = enlarged.mul_(255).round_().to(torch.uint8).view(n, 4, 3, large, large)
    pixel = torch.arange(2 * side)
    cells, offsets = [], []
    for seam in seams.unbind(1):
        second = pixel >= seam[:, None]  # (N, 2 side): which pixels are of the second cell
        length = torch.where(second, 2 * side - seam[:, None], seam[:, None])
        start = torch.where(second, seam[:, None], 0)
        offsets.append(pixel - start + (large - length) // 2)  # in the enlarged image
        cells.append(second.long())
    which = 2 * cells[0][:, :, None] + cells[1][:, None, :]  # (N, 2 side, 2 side)
    rows, columns = offsets[0][:, :, None], offsets[1][:, None, :]
    place = torch.arange(n)[:, None, None]
    return enlarged.permute(0, 1, 3, 4, 2)[place, which, rows, columns].permute(0, 3, 1, 2)
