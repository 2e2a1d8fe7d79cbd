"""From a batch of uint8 to normalised views on the model's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmlogo.registry import MODELS
from mmlogo.views.apply import as_rows, change_colours, cut, to_unit
from mmlogo.views.draw import draw_all_boxes, draw_all_looks
from mmlogo.views.seeds import Seeds
from mmlogo.views.spec import ViewSpec, parse_views


@MODELS.register_module()
class MultiCropPreprocessor(BaseDataPreprocessor):
    """Make the views of a batch.

    In training a batch is one of two things, and both give the same views:

    - `inputs` (N, 3, H, W) uint8, images of one size: crops are cut here.
    - `inputs` a list of (N, 3, S, S) uint8, one per view, cut by `MultiCrop`.

    with `seeds` (N, 3) int64 from `pack_seeds`. Outside training images are only
    normalised.

    Args:
        views: As `parse_views` takes them.
        mean, std: Of the RGB channels, range [0, 255].
        channels_last: Lay the views out for convolutions that prefer it.
        non_blocking: As in `BaseDataPreprocessor`.

    Returns of `forward`: dict(inputs, data_samples): in training a list of
    (N, 3, S, S) float32, globals first, and `Seeds` on the model's device;
    otherwise a tensor and None.
    """

    def __init__(
        self,
        *,
        views: Mapping[str, ViewSpec | Mapping],
        mean: Sequence[float],
        std: Sequence[float],
        channels_last: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.specs = parse_views(views)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        for name, value in (('mean', mean), ('std', std)):
            channels = torch.tensor(value, dtype=torch.float32).view(-1, 1, 1) / 255
            self.register_buffer(name, channels, persistent=False)

    # what pulling needs
    min_globals = 2

    @property
    def num_globals(self) -> int:
        return sum(spec.role == 'global' for spec in self.specs)

    @property
    def num_locals(self) -> int:
        return len(self.specs) - self.num_globals

    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        # Autocast would round the crops' matrix products to bfloat16.
        with torch.autocast(self.mean.device.type, enabled=False):
            if training:
                return self.make_views(data)
            inputs = self.cast_data(data['inputs'])
            return dict(inputs=self.normalize(inputs.float().div_(255)), data_samples=None)

    def make_views(self, data: dict) -> dict:
        if 'seeds' not in data:
            raise ValueError(
                'the batch has no seeds, so its views cannot be drawn; give the dataloader '
                "sampler=dict(type='EpochSampler', shuffle=True)"
            )
        inputs, seeds = data['inputs'], data['seeds'].cpu()
        ready_cut = not isinstance(inputs, Tensor)
        if ready_cut and len(inputs) != len(self.specs):
            raise ValueError(
                f'the pipeline cut {len(inputs)} views and the model expects '
                f'{len(self.specs)}; let MultiCrop take its views from the model'
            )
        on_device, device = self.cast_data(inputs), self.mean.device
        looks = draw_all_looks(seeds, self.specs)
        flips = torch.stack([look.flip for look in looks]).to(device, non_blocking=True)
        if ready_cut:
            cuts = [to_unit(x, flip) for x, flip in zip(on_device, flips, strict=True)]
        else:
            boxes = torch.stack(draw_all_boxes(seeds, self.specs, *inputs.shape[2:]))
            boxes = boxes.to(device, non_blocking=True)
            sizes = [spec.size for spec in self.specs]
            rows = as_rows(on_device)
            cuts = [cut(rows, *how) for how in zip(boxes, flips, sizes, strict=True)]
        views = [
            self.normalize(change_colours(x, look, spec))
            for x, look, spec in zip(cuts, looks, self.specs, strict=True)
        ]
        return dict(inputs=views, data_samples=Seeds(self.cast_data(seeds)))

    def normalize(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to zero mean and unit variance."""
        return ((x - self.mean) / self.std).contiguous(memory_format=self.layout)


@MODELS.register_module()
class LabelledPreprocessor(MultiCropPreprocessor):
    """The one view of an image and its label, for mmpretrain's classifiers.

    Batches are `MultiCropPreprocessor`'s, of either road, with `gt_label` (N,) int64.

    Args:
        batch_augments: None; mmpretrain's classifier hands its `train_cfg` over here.
        kwargs: Of `MultiCropPreprocessor`; `views` has one kind, of count 1.

    Returns of `forward`: dict(inputs (N, 3, H, W) float32, data_samples: N of
    mmpretrain's `DataSample` with `gt_label`).

    Raises:
        ValueError: If there are several views, or if an image has no label; in
            evaluation a batch may leave `gt_label` out.
    """

    min_globals = 1

    def __init__(self, *, batch_augments: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if len(self.specs) != 1:
            raise ValueError(
                f'a classifier takes one view of an image and these are {len(self.specs)}; '
                'name one kind in `views`, with count 1'
            )
        if batch_augments is not None:
            raise ValueError(
                'LabelledPreprocessor mixes no images; leave train_cfg out of the model, '
                'or use ClsDataPreprocessor'
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        labels = data.get('gt_label')
        if labels is None and not training:  # as for features of a folder
            return super().forward(data, training)
        if labels is None or int(labels.min()) < 0:
            raise ValueError(
                'a classifier needs labels and these images have none; use a labelled '
                'split of the data set'
            )
        inputs = super().forward(data, training)['inputs']
        # Rows of the batch's labels: mmpretrain would read single numbers one by one,
        # waiting for the device at each, and leave them on the CPU.
        rows = self.cast_data(labels).view(-1, 1)
        samples = [DataSample().set_gt_label(row) for row in rows]
        return dict(inputs=inputs[0] if training else inputs, data_samples=samples)
