"""The shipped dense probes of COCO by the command users type."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from helpers import tool
from mmengine.registry import init_default_scope

from mmlogo.config import load_config
from mmlogo.datasets import CocoMasks
from mmlogo.registry import MODELS

pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")
pytestmark = pytest.mark.slow

SIZE = 64  # the map of the network is 8 x 8


@pytest.fixture
def coco(request, tmp_path) -> Path:
    """Real images where there are some; else four photographs, in the bank twice."""
    if 'MMLOGO_DATA' in os.environ:
        return request.getfixturevalue('coco_root')
    root, tiny = tmp_path / 'coco', request.getfixturevalue('tiny_coco')
    (root / 'annotations').mkdir(parents=True)
    name = 'annotations/instances_{}.json'
    content = json.loads((tiny / name.format('val2017')).read_text())
    (root / name.format('val2017')).write_text(json.dumps(content))
    for key, which in (('images', ('id',)), ('annotations', ('id', 'image_id'))):
        content[key] += [
            {**thing, **{number: thing[number] + 4 for number in which}}
            for thing in content[key]
        ]
    (root / name.format('train2017')).write_text(json.dumps(content))
    for split in ('train2017', 'val2017'):
        (root / split).symlink_to(tiny / split)
    return root


def pixels_of_things(root: Path, split: str) -> torch.Tensor:
    """Of every class, the background none."""
    masks = CocoMasks(data_root=str(root), split=split, size=SIZE)
    masks = torch.cat([item['gt_sem_seg'].flatten() for item in masks])
    return masks[(masks > 0) & (masks != 255)].bincount(minlength=81).double()


def test_the_shipped_config_scores_segments_cells_and_crops(coco, tmp_path):
    name = 'mmlogo::benchmarks/dense_coco_r18w16.py'
    tiny = dict(stem_channels=4, base_channels=4)
    model = load_config(name).model
    init_default_scope('mmlogo')
    torch.manual_seed(0)
    model = MODELS.build(dict(model, backbone=dict(model.backbone, **tiny)))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    options = [f'model.backbone.{key}={value}' for key, value in tiny.items()]
    for loader in ('bank', 'test'):
        options += [f'{loader}_dataloader.dataset.size={SIZE}']
        options += [f'{loader}_dataloader.num_workers=0']
    words = ('--data-root', coco, '--work-dir', tmp_path / 'w', '--cfg-options', *options)
    tool('test', name, tmp_path / 'weights.pth', *words)
    got = json.loads(next((tmp_path / 'w').glob('*/*.json')).read_text())
    for key in ('segmentation/miou', 'patch_knn/top1_k20', 'retrieval/top5'):
        assert 0 < got[key] <= 100
    # of things alone, and not of the background
    seen, scored = (pixels_of_things(coco, split) for split in ('train2017', 'val2017'))
    share = 100 * (scored[seen.argmax()] / scored.sum()).item()
    assert got['segmentation/floor_pixel_accuracy'] == pytest.approx(share)
