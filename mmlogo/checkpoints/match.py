"""Finds the weights of a backbone in a checkpoint of any origin."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmlogo.checkpoints.detectron2 import from_detectron2
from mmlogo.checkpoints.origin import model_of
from mmlogo.checkpoints.read import read_checkpoint

# What a slow copy of the network is called: MoCo's encoder_k, BYOL's target_net ...
_COPIES = {'ema', 'k', 'key', 'momentum', 'target', 'teacher'}


class Mismatch(NamedTuple):
    """A tensor whose shape differs from that in the backbone."""

    name: str
    have: tuple[int, ...]
    want: tuple[int, ...]


class KeyReport(NamedTuple):
    """Which tensors of a backbone a checkpoint has. Names are those of the backbone.

    Args:
        path: The checkpoint.
        prefix: The prefix of the backbone's names in the checkpoint.
        matched: Names that were loaded.
        missing: Names that the backbone has and the checkpoint does not.
        unexpected: Names that the checkpoint has under the prefix, the backbone does not.
        mismatched: Names that both have, with different shapes.
        config: The text of the config in the checkpoint, None if there is none.
    """

    path: str
    prefix: str
    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[Mismatch]
    config: str | None = None

    def write(self, path: str | Path) -> None:
        """Write all names to a JSON file. `str` of the report shows three of each kind."""
        names = self._asdict() | dict(mismatched=[_shapes(m) for m in self.mismatched])
        del names['config']
        Path(path).write_text(json.dumps(names, indent=1) + '\n')

    def __str__(self) -> str:
        found = f'under {self.prefix!r}' if self.prefix else 'without a prefix'
        return f'{self.path}, {found}: {len(self.matched)} tensors matched' + ''.join(
            f', {len(names)} {kind} ({_some(names)})'
            for kind, names in (
                ('missing', self.missing),
                ('unexpected', self.unexpected),
                ('of another shape', [_shapes(m) for m in self.mismatched]),
            )
            if names
        )


def load_pretrained(
    backbone: nn.Module,
    path: str | Path,
    *,
    allow_partial: bool = False,
    prefix: str | None = None,
) -> KeyReport:
    """Load a backbone's weights from a checkpoint that holds them under any prefix.

    One rule serves all origins: the prefix is the one under which most names of the
    backbone are found. It is `state_dict.backbone.` in MMEngine's checkpoints,
    `module.encoder_q.` in MoCo's, and empty in torchvision's and timm's. The student's
    prefix goes before that of a momentum copy. Names of detectron2 are translated.

    Args:
        backbone: The backbone. It is changed in place, and not at all if there is an error.
        path: A .pth, .pt, .pth.tar or .safetensors file, or a .pkl of detectron2.
        allow_partial: Whether to load even if tensors of the backbone are missing, or if
            the checkpoint is of a deeper network; default: False.
        prefix: The prefix, with its last dot; default: the one that is found.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read. If it has no name of the backbone, only a
            momentum copy, or several networks. If a shape differs, or tensors are missing.
            If a value is NaN or infinite. If the strides are in other convolutions
            (`check_strides`).
    """
    content = read_checkpoint(path)
    found = tensors_of(content, path)
    wanted = backbone.state_dict()
    if prefix is None:
        prefix = find_prefix(found, list(wanted), path)
    inside = {
        name.removeprefix(prefix): value
        for name, value in found.items()
        if name.startswith(prefix)
    }
    report = _compare(str(path), prefix, inside, wanted, _config_of(content))
    _check(report, backbone, allow_partial)
    wrong = [
        name
        for name in report.matched
        if inside[name].is_floating_point() and not inside[name].isfinite().all()
    ]
    if wrong:
        raise ValueError(
            f'{path} has values that are NaN or infinite, in {len(wrong)} tensors of the '
            f'backbone, such as {_some(wrong)}; its training had diverged: use an earlier '
            'checkpoint'
        )
    check_strides(backbone, str(path), report.config)
    backbone.load_state_dict({name: inside[name] for name in report.matched}, strict=False)
    return report


def _compare(
    path: str,
    prefix: str,
    inside: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    config: str | None,
) -> KeyReport:
    both = [name for name in wanted if name in inside]
    mismatched = [
        Mismatch(name, tuple(inside[name].shape), tuple(wanted[name].shape))
        for name in both
        if inside[name].shape != wanted[name].shape
    ]
    wrong = {mismatch.name for mismatch in mismatched}
    return KeyReport(
        path=path,
        prefix=prefix,
        matched=[name for name in both if name not in wrong],
        missing=[name for name in wanted if name not in inside],
        unexpected=[name for name in inside if name not in wanted],
        mismatched=mismatched,
        config=config,
    )


def _config_of(content: object) -> str | None:
    meta = content.get('meta') if isinstance(content, Mapping) else None
    config = meta.get('cfg') if isinstance(meta, Mapping) else None
    return config if isinstance(config, str) else None


def _check(report: KeyReport, backbone: nn.Module, allow_partial: bool) -> None:
    """Raise ValueError unless all of the backbone is there."""
    if report.mismatched:
        shapes = _some([_shapes(mismatch) for mismatch in report.mismatched])
        raise ValueError(
            f'{report.path} is of another network: {len(report.mismatched)} tensors have '
            f'another shape, such as {shapes}; give `backbone` in the config the depth '
            'and width that the checkpoint was trained with'
        )
    if not report.matched:
        raise ValueError(
            f'{report.path} has no tensor of the backbone under the prefix '
            f'{report.prefix!r}; give one that it has, or none'
        )
    # old checkpoints do not count batches, and nothing depends on it
    missing = [name for name in report.missing if not name.endswith('num_batches_tracked')]
    parts = {name for name, _ in backbone.named_children()}
    deeper = [name for name in report.unexpected if name.partition('.')[0] in parts]
    if (missing or deeper) and not allow_partial:
        raise ValueError(
            f'{report.path} fits the backbone in part: {len(report.matched)} tensors '
            f'match, {len(missing)} of the backbone are not in it ({_some(missing)}) and '
            f'{len(deeper)} of a deeper one are ({_some(deeper)}); give the backbone it '
            'was trained with, or allow a partial load with --allow-partial '
            '(`allow_partial=True`)'
        )


def find_prefix(found: Mapping[str, Tensor], wanted: list[str], path: str | Path) -> str:
    """Return the prefix under which most of the wanted names are found."""
    names = set(wanted)
    counts: Counter[str] = Counter()
    for name in found:
        counts.update(head for head, tail in _splits(name) if tail in names)
    if not counts:
        raise ValueError(
            f'{path} has no tensor of the backbone: it holds {_some(list(found))}, the '
            f'backbone {_some(wanted)}; is it a checkpoint of another kind of network?'
        )
    most = max(counts.values())
    best = sorted(head for head, count in counts.items() if count == most)
    students = [head for head in best if not is_copy(head)]
    if not students:
        raise ValueError(
            f'{path} has the backbone only as a momentum copy, under {_some(best)}; to '
            f'load that, say so with --pretrained-prefix {best[0]} (`prefix`)'
        )
    first = students[0]
    for other in students[1:]:
        if any(
            not torch.equal(found[first + name], found[other + name])
            for name in wanted
            if first + name in found and other + name in found
        ):
            raise ValueError(
                f'{path} holds several such networks, under {_some(students)}; choose '
                'one with --pretrained-prefix (`prefix`)'
            )
    return first


def is_copy(name: str) -> bool:
    """Whether a name is of a momentum copy, as teacher.backbone. and encoder_k. are."""
    return bool(_COPIES & set(re.split(r'[^a-z0-9]+', name)))


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield ('', a.b.c), (a., b.c) and (a.b., c) for the name a.b.c."""
    yield '', name
    for dot in re.finditer(r'\.', name):
        yield name[: dot.end()], name[dot.end() :]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint by `read_checkpoint` and return its tensors by `tensors_of`."""
    return tensors_of(read_checkpoint(path), path)


def tensors_of(content: object, path: str | Path) -> dict[str, Tensor]:
    """Return every named tensor of a checkpoint. Dots join names of nested dictionaries.

    Names of detectron2 become those of torchvision. A C4 detector of mmdet has the last
    stage of its ResNet in its box head. This stage gets the name that it has in a backbone.

    Raises:
        ValueError: If it is a ResNet of Caffe2, which is another network.
    """
    found = {_of_backbone(name): value for name, value in _flat(content, '')}
    if any(name.endswith('_branch2a_w') for name in found):
        raise ValueError(
            f"{path} has Caffe2's names, of a ResNet with the stride in its 1x1 "
            "convolutions and of BGR images; take one converted from torchvision's, "
            'such as detectron2://ImageNetPretrained/torchvision/R-50.pkl'
        )
    if not any(name.endswith('stem.conv1.norm.weight') for name in found):
        return found
    author = content.get('__author__') if isinstance(content, Mapping) else None
    deep = any(name.endswith('res2.0.conv3.weight') for name in found)
    if deep and author not in ('mmlogo', 'torchvision'):
        print_log(
            f"{path} has detectron2's names, which do not say where a block has its "
            'stride nor the order of colours: right for STRIDE_IN_1X1 False and RGB, and '
            "not for MSRA's R-50 and what was trained from it",
            'current',
            logging.WARNING,
        )
    return {from_detectron2(name): value for name, value in found.items()}


def _of_backbone(name: str) -> str:
    return re.sub(r'\broi_head\.shared_head\.(layer\d+\.)', r'backbone.\1', name)


def _flat(node: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f'{name}.{key}' if name else str(key))


def _shapes(mismatch: Mismatch) -> str:
    return f'{mismatch.name} {mismatch.have} where the backbone has {mismatch.want}'


def _some(names: list[str], count: int = 3) -> str:
    return ', '.join(names[:count]) + (' ...' if len(names) > count else '') or 'none'


def check_strides(trunk: nn.Module, path: str, pretraining: str | None) -> None:
    """Refuse a ResNet whose bottlenecks have their strides elsewhere than the checkpoint's.

    The two kinds have the same names and shapes. Without a config, a checkpoint is taken to
    have its strides in the 3x3 convolutions, as PyTorch's ResNets have.

    Raises:
        ValueError: If one of the two has its strides in the 1x1 convolutions
            (style='caffe') and the other does not.
    """
    said = (model_of(pretraining).get('backbone') if pretraining else None) or {}
    wanted = 'conv1' if said.get('style') == 'caffe' else 'conv2'
    strides = {name for name, x in trunk.named_modules() if _strides(x)}
    blocks = {name.rpartition('.')[0] for name in strides} & {
        name.rpartition('.')[0]
        for name, _ in trunk.named_modules()
        if name.endswith('.conv3')  # a bottleneck's
    }
    wrong = sorted(name for name in blocks if f'{name}.{wanted}' not in strides)
    if wrong:
        style = 'caffe' if wanted == 'conv1' else 'pytorch'
        raise ValueError(
            f'{path} would fit by name and shape and compute something else: '
            f'{", ".join(wrong)} of this network have no stride in {wanted}, where '
            + (
                'the config in the checkpoint has it'
                if said
                else 'ResNets pretrained with PyTorch have it'
            )
            + f"; set style='{style}', in a C4 detector also of roi_head.shared_head"
            + (
                ''
                if said
                else '. (Weights converted from Caffe: leave --pretrained out and name '
                "them in the backbone's init_cfg, as mmdet does)"
            )
        )


def _strides(x: nn.Module) -> bool:
    return isinstance(x, nn.Conv2d) and x.stride != (1, 1)
