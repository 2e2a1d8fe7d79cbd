"""The worker's road: images of any size, one decode, every view's crop, uint8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from torchvision.transforms.v2.functional import resized_crop

from mmlogo.registry import TRANSFORMS
from mmlogo.views.draw import draw_all_boxes
from mmlogo.views.seeds import pack_seeds
from mmlogo.views.spec import ViewSpec, parse_views


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's loader, in RGB, with an error that names the file and the index.

    Raises:
        OSError: If the file is missing, empty or no image.
    """

    def transform(self, results: dict) -> dict:
        try:
            loaded = super().transform(results)
            if loaded is None or loaded.get('img') is None:
                raise ValueError('the decoder returned nothing')
        except Exception as error:
            index = results.get('sample_idx')
            raise OSError(
                f'cannot read image {results.get("img_path")!r} (sample '
                f'{index if index is None else int(index)}): '
                f'{type(error).__name__}: {error}; replace or remove the file'
            ) from error
        loaded['img'] = np.ascontiguousarray(loaded['img'][..., ::-1])  # BGR to RGB
        return loaded


@TRANSFORMS.register_module()
class MultiCrop(BaseTransform):
    """Cut every view of an image; flip and colour follow on the device.

    Args:
        views: As `parse_views` takes them. None: those of the model's
            MultiCropPreprocessor, handed over when training starts
            (`ShareViewsHook`), so that a config names them once.

    Required keys: img (H, W, 3) uint8 RGB, sample_idx (a `SeededIndex`).

    Returns of `transform`: dict(inputs=list of (3, S, S) uint8, seeds=(3,) int64), and
    gt_label where known, which no loss sees.
    """

    def __init__(self, views: Mapping[str, ViewSpec | Mapping] | None = None) -> None:
        self.specs = None if views is None else parse_views(views)

    def transform(self, results: dict) -> dict:
        if self.specs is None:
            raise ValueError(
                'MultiCrop has no views: give it `views`, or train a model with a '
                'MultiCropPreprocessor and '
                "default_hooks.views = dict(type='ShareViewsHook')"
            )
        seeds = pack_seeds([results['sample_idx']])
        image = torch.from_numpy(results['img']).permute(2, 0, 1)
        height, width = image.shape[1:]
        boxes = draw_all_boxes(seeds, self.specs, height, width)
        inputs = [
            resized_crop(image, *box[0].tolist(), [spec.size, spec.size], antialias=True)
            for box, spec in zip(boxes, self.specs, strict=True)
        ]
        batch = dict(inputs=inputs, seeds=seeds[0])
        if 'gt_label' in results:
            batch['gt_label'] = int(results['gt_label'])
        return batch


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """An evaluation image as dict(inputs=(3, H, W) uint8, sample_idx, gt_label).

    Required keys: img (H, W, 3) uint8 RGB, sample_idx; gt_label where known.
    """

    def transform(self, results: dict) -> dict:
        image = torch.from_numpy(np.ascontiguousarray(results['img']))
        return dict(
            inputs=image.permute(2, 0, 1),
            sample_idx=int(results['sample_idx']),
            gt_label=int(results.get('gt_label', -1)),
        )
