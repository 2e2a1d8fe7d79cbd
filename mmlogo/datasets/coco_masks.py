"""COCO's polygons as semantic masks, for the metrics of dense features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transforms

from mmlogo.registry import DATASETS

IGNORE = 255


@DATASETS.register_module()
class CocoMasks(Dataset):
    """Images of a COCO split with the class of every pixel.

    Class 0 is the background. Classes 1 to 80 are the categories in the order of their
    ids. Where objects overlap, a pixel has the class of the smaller one. Pixels of crowds
    are 255, which is ignored. The data set needs pycocotools (`pip install
    'mmlogo[detection]'`).

    Args:
        data_root: Folder with `<split>/*.jpg` and
            `annotations/instances_<split>.json`.
        split: Name of the split, such as 'train2017' or 'val2017'.
        size: Side S of the square that images and masks are resized to, pixels. It must
            be a multiple of the network's stride. Default: 224.
        limit: Number of images that are kept, by ascending id. Default: None, which keeps
            all.

    Items: dict(inputs (3, S, S) uint8 RGB, gt_sem_seg (S, S) int64, sample_idx).

    Raises:
        ImportError: If pycocotools is not installed.
        FileNotFoundError: If there is no annotation file.
    """

    def __init__(
        self, *, data_root: str, split: str, size: int = 224, limit: int | None = None
    ) -> None:
        try:
            from pycocotools.coco import COCO
        except ImportError:
            raise ImportError(
                'CocoMasks reads polygons with pycocotools, which is not installed; '
                "pip install 'mmlogo[detection]'"
            ) from None
        root = Path(data_root).expanduser()
        annotations = root / 'annotations' / f'instances_{split}.json'
        if not annotations.is_file():
            raise FileNotFoundError(
                f'{annotations} is not there; --data-root names a folder with '
                "COCO's `annotations` and image folders"
            )
        self.coco = COCO(str(annotations))
        self.ids = sorted(self.coco.imgs)[:limit]
        self.folder, self.size = root / split, size
        categories = [self.coco.cats[i] for i in sorted(self.coco.cats)]
        self.class_of = {c['id']: place for place, c in enumerate(categories, start=1)}
        self.metainfo = dict(classes=('background', *(c['name'] for c in categories)))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        number = self.ids[int(index)]
        with Image.open(self.folder / self.coco.imgs[number]['file_name']) as file:
            image = transforms.pil_to_tensor(file.convert('RGB'))
        mask = self.mask(number, *image.shape[1:])
        side = [self.size, self.size]
        return dict(
            inputs=transforms.resize(image, side, antialias=True),
            gt_sem_seg=transforms.resize(
                mask[None], side, interpolation=transforms.InterpolationMode.NEAREST_EXACT
            )[0].long(),
            sample_idx=int(index),
        )

    def mask(self, number: int, height: int, width: int) -> Tensor:
        """Return the mask (height, width), uint8, of the image with this id."""
        mask = np.zeros((height, width), dtype=np.uint8)
        objects = self.coco.loadAnns(self.coco.getAnnIds(imgIds=[number]))
        for thing in sorted(objects, key=lambda thing: -thing['area']):
            where = self.coco.annToMask(thing) > 0
            mask[where] = (
                IGNORE if thing['iscrowd'] else self.class_of[thing['category_id']]
            )
        return torch.from_numpy(mask)
