"""The evaluation of the untrained network comes after the first iteration, unseen by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import scalars, tool, weights, write_config
from mmengine.hooks import Hook

from mmlogo.engine import KNNLoop
from mmlogo.evaluation import KNNMetric
from mmlogo.registry import HOOKS, METRICS

pytestmark = pytest.mark.slow

BASE = 'moco_logo_r18_cifar10'  # has a teacher, a queue and BatchNorm in splits


@HOOKS.register_module(force=True)
class BeforeTrainingHook(Hook):
    """The reference: fit BatchNorm and evaluate before the first iteration."""

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        model = runner.model.train()
        norms = [
            m
            for m in model.backbone.modules()
            if isinstance(getattr(m, 'running_mean', None), torch.Tensor)
        ]
        kept = [(n.momentum, {k: b.clone() for k, b in n.named_buffers()}) for n in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for the mean over all batches
        for number, data in enumerate(runner.train_dataloader):
            if number == 20:
                break
            for x in model.data_preprocessor(data, True)['inputs']:
                with torch.no_grad():
                    model.backbone(x)
        runner.val_loop.run()
        for norm, (momentum, buffers) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            for name, buffer in buffers.items():
                getattr(norm, name).copy_(buffer)


@pytest.fixture
def seen(monkeypatch) -> list[torch.Tensor]:
    """The features of every k-NN, in order."""
    found = []
    compute = KNNMetric.compute

    def listened(self, bank, query):
        found.append(torch.cat((bank.feature, query.feature)))
        return compute(self, bank, query)

    monkeypatch.setattr(KNNMetric, 'compute', listened)
    return found


def train(folder: Path, tree: Path, base: str, text: str, *words: str) -> Path:
    folder.mkdir(exist_ok=True)
    cfg = write_config(folder, 'cfg', base, text)
    tool('train', cfg, '--data-root', tree, '--work-dir', folder / 'w', *words)
    return folder / 'w'


REFERENCE = (
    "default_hooks['validate_first'] = None\n"
    "custom_hooks = [dict(type='BeforeTrainingHook')]\n"
)
WORKERS = 'train_dataloader = dict(num_workers=1, persistent_workers=True)\n'
AVERAGED = "custom_hooks = [dict(type='mmpretrain.EMAHook', momentum=0.5)]\n"


@pytest.mark.parametrize('base', [BASE, 'simsiam_logo_r18_cifar10'])
@pytest.mark.parametrize('more', ['', WORKERS, AVERAGED])
def test_its_figures_and_the_training_are_those_of_an_evaluation_before(
    base, more, tmp_path, tiny_tree, seen
):
    ours = train(tmp_path / 'ours', tiny_tree, base, more)
    after, seen[:] = seen[:], []
    reference = REFERENCE + more.replace('custom_hooks =', 'custom_hooks +=')
    theirs = train(tmp_path / 'theirs', tiny_tree, base, reference)
    assert len(after) == len(seen) == 3
    for one, two in zip(after, seen, strict=True):
        # the reference's mean over batches is rounded in another order
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    assert torch.equal(after[2], seen[2])
    assert not torch.allclose(after[0], after[1], atol=1e-2)
    for key, value in weights(theirs).items():
        assert torch.equal(value, weights(ours)[key]), key
    rows = [
        [row for row in scalars(work_dir) if 'knn/top1_k1' in row]
        for work_dir in (ours, theirs)
    ]
    assert rows[0][0]['step'] == rows[1][0]['step'] == 0
    assert rows[0][0]['knn/top1_k1'] == rows[1][0]['knn/top1_k1']
    assert 'online/top1' not in rows[0][0]  # the probe has had a step by then
    assert 'online/top1' in rows[0][1]


def log_of(work_dir: Path) -> str:
    return sorted(work_dir.glob('*/*.log'))[-1].read_text()


def test_it_comes_after_the_first_iteration(tmp_path, tiny_tree):
    log = log_of(train(tmp_path, tiny_tree, BASE, ''))
    places = [
        log.index(text)
        for text in (
            'Epoch(train) [1][1/3]',
            'The first iteration is done, loss ',
            'Evaluating the untrained network',
            'Epoch(val) [0]',
            'Epoch(train) [1][2/3]',
        )
    ]
    assert places == sorted(places)
    assert log.count('Evaluating the untrained network') == 1


EVERY = (
    "default_hooks['checkpoint'] = dict(interval=1, by_epoch=False, max_keep_ckpts=-1)\n"
)


def test_a_checkpoint_waits_for_it_and_a_resumed_run_does_not_repeat_it(
    tmp_path, tiny_tree
):
    work_dir = train(tmp_path, tiny_tree, BASE, EVERY)
    broken = tmp_path / 'broken'
    broken.mkdir()
    (broken / 'iter_1.pth').write_bytes((work_dir / 'iter_1.pth').read_bytes())
    cfg = tmp_path / 'cfg.py'
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', broken, '--resume')
    assert 'Evaluating the untrained network' not in log_of(broken)
    one, two = weights(work_dir, 'iter_6.pth'), weights(broken, 'iter_6.pth')
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


@pytest.mark.parametrize('text', ['', EVERY])
def test_a_run_that_dies_in_it_does_it_after_a_resume(
    text, tmp_path, tiny_tree, monkeypatch
):
    run = KNNLoop.run

    def killed(self) -> None:
        raise RuntimeError('killed')

    monkeypatch.setattr(KNNLoop, 'run', killed)
    with pytest.raises(RuntimeError, match='killed'):
        train(tmp_path, tiny_tree, BASE, text)
    assert not list((tmp_path / 'w').glob('*.pth'))
    monkeypatch.setattr(KNNLoop, 'run', run)
    work_dir = train(tmp_path, tiny_tree, BASE, text, '--resume', 'auto')
    assert 'Evaluating the untrained network' in log_of(work_dir)


@pytest.mark.parametrize('name', ['SpectrumMetric', 'CalibrationMetric'])
def test_the_necks_statistics_are_fitted_for_a_metric_that_asks(
    name, tmp_path, tiny_tree, monkeypatch
):
    """Untrained embeddings are normalised by what the network gives, not by 0 and 1."""
    seen = []
    kind = METRICS.get(name)
    score = kind.score
    monkeypatch.setattr(
        kind,
        'score',
        lambda self, *x: seen.append(bn.running_mean.clone()) or score(self, *x),
    )

    @HOOKS.register_module(force=True)
    class FindNeckHook(Hook):
        def before_train(self, runner) -> None:
            nonlocal bn
            bn = runner.model.neck.bn0

    bn = None
    text = (
        f"val_evaluator.append(dict(type={name!r}, features='neck'))\n"
        "custom_hooks = [dict(type='FindNeckHook')]\n"
    )
    train(tmp_path, tiny_tree, 'simsiam_logo_r18_cifar10', text)
    assert seen[0].abs().max() > 0.01
    assert not torch.equal(seen[0], seen[1])
