"""What several test files share: tiny configs, models, runs of the tools."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import sys
import zlib
from functools import partial
from pathlib import Path

import modelindex
import numpy as np
import torch
from matplotlib.colors import to_hex
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer
from PIL import Image
from torch import nn

from mmlogo.models.parts.clock import Clock, Clocked
from mmlogo.registry import MODELS
from mmlogo.views import ViewSpec

ROOT = Path(__file__).resolve().parent.parent
DIM = 8
CHANNELS = 32  # of the tiny encoder's last stage

VIEWS = dict(
    global_views=dict(role='global', count=2, size=16, scale=(0.4, 1.0)),
    local_views=dict(role='local', count=2, size=8, scale=(0.05, 0.4)),
)


def preprocessor(views: dict = VIEWS) -> dict:
    return dict(
        type='MultiCropPreprocessor', views=views, mean=(127.0,) * 3, std=(64.0,) * 3
    )


def encoder(norm_cfg: dict | None = None) -> dict:
    return dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=4,
        base_channels=4,
        zero_init_residual=False,
        norm_cfg=norm_cfg or dict(type='SyncBN'),
    )


def predictor() -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=DIM,
        hid_channels=DIM,
        out_channels=DIM,
        with_avg_pool=False,
        with_last_bn=False,
        with_last_bias=True,
    )


def projector() -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=CHANNELS,
        hid_channels=16,
        out_channels=DIM,
        num_layers=2,
        with_last_bn_affine=False,
    )


def logo_head(pull: dict | None = None, **changes) -> dict:
    pull = pull or dict(type='CosinePull', predictor=predictor())
    affinity = dict(type='Affinity', dim=DIM, hid_channels=(16, 16))
    return dict(type='LoGoHead', pull=pull, affinity=affinity, lambda_ll=0.5) | changes


def simsiam_logo(views: dict = VIEWS, **changes) -> dict:
    return (
        dict(
            type='SimSiamLoGo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(),
            neck=projector(),
            head=logo_head(),
        )
        | changes
    )


def vicreg_logo(views: dict = VIEWS, **changes) -> dict:
    head = logo_head(dict(type='VICRegPull'))
    return simsiam_logo(views, **(dict(type='VICRegLoGo', head=head) | changes))


def byol_logo(views: dict = VIEWS, **changes) -> dict:
    teacher = dict(momentum=0.9, schedule='cosine')
    return simsiam_logo(views, **(dict(type='BYOLLoGo', teacher=teacher) | changes))


def simsiam(views: dict = VIEWS) -> dict:
    return dict(
        type='SimSiam',
        data_preprocessor=preprocessor(views),
        backbone=encoder(),
        neck=projector(),
        head=dict(
            type='LatentPredictHead',
            loss=dict(type='CosineSimilarityLoss'),
            predictor=predictor(),
        ),
    )


def moco(views: dict = VIEWS, splits: int = 2, **changes) -> dict:
    return (
        dict(
            type='MoCo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(dict(type='SplitBN', num_splits=splits)),
            neck=dict(
                type='LinearNeck',
                in_channels=CHANNELS,
                out_channels=DIM,
                gap_dim=2,
                norm_cfg=None,
                act_cfg=None,
            ),
            head=dict(type='ContrastHead', temperature=0.1),
            queue=dict(length=64, dim=DIM),
            teacher=dict(momentum=0.9),
        )
        | changes
    )


def moco_logo(views: dict = VIEWS, splits: int = 2, **changes) -> dict:
    return (
        dict(
            type='MoCoLoGo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(dict(type='SplitBN', num_splits=splits)),
            neck=dict(
                type='MoCoV2Neck', in_channels=CHANNELS, hid_channels=16, out_channels=DIM
            ),
            head=logo_head(dict(type='InfoNCEPull', temperature=0.1)),
            queue=dict(length=64, dim=DIM),
            teacher=dict(momentum=0.9),
        )
        | changes
    )


PAIR = dict(global_views=VIEWS['global_views'])


def coupled_neck(norm_cfg: dict | None = None) -> dict:
    return dict(
        type='CoupledNeck',
        in_channels=CHANNELS,
        hid_channels=16,
        out_channels=DIM,
        num_groups=2,
        norm_cfg=norm_cfg,
    )


def byol(views: dict = PAIR) -> dict:
    return dict(
        type='BYOL',
        data_preprocessor=preprocessor(views),
        backbone=encoder(),
        neck=projector(),
        head=dict(
            type='LatentPredictHead',
            loss=dict(type='CosineSimilarityLoss'),
            predictor=predictor(),
        ),
    )


def lewel_b(views: dict = PAIR, norm_cfg: dict | None = None, **changes) -> dict:
    norm_cfg = norm_cfg or dict(type='SyncBN')
    token_mlp = dict(
        type='TokenMLP',
        in_channels=DIM,
        hid_channels=16,
        out_channels=DIM,
        norm_cfg=norm_cfg,
    )
    return (
        dict(
            type='LEWELB',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg),
            neck=coupled_neck(norm_cfg),
            head=dict(type='AlignedPredictHead', predictor=token_mlp),
            teacher=dict(momentum=0.9, schedule='cosine', statistics='averaged'),
        )
        | changes
    )


def lewel_m(views: dict = PAIR, splits: int = 2, **changes) -> dict:
    norm_cfg = dict(type='SplitBN', num_splits=splits)
    return (
        dict(
            type='LEWELM',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg),
            neck=coupled_neck(norm_cfg),
            head=dict(type='AlignedContrastHead', temperature=0.1),
            teacher=dict(momentum=0.9),
            queue=dict(length=64, dims=(DIM, DIM)),
        )
        | changes
    )


STRONG_WEAK_SMALL = dict(
    strong=dict(role='global', size=16, scale=(0.4, 1.0), gray=0.5),
    weak=dict(role='global', size=16, scale=(0.4, 1.0)),
    small=dict(role='local', count=2, size=8, scale=(0.2, 0.5)),
)


def cgh(views: dict = STRONG_WEAK_SMALL, splits: int = 2, **changes) -> dict:
    norm_cfg = dict(type='SplitBN', num_splits=splits)
    return (
        dict(
            type='CGH',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg) | dict(out_indices=(2, 3)),
            neck=dict(
                type='HypercolumnNeck',
                in_channels=(CHANNELS // 2, CHANNELS),
                mid_channels=16,
                hid_channels=16,
                out_channels=DIM,
                norm_cfg=norm_cfg,
            ),
            head=dict(type='RelationHead'),
            teacher=dict(momentum=0.9),
            queue=dict(length=64, dims=(DIM, DIM)),
            ramp_epochs=2,
        )
        | changes
    )


ALGORITHMS = {
    'BYOL': byol,
    'BYOLLoGo': byol_logo,
    'CGH': cgh,
    'CGH after its ramp': partial(cgh, ramp_epochs=0),
    'LEWELB': lewel_b,
    'LEWELM': lewel_m,
    'SimSiam': simsiam,
    'SimSiamLoGo': simsiam_logo,
    'MoCo': moco,
    'MoCoLoGo': moco_logo,
    'VICRegLoGo': vicreg_logo,
}


def build(cfg: dict) -> nn.Module:
    """A model as the Runner makes it on one process: initialised, in training mode."""
    init_default_scope('mmlogo')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg))
    if hasattr(model, 'init_weights'):
        model.init_weights()
    give_clock(model)
    return model.train()


def give_clock(model: nn.Module) -> None:
    """What `ClockHook` and mmpretrain's own EMA hear before the first step."""
    MessageHub.get_current_instance().update_info('max_iters', 20)
    MessageHub.get_current_instance().update_info('iter', 0)
    clock = Clock(updates=20, steps_per_epoch=4)
    for part in model.modules():
        if isinstance(part, Clocked):
            part.clock = clock


def tick(model: nn.Module, iterations: int = 1) -> None:
    """One optimiser step is done, of so many iterations."""
    part = next((m for m in model.modules() if isinstance(m, Clocked)), None)
    if part is not None:
        clock = part.clock
        clock.tell(iteration=clock.iteration + iterations, update=clock.update + 1)


PREDICTOR = dict(in_channels=DIM, hid_channels=DIM, out_channels=DIM)


ENCODER = dict(stem_channels=4, base_channels=4)


RUNS = {
    'simsiam_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(predictor=PREDICTOR),
    ),
    'simsiam_logo_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(pull=dict(predictor=PREDICTOR), affinity=dict(dim=DIM)),
    ),
    'moco_r18_cifar10': dict(
        backbone=dict(norm_cfg=dict(num_splits=2), **ENCODER),
        neck=dict(in_channels=CHANNELS),
    ),
    'moco_logo_r18_cifar10': dict(
        backbone=dict(norm_cfg=dict(num_splits=2), **ENCODER),
        neck=dict(in_channels=CHANNELS, hid_channels=16),
        head=dict(affinity=dict(hid_channels=(16, 16))),
    ),
    'byol_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(predictor=PREDICTOR),
    ),
    'byol_logo_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(pull=dict(predictor=PREDICTOR), affinity=dict(dim=DIM)),
    ),
    'vicreg_logo_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(affinity=dict(dim=DIM)),
    ),
    'lewel_b_eman_r18_cifar10': dict(
        neck=dict(in_channels=CHANNELS, hid_channels=16, out_channels=DIM),
        head=dict(predictor=PREDICTOR),
    ),
    'lewel_m_r18_cifar10': dict(
        backbone=dict(norm_cfg=dict(num_splits=2), **ENCODER),
        neck=dict(
            in_channels=CHANNELS,
            hid_channels=16,
            out_channels=DIM,
            norm_cfg=dict(num_splits=2),
        ),
        queue=dict(dims=(DIM, DIM)),
    ),
    'cgh_r18_cifar10': dict(
        backbone=dict(norm_cfg=dict(num_splits=2), **ENCODER),
        neck=dict(
            in_channels=(CHANNELS // 2, CHANNELS),
            mid_channels=16,
            hid_channels=16,
            out_channels=DIM,
            norm_cfg=dict(num_splits=2),
        ),
        queue=dict(dims=(DIM, DIM)),
        ramp_epochs=1,
    ),
}


def write_config(folder: Path, name: str, base: str, text: str = '') -> Path:
    """A config of the user's own, small enough for a test."""
    path = folder / f'{name}.py'
    model = dict(backbone=ENCODER) | RUNS[base]
    path.write_text(
        f"_base_ = 'mmlogo::{base}.py'\n"
        f'model = {model!r}\n'
        'global_batch_size = 8\n'
        'train_cfg = dict(max_epochs=2, val_interval=1)\n'
        'val_evaluator = ['
        "dict(type='KNNMetric', k=(1, 5)), dict(type='OnlineProbeMetric')]\n"
        'test_evaluator = val_evaluator\n'
        'default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1), '
        'collapse=dict(interval=2))\n'
        # some warm up for longer than this trains
        "param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]\n" + text
    )
    return path


def tool(name: str, *words: object) -> int | None:
    """Run tools/NAME in this process, as if in one of its own. Return its status.

    MMEngine keeps loggers and visualizers under a run's name, which is of its second: a
    second run in the same one would write into the first's files.
    """
    for kept in (MMLogger, MessageHub, Visualizer):
        kept._instance_dict.clear()
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    argv, sys.argv = sys.argv, [name, *map(str, words)]
    try:
        return module.main()
    finally:
        sys.argv = argv


def scalars(work_dir: Path) -> list[dict]:
    """Every logged record of the newest run."""
    newest = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1]
    return [json.loads(line) for line in newest.read_text().splitlines()]


def checkpoint(work_dir: Path, name: str = 'epoch_2.pth') -> dict:
    return torch.load(work_dir / name, map_location='cpu', weights_only=False)


def weights(work_dir: Path, name: str = 'epoch_2.pth') -> dict:
    return checkpoint(work_dir, name)['state_dict']


COLOUR = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.2)
GLOBAL = ViewSpec(role='global', count=2, size=16, scale=(0.4, 1.0), **COLOUR)
LOCAL = ViewSpec(role='local', count=2, size=8, scale=(0.05, 0.4), **COLOUR)
SPECS = [GLOBAL, GLOBAL, LOCAL, LOCAL]
KEYS = torch.tensor([[3, 1, 7], [3, 1, 8]])


def outlines(figure):
    """Crop outlines by axes: label -> (top, left, height, width)."""
    found = []
    for axes in figure.axes:
        boxes = {
            patch.get_gid(): (
                patch.get_y(),
                patch.get_x(),
                patch.get_height(),
                patch.get_width(),
                to_hex(patch.get_edgecolor()),
            )
            for patch in axes.patches
            if patch.get_gid()
        }
        if boxes:
            found.append(boxes)
    return found


def bomb(side: int = 30000) -> bytes:
    """A PNG of 70 bytes whose header says side x side pixels. It has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', sum_)

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0))
    data = chunk(b'IDAT', zlib.compress(b''))
    return b'\x89PNG\r\n\x1a\n' + header + data + chunk(b'IEND', b'')


def half_a_jpeg() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, 'JPEG')
    return file.getvalue()[: len(file.getvalue()) // 2]


# What is wrong with a file -> its name, content and what the error says.
BAD = {
    'empty': ('bad.jpg', b'', 'the file is empty'),
    'half': ('bad.jpg', half_a_jpeg(), 'damaged or cut off'),
    'text': ('bad.jpg', b'not an image', r"begins with b'not an image'"),
    'bomb': ('bad.png', bomb(), '30000 x 30000 pixels, more than max_pixels=178956970'),
}


def read_model_index(folder: Path) -> modelindex.models.ModelIndex.ModelIndex:
    """Read a folder's model-index.yml as MIM does, which would say nothing of faults."""
    index = modelindex.load(str(folder / 'model-index.yml'))
    faults = [fault for part in index.collect_check_errors() for fault in part['errors']]
    assert not faults, faults
    return index


K20 = 'knn/top1_k20'
# The config of the runs that `write_run` writes.
LOGGED = """
model = dict(data_preprocessor=dict(views=dict(
    g=dict(role='global', count=2, size=8, scale=(0.5, 1.0)),
    l=dict(role='local', count=2, size=4, scale=(0.1, 0.5)))))
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_epochs=4)
train_dataloader = dict(batch_size=8, dataset=dict(data_root='DIR'))
val_dataloader = dict(dataset=dict(type='Mine', split='test', data_root='DIR'))
"""


def write_run(
    folder: Path,
    seed: int,
    values: list[float],
    notes: list[dict] | None = None,
    config: str = LOGGED,
) -> Path:
    """A run of 4 epochs of 5 steps, evaluated at the epochs 0, 2 and 4."""
    logs = folder / '1' / 'vis_data'
    logs.mkdir(parents=True)
    rows = [dict(lr=0.1, loss=1.0, epoch=e, step=5 * e) for e in range(1, 5)]
    rows += [
        {K20: value, 'step': epoch} for epoch, value in zip((0, 2, 4), values, strict=True)
    ]
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    (folder / 'mine.py').write_text(config)
    notes = notes or [started(seed), ended(20, 60.0)]
    (folder / 'runs.jsonl').write_text('\n'.join(map(json.dumps, notes)) + '\n')
    return folder


def started(seed: int, iteration: int = 0) -> dict:
    command = f'python /x/tools/train.py mine.py --cfg-options randomness.seed={seed}'
    return dict(
        event='start',
        seed=seed,
        iteration=iteration,
        command=f'{command} --work-dir /x/y --resume auto',
        commit='abc',
        hardware='a box',
    )


def ended(iteration: int, cpu: float, event: str = 'end') -> dict:
    epoch = iteration // 5
    return dict(event=event, iteration=iteration, epoch=epoch, seconds=cpu, cpu_seconds=cpu)
