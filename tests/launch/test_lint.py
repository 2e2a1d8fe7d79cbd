"""Misspelt keys are found, right ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.utils import get_installed_path

from mmlogo.config import load_config
from mmlogo.launch.lint import check_keys, check_overrides, find_problems


@pytest.fixture
def cfg() -> Config:
    return load_config('mmlogo::simsiam_logo_r18_cifar10.py')


def test_a_sound_config_passes(cfg):
    check_keys(cfg)


@pytest.mark.parametrize(
    ('options', 'found', 'meant'),
    [
        ({'model.head.lamda_ll': 1.0}, r'model\.head\.lamda_ll', 'lambda_ll'),
        ({'model.neck.hiden_channels': 8}, r'model\.neck\.hiden_channels', 'hid_channels'),
        (
            {'model.backbone.base_chanels': 8},
            r'model\.backbone\.base_chanels',
            'base_channels',
        ),
        ({'model.head.affinity.nois': 0.1}, r'affinity\.nois', 'noise'),
        ({'model.backbone.norm_cfg.momentumm': 1}, r'norm_cfg\.momentumm', 'momentum'),
        ({'train_dataloader.batch_sise': 8}, r'train_dataloader\.batch_sise', 'batch_size'),
        ({'train_dataloader.dataset.data_rot': 'x'}, r'dataset\.data_rot', 'data_root'),
        ({'train_cfg.max_epoch': 8}, r'train_cfg\.max_epoch', 'max_epochs'),
        ({'optim_wrapper.clip_grads': {}}, r'optim_wrapper\.clip_grads', 'clip_grad'),
        (
            {'optim_wrapper.optimizer.weight_decy': 0},
            r'optimizer\.weight_decy',
            'weight_decay',
        ),
        ({'optim_wrapper.paramwise_cfg.custom_key': {}}, 'custom_key', 'custom_keys'),
        (
            {'optim_wrapper.paramwise_cfg.norm_and_bias': dict(weight_decya=0.0)},
            r'norm_and_bias\.weight_decya',
            'weight_decay',
        ),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys.neck': dict(lars_exlude=True)},
            r'neck\.lars_exlude',
            'lars_exclude',
        ),
        ({'param_scheduler.eta_mim': 0}, r'param_scheduler\.eta_mim', 'eta_min'),
        ({'default_hooks.logger.intervall': 1}, r'logger\.intervall', 'interval'),
        ({'optim_wraper': {}}, 'optim_wraper', 'optim_wrapper'),
        ({'global_batchsize': 4}, 'global_batchsize', 'global_batch_size'),
        ({'randomness.sed': 4}, r'randomness\.sed', 'seed'),
        ({'auto_scale_lr.base_batchsize': 4}, 'base_batchsize', 'base_batch_size'),
        ({'val_evaluator.0.temprature': 4}, 'temprature', 'temperature'),
        ({'env_cfg.mp_conf': 4}, 'mp_conf', 'mp_cfg'),
    ],
)
def test_a_typo_is_named_with_the_right_key(cfg, options, found, meant):
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=rf"{found}: .*did you mean '{meant}'"):
        check_keys(cfg)


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        (
            {'head.pull.predictor': dict(hold_lrr=True)},
            "hold_lrr: .*did you mean 'hold_lr'",
        ),
        # what --cfg-options ...custom_keys.head.affinity.lr=0.5 makes of the dots
        ({'head': dict(affinity=dict(lr=0.5))}, r'custom_keys\.head\.affinity: '),
    ],
)
def test_options_of_a_group_are_checked(cfg, keys, text):
    cfg.optim_wrapper.paramwise_cfg.custom_keys = keys
    with pytest.raises(ValueError, match=text):
        check_keys(cfg)


def test_what_mmengine_ignores_is_named(cfg):
    cfg.merge_from_dict({'find_unused_parameters': True})
    with pytest.raises(ValueError, match=r'set model_wrapper_cfg\.find_unused_parameters'):
        check_keys(cfg)


def test_an_unregistered_type_is_named(cfg):
    cfg.merge_from_dict({'model.type': 'SimSiamLogo'})
    with pytest.raises(ValueError, match="as 'SimSiamLogo'; did you mean 'SimSiamLoGo'"):
        check_keys(cfg)


def test_every_typo_is_named_at_once(cfg):
    cfg.merge_from_dict({'model.head.lamda_ll': 1.0, 'train_cfg.max_epoch': 1})
    with pytest.raises(ValueError, match=r'(?s)lamda_ll.*max_epoch'):
        check_keys(cfg)


def test_variables_and_keywords_of_bases_pass(cfg):
    cfg.merge_from_dict(
        {
            'my_variable': 3,
            'model.backbone.frozen_stages': 1,  # reaches ResNet through **kwargs
            'train_dataloader.timeout': 60,
            'param_scheduler.convert_to_iter_based': True,
            'model.backbone.init_cfg': dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
            'custom_hooks': [dict(type='EMAHook', priority='LOW')],
        }
    )
    check_keys(cfg)


def test_an_element_of_a_list_is_overridden_by_its_number():
    cfg = load_config('mmlogo::simsiam_r18_cifar10.py')
    check_overrides(cfg, {'val_evaluator.0.k': 5, 'val_evaluator.9.k': 5})
    message = r'val_evaluator is a list; name the element: val_evaluator\.0\.k of KNNMetric'
    with pytest.raises(ValueError, match=message):
        check_overrides(cfg, {'val_evaluator.k': 5})


MMPRETRAIN = Path(get_installed_path('mmpretrain')) / '.mim' / 'configs'


@pytest.mark.parametrize(
    'name',
    [
        path.relative_to(MMPRETRAIN).as_posix()
        for folder in ('simsiam', 'mocov2', 'simclr', 'byol')
        for path in sorted((MMPRETRAIN / folder).glob('*.py'))
    ],
)
def test_nothing_is_doubted_in_mmpretrains_own_configs(name):
    cfg = load_config(f'mmpretrain::{name}')
    assert [problem.text for problem in find_problems(cfg)] == []


def test_a_typo_in_a_config_of_mmpretrains_is_named():
    cfg = load_config('mmpretrain::simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py')
    cfg.optim_wrapper.paramwise_cfg.custom_keys.predictor.fix_rl = True
    cfg.train_dataloader.collate_fn.type = 'default_colate'
    found = '\n'.join(problem.text for problem in find_problems(cfg))
    assert "fix_rl: predictor has no such key; did you mean 'fix_lr'" in found
    assert (
        "nothing is registered as 'default_colate'; did you mean 'default_collate'" in found
    )


@pytest.mark.parametrize(
    ('name', 'typo', 'meant'),
    [
        ('simsiam_logo_r18_cifar10', 'nekc', 'neck'),
        ('simsiam_logo_r18_cifar10', 'num_global', 'num_globals'),
        ('moco_logo_r18_cifar10', 'nekc', 'neck'),
        ('moco_r18_cifar10', 'symetric', 'symmetric'),
        ('lewel_b_eman_r18_cifar10', 'nekc', 'neck'),
        ('lewel_m_r18_cifar10', 'enqeue', 'enqueue'),
        ('cgh_r18_cifar10', 'ramp_epohcs', 'ramp_epochs'),
    ],
)
def test_constructors_that_hand_on_still_name_typos(name, typo, meant):
    """Their `**kwargs` end in a constructor that lists its arguments."""
    cfg = load_config(f'mmlogo::{name}.py')
    cfg.model[typo] = cfg.model.get(meant, 1)
    with pytest.raises(ValueError, match=f"model.{typo}: .*; did you mean '{meant}'"):
        check_keys(cfg)
