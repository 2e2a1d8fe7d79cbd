"""The tools, end to end: train, log, save, resume, evaluate."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from helpers import (
    CHANNELS,
    DIM,
    ENCODER,
    PREDICTOR,
    ROOT,
    RUNS,
    VIEWS,
    checkpoint,
    scalars,
    tool,
    weights,
    write_config,
)

pytestmark = pytest.mark.slow

LOGO_VIEWS = {
    k: {**v, 'jitter': (0.4, 0.4, 0.4, 0.1), 'jitter_p': 0.8} for k, v in VIEWS.items()
}


@pytest.mark.parametrize('base', RUNS)
def test_trains_saves_resumes_and_evaluates(base, tmp_path, tiny_tree):
    cfg = write_config(tmp_path, f'run_{base}', base)
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    common = (cfg, '--data-root', tiny_tree)
    tool('train', *common, '--work-dir', straight)
    broken.mkdir()  # as if killed in the second epoch
    shutil.copy(straight / 'epoch_1.pth', broken)
    (broken / 'last_checkpoint').write_text(str(broken / 'epoch_1.pth'))
    tool('train', *common, '--work-dir', broken, '--resume')

    # resumed: the same weights, queue, teacher and regressor to the last bit
    one, two = weights(straight), weights(broken)
    assert list(one) == list(two)
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
    one, two = (checkpoint(work_dir)['online_probe'] for work_dir in (straight, broken))
    assert one['optimizer']['state'][0]['step'] == 6
    for key, value in one['probe'].items():
        assert torch.equal(value, two['probe'][key]), key

    runs = (broken / 'runs.jsonl').read_text().splitlines()
    start, end = map(json.loads, runs)
    assert (start['event'], start['epoch'], end['event'], end['epoch']) == (
        'start',
        1,
        'end',
        2,
    )
    assert start['seed'] == 0
    assert end['cpu_seconds'] > 0

    records = scalars(straight)
    knn = [record for record in records if 'knn/top1_k1' in record]
    assert len(knn) == 3  # untrained, and after each epoch
    steps = [record for record in records if 'images_per_s' in record]
    assert len(steps) == 2 * (24 // 8)
    assert all(
        record['memory_mb'] > 0 and 0 <= record['data_wait'] <= 100 for record in steps
    )

    tool(
        'test',
        cfg,
        straight / 'epoch_2.pth',
        '--data-root',
        tiny_tree,
        '--work-dir',
        tmp_path / 'test',
    )
    tested = json.loads(next((tmp_path / 'test').glob('*/*.json')).read_text())
    assert tested['knn/top1_k1'] == pytest.approx(knn[-1]['knn/top1_k1'])
    assert tested['knn/top1_k5'] == pytest.approx(knn[-1]['knn/top1_k5'])
    assert tested['online/top1'] == pytest.approx(knn[-1]['online/top1'])


def test_a_foreign_config_overrides_lambda_and_keeps_the_best(tmp_path, tiny_tree):
    cfg = write_config(
        tmp_path,
        'mine',
        'simsiam_logo_r18_cifar10',
        'model["head"]["lambda_ll"] = 0.25\n'
        "default_hooks['checkpoint'] = dict(\n"
        "    interval=1, save_best='knn/top1_k5', rule='greater')\n",
    )
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    step = next(record for record in scalars(tmp_path / 'w') if 'loss_ll' in record)
    assert step['loss_ll'] == pytest.approx(0.25 * step['push'], rel=1e-3)
    best = list((tmp_path / 'w').glob('best_knn_top1_k5_epoch_*.pth'))
    assert len(best) == 1
    log = next((tmp_path / 'w').glob('*/*.log')).read_text()
    assert 'effective batch 8 (8 x 1 processes x 1 accumulated)' in log
    assert 'lr 0.06, 0.06 held' in log
    assert '2 global 32px of 0.4-1 + 2 local 32px of 0.05-0.4' in log
    assert list((tmp_path / 'w').glob('*/vis_data/events.out.tfevents.*'))


def test_a_resumed_schedule_cannot_be_stretched(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'stretched', 'simsiam_r18_cifar10')
    common = (cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    tool('train', *common)
    with pytest.raises(ValueError, match=r'CosineAnnealingLR ends at epoch 2 and .* 4'):
        tool('train', *common, '--resume', '--cfg-options', 'train_cfg.max_epochs=4')


def test_a_checkpoint_of_another_network_is_refused(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'small', 'simsiam_r18_cifar10')
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    wide = write_config(
        tmp_path,
        'wide',
        'simsiam_r18_cifar10',
        "model['backbone'] = dict(stem_channels=4, base_channels=8)\n"
        "model['neck']['in_channels'] = 64\n",
    )
    words = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'test')
    with pytest.raises(ValueError, match=r'tensors of the backbone do not fit, such as '):
        tool('test', wide, tmp_path / 'w' / 'epoch_2.pth', *words)
    text = r"there is no checkpoint .*epoch_9\.pth; that folder has .*'epoch_2\.pth'"
    with pytest.raises(FileNotFoundError, match=text):
        tool('test', cfg, tmp_path / 'w' / 'epoch_9.pth', *words)
    # and a finished run that is resumed says that there is nothing to do
    tool('train', cfg, *words[:2], '--work-dir', tmp_path / 'w', '--resume')
    log = sorted((tmp_path / 'w').glob('*/*.log'))[-1].read_text()
    assert 'Nothing to train: the checkpoint is at the end, epoch 2 of 2' in log


def test_a_resumed_run_keeps_its_seed(tmp_path, tiny_tree):
    """Drawn, not given: the views of the second half are those of the first's seed."""
    cfg = write_config(
        tmp_path, 'seedless', 'simsiam_r18_cifar10', 'randomness = dict(seed=None)\n'
    )
    common = (cfg, '--data-root', tiny_tree, '--work-dir')
    tool('train', *common, tmp_path / 'a')
    (tmp_path / 'b').mkdir()
    shutil.copy(tmp_path / 'a' / 'epoch_1.pth', tmp_path / 'b')
    (tmp_path / 'b' / 'last_checkpoint').write_text(str(tmp_path / 'b' / 'epoch_1.pth'))
    tool('train', *common, tmp_path / 'b', '--resume')
    one, two = weights(tmp_path / 'a'), weights(tmp_path / 'b')
    assert all(torch.equal(value, two[key]) for key, value in one.items())


@pytest.mark.parametrize(
    'without',
    [
        f'default_hooks.{hook}=None'
        for hook in ('validate_first', 'online_probe', 'collapse')
    ],
)
def test_watching_changes_nothing(without, tmp_path, tiny_tree):
    """What only looks leaves the run as it would have been."""
    cfg = write_config(tmp_path, 'first', 'simsiam_logo_r18_cifar10')
    common = (cfg, '--data-root', tiny_tree, '--work-dir')
    tool('train', *common, tmp_path / 'with')
    tool(
        'train',
        *common,
        tmp_path / 'without',
        '--cfg-options',
        without,
    )
    one, two = weights(tmp_path / 'with'), weights(tmp_path / 'without')
    assert all(torch.equal(value, two[key]) for key, value in one.items())


@pytest.mark.parametrize('base', ['moco_logo_r18_cifar10', 'lewel_b_eman_r18_cifar10'])
def test_amp_and_accumulation(base, tmp_path, tiny_tree):
    """The teacher moves once per optimiser step, whatever is accumulated."""
    cfg = write_config(
        tmp_path,
        f'amp_{base}',
        base,
        'optim_wrapper = dict(accumulative_counts=3)\n',
    )
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w', '--amp')
    # before the second epoch's first step: 3 iterations are one step
    assert int(weights(tmp_path / 'w')['teacher._extra_state']) == 1


@pytest.mark.parametrize(('count', 'want'), [(1, 5), (2, 2)])
def test_a_resume_makes_every_update_once(count, want, tmp_path, tiny_tree):
    """An epoch has three batches: a step of two is resumed between them.

    The last step's update is still to come.
    """
    text = f'optim_wrapper = dict(accumulative_counts={count})\n'
    cfg = write_config(tmp_path, 'midway', 'moco_logo_r18_cifar10', text)
    words = (cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    tool('train', *words)
    straight = weights(tmp_path / 'w')
    assert int(straight['teacher._extra_state']) == want
    tool('train', *words, '--resume', tmp_path / 'w' / 'epoch_1.pth')
    resumed = weights(tmp_path / 'w')
    assert int(resumed['teacher._extra_state']) == want
    if count == 1:  # MMEngine does not save half a step's gradients
        assert all(torch.equal(value, resumed[key]) for key, value in straight.items())


@pytest.mark.parametrize(
    'kind', ['mmpretrain.SimSiam', 'mmpretrain.BYOL', 'mmpretrain.MoCo']
)
def test_mmpretrains_algorithms_train_on_our_views(kind, tmp_path, tiny_tree):
    neck = dict(
        type='NonLinearNeck', in_channels=CHANNELS, hid_channels=16, out_channels=DIM
    )
    predictor = dict(type='NonLinearNeck', with_avg_pool=False, **PREDICTOR)
    latent = dict(
        type='LatentPredictHead',
        loss=dict(type='CosineSimilarityLoss'),
        predictor=predictor,
    )
    contrastive = dict(
        type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.1
    )
    head = contrastive if kind.endswith('MoCo') else latent
    extra = dict(queue_len=16, feat_dim=DIM) if kind.endswith('MoCo') else {}
    cfg = write_config(
        tmp_path,
        kind.replace('.', '_'),
        'simsiam_r18_cifar10',
        f'model = dict(_delete_=True, type={kind!r}, **{extra!r},\n'
        "    data_preprocessor=dict(type='MultiCropPreprocessor', mean=(127.0,) * 3,\n"
        f'        std=(64.0,) * 3, views={LOGO_VIEWS!r}),\n'
        f"    backbone=dict(type='ResNet_CIFAR', depth=18, **{ENCODER!r}),\n"
        f'    neck={neck!r}, head={head!r})\n'
        'optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))\n',
    )
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    losses = [record['loss'] for record in scalars(tmp_path / 'w') if 'loss' in record]
    assert len(losses) == 6
    assert len(set(losses)) == 6


def test_our_algorithms_train_on_mmpretrains_pipelines(tmp_path, tiny_tree):
    cfg = write_config(
        tmp_path,
        'multiview',
        'simsiam_logo_r18_cifar10',
        'model["num_globals"] = 2\n'
        "model['data_preprocessor'] = dict(_delete_=True, type='SelfSupDataPreprocessor',\n"
        '    mean=(127.0,) * 3, std=(64.0,) * 3)\n'
        "crop = dict(type='RandomResizedCrop', scale=16)\n"
        'train_dataloader = dict(_delete_=True, batch_size=8, num_workers=0,\n'
        '    drop_last=True,\n'
        "    sampler=dict(type='DefaultSampler', shuffle=True),\n"
        "    collate_fn=dict(type='default_collate'),\n"
        f"    dataset=dict(type='CustomDataset', data_root={str(tiny_tree / 'train')!r},\n"
        "        with_label=False, pipeline=[dict(type='LoadImageFromFile'),\n"
        "            dict(type='MultiView', num_views=[4], transforms=[[crop]]),\n"
        "            dict(type='PackInputs')]))\n"
        'val_dataloader = val_cfg = val_evaluator = None\n'
        'test_dataloader = test_cfg = test_evaluator = None\n',
    )
    tool('train', cfg, '--work-dir', tmp_path / 'w')
    losses = [
        record['loss_lg'] for record in scalars(tmp_path / 'w') if 'loss_lg' in record
    ]
    assert len(losses) == 6


def validation_of_a_folder() -> str:
    """The example of docs/evaluation.md: without labels and without a bank."""
    text = (ROOT / 'docs' / 'evaluation.md').read_text()
    (example,) = re.findall(r'```python\n_base_[^\n]*\n(.*?)```', text, re.DOTALL)
    small = {'batch_size=256': 'batch_size=8', 'num_workers=8': 'num_workers=0'}
    for old, new in (small | {'scale=256': 'scale=36', 'size=224': 'size=32'}).items():
        assert old in example
        example = example.replace(old, new)
    return example


def test_a_folder_of_large_images_trains_through_the_workers(tmp_path, tiny_tree):
    """MultiCrop takes its views from the model, in workers, over two epochs."""
    cfg = tmp_path / 'folder.py'
    model = dict(
        backbone=dict(depth=18, stem_channels=4, base_channels=4),
        data_preprocessor=dict(
            views=dict(global_views=dict(size=32), local_views=dict(size=16))
        ),
        **RUNS['simsiam_logo_r18_cifar10'],
    )
    cfg.write_text(
        "_base_ = 'mmlogo::simsiam_logo_r50_folder.py'\n"
        f'model = {model!r}\n'
        'global_batch_size = 8\n'
        'train_dataloader = dict(num_workers=1)\n'
        'train_cfg = dict(max_epochs=2, val_interval=1)\n'
        'default_hooks = dict(logger=dict(interval=1))\n' + validation_of_a_folder()
    )
    results = []
    for workers in (0, 1):
        work_dir = tmp_path / f'w{workers}'
        options = [f'train_dataloader.num_workers={workers}']
        if not workers:
            options.append('train_dataloader.persistent_workers=False')
        tool(
            'train',
            cfg,
            '--data-root',
            tiny_tree / 'train',
            '--work-dir',
            work_dir,
            '--cfg-options',
            *options,
        )
        results.append([record['loss'] for record in scalars(work_dir) if 'loss' in record])
    assert len(results[0]) == 6
    assert results[0] == results[1]
    seen = [record for record in scalars(work_dir) if 'retrieval/top1' in record]
    assert len(seen) == 3
    assert all(record['spectrum/rank_me'] >= 1 for record in seen)


def test_an_unreadable_image_is_named(tmp_path, tiny_tree):
    broken = tmp_path / 'train' / 'a'
    broken.mkdir(parents=True)
    for place, path in enumerate(sorted((tiny_tree / 'train').rglob('*.png'))):
        (broken / f'{place:02d}.png').write_bytes(path.read_bytes())
    (broken / '05.png').write_bytes(b'not an image')
    cfg = write_config(tmp_path, 'unreadable', 'simsiam_r18_cifar10')
    with pytest.raises(OSError, match=r'05\.png \(sample 5\)'):
        tool('train', cfg, '--data-root', tmp_path, '--work-dir', tmp_path / 'w')


def test_one_sample_and_batch_norm(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'one', 'simsiam_r18_cifar10', 'global_batch_size = 1\n')
    with pytest.raises(
        ValueError, match='1 sample per process and step, but BatchNorm needs'
    ):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')


def test_more_batch_than_images(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'big', 'simsiam_r18_cifar10', 'global_batch_size = 64\n')
    with pytest.raises(
        ValueError, match='24 images on 1 processes has no full batch of 64'
    ):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')


def test_a_folder_that_is_not_there(tmp_path):
    cfg = write_config(
        tmp_path,
        'nothing',
        'simsiam_r18_cifar10',
        'train_dataloader = dict(dataset=dict(download=False,\n'
        f'    data_root={str(tmp_path / "x")!r}))\n',
    )
    with pytest.raises(FileNotFoundError, match='CIFAR10 was found neither as a tree'):
        tool('train', cfg, '--work-dir', tmp_path / 'w')


def test_a_batch_whose_statistics_tell_the_key_is_warned_of(tmp_path, tiny_tree):
    text = "model['backbone']['norm_cfg'] = dict(_delete_=True, type='BN')\n"
    text += 'train_cfg = dict(max_epochs=1)\n'
    cfg = write_config(tmp_path, 'whole', 'moco_r18_cifar10', text)
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    log = next((tmp_path / 'w').glob('*/*.log')).read_text()
    assert 'BatchNorm normalises queries and keys over the whole batch' in log


def test_two_processes_by_the_command_users_type(tmp_path, tiny_tree):
    """tools/dist_train.sh CONFIG 2: the same k-NN and weights as on one process."""
    cfg = write_config(
        tmp_path, 'dist', 'simsiam_logo_r18_cifar10', 'train_cfg["max_epochs"] = 1\n'
    )
    environment = {
        **os.environ,
        'PYTHON': sys.executable,
        'OMP_NUM_THREADS': '1',
        'PORT': '29612',
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
    }
    words = [
        str(cfg),
        '2',
        '--data-root',
        str(tiny_tree),
        '--work-dir',
        str(tmp_path / 'two'),
    ]
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / 'dist_train.sh'), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'one')
    one, two = (weights(tmp_path / name, 'epoch_1.pth') for name in ('one', 'two'))
    for key, value in one.items():
        if value.is_floating_point():
            torch.testing.assert_close(two[key], value, rtol=1e-2, atol=1e-2, msg=key)
    text = next((tmp_path / 'two').glob('*/*.log')).read_text()
    assert re.search(r'effective batch 8 \(4 x 2 processes', text)
    knn = [
        [r['knn/top1_k5'] for r in scalars(tmp_path / n) if 'knn/top1_k5' in r]
        for n in ('one', 'two')
    ]
    assert knn[0] == knn[1]


@pytest.mark.parametrize(
    ('change', 'error', 'text'),
    [
        ('bank_dataloader = None\n', ValueError, 'has no bank to find neighbours in'),
        (
            "val_evaluator = dict(_delete_=True, type='Accuracy')\n",
            TypeError,
            'KNNLoop cannot feed Accuracy',
        ),
        (
            "val_evaluator = dict(_delete_=True, type='KNNMetric', k=(500,))\n",
            ValueError,
            'k=500 needs a bank of at least that many samples.*it has 24',
        ),
    ],
)
def test_what_the_knn_loop_refuses(change, error, text, tmp_path, tiny_tree):
    cfg = write_config(tmp_path, f'knn_{abs(hash(change))}', 'simsiam_r18_cifar10', change)
    with pytest.raises(error, match=text):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')


def test_in_memory_images_need_their_collate_function(tmp_path, tiny_tree):
    cfg = write_config(
        tmp_path,
        'collate',
        'simsiam_r18_cifar10',
        "train_dataloader = dict(collate_fn=dict(type='pseudo_collate'))\n"
        'val_dataloader = val_cfg = val_evaluator = None\n',
    )
    with pytest.raises(ValueError, match=r"collate_fn=dict\(type='collate_batch'"):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
