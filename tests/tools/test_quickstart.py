"""The quickstart's table says what its log says."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest
import torch
from helpers import ROOT

TINY = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.batch_size': 16,
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.neck.in_channels': 64,
    **{
        f'{name}.dataset.limit': limit
        for name, limit in (
            ('train_dataloader', 4),
            ('bank_dataloader', 20),
            ('val_dataloader', 4),
            ('test_dataloader', 4),
        )
    },
}


@pytest.fixture(scope='module')
def quickstart():
    spec = importlib.util.spec_from_file_location(
        'quickstart', ROOT / 'tools/quickstart.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def result(quickstart, tmp_path_factory):
    return quickstart.quickstart(tmp_path_factory.mktemp('quick') / 'work', TINY)


def logged(result) -> list[dict]:
    (file,) = result.work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if 'knn/top1_k1' in row]


@pytest.mark.slow
def test_table_is_what_was_logged(quickstart, result, capsys):
    quickstart.show(result)
    printed = capsys.readouterr().out
    first, *_, last = logged(result)
    assert (first['step'], last['step']) == (0, 1)
    for name, row in (('untrained', first), ('trained', last)):
        (line,) = re.findall(rf'^\W*{name} network.*$', printed, flags=re.MULTILINE)
        numbers = [f'{row[f"knn/top1_k{k}"]:.1f}' for k in (1, 20, 200)]
        assert re.findall(r'\d+\.\d', line) == numbers
    (line,) = re.findall(r'^.*raw pixels.*$', printed, flags=re.MULTILINE)
    assert re.findall(r'\d+\.\d', line) == [f'{result.raw[k]:.1f}' for k in (1, 20, 200)]


@pytest.mark.slow
def test_it_leaves_what_it_says(quickstart, result):
    for name in quickstart.PICTURES:
        assert (result.work_dir / name).stat().st_size > 0
    state = torch.load(result.checkpoint, weights_only=False)['state_dict']
    assert any(name.startswith('backbone.') for name in state)
    assert 'Training SimSiamLoGo' in result.log.read_text()


@pytest.mark.slow
def test_it_empties_only_its_own_folders(quickstart, result, tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(ValueError, match='give another folder with --work-dir'):
        quickstart.empty(tmp_path)
    assert (tmp_path / 'thesis.txt').exists()


@pytest.mark.slow
def test_raw_pixels_agree_with_a_plain_search(quickstart, result, tmp_path):
    cfg = quickstart.prepare(tmp_path, TINY)
    runner = quickstart.QuietRunner.from_cfg(cfg)
    pre = runner.model.data_preprocessor
    bank, query = (
        ((loader.dataset.images.float() / 255 - pre.mean) / pre.std).flatten(1)
        for loader in (runner.val_loop.bank_dataloader, runner.val_loop.dataloader)
    )
    similarity = torch.cosine_similarity(query[:, None], bank[None], dim=2)
    nearest = runner.val_loop.bank_dataloader.dataset.labels[similarity.argmax(1)]
    right = (nearest == runner.val_loop.dataloader.dataset.labels).double().mean().item()
    assert result.raw[1] == pytest.approx(100 * right, abs=1.5)  # ties may fall elsewhere
