"""Transforms of worker processes: decode an image of any size, cut every view, uint8."""

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
    """Load an image in RGB with mmcv. Errors name the file and the sample's index.

    Args:
        args, kwargs: Arguments of mmcv's `LoadImageFromFile`.

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
    """Cut every view of an image. The model's device flips them and changes colours.

    Args:
        views: Kind of view -> `ViewSpec` or its arguments, for `parse_views`. Default:
            None, which takes the views of the model's MultiCropPreprocessor.
            `ShareViewsHook` passes them when training starts, so that a config names them
            once.

    Required keys: img (H, W, 3) uint8 RGB, and sample_idx, a `SeededIndex`.

    Returns of `transform`: dict(inputs, seeds). `inputs` is a list of crops (3, S, S)
    uint8, and `seeds` is (3,) int64. If the label is known, there is also `gt_label`,
    which losses of self-supervised models do not use.

    Raises:
        ValueError: In `transform`, if there are no views or the index has no epoch.
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
    """Pack an evaluation image as dict(inputs=(3, H, W) uint8, sample_idx, gt_label).

    Required keys: img (H, W, 3) uint8 RGB, and sample_idx. Without the key gt_label, the
    label is -1.
    """

    def transform(self, results: dict) -> dict:
        image = torch.from_numpy(np.ascontiguousarray(results['img']))
        return dict(
            inputs=image.permute(2, 0, 1),
            sample_idx=int(results['sample_idx']),
            gt_label=int(results.get('gt_label', -1)),
        )
