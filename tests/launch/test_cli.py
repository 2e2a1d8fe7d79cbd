"""From the command line to the config."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from helpers import tool, write_config
from mmengine.config import Config
from torch import nn

from mmlogo import launch
from mmlogo.config import config_path, load_config
from mmlogo.engine.wrapper import AnyDeviceDataParallel
from mmlogo.launch import cli, processes

NAME = 'mmlogo::simsiam_logo_r18_cifar10.py'


@pytest.fixture
def cfg(tmp_path) -> Config:
    cfg = load_config(NAME)
    cfg.work_dir = str(tmp_path)
    return cfg


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    launch.add_arguments(parser)
    return parser.parse_args([NAME, *words])


class TestBatch:
    def test_is_divided_by_the_processes(self, cfg, monkeypatch):
        monkeypatch.setattr(processes, 'get_world_size', lambda: 8)
        launch.divide_global_batch(cfg)
        assert cfg.train_dataloader.batch_size == 64

    def test_a_remainder_is_an_error(self, cfg, monkeypatch):
        monkeypatch.setattr(processes, 'get_world_size', lambda: 3)
        with pytest.raises(ValueError, match='=512 cannot be divided by 3 processes'):
            launch.divide_global_batch(cfg)

    def test_an_explicit_one_is_per_process(self, cfg, monkeypatch):
        monkeypatch.setattr(processes, 'get_world_size', lambda: 3)
        args = parse('--cfg-options', 'train_dataloader.batch_size=100')
        launch.prepare(cfg, args)
        launch.divide_global_batch(cfg)
        assert cfg.train_dataloader.batch_size == 100

    def test_the_global_one_can_be_overridden(self, cfg):
        args = parse('--cfg-options', 'global_batch_size=64')
        launch.prepare(cfg, args)
        launch.divide_global_batch(cfg)
        assert cfg.train_dataloader.batch_size == 64

    def test_one_in_the_users_config_is_per_process(self, cfg, monkeypatch):
        monkeypatch.setattr(processes, 'get_world_size', lambda: 3)
        cfg.train_dataloader.batch_size = 64
        launch.divide_global_batch(cfg)
        assert cfg.train_dataloader.batch_size == 64

    def test_none_at_all(self, cfg):
        cfg.global_batch_size = None
        with pytest.raises(ValueError, match='the config has no batch size; set global'):
            launch.divide_global_batch(cfg)


class TestOverrides:
    def test_of_nothing_are_refused(self, cfg):
        with pytest.raises(ValueError, match=r"max_epochs: the config has no 'max_epochs'"):
            launch.prepare(cfg, parse('--cfg-options', 'max_epochs=3'))
        with pytest.raises(ValueError, match="did you mean 'optim_wrapper'"):
            launch.prepare(cfg, parse('--cfg-options', 'optim_wraper.x=3'))

    def test_of_the_data_root_reach_every_dataset(self, cfg, tmp_path):
        launch.prepare(cfg, parse('--cfg-options', f'data_root={tmp_path}'))
        assert cfg.bank_dataloader.dataset.data_root == str(tmp_path)

    def test_a_data_root_that_reaches_nothing(self, cfg):
        cfg.data_root = '/elsewhere'
        with pytest.raises(ValueError, match="data_root = '/elsewhere' at the top"):
            launch.check_data_roots(cfg)


class TestHooks:
    def test_ours_can_be_left_out(self, cfg):
        launch.prepare(cfg, parse('--cfg-options', 'default_hooks.validate_first=None'))
        assert 'validate_first' not in cfg.default_hooks

    @pytest.mark.parametrize('hooks', [{}, dict(default_hooks=None)])
    def test_a_config_without_hooks(self, hooks):
        launch.drop_hooks(Config(hooks))


class TestDataRoot:
    def test_reaches_every_dataset(self, cfg, tmp_path):
        launch.set_data_root(cfg, str(tmp_path))
        roots = {
            cfg[f'{name}_dataloader'].dataset.data_root
            for name in ('train', 'val', 'test', 'bank')
        }
        assert roots == {str(tmp_path)}

    def test_must_be_a_folder(self, cfg):
        with pytest.raises(FileNotFoundError, match='--data-root nowhere is no folder'):
            launch.set_data_root(cfg, 'nowhere')

    def test_needs_a_dataset_that_reads_one(self, tmp_path):
        cfg = load_config('mmlogo::quickstart.py')
        with pytest.raises(ValueError, match='no dataset of this config has one'):
            launch.set_data_root(cfg, str(tmp_path))

    def test_a_missing_folder_is_named_before_the_start(self):
        cfg = load_config('mmlogo::simsiam_logo_r50_folder.py')
        with pytest.raises(FileNotFoundError, match='ImageFolder reads data/images'):
            launch.check_data_roots(cfg)


class TestAmp:
    def test_is_bfloat16_on_a_cpu(self, cfg, monkeypatch):
        monkeypatch.setattr(cli, 'get_device', lambda: 'cpu')
        launch.use_amp(cfg)
        assert cfg.optim_wrapper.type == 'AutocastOptimWrapper'

    def test_is_scaled_float16_on_an_old_gpu(self, cfg, monkeypatch):
        monkeypatch.setattr(cli, 'get_device', lambda: 'cuda')
        # a card before Ampere: bfloat16 by emulation only
        monkeypatch.setattr(
            torch.cuda,
            'is_bf16_supported',
            lambda including_emulation=True: including_emulation,
        )
        launch.use_amp(cfg)
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper'

    def test_is_refused_elsewhere(self, cfg, monkeypatch):
        monkeypatch.setattr(cli, 'get_device', lambda: 'mps')
        with pytest.raises(ValueError, match="the device is 'mps'; leave it out"):
            launch.use_amp(cfg)

    def test_does_not_replace_a_wrapper_of_the_users(self, cfg):
        cfg.optim_wrapper.type = 'ApexOptimWrapper'
        with pytest.raises(ValueError, match="cannot replace the optimiser wrapper 'Apex"):
            launch.use_amp(cfg)


class TestResume:
    def test_from_nothing_is_an_error(self, cfg):
        with pytest.raises(
            FileNotFoundError, match=r'there is no checkpoint in .*--resume auto'
        ):
            launch.set_resume(cfg, '')

    def test_auto_starts_anew(self, cfg):
        launch.set_resume(cfg, 'auto')
        assert not cfg.resume
        assert cfg.load_from is None

    def test_from_a_path(self, cfg, tmp_path):
        (tmp_path / 'a.pth').touch()
        launch.set_resume(cfg, str(tmp_path / 'a.pth'))
        assert cfg.load_from == str(tmp_path / 'a.pth')
        with pytest.raises(FileNotFoundError, match='no such checkpoint'):
            launch.set_resume(cfg, str(tmp_path / 'b.pth'))

    def test_from_a_note_whose_checkpoint_is_gone(self, cfg, tmp_path):
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'gone.pth'))
        with pytest.raises(FileNotFoundError, match='there is no checkpoint in'):
            launch.set_resume(cfg, '')


class TestProcesses:
    def test_a_launcher_without_its_variables(self, cfg, monkeypatch):
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(
            ValueError, match=r"\['RANK', 'WORLD_SIZE', 'LOCAL_RANK'\] are not"
        ):
            launch.init_processes('pytorch', cfg)

    def test_mpi_on_several_machines_needs_an_address(self, cfg, monkeypatch):
        monkeypatch.delenv('MASTER_ADDR', raising=False)
        names = (*processes._VARIABLES['mpi'], 'OMPI_COMM_WORLD_LOCAL_SIZE')
        for name, value in zip(names, ('0', '4', '0', '2'), strict=True):
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match='4 processes, 2 of them on this machine'):
            launch.init_processes('mpi', cfg)

    @pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
    def test_other_launchers_speak_torchs_variables(self, cfg, monkeypatch, launcher):
        if torch.cuda.is_available():
            pytest.skip('joins a real group; this part is for machines without CUDA')
        for name, value in zip(
            processes._VARIABLES[launcher], ('0', '1', '0'), strict=True
        ):
            monkeypatch.setenv(name, value)
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
        asked = []
        monkeypatch.setattr(
            torch.distributed,
            'init_process_group',
            lambda backend, **options: asked.append((backend, options)),
        )
        cfg.env_cfg.dist_cfg.timeout = 7200
        launch.init_processes(launcher, cfg)
        assert asked == [('gloo', dict(timeout=timedelta(hours=2)))]
        assert cfg.launcher == launcher

    @pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='counts in /proc')
    def test_no_thread_of_the_group_outlives_it(self):
        """One that does aborts the process at Python's end, now and then."""
        torch.distributed.init_process_group(
            'gloo', store=torch.distributed.HashStore(), rank=0, world_size=1
        )
        wrapped = AnyDeviceDataParallel(nn.Linear(2, 2))
        wrapped.itself = [wrapped]  # as models, their hooks and runners know one another
        assert 'pt_gloo_runloop' in threads()
        del wrapped
        launch.leave_processes()
        assert not torch.distributed.is_initialized()
        assert 'pt_gloo_runloop' not in threads()


def threads() -> set[str]:
    return {comm.read_text().strip() for comm in Path('/proc/self/task').glob('*/comm')}


def test_work_dir_is_named_after_the_config(cfg):
    cfg.work_dir = None
    assert launch.prepare(cfg, parse()).work_dir == 'work_dirs/simsiam_logo_r18_cifar10'


def test_scaling_needs_a_base(cfg):
    cfg.auto_scale_lr = {}
    with pytest.raises(ValueError, match=r'needs auto_scale_lr = dict\(base_batch_size'):
        launch.use_scaled_lr(cfg)


def test_scaling_counts_what_is_accumulated(cfg):
    cfg.optim_wrapper.accumulative_counts = 4
    launch.use_scaled_lr(cfg)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=128)


def test_checkpoint_must_exist(cfg):
    with pytest.raises(FileNotFoundError, match=r'there is no checkpoint x\.pth'):
        launch.set_checkpoint(cfg, 'x.pth')


def test_a_config_without_a_test_loop_says_so(tmp_path):
    cfg = load_config('mmlogo::simsiam_logo_r50_folder.py')
    (tmp_path / 'a.pth').touch()
    with pytest.raises(ValueError, match='evaluates nothing'):
        launch.set_checkpoint(cfg, str(tmp_path / 'a.pth'))


class TestConfigLoader:
    def test_inherits_from_any_folder(self, tmp_path: Path):
        mine = tmp_path / 'mine.py'
        mine.write_text(
            "_base_ = 'mmlogo::simsiam_logo_r18_cifar10.py'\n"
            'model = dict(head=dict(lambda_ll=0.25))\n'
        )
        cfg = load_config(str(mine))
        assert cfg.model.head.lambda_ll == 0.25
        assert cfg.model.head.pull.type == 'CosinePull'

    def test_leaves_mmengine_as_it_was(self):
        before = Config._get_cfg_path
        load_config(NAME)
        assert Config._get_cfg_path is before

    def test_other_packages_still_work(self, tmp_path):
        mine = tmp_path / 'mine.py'
        mine.write_text("_base_ = 'mmpretrain::_base_/default_runtime.py'\n")
        assert load_config(str(mine)).default_scope == 'mmpretrain'

    def test_names_the_closest(self):
        with pytest.raises(
            FileNotFoundError, match="did you mean 'mmlogo::simsiam_logo_r18_cif"
        ):
            config_path('mmlogo::simsiam_logo_r18_cifar.py')


def test_a_warm_up_longer_than_the_training_is_refused():
    cfg = load_config('mmlogo::byol_r18_cifar10.py')
    launch.check_schedules(cfg)
    cfg.train_cfg.max_epochs = 5
    with pytest.raises(ValueError, match='0, WarmUpLR, is for epoch 0 to 10'):
        launch.check_schedules(cfg)


@pytest.mark.parametrize(
    'text', ["strategy = dict(type='FSDPStrategy')", "runner_type = 'FlexibleRunner'"]
)
def test_a_config_for_another_runner_is_refused(tmp_path, tiny_tree, text):
    """MMEngine's Runner would train on and leave the strategy out."""
    cfg = write_config(tmp_path, 'one', 'simsiam_r18_cifar10', text)
    with pytest.raises(
        ValueError, match='trains with a Runner and DistributedDataParallel'
    ):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
