"""Every config is sound, says what it is, and travels in the wheel."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT, read_model_index
from mmcv.cnn import is_norm
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    METRICS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    init_default_scope,
)
from torch import nn
from torch.overrides import TorchFunctionMode

from mmlogo.config import configs_folder, load_config, read_config
from mmlogo.launch import datasets_of
from mmlogo.launch.lint import check_keys
from mmlogo.report.trust import is_known

CONFIGS = sorted(
    path for path in configs_folder().rglob('*.py') if '_base_' not in path.parts
)


class ValuesOnCPU(TorchFunctionMode):
    """On the meta device, tensors of given values keep them: constructors read some."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.linspace):
            kwargs.setdefault('device', 'cpu')
        return function(*args, **kwargs)


NETWORKS: dict[tuple[str, str], nn.Module] = {}


def network(cfg: Config) -> nn.Module:
    """A config's model with its shapes and without its weights. Do not change it.

    Configs of one model share it. Nobody draws its weights, which takes most of the time.
    """
    init_default_scope(cfg.default_scope)  # at the root, so that mmdet's are found too
    key = cfg.default_scope, repr(cfg.model)
    if key not in NETWORKS:
        with torch.device('meta'), ValuesOnCPU():
            NETWORKS[key] = MODELS.build(cfg.model)
    return NETWORKS[key]


def as_list(value: dict | list | None) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def check(path: Path) -> None:
    """Raise what is wrong with a config, and read no data.

    Its keys are compared with the constructors that read them. Its model, pipelines,
    metrics, optimiser and schedules are built.
    """
    cfg = load_config(str(path))
    check_keys(cfg)
    model = network(cfg)
    # a config that only evaluates has none
    wrapper = cfg.get('optim_wrapper') and build_optim_wrapper(model, cfg.optim_wrapper)
    for schedule in as_list(cfg.get('param_scheduler')):
        length = 'max_epochs' if schedule.get('by_epoch', True) else 'max_iters'
        if length in cfg.train_cfg:
            schedule.setdefault('end', cfg.train_cfg[length])
        default_args = dict(optimizer=wrapper, epoch_length=100)
        PARAM_SCHEDULERS.build(schedule, default_args=default_args)
    for dataset in datasets_of(cfg):
        for transform in dataset.get('pipeline', ()):
            TRANSFORMS.build(transform)
    for metric in as_list(cfg.get('val_evaluator')) + as_list(cfg.get('test_evaluator')):
        # mmdet's read their annotations when they are built
        METRICS.build(metric | (dict(ann_file=None) if 'ann_file' in metric else {}))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_and_every_key_is_read(path):
    if path.parent.name == 'detection':
        pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")
    check(path)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_opens_with_what_it_is_and_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith('# ')
    header = '\n'.join(lines[: next(i for i, line in enumerate(lines) if line[:1] != '#')])
    name = path.relative_to(configs_folder()).as_posix()
    assert f'configs/{name}' in header or 'tools/quickstart.sh' in header


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_as_text_it_has_the_values_that_mmengine_reads(path, tmp_path):
    """Of the file that a run leaves in its work dir. A page builds all that it names."""
    if path.parent.name == 'detection':
        pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")
    dumped = tmp_path / path.name
    cfg = load_config(str(path))
    cfg.dump(dumped)
    text, run = read_config(dumped), Config.fromfile(dumped)
    assert repr(text.to_dict()) == repr(run.to_dict())  # 1 is not True, a list no tuple
    assert text.filename == str(run.filename)
    if cfg.get('default_scope') == 'mmlogo':
        names = ('val_dataloader', 'bank_dataloader')
        read = [cfg[name].dataset for name in names if cfg.get(name)]
        kinds = re.findall(r"'type': '([^']+)'", f'{cfg.model} {read}')
        assert [kind for kind in kinds if not is_known(kind)] == []


class TestText:
    """A config that is read as text."""

    def read(self, text: str, folder: Path) -> Config:
        (folder / 'mine.py').write_text(text)
        return read_config(folder / 'mine.py')

    def test_every_kind_of_value(self, tmp_path):
        values = dict(
            numbers=[1, -2, 2.5, -1e-7, True, None],
            texts=('a', '', "it's", 'two\nlines', '{{ fileBasename }}', '__import__("os")'),
            one=(1,),
            empty=[[], (), {}],
            sets=[{1}, {2, 3}],
            inner={'a b': dict(c={-2: 'y', 1: 'x'}), 'd': dict(e=dict())},
        )
        cfg = self.read(Config(values).pretty_text, tmp_path)
        assert repr(cfg.to_dict()) == repr(dict(sorted(values.items())))

    def test_infinity_which_mmengine_writes_and_cannot_read(self, tmp_path):
        text = Config(dict(a=[float('inf'), -float('inf')])).pretty_text
        assert self.read(text, tmp_path).a == [float('inf'), -float('inf')]
        with pytest.raises(NameError):
            Config.fromfile(tmp_path / 'mine.py')

    def test_a_class_is_its_name(self, tmp_path):
        text = Config(dict(a=dict(type=torch.optim.SGD))).pretty_text
        assert 'type=torch.optim.sgd.SGD' in text
        assert self.read(text, tmp_path).a.type == 'torch.optim.sgd.SGD'
        with pytest.raises(NameError):
            Config.fromfile(tmp_path / 'mine.py')

    @pytest.mark.parametrize(
        'line',
        [
            'b = a',
            'b = a.c',
            'b = int',
            'b = 1 + 1',
            'b = a[0]',
            'b = c()',
            'b = c.d()',
            'b = dict(1)',
            'b = dict([])',
            'b = dict(**{})',
            'b = dict({**{}})',
            'b = {**{}}',
            'b = [*()]',
            'b = {[]: 1}',
            'b = {[]}',
            "b = -'1'",
            'b = ~1',
            'b = "".join',
            'b = f""',
            'b = lambda: 1',
            'b = [c for c in ()]',
            'b = (c := 1)',
            'b = 1 if 1 else 2',
            'b: int = 1',
            'b += 1',
            'b = c = 1',
            'b, c = 1, 2',
            'b.c = 1',
            'a[0] = 1',
            'dict = 1',
            'inf = 1',
            "_base_ = 'x.py'",
            'import os',
            'from os import path',
            'print(1)',
            'del a',
            'if 1:\n    b = 1',
            'def b(): pass',
            "'text'",
        ],
    )
    def test_what_is_no_plain_value_is_refused(self, line, tmp_path):
        text = rf'mine\.py, line 2, is more than a name .* value: {re.escape(line[:5])}'
        with pytest.raises(ValueError, match=text):
            self.read(f'a = [1]\n{line}\n', tmp_path)

    @pytest.mark.parametrize(
        'text',
        [
            'a = ',
            '\0',
            'a = ' + '(' * 500,
            'a = ' + '-' * 10**5 + '1',
            'a = b' + '.c' * 10**5,
        ],
        ids=['half', 'NUL', 'parentheses', 'signs', 'dots'],
    )
    def test_what_python_cannot_parse(self, text, tmp_path):
        with pytest.raises(ValueError, match=r'mine\.py is no config: it cannot be parsed'):
            self.read(text, tmp_path)

    def test_other_files(self, tmp_path):
        (tmp_path / 'mine.py').write_bytes(b"a = '\xff'")
        with pytest.raises(ValueError, match=r'mine\.py is no config: it cannot be parsed'):
            read_config(tmp_path / 'mine.py')
        with pytest.raises(ValueError, match=r'filename is reserved .* left it'):
            self.read('filename = 1', tmp_path)
        with pytest.raises(FileNotFoundError):
            read_config(tmp_path / 'none.py')


FLIP = "dict(type='RandomFlip', prob=2)"


@pytest.mark.parametrize(
    ('change', 'error', 'text'),
    [
        (
            'model = dict(nekc=dict())',
            ValueError,
            "(?s)the config has keys that nobody reads.*did you mean 'neck'",
        ),
        ('model = dict(backbone=dict(depth=19))', KeyError, 'invalid depth 19'),
        ('optim_wrapper = dict(optimizer=dict(lr=-1))', ValueError, 'learning rate: -1'),
        ('param_scheduler = dict(begin=999)', ValueError, 'end should be larger than beg'),
        (
            f'train_dataloader = dict(dataset=dict(pipeline=[{FLIP}]))',
            ValueError,
            'probs must be float',
        ),
        (
            "val_evaluator = [dict(type='KNNMetric', k=0)]",
            ValueError,
            'k=0, but it must be',
        ),
    ],
)
def test_a_bad_config_fails_the_check(change, error, text, tmp_path):
    bad = tmp_path / 'bad.py'
    bad.write_text(f"# bad\n_base_ = 'mmlogo::simsiam_logo_r50_folder.py'\n{change}\n")
    with pytest.raises(error, match=text):
        check(bad)


def test_a_network_without_weights_is_the_whole_network():
    """Its names, shapes and types, what is trained, and what the preprocessor computes."""
    for name in ('cgh_r18_cifar10', 'simsiam_logo_r18_cifar10'):
        cfg = load_config(f'mmlogo::{name}.py')
        hollow, whole = network(cfg), MODELS.build(cfg.model)
        assert network(load_config(f'mmlogo::{name}.py')) is hollow
        assert all(x.is_meta for x in hollow.parameters())
        one, two = hollow.state_dict(), whole.state_dict()
        assert list(one) == list(two)
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert (value.shape, value.dtype) == (two[key].shape, two[key].dtype), key
        one, two = dict(hollow.named_parameters()), dict(whole.named_parameters())
        assert {k: x.requires_grad for k, x in one.items()} == {
            k: x.requires_grad for k, x in two.items()
        }
        for kind in ('mean', 'std'):
            got, want = (getattr(m.data_preprocessor, kind) for m in (hollow, whole))
            assert torch.equal(got, want)


@pytest.mark.parametrize('schedule', ['moco_100e', 'lewel_50e', 'cgh_100e', 'simsiam_90e'])
@pytest.mark.parametrize(
    ('dataset', 'encoder'),
    [
        ('cifar10', 'r18_cifar'),
        ('cifar100', 'r18_cifar'),
        ('stl10', 'r18_cifar'),
        ('imagenet100', 'r50'),
        ('imagenet', 'r50'),
    ],
)
def test_every_linear_protocol_goes_with_every_data_set(
    dataset, encoder, schedule, tmp_path
):
    """As the example of docs/evaluation.md says."""
    text = (ROOT / 'docs' / 'evaluation.md').read_text()
    (example,) = (
        part
        for part in re.findall(r'```python\n(.*?)```', text, re.DOTALL)
        if 'linear_moco_100e' in part
    )
    path = tmp_path / 'mine.py'
    path.write_text(
        example.replace('cifar100_labelled', f'{dataset}_labelled')
        .replace('linear_r18_cifar', f'linear_{encoder}')
        .replace('linear_moco_100e', f'linear_{schedule}')
    )
    check(path)
    assert load_config(str(path)).val_evaluator[0].prefix == 'linear_augmented'


class TestNumbersOfTheSpecs:
    """Values that were chosen, so that an edit does not change them unnoticed."""

    def model(self, name: str):
        cfg = load_config(f'mmlogo::{name}.py')
        return cfg, network(cfg)

    def test_simsiam_logo(self):
        cfg, model = self.model('simsiam_logo_r18_cifar10')
        assert (model.num_globals, model.data_preprocessor.num_locals) == (2, 2)
        specs = model.data_preprocessor.specs
        assert [spec.scale for spec in specs] == [(0.4, 1.0)] * 2 + [(0.05, 0.4)] * 2
        assert {spec.size for spec in specs} == {32}
        assert {spec.jitter for spec in specs} == {(0.4, 0.4, 0.4, 0.1)}
        head = model.head
        assert (head.reduction, head.lambda_ll, head.gg_pairs) == (
            'mean',
            1.7e-5,
            'symmetric',
        )
        assert [m.out_features for m in head.affinity.f if hasattr(m, 'out_features')] == [
            256,
            256,
            1,
        ]
        assert head.affinity.f[0].in_features == 2 * 2048
        assert head.affinity.noise == pytest.approx(0.3 / 2048**0.5)
        assert model.neck.fc0.out_features == 2048
        assert len(model.neck.fc_names) == 1  # two layers
        assert not model.neck.bn1.affine
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay, optimizer.momentum) == (
            0.06,
            5e-4,
            0.9,
        )
        assert (cfg.global_batch_size, cfg.train_cfg.max_epochs) == (512, 200)

    def test_moco_is_fairs_demo(self):
        cfg, model = self.model('moco_r18_cifar10')
        assert model.queue.keys.shape == (4096, 128)
        assert (model.teacher.base_momentum, model.head.temperature) == (0.99, 0.1)
        norm = model.backbone.bn1
        assert (type(norm).__name__, norm.num_splits) == ('SplitBatchNorm2d', 8)
        assert model.neck.fc.weight.shape == (128, 512)
        assert model.directions == ((0, 1),)
        assert {spec.scale for spec in model.data_preprocessor.specs} == {(0.08, 1.0)}
        assert all(spec.blur == 0 for spec in model.data_preprocessor.specs)
        model = MODELS.build(cfg.model)
        model.init_weights()
        assert model.backbone.layer1[0].bn2.weight.min() == 1  # no zero-init
        assert cfg.optim_wrapper.optimizer.weight_decay == 5e-4
        _, symmetric = self.model('moco_sym_r18_cifar10')
        assert symmetric.directions == ((0, 1), (1, 0))

    def test_moco_logo(self):
        _, model = self.model('moco_logo_r18_cifar10')
        assert model.head.lambda_ll == 8.3e-5
        assert model.queue.keys.shape == (4096, 128)

    def test_lewel_b(self):
        cfg, model = self.model('lewel_b_eman_r50_in1k')
        first, second = model.data_preprocessor.specs
        for spec in (first, second):
            assert (spec.size, spec.scale, spec.flip) == (224, (0.2, 1.0), 0.5)
            assert (spec.jitter, spec.jitter_p) == ((0.4, 0.4, 0.2, 0.1), 0.8)
            assert (spec.gray, spec.blur_sigma) == (0.2, (0.1, 2.0))
            assert spec.solarize_threshold == 128
        assert (first.blur, first.solarize) == (1.0, 0.0)
        assert (second.blur, second.solarize) == (0.1, 0.2)
        teacher = model.teacher
        assert (teacher.base_momentum, teacher.schedule) == (0.98, 'cosine')
        assert teacher.statistics == 'averaged'
        assert type(model.backbone.bn1).__name__ == 'BatchNorm2d'
        assert type(model.neck.projector.layers[1]).__name__ == 'BatchNorm2d'
        assert (model.head.lambda_z, model.neck.scale, model.neck.num_groups) == (0.5, 1, 4)
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (3.6, 1.5e-6)
        assert (optimizer.eta, optimizer.momentum) == (0.001, 0.9)
        assert (cfg.global_batch_size, cfg.train_cfg.max_epochs) == (1024, 200)
        short = load_config(str(configs_folder() / 'lewel_b_eman_r50_in1k_100e.py'))
        assert short.optim_wrapper.optimizer.weight_decay == 1e-6
        assert short.train_cfg.max_epochs == 100

    def test_lewel_b_with_sync_bn(self):
        cfg, model = self.model('lewel_b_syncbn_r50_in1k_400e')
        assert (model.teacher.base_momentum, model.teacher.statistics) == (0.996, 'own')
        norms = {type(m).__name__ for m in model.modules() if 'BatchNorm' in str(type(m))}
        assert norms == {'SyncBatchNorm'}
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (7.2, 1e-6)
        assert (cfg.global_batch_size, cfg.train_cfg.max_epochs) == (4096, 400)

    def test_lewel_m_is_moco_v2s(self):
        cfg, model = self.model('lewel_m_r50_in1k')
        assert [q.shape for q in model.queues.negatives()] == [(65536, 256)] * 2
        assert (model.teacher.base_momentum, model.head.temperature) == (0.999, 0.2)
        assert {spec.blur for spec in model.data_preprocessor.specs} == {0.5}
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (0.03, 1e-4)
        assert (cfg.global_batch_size, cfg.train_cfg.max_epochs) == (256, 200)

    def test_cgh(self):
        cfg, model = self.model('cgh_r50_in1k')
        assert [q.shape for q in model.queues.negatives()] == [(131072, 512)] * 2
        head = model.head
        assert (head.tau_sg, head.tau_tg, head.tau_sh, head.tau_th) == (
            0.1,
            0.04,
            0.08,
            0.08,
        )
        assert (head.tau, model.teacher.base_momentum) == (0.2, 0.999)
        assert model.ramp.epochs == 5
        strong, weak = model.data_preprocessor.specs
        assert (strong.jitter, strong.jitter_p) == ((0.4, 0.4, 0.4, 0.1), 0.8)
        assert (strong.gray, strong.blur, strong.flip) == (0.2, 0.5, 0.5)
        assert (weak.jitter_p, weak.gray, weak.blur, weak.flip) == (0, 0, 0, 0.5)
        assert strong.scale == weak.scale == (0.2, 1.0)
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (0.05, 1e-4)
        assert cfg.optim_wrapper.paramwise_cfg.norm_and_bias.weight_decay == 0
        assert (cfg.global_batch_size, cfg.train_cfg.max_epochs) == (256, 200)

    @pytest.mark.parametrize(
        ('name', 'optimizer', 'schedule', 'epochs', 'batch'),
        [
            ('linear_simsiam_r50_in1k', ('LARS', 1.6), 'CosineAnnealingLR', 90, 4096),
            ('linear_moco_r50_in1k', ('SGD', 30.0), [60, 80], 100, 256),
            ('linear_lewel_r50_in1k', ('SGD', 0.4), [30, 40], 50, 256),
            ('linear_cgh_r50_in1k', ('SGD', 0.3), 'CosineAnnealingLR', 100, 256),
        ],
    )
    def test_linear_protocols(self, name, optimizer, schedule, epochs, batch):
        cfg, model = self.model(f'benchmarks/{name}')
        chosen = cfg.optim_wrapper.optimizer
        assert (chosen.type, chosen.lr) == optimizer
        assert (chosen.momentum, chosen.weight_decay) == (0.9, 0)
        found = cfg.param_scheduler
        assert schedule in (found.type, found.get('milestones'))
        # SimSiam's rate changes with the epoch, CGH's with the iteration
        assert found.get('convert_to_iter_based', False) == ('cgh' in name)
        assert (cfg.train_cfg.max_epochs, cfg.global_batch_size) == (epochs, batch)
        (spec,) = model.data_preprocessor.specs
        assert (spec.size, spec.scale, spec.flip) == (224, (0.08, 1.0), 0.5)
        assert (spec.jitter_p, spec.gray, spec.blur) == (0, 0, 0)

    @pytest.mark.parametrize(
        ('name', 'rates', 'decay', 'steps', 'epochs'),
        [
            ('lewel_r50_in1k_1p', {1.0, 1e-4}, 1e-4, [30, 40], 50),
            ('lewel_r50_in1k_10p', {0.1, 0.01}, 1e-4, [30, 40], 50),
            ('cgh_r50_in1k_1p', {0.02, 0.005}, 0.0, [30, 60], 70),
            ('cgh_r50_in1k_10p', {0.02, 0.005}, 0.0, [30, 60], 70),
        ],
    )
    def test_fine_tuning(self, name, rates, decay, steps, epochs):
        cfg, model = self.model(f'benchmarks/semisup_{name}')
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        rate = {p: group['lr'] for group in groups for p in group['params']}
        assert set(rate.values()) == rates
        assert {group['weight_decay'] for group in groups} == {decay}
        # the new layer's rate is the larger one
        assert {p for p in rate if rate[p] == max(rates)} == {*model.head.parameters()}
        assert (cfg.param_scheduler.milestones, cfg.train_cfg.max_epochs) == (steps, epochs)
        assert all(p.requires_grad for p in model.parameters())
        share = name.rpartition('_')[2]
        assert cfg.train_dataloader.dataset.listing.endswith(f'imagenet_{share}.txt')

    @pytest.mark.parametrize(
        'name', [path.stem for path in CONFIGS if path.stem.startswith('linear_')]
    )
    def test_linear_configs_freeze_the_whole_trunk(self, name):
        _, model = self.model(f'benchmarks/{name}')
        model.train()
        assert not any(part.training for part in model.backbone.modules() if is_norm(part))
        assert {n for n, p in model.named_parameters() if p.requires_grad} == {
            'head.fc.weight',
            'head.fc.bias',
        }

    @pytest.mark.parametrize(
        ('name', 'pretraining'),
        [
            ('linear_simsiam_r50_in1k', 'simsiam_logo_r50_in1k'),
            ('linear_simsiam_r34_in100', 'simsiam_logo_r34_in100'),
            ('linear_simsiam_r18_cifar10', 'simsiam_logo_r18_cifar10'),
            ('linear_simsiam_r18_cifar100', 'simsiam_logo_r18_cifar10'),
            ('linear_cgh_r18_stl10', 'simsiam_logo_r18_stl10'),
            ('linear_r18w16_cifar10_5k', 'simsiam_r18w16_cifar10_5k'),
            ('semisup_r18w16_cifar10_1p', 'moco_r18w16_cifar10_5k'),
            ('semisup_lewel_r18_cifar10_10p', 'lewel_b_eman_r18_cifar10'),
            ('semisup_lewel_r50_in1k_1p', 'lewel_b_eman_r50_in1k'),
        ],
    )
    def test_benchmarks_take_what_was_pretrained(self, name, pretraining):
        """The same tensors, and images normalised as they were."""
        _, one = self.model(f'benchmarks/{name}')
        _, two = self.model(pretraining)
        shapes = [
            {key: value.shape for key, value in model.backbone.state_dict().items()}
            for model in (one, two)
        ]
        assert shapes[0] == shapes[1]
        for kind in ('mean', 'std'):
            one_, two_ = (getattr(m.data_preprocessor, kind) for m in (one, two))
            assert one_.tolist() == two_.tolist()

    def test_ablations(self):
        _, no_ll = self.model('simsiam_logo_r18_cifar10_no_ll')
        assert no_ll.head.affinity is None
        assert no_ll.data_preprocessor.num_locals == 2
        _, four = self.model('simsiam_logo_r18_cifar10_4g')
        assert (four.num_globals, four.data_preprocessor.num_locals) == (4, 0)
        _, two = self.model('simsiam_logo_r18_cifar10_2g')
        assert (two.num_globals, two.data_preprocessor.num_locals) == (2, 0)


@pytest.mark.slow
def test_the_wheel_ships_configs_and_tools(tmp_path):
    """Installed from a wheel, `mmlogo::` names work from any folder."""
    words = [
        'setup.py',
        '-q',
        'build',
        '--build-base',
        str(tmp_path),
        '--build-lib',
        str(tmp_path / 'lib'),
    ]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    mim = tmp_path / 'lib' / 'mmlogo' / '.mim'
    assert (mim / 'model-index.yml').is_file()
    assert {path.name for path in (mim / 'tools').iterdir()} >= {
        'train.py',
        'dist_train.sh',
    }
    for kind in ('*.py', '*.yml'):
        shipped = {
            path.relative_to(mim / 'configs') for path in (mim / 'configs').rglob(kind)
        }
        assert shipped == {
            p.relative_to(ROOT / 'configs') for p in (ROOT / 'configs').rglob(kind)
        }
    index = read_model_index(mim)
    assert len(index.models) > 0
    assert all((mim / model.config).is_file() for model in index.models)
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmlogo::simsiam_logo_r18_cifar10.py'\n"
        'model = dict(head=dict(lambda_ll=2.0))\n'
    )
    code = (
        'from mmlogo.config import load_config, configs_folder; import mmlogo\n'
        "cfg = load_config('mine.py')\n"
        'print(cfg.model.head.lambda_ll, cfg.model.type, configs_folder())'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path / 'lib'), 'PATH': '/usr/bin:/bin'},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-3:] == ['2.0', 'SimSiamLoGo', str(mim / 'configs')], (
        done.stderr
    )


def test_the_text_of_a_config_is_that_of_mmengine_and_follows_it(monkeypatch):
    cfg = load_config('mmlogo::moco_logo_r18_cifar10.py')
    plain = Config.pretty_text.fget
    asked = []
    counted = property(lambda self: asked.append(1) or plain(self))
    monkeypatch.setattr(Config, 'pretty_text', counted)
    assert cfg.pretty_text == plain(cfg)
    assert copy.deepcopy(cfg).pretty_text == plain(cfg)
    assert len(asked) == 1
    cfg.train_cfg.max_epochs = 4321
    assert cfg.pretty_text == plain(cfg)
    assert 'max_epochs=4321' in cfg.pretty_text
