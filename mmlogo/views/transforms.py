"""Transforms of worker processes: decode an image of any size, cut every view, uint8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import mmcv
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from torch import Tensor

from mmlogo.registry import TRANSFORMS
from mmlogo.views.draw import draw_all_boxes
from mmlogo.views.header import MAX_PIXELS, BadImage, check_header
from mmlogo.views.seeds import pack_seeds
from mmlogo.views.spec import ViewSpec, parse_views


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image in RGB with mmcv. Errors name the file and the sample's index.

    Args:
        max_pixels: Largest number of pixels of an image. The file's header says it, so a
            larger image is not decoded. Default: 178,956,970, PIL's own limit. None
            decodes any image, also one whose header PIL cannot read.
        args, kwargs: Arguments of mmcv's `LoadImageFromFile`.

    Raises:
        BadImage: An OSError. If the file is missing, empty, too large or no image.
        ValueError: If `max_pixels` is below 1.
    """

    def __init__(self, *args, max_pixels: int | None = MAX_PIXELS, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if max_pixels is not None and max_pixels < 1:
            raise ValueError(f'max_pixels={max_pixels}, but it must be >= 1 or None')
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        path, index = results['img_path'], results.get('sample_idx')
        try:
            image = self.read(path)
        except Exception as error:
            where = '' if index is None else f' (sample {int(index)})'
            raise BadImage(
                f'cannot read image {path!r}{where}: {reason(error)}; every file with the '
                'ending of an image must be one: replace or remove the file'
            ) from error
        shape = image.shape[:2]
        return {**results, 'img': image, 'img_shape': shape, 'ori_shape': shape}

    def read(self, path: str) -> np.ndarray:
        """Return the image (H, W, 3) RGB. The file is read once."""
        if self.file_client_args is None:
            data = fileio.get(path, backend_args=self.backend_args)
        else:
            data = fileio.FileClient.infer_client(self.file_client_args, path).get(path)
        if self.max_pixels is not None:
            check_header(data, self.max_pixels)
        image = mmcv.imfrombytes(data, self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise BadImage('its pixels cannot be decoded: it is damaged or cut off')
        if image.shape[2:] == (3,):
            image = mmcv.bgr2rgb(image)  # 50 times faster than NumPy's reversed copy
        elif image.ndim == 3:
            image = np.ascontiguousarray(image[..., ::-1])
        return image.astype(np.float32) if self.to_float32 else image


def reason(error: Exception) -> str:
    """Return what is wrong with an image, from the error of `LoadImage.read`."""
    return str(error) if isinstance(error, BadImage) else f'{type(error).__name__}: {error}'


def resized(image: np.ndarray, box: Sequence[int], size: int) -> Tensor:
    """Return a crop of an image (H, W, 3) as (3, size, size), antialiased.

    It is torchvision's `resized_crop`, without its copies of the crop and the result.

    Args:
        image: The image, uint8 or float32. The result has its type.
        box: Top, left, height and width of the crop, pixels.
        size: Side of the result, pixels.
    """
    top, left, height, width = box
    cropped = torch.from_numpy(image)[None, top : top + height, left : left + width]
    pixels = F.interpolate(
        cropped.permute(0, 3, 1, 2), (size, size), mode='bilinear', antialias=True
    )
    planes = np.empty((3, size, size), image.dtype)
    # Torch keeps the channels last. Samples of a batch are copied faster with them first.
    cv2.split(np.ascontiguousarray(pixels[0].permute(1, 2, 0)), tuple(planes))
    return torch.from_numpy(planes)


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
        image = results['img']
        boxes = draw_all_boxes(seeds, self.specs, *image.shape[:2])
        inputs = [
            resized(image, box[0].tolist(), spec.size)
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
