"""What a resumed training needs, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, checkpoint, scalars, tool, weights, write_config
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmlogo import launch
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.checkpoints.seal import check_seal
from mmlogo.datasets.sampler import EpochSampler
from mmlogo.engine.hooks import BoundedLogHook
from mmlogo.engine.hooks.checkpoint import refuse_not_finite

EVERY = (
    "default_hooks['checkpoint'] = dict(interval=1, by_epoch=False, max_keep_ckpts=-1)\n"
)
LOADER = 'train_dataloader = dict(num_workers={}, persistent_workers=False)\n'


def test_a_sampler_leaves_out_what_was_trained_on():
    sampler = EpochSampler(range(10), seed=3)
    sampler.set_epoch(2)
    whole = list(sampler)
    with sampler.after(4):
        assert list(sampler) == whole[4:]
        assert len(sampler) == 10  # the loader's length stays
    assert list(sampler) == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ('base', 'accumulated', 'workers'),
    [
        ('simsiam_logo_r18_cifar10', 1, 0),
        ('moco_logo_r18_cifar10', 4, 0),  # no step ends with an epoch of three
        ('cgh_r18_cifar10', 2, 1),
        ('lewel_b_eman_r18_cifar10', 1, 0),
    ],
)
def test_every_iteration_can_be_resumed(base, accumulated, workers, tmp_path, tiny_tree):
    """Two epochs of three batches: to the last bit, whatever the iteration."""
    cfg = write_config(
        tmp_path,
        'every',
        base,
        EVERY + LOADER.format(workers) + f'optim_wrapper = dict(accumulative_counts='
        f'{accumulated})\n',
    )
    common = (cfg, '--data-root', tiny_tree, '--work-dir')
    tool('train', *common, tmp_path / 'straight')
    want = checkpoint(tmp_path / 'straight', 'iter_6.pth')
    losses = {r['step']: r['loss'] for r in scalars(tmp_path / 'straight') if 'loss' in r}
    for iteration in range(1, 6):
        folder = tmp_path / str(iteration)
        folder.mkdir()
        name = f'iter_{iteration}.pth'
        (folder / name).write_bytes((tmp_path / 'straight' / name).read_bytes())
        tool('train', *common, folder, '--resume')
        found = checkpoint(folder, 'iter_6.pth')
        for key, value in want['state_dict'].items():
            assert torch.equal(value, found['state_dict'][key]), (iteration, key)
        assert found['meta']['iter'] == 6
        assert found['meta']['epoch'] == want['meta']['epoch']
        again = {r['step']: r['loss'] for r in scalars(folder) if 'loss' in r}
        assert again == {k: v for k, v in losses.items() if k > iteration}
        evaluated = [r['step'] for r in scalars(folder) if 'knn/top1_k1' in r]
        assert evaluated == ([1, 2] if iteration <= 3 else [2])


@pytest.mark.slow
class TestOtherSteps:
    @pytest.fixture
    def trained(self, tmp_path: Path, tiny_tree: Path) -> tuple:
        cfg = write_config(tmp_path, 'steps', 'simsiam_logo_r18_cifar10')
        words = (cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
        tool('train', *words, '--cfg-options', 'train_cfg.val_interval=5')
        (tmp_path / 'w' / 'epoch_2.pth').unlink()
        return words

    @pytest.mark.parametrize(
        ('option', 'says'),
        [
            (
                'global_batch_size=12',
                r'iterations per epoch 3 \(now 2\); images per iteration, .* 8 \(now 12\)',
            ),
            ('train_dataloader.dataset.per_class=5', r'images in the data set 24 \(now'),
            ('optim_wrapper.accumulative_counts=2', r'optimiser step 1 \(now 2\)'),
        ],
    )
    def test_they_are_refused_with_both_numbers(self, option, says, trained):
        with pytest.raises(ValueError, match=f'{says}.*Resume with the same data'):
            tool('train', *trained, '--resume', '--cfg-options', option)

    def test_older_checkpoints_tell_by_their_iteration(self, trained, tmp_path):
        path = tmp_path / 'w' / 'epoch_1.pth'
        content = read_checkpoint(path)
        del content['resume']
        torch.save(content, path)
        with pytest.raises(ValueError, match=r'iterations per epoch 3 \(now 1\)'):
            tool('train', *trained, '--resume', '--cfg-options', 'global_batch_size=24')
        tool('train', *trained, '--resume')
        assert check_seal(tmp_path / 'w' / 'epoch_2.pth')


@pytest.mark.slow
def test_a_work_dir_belongs_to_one_training(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'one', 'simsiam_r18_cifar10')
    words = (cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    tool('train', *words)
    before = weights(tmp_path / 'w')
    with pytest.raises(FileExistsError, match=r'checkpoints of a training .*--resume'):
        tool('train', *words)
    tool('train', *words[:-1], tmp_path / 'other')
    theirs = tmp_path / 'other' / 'epoch_1.pth'
    with pytest.raises(FileExistsError, match=r'checkpoints of a training'):
        tool('train', *words, '--resume', theirs)
    assert all(torch.equal(v, before[k]) for k, v in weights(tmp_path / 'w').items())


def test_two_trainings_never_share_a_work_dir(tmp_path):
    import subprocess
    import sys

    cfg = Config(dict(work_dir=str(tmp_path / 'w')))
    launch.claim_work_dir(cfg)
    launch.claim_work_dir(cfg)  # of this process
    code = (
        'from mmengine.config import Config\nfrom mmlogo import launch\n'
        f'launch.claim_work_dir(Config(dict(work_dir={str(tmp_path / "w")!r})))'
    )
    other = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'is being written by a training (process ' in other.stderr
    assert other.returncode == 1


def test_nothing_that_is_not_finite_is_saved():
    good = dict(state_dict=dict(a=torch.ones(2), b=torch.tensor(3), c=torch.zeros(0)))
    refuse_not_finite(good, 'w')
    good['state_dict']['d'] = torch.tensor([1.0, float('inf')])
    with pytest.raises(ValueError, match=r'1 of 4 tensors .* such as d.* in w are as'):
        refuse_not_finite(good, 'w')


def test_the_log_forgets_what_no_mean_needs():
    hub = MessageHub('bounded')
    runner = SimpleNamespace(
        message_hub=hub,
        train_dataloader=range(7),
        log_processor=SimpleNamespace(custom_cfg=[]),
        iter=0,
    )
    hook = BoundedLogHook(least=5)
    hook.before_train(runner)
    for runner.iter in range(40):
        hub.update_scalar('train/loss', float(runner.iter))
        hook.after_train_iter(runner, 0)
        history = hub.get_scalar('train/loss')
        assert len(history.data[0]) <= 14
        assert history.current() == runner.iter
        last = range(max(0, runner.iter - 6), runner.iter + 1)
        assert history.mean(7) == pytest.approx(sum(last) / len(last))
    runner.log_processor.custom_cfg = [dict(data_src='loss', window_size='global')]
    hook.before_train(runner)
    for runner.iter in range(40):
        hub.update_scalar('train/loss', 0.0)
        hook.after_train_iter(runner, 0)
    assert len(hub.get_scalar('train/loss').data[0]) > 40


class TestSlurm:
    """tools/slurm_train.sh with stand-ins for srun and scontrol."""

    @pytest.fixture
    def run(self, tmp_path: Path):
        import os
        import subprocess

        codes = tmp_path / 'codes'
        for name, text in {
            'srun': 'echo "srun $*" >> {0}/log; code=$(head -1 {0}/codes)\n'
            'sed -i 1d {0}/codes; exit "$code"',
            'scontrol': 'echo "scontrol $*" >> {0}/log',
        }.items():
            file = tmp_path / 'bin' / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(f'#!/bin/bash\n{text.format(tmp_path)}\n')
            file.chmod(0o755)

        def run(*words: str, exits: list[int], **environment: str) -> tuple[int, list[str]]:
            codes.write_text(''.join(f'{code}\n' for code in exits))
            (tmp_path / 'log').write_text('')
            path = f'{tmp_path / "bin"}:{os.environ["PATH"]}'
            done = subprocess.run(
                [ROOT / 'tools' / 'slurm_train.sh', *words, 'part', 'name', 'cfg.py', 'w'],
                env=os.environ | dict(PATH=path, GPUS='2') | environment,
                check=False,
            )
            return done.returncode, (tmp_path / 'log').read_text().splitlines()

        return run

    def test_without_requeue_it_is_srun(self, run):
        code, log = run(exits=[75])
        assert (code, len(log)) == (75, 1)
        assert '--ntasks=2 ' in log[0]
        assert '--resume' not in log[0]

    def test_an_interrupted_training_starts_again(self, run):
        code, log = run('--requeue', exits=[75, 75, 0])
        assert (code, len(log)) == (0, 3)
        assert all(line.endswith('--launcher slurm --resume auto') for line in log)

    def test_a_failed_training_does_not(self, run):
        assert run('--requeue', exits=[75, 1, 0])[0] == 1

    def test_in_a_batch_job_the_job_is_queued_again(self, run):
        code, log = run('--requeue', exits=[75, 0], SLURM_JOB_ID='42')
        assert code == 75
        assert log[1:] == ['scontrol requeue 42']
