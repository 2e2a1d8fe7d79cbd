"""The pretrained part of a classifier or detector, and checks of its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from mmcv.cnn import is_norm
from mmengine.dist import get_world_size
from mmengine.model import ImgDataPreprocessor
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.checkpoints.origin import inputs_of, model_of
from mmlogo.models.parts.norms import AllReduceBN

_STAGE = re.compile(r'layer\d+')
# Mean and std of RGB in [0, 255] that torchvision, timm's ResNets, MoCo, SimSiam and our
# ImageNet configs use.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def trunk_of(model: nn.Module) -> nn.Module:
    """Return the backbone, with the stages that a C4 detector has in its box head.

    Names are those of the whole network. So `layer4` is also found in a C4 detector,
    where mmdet names it `roi_head.shared_head.layer4`. Parameters are shared with the
    model.

    Raises:
        ValueError: If the model has no backbone.
    """
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, nn.Module):
        raise ValueError(f'{type(model).__name__} has no backbone; give it one')
    shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
    if shared is None:
        return backbone
    trunk = nn.Module()
    stages = ((name, x) for name, x in shared.named_children() if _STAGE.fullmatch(name))
    for name, child in (*backbone.named_children(), *stages):
        trunk.add_module(name, child)
    return trunk


def learning_of(trunk: nn.Module) -> str:
    """Say how much of the trunk learns. Call `train()` on the model first."""
    params, norms = _learning(trunk)
    return (
        f'{sum(params.values())} of {len(params)} parameters learn, '
        f'{sum(norms.values())} of {len(norms)} BatchNorms use statistics of their batch'
    )


def doubts_about(model: nn.Module, pretraining: str | None) -> Iterator[str]:
    """Find settings that cost accuracy in fine-tuning.

    A trunk that is frozen as a whole is taken as intended. A partly frozen one is not.

    Args:
        model: The model, in training mode.
        pretraining: Text of the config in the checkpoint. None if there is none.

    Yields:
        A sentence per setting. It names the change to make.
    """
    trunk = trunk_of(model)
    params, norms = _learning(trunk)
    frozen = [name for name, learns in params.items() if not learns]
    if frozen and len(frozen) < len(params):
        where = ', '.join(sorted({name.partition('.')[0] for name in frozen}))
        yield (
            f'{len(frozen)} of {len(params)} parameters are frozen (in {where}); '
            'weights that were learnt without labels want to be fine-tuned everywhere: '
            'frozen_stages=-1, norm_cfg.requires_grad=True'
        )
    still = [name for name, learns in norms.items() if not learns]
    if still and len(frozen) < len(params):
        yield (
            f'{len(still)} of {len(norms)} BatchNorms keep the statistics of pretraining '
            'while weights learn; set norm_eval=False, in a C4 detector also of '
            'roi_head.shared_head, with SyncBN where a process has few images'
        )
    preprocessor = getattr(model, 'data_preprocessor', None)
    if isinstance(preprocessor, ImgDataPreprocessor):  # detectors and segmenters have one
        yield from _doubts_about_images(preprocessor, pretraining)
        yield from _doubts_about_norms(model)


def _learning(trunk: nn.Module) -> tuple[dict[str, bool], dict[str, bool]]:
    """Tell for each parameter, and for each BatchNorm, whether it learns."""
    params = {name: p.requires_grad for name, p in trunk.named_parameters()}
    norms = {
        name: x.training for name, x in trunk.named_modules() if isinstance(x, _BatchNorm)
    }
    return params, norms


def _doubts_about_images(
    preprocessor: ImgDataPreprocessor, pretraining: str | None
) -> Iterator[str]:
    if not preprocessor._channel_conversion:
        yield (
            'images stay as they are read, which in mmdet is BGR, and pretraining saw RGB; '
            'set bgr_to_rgb=True in data_preprocessor, with mean and std of RGB'
        )
    if not preprocessor._enable_normalize:
        yield 'images are not normalised; give data_preprocessor mean and std'
        return
    said = model_of(pretraining).get('data_preprocessor') if pretraining else None
    before = inputs_of(said or {})
    for name, usual in (('mean', _MEAN), ('std', _STD)):
        want = torch.tensor(before.get(name) or usual, dtype=torch.float32).flatten()
        have = getattr(preprocessor, name).flatten().cpu()
        if have.shape != want.shape or not torch.allclose(have, want, atol=0.5):
            yield (
                f'data_preprocessor.{name} is {_digits(have)}, and pretraining had '
                f'{_digits(want)}{"" if before.get(name) else ", as far as is known"}; set '
                'the same'
            )


def _doubts_about_norms(model: nn.Module) -> Iterator[str]:
    alone = [
        name
        for name, x in model.named_modules()
        if isinstance(x, _BatchNorm)
        and not isinstance(x, (nn.SyncBatchNorm, AllReduceBN))
        and x.training
    ]
    if alone and get_world_size() > 1:
        yield (
            f'{len(alone)} BatchNorms (such as {alone[0]}) have statistics of the few '
            "images of one process; set norm_cfg=dict(type='SyncBN')"
        )
    shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
    if shared is None:
        return
    norms = [name for name, x in shared.named_modules() if is_norm(x)]
    inside = [name for name in norms if _STAGE.fullmatch(name.partition('.')[0])]
    if norms == inside and any(shared.get_submodule(name).training for name in inside):
        yield (
            'nothing normalises what the last stage gives to the boxes, and its own norms '
            "learn; set roi_head.shared_head=dict(type='Res5WithNorm', _scope_='mmlogo')"
        )


def _digits(values: torch.Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
