"""Writes the ResNet of a checkpoint for another library."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from mmengine.config import Config
from torch import Tensor

from mmlogo.checkpoints.detectron2 import write_pickle
from mmlogo.checkpoints.match import find_prefix, load_pretrained, tensors_of
from mmlogo.checkpoints.origin import inputs_of, model_of
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.checkpoints.seal import write_checkpoint
from mmlogo.registry import MODELS

# what each library reads
ENDINGS = {
    'torchvision': ('.pth', '.safetensors'),
    'timm': ('.pth', '.safetensors'),
    'detectron2': ('.pkl',),
    'mmpretrain': ('.pth',),
    'mmdet': ('.pth',),
}
# Settings that no name and no shape of a tensor shows: mmpretrain's defaults, which are
# how the others are built.
_PLAIN: dict[str, Any] = dict(
    style='pytorch', strides=[1, 2, 2, 2], dilations=[1, 1, 1, 1], conv_cfg=None, eps=1e-5
)
_IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
_BLOCKS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_NAME = re.compile(
    r'(?:conv1|bn1|layer[1-4]\.\d+\.(?:conv[123]|bn[123]|downsample\.[01]))'
    r'\.(?:weight|bias|running_mean|running_var|num_batches_tracked)'
)
_PARTS = {'stem', 'conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4'}


class Backbone(NamedTuple):
    """The tensors of a ResNet, and what is known of it.

    Args:
        path: The checkpoint.
        prefix: The prefix of the ResNet's names in the checkpoint.
        state: The tensors, with torchvision's names, contiguous, on the CPU.
        depth: 18, 34, 50, 101 or 152.
        settings: `backbone` of the config. It is empty if the checkpoint has no config.
        inputs: `mean` and `std` of RGB channels in [0, 255]. It is empty if the config does
            not say them.
        cfg: The text of the config, None if there is none.
        commit: The commit that trained the network, None if the checkpoint does not say it.
    """

    path: Path
    prefix: str
    state: dict[str, Tensor]
    depth: int
    settings: dict[str, Any]
    inputs: dict[str, list[float]]
    cfg: str | None
    commit: str | None

    @property
    def kernel(self) -> int:
        """The side of the first convolution: 7, or 3 in networks for CIFAR."""
        return self.state['conv1.weight'].shape[-1]

    @property
    def style(self) -> str:
        """Where a bottleneck has its stride: `pytorch` in the 3x3, `caffe` in the 1x1."""
        if self.depth < 50:  # other blocks have no choice
            return _PLAIN['style']
        return self.settings.get('style', _PLAIN['style'])

    @property
    def widths(self) -> dict[str, int]:
        """`stem_channels` and `base_channels`, if they are not 64."""
        widths = dict(
            stem_channels=self.state['conv1.weight'].shape[0],
            base_channels=self.state['layer1.0.conv1.weight'].shape[0],
        )
        return {} if set(widths.values()) == {64} else widths

    def unlike(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that differ from these."""
        have = dict(self.settings) | dict(style=self.style)
        have['eps'] = (have.get('norm_cfg') or {}).get('eps', _PLAIN['eps'])
        return {
            name: value
            for name in plain
            if (value := _listed(have.get(name, _PLAIN[name]))) != plain[name]
        }


def read_backbone(
    path: str | Path, *, prefix: str | None = None, config: Config | None = None
) -> Backbone:
    """Read the student's ResNet of any checkpoint that `load_pretrained` reads.

    What the tensors do not show is read from `config`, or else from the config in the
    checkpoint.

    Args:
        path: A .pth, .pt, .pth.tar or .safetensors file, or a .pkl of detectron2.
        prefix: The prefix of the ResNet's names in the checkpoint, with its last dot;
            default: the one that `find_prefix` finds.
        config: The config of the training. The checkpoint must fit its backbone; default:
            the config in the checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read. If it holds no ResNet, only part of one, or
            a ResNet of another kind.
    """
    path = Path(path).expanduser()
    content = read_checkpoint(path)
    found = tensors_of(content, path)
    if prefix is None:
        tails = (_NAME.search(name) for name in found)
        wanted = list({m[0]: None for m in tails if m and m.end() == len(m.string)})
        prefix = find_prefix(
            found, wanted or ['conv1.weight', 'layer1.0.conv1.weight'], path
        )
    inside = {
        name.removeprefix(prefix): value.detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, value in found.items()
        if name.startswith(prefix)
    }
    state = {name: value for name, value in inside.items() if _NAME.fullmatch(name)}
    more = [
        name for name in inside if name not in state and name.partition('.')[0] in _PARTS
    ]
    depth = _depth(state, more, path)
    meta = content.get('meta') if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    if config is None:
        cfg = meta.get('cfg')
        model = model_of(cfg) if isinstance(cfg, str) else {}
    else:
        cfg, model = config.pretty_text, config.get('model', {})
        load_pretrained(MODELS.build(model['backbone']), path, prefix=prefix)
    return Backbone(
        path=path,
        prefix=prefix,
        state=state,
        depth=depth,
        settings=dict(model.get('backbone') or {}),
        inputs=inputs_of(model.get('data_preprocessor') or {}),
        cfg=cfg if isinstance(cfg, str) else None,
        commit=meta.get('commit'),
    )


def export_backbone(
    path: str | Path,
    target: str,
    out: str | Path,
    *,
    prefix: str | None = None,
    config: Config | None = None,
    about: Mapping[str, str | None] | None = None,
) -> str:
    """Write the ResNet of a checkpoint so that another library loads it.

    The metadata of the training go with it: as `meta` if the library allows that, in the
    metadata of a .safetensors file, otherwise in a file OUT.json beside it.

    Args:
        path: The checkpoint, of a kind that `read_backbone` reads.
        target: The library, a key of `ENDINGS`.
        out: The file to write, with one of the target's endings.
        prefix: The prefix of the ResNet's names in the checkpoint, with its last dot;
            default: the one that `find_prefix` finds.
        config: The config of the training; default: the config in the checkpoint.
        about: Further entries of the metadata; default: none.

    Returns:
        A text that says how to load the file there.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If `read_backbone` refuses the checkpoint. If the target cannot read
            files with this ending, or does not have such a network.
    """
    out = Path(out).expanduser()
    if out.suffix not in ENDINGS[target]:
        raise ValueError(
            f'{out}: {target} reads {" or ".join(ENDINGS[target])}; change the ending'
        )
    if out.exists() and out.samefile(Path(path).expanduser()):
        raise ValueError(f'{out} is the checkpoint itself; give another name')
    backbone = read_backbone(path, prefix=prefix, config=config)
    _check(backbone, target)
    meta = _meta(backbone, target) | dict(about or {})
    out.parent.mkdir(parents=True, exist_ok=True)
    if target == 'detectron2':
        write_pickle(out, backbone.state, meta)
    elif out.suffix == '.safetensors':
        from safetensors.torch import save_file

        save_file(backbone.state, out, {'format': 'pt', 'about': json.dumps(meta)})
    elif target == 'mmpretrain':
        named = {f'backbone.{name}': value for name, value in backbone.state.items()}
        write_checkpoint(dict(state_dict=named, meta=meta), out)
    elif target == 'mmdet':
        write_checkpoint(dict(state_dict=backbone.state, meta=meta), out)
    else:
        write_checkpoint(backbone.state, out)
        out.with_name(f'{out.name}.json').write_text(json.dumps(meta, indent=2) + '\n')
    return _how_to_load(backbone, target, out)


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()


def _depth(state: dict[str, Tensor], more: list[str], path: Path) -> int:
    """Return the depth of a complete, plain ResNet. Missing counts of batches become 0."""
    blocks = tuple(
        len({name.split('.')[1] for name in state if name.startswith(f'layer{stage}.')})
        for stage in (1, 2, 3, 4)
    )
    deep = 'layer1.0.conv3.weight' in state
    depth = _BLOCKS.get((deep, blocks))
    if depth is None or more:
        raise ValueError(
            f'{path} holds no plain ResNet: blocks {blocks}'
            + (f', and {more[0]}' if more else '')
            + '; exported are ResNet-18, 34, 50, 101 and 152 with BatchNorm, without a '
            'deep stem or other layers'
        )
    wanted = _torchvision(depth)
    # a narrow stem makes mmpretrain's first block project, which torchvision's does not
    counts = [name for name in state if name.endswith('.running_mean')]
    for name in counts:
        counter = name.replace('running_mean', 'num_batches_tracked')
        state.setdefault(counter, torch.tensor(0))  # detectron2 does not count
    missing = [name for name in wanted if name not in state]
    if missing:
        raise ValueError(
            f'{path} holds a part of a ResNet-{depth}: {len(missing)} tensors are not in '
            f'it, such as {missing[0]}; export a whole checkpoint'
        )
    return depth


@functools.cache
def _torchvision(depth: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of torchvision's tensors without the classifier's."""
    with torch.device('meta'):
        net = getattr(torchvision.models, f'resnet{depth}')()
    state = net.state_dict().items()
    return {name: tuple(v.shape) for name, v in state if not name.startswith('fc.')}


def _check(backbone: Backbone, target: str) -> None:
    """Raise ValueError if the target's ResNet would be another network."""
    if target == 'mmpretrain':
        return
    stem = tuple(backbone.state['conv1.weight'].shape)
    if backbone.kernel != 7:
        raise ValueError(
            f'{backbone.path} has the stem of CIFAR networks, conv1.weight {stem}, and '
            f"{target}'s ResNet begins with a 7x7 convolution; use --to mmpretrain, "
            'whose ResNet_CIFAR has it'
        )
    if target == 'mmdet':
        return
    wanted = _torchvision(backbone.depth)
    for name, value in backbone.state.items():
        have, want = tuple(value.shape), wanted.get(name)
        if have != want:
            raise ValueError(
                f'{backbone.path} has {name} {have} and the ResNet-{backbone.depth} of '
                f'{target} {want or "no such tensor"}; use --to mmpretrain or mmdet, '
                'which have other widths'
            )
    # detectron2 has both styles
    plain = _PLAIN | (dict(style=backbone.style) if target == 'detectron2' else {})
    other = [f'{name}={value!r}' for name, value in backbone.unlike(plain).items()]
    if other:
        raise ValueError(
            f'{backbone.path} was trained with {", ".join(other)}, and the ResNet of '
            f'{target} is built otherwise: its features would differ without an error; '
            'use --to mmpretrain'
        )


def _meta(backbone: Backbone, target: str) -> dict[str, Any]:
    """Return metadata of plain values, which torch's safe reader and JSON can hold."""
    return dict(
        target=target,
        network=f'ResNet-{backbone.depth}',
        style=backbone.style,
        style_from='config' if backbone.settings else 'default',
        stem=f'{backbone.kernel}x{backbone.kernel}',
        **backbone.widths,
        **backbone.inputs,
        channels='RGB' if backbone.inputs else None,
        source=backbone.path.name,
        sha256=sha256(backbone.path),
        prefix=backbone.prefix,
        commit=backbone.commit,
        cfg=backbone.cfg,
    )


def _how_to_load(backbone: Backbone, target: str, out: Path) -> str:
    depth, style = backbone.depth, backbone.style
    inputs = (
        f'images: RGB, mean {backbone.inputs["mean"]}, std {backbone.inputs["std"]}'
        if backbone.inputs
        else 'images: normalised as in its training, which the checkpoint does not say; '
        f'of ImageNet, RGB, mean {_IMAGENET["mean"]}, std {_IMAGENET["std"]}'
    )
    if target in ('torchvision', 'timm'):
        make = (
            f'torchvision.models.resnet{depth}()'
            if target == 'torchvision'
            else f"timm.create_model('resnet{depth}')"
        )
        read = (
            f"safetensors.torch.load_file('{out}')"
            if out.suffix == '.safetensors'
            else f"torch.load('{out}', weights_only=True)"
        )
        text = f'model = {make}\nmodel.load_state_dict({read}, strict=False)  # missing: fc'
    elif target == 'detectron2':
        pixels = backbone.inputs or _IMAGENET
        basic = ', RES2_OUT_CHANNELS: 64' if depth < 50 else ''
        text = (
            f'MODEL:\n  WEIGHTS: {out}\n  '
            f'PIXEL_MEAN: {pixels["mean"]}\n  PIXEL_STD: {pixels["std"]}\n'
            f'  RESNETS: {{DEPTH: {depth}, STRIDE_IN_1X1: {style == "caffe"}{basic}}}\n'
            'INPUT:\n  FORMAT: RGB'
        )
    else:
        kind = 'ResNet' if backbone.kernel == 7 else 'ResNet_CIFAR'
        words: dict[str, Any] = dict(depth=depth) | backbone.widths | dict(style=style)
        words |= backbone.unlike(_PLAIN)
        if 'eps' in words:
            words['norm_cfg'] = dict(type='BN', eps=words.pop('eps'))
        made = ''.join(f', {name}={value!r}' for name, value in words.items())
        inside = ", prefix='backbone.'" if target == 'mmpretrain' else ''
        init = f"dict(type='Pretrained', checkpoint='{out}'{inside})"
        text = f"backbone=dict(type='{kind}'{made}, init_cfg={init})"
        if target == 'mmpretrain':
            text += f'\nor: tools/train.py CONFIG --pretrained {out}'
        elif not backbone.widths:  # the shared head has none
            text += (
                '\nof a C4 detector, whose backbone has num_stages=3, layer4 is in:\n'
                f"shared_head=dict(type='ResLayer', depth={depth}, style='{style}', "
                f'init_cfg={init})'
            )
    return f'{text}\n{inputs}'


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
