"""Data preprocessors that turn uint8 batches to normalised views on the model's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmlogo.registry import MODELS
from mmlogo.views.apply import Crops, Rows, as_rows, change_all_colours
from mmlogo.views.draw import draw_all_boxes, draw_all_looks
from mmlogo.views.on_cpu import Normalisation, make_view
from mmlogo.views.seeds import Seeds
from mmlogo.views.spec import ViewSpec, parse_views


@MODELS.register_module()
class MultiCropPreprocessor(BaseDataPreprocessor):
    """Make the views of a batch.

    In training, `inputs` of a batch has one of two forms. Both give the same views:

    - Images (N, 3, H, W) uint8 of one size. The preprocessor cuts the crops.
    - A list of crops (N, 3, S, S) uint8, one per view. `MultiCrop` has cut them.

    The batch must also have `seeds` (N, 3) int64 from `pack_seeds`. Outside training,
    images are only normalised.

    Args:
        views: Kind of view -> `ViewSpec` or its arguments, for `parse_views`.
        mean: Mean of the RGB channels, in [0, 255].
        std: Standard deviation of the RGB channels, in the same units as `mean`.
        channels_last: With True, views have torch's channels_last memory format. Default:
            None, which leaves it to `MemoryFormatHook` when a training starts.
        non_blocking: Copy to the device without waiting, as in MMEngine's
            `BaseDataPreprocessor`. Default: True.

    Returns of `forward`: dict(inputs, data_samples). In training, `inputs` is a list of
    views (N, 3, S, S) float32, globals first, and `data_samples` is `Seeds` on the
    model's device. Otherwise `inputs` is one tensor and `data_samples` is None.
    """

    def __init__(
        self,
        *,
        views: Mapping[str, ViewSpec | Mapping],
        mean: Sequence[float],
        std: Sequence[float],
        channels_last: bool | None = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.specs = parse_views(views)
        self.channels_last = channels_last
        for name, value in (('mean', mean), ('std', std)):
            channels = torch.tensor(value, dtype=torch.float32).view(-1, 1, 1) / 255
            self.register_buffer(name, channels, persistent=False)

    min_globals = 2  # views are pulled to each other

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
        looks = draw_all_looks(seeds, self.specs)
        on_device, device = self.cast_data(inputs), self.mean.device
        flips = torch.stack([look.flip for look in looks]).to(device, non_blocking=True)
        sources: list[Rows | Crops]
        if ready_cut:
            sources = [Crops(*how) for how in zip(on_device, flips, strict=True)]
        else:
            boxes = torch.stack(draw_all_boxes(seeds, self.specs, *inputs.shape[2:]))
            boxes, rows = boxes.to(device, non_blocking=True), as_rows(on_device)
            sources = [
                Rows(rows, box, flip, spec.size)
                for box, flip, spec in zip(boxes, flips, self.specs, strict=True)
            ]
        if device.type == 'cpu':
            normalisation = Normalisation(self.mean, self.std, bool(self.channels_last))
            views = [
                make_view(*how, normalisation)
                for how in zip(sources, looks, self.specs, strict=True)
            ]
        else:
            crops = [source.crops() for source in sources]
            changed = change_all_colours(crops, looks, self.specs)
            views = [self.normalize(x) for x in changed]
        return dict(inputs=views, data_samples=Seeds(self.cast_data(seeds)))

    def normalize(self, x: Tensor) -> Tensor:
        """Normalise images (N, 3, H, W) in [0, 1] by `mean` and `std`."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return ((x - self.mean) / self.std).contiguous(memory_format=layout)


@MODELS.register_module()
class LabelledPreprocessor(MultiCropPreprocessor):
    """Make one view of every image, with its label, for mmpretrain's classifiers.

    Batches have either form of `MultiCropPreprocessor`, and `gt_label` (N,) int64.

    Args:
        batch_augments: Must be None, the default. mmpretrain's classifier passes its
            `train_cfg` here.
        kwargs: Arguments of `MultiCropPreprocessor`. `views` has one kind, with count 1.

    Returns of `forward`: dict(inputs, data_samples). `inputs` is (N, 3, H, W) float32,
    and `data_samples` are N of mmpretrain's `DataSample` with `gt_label`. In evaluation, a
    batch without `gt_label` is handled as `MultiCropPreprocessor` does.

    Raises:
        ValueError: If there are several views, if `batch_augments` is given, or if an
            image has no label.
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
        if labels is None and not training:  # features of a folder need no labels
            return super().forward(data, training)
        if labels is None or int(labels.min()) < 0:
            raise ValueError(
                'a classifier needs labels and these images have none; use a labelled '
                'split of the data set'
            )
        inputs = super().forward(data, training)['inputs']
        # Labels are rows of one tensor on the device. From single numbers mmpretrain would
        # make tensors on the CPU, one by one, and would wait for the device each time.
        rows = self.cast_data(labels).view(-1, 1)
        samples = [DataSample().set_gt_label(row) for row in rows]
        return dict(inputs=inputs[0] if training else inputs, data_samples=samples)
