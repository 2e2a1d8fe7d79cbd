"""The doctor: every fault is found, and the line says what mends it."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import textwrap
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT
from mmengine import runner

from mmlogo import doctor
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.datasets import photo_tiles
from mmlogo.doctor import FAIL, OK, WARN, Finding
from mmlogo.version import MINIMUM


def have(monkeypatch, versions: dict[str, str], modules: dict | None = None) -> None:
    """Let the machine hold these distributions and these modules."""

    def load(name: str) -> object:
        found = (modules or {}).get(name, SimpleNamespace())
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(doctor, 'installed', versions.get)
    monkeypatch.setattr(doctor, 'load', load)


def fake_torch(
    version: str = '2.11.0', cuda: str | None = None, **kwargs
) -> SimpleNamespace:
    available = kwargs.pop('available', False)
    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: available,
            device_count=lambda: 2,
            get_device_name=lambda: 'a GPU',
            nccl=SimpleNamespace(version=lambda: (2, 27, 5)),
            **kwargs.pop('of_cuda', {}),
        ),
        **kwargs,
    )


# --- packages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('version', 'state', 'text'),
    [
        ((3, 9, 18), FAIL, '3.9.18, but mmlogo needs 3.10 to 3.13'),
        ((3, 10, 0), OK, '3.10.0'),
        ((3, 13, 2), OK, '3.13.2'),
        ((3, 14, 0), WARN, '3.14.0 is newer than any tested (3.10 to 3.13)'),
    ],
)
def test_python(monkeypatch, version, state, text) -> None:
    monkeypatch.setattr(sys, 'version_info', version)
    monkeypatch.setattr(
        doctor.platform, 'python_version', lambda: '.'.join(map(str, version))
    )
    fix = '' if state == OK else 'conda create -n mmlogo python=3.13'
    assert doctor.check_python() == Finding(state, text, fix)


INSTALL = "pip install 'onedl-mmcv>=2.3.0'"


@pytest.mark.parametrize(
    ('versions', 'state', 'text', 'fix'),
    [
        ({}, FAIL, 'missing; mmlogo needs onedl-mmcv >= 2.3.0', INSTALL),
        ({'onedl-mmcv': '2.3.0'}, OK, 'onedl-mmcv 2.3.0', ''),
        ({'onedl-mmcv': '2.10.0.post1'}, OK, 'onedl-mmcv 2.10.0.post1', ''),
        (
            {'onedl-mmcv': '2.2.9'},
            FAIL,
            'onedl-mmcv 2.2.9, but mmlogo needs onedl-mmcv >= 2.3.0',
            INSTALL,
        ),
        (
            {'mmcv': '2.2.0'},
            FAIL,
            'mmcv 2.2.0, but mmlogo needs onedl-mmcv >= 2.3.0',
            f'pip uninstall -y mmcv && {INSTALL}',
        ),
        (
            {'mmcv-lite': '2.3.0'},
            WARN,
            'mmcv-lite 2.3.0 is the unmaintained original',
            f'pip uninstall -y mmcv-lite && {INSTALL}',
        ),
        (
            {'onedl-mmcv': '2.3.6', 'mmcv': '2.2.0'},
            WARN,
            'onedl-mmcv 2.3.6 and mmcv 2.2.0: each overwrites files of the other',
            f'pip uninstall -y onedl-mmcv mmcv && {INSTALL}',
        ),
    ],
)
def test_package_versions(monkeypatch, versions, state, text, fix) -> None:
    have(monkeypatch, versions)
    assert doctor.check_package('mmcv') == Finding(state, text, fix)


def test_a_package_that_is_there_and_does_not_import(monkeypatch) -> None:
    broken = ImportError('libtorch.so: cannot open\nshared object file')
    have(monkeypatch, {'onedl-mmpretrain': '1.3.6'}, {'mmpretrain': broken})
    assert doctor.check_package('mmpretrain') == Finding(
        FAIL,
        'onedl-mmpretrain 1.3.6 cannot be imported: ImportError: libtorch.so: cannot open '
        'shared object file',
        "pip install --force-reinstall --no-deps 'onedl-mmpretrain>=1.3.0'",
    )


def test_every_dependency_of_the_package_is_checked() -> None:
    assert set(MINIMUM) <= set(doctor.CHECKS)


@pytest.mark.parametrize(
    ('torch_version', 'vision', 'state', 'fix'),
    [
        ('2.10.0', '0.25.1', OK, ''),
        ('2.11.0+cu130', '0.26.0+cu130', OK, ''),
        ('2.11.0', '0.25.0', FAIL, "--force-reinstall --no-deps 'torchvision==0.26.*'"),
        (
            '2.10.0+cpu',
            '0.26.0',
            FAIL,
            "'torchvision==0.25.*' --index-url https://download.pytorch.org/whl/cpu",
        ),
        ('3.0.0', '1.0.0', WARN, "pip install --force-reinstall --no-deps 'torchvision'"),
    ],
)
def test_torchvision_goes_with_torch(
    monkeypatch, torch_version, vision, state, fix
) -> None:
    modules = dict(
        torch=SimpleNamespace(__version__=torch_version),
        torchvision=SimpleNamespace(__version__=vision),
    )
    have(monkeypatch, {}, modules)
    found = doctor.check_torchvision_match()
    assert found.state == state
    assert torch_version in found.text
    assert vision in found.text
    assert found.fix.endswith(fix)
    assert bool(found.fix) == (state != OK)


def test_torchvision_operators_of_another_torch(monkeypatch) -> None:
    def nms(*args) -> None:
        raise RuntimeError('operator torchvision::nms does not exist')

    broken = SimpleNamespace(ops=SimpleNamespace(nms=nms))
    have(monkeypatch, {}, dict(torch=torch, torchvision=broken))
    found = doctor.check_torchvision_operators()
    assert found.state == FAIL
    assert 'operator torchvision::nms does not exist' in found.text
    minor = int(torch.__version__.split('.')[1])
    assert f"'torchvision==0.{minor + 15}.*'" in found.fix


@pytest.mark.parametrize(
    ('compiled', 'mmdet', 'state', 'text'),
    [
        (True, True, OK, "mmcv's own, compiled"),
        (False, False, OK, 'not compiled; only detection uses them'),
        (False, True, OK, "torchvision's nms and more; mmcv's are not compiled"),
        (ImportError('undefined symbol'), True, WARN, "torchvision's: mmcv's were"),
    ],
    ids=['compiled', 'no mmdet', 'torchvision', 'broken'],
)
def test_mmcv_operators(monkeypatch, compiled, mmdet, state, text) -> None:
    def is_compiled() -> bool:
        if isinstance(compiled, Exception):
            raise compiled
        return compiled

    modules = {
        'mmlogo.transfer.operators': SimpleNamespace(is_compiled=is_compiled),
        'mmlogo.transfer.operators.torchvision_ops': SimpleNamespace(NAMES='nms and more'),
    }
    have(monkeypatch, {'onedl-mmdetection': '3.5.1'} if mmdet else {}, modules)
    found = doctor.check_mmcv_operators()
    assert (found.state, found.text[: len(text)]) == (state, text)
    if state != OK:
        assert 'undefined symbol' in found.text
        assert '--no-cache-dir' in found.fix
        assert 'onedl-mmcv' in found.fix


def test_mmcv_operators_here() -> None:
    found = doctor.check_mmcv_operators()
    assert found.state == OK
    assert not found.fix


def test_mmdet_is_optional(monkeypatch) -> None:
    have(monkeypatch, {})
    assert doctor.check_mmdet().state == OK
    assert "only detection needs it: pip install -e '.[detection]'" in (
        doctor.check_mmdet().text
    )
    have(monkeypatch, {'mmdet': '3.3.0'})
    assert doctor.check_mmdet() == Finding(OK, 'mmdet 3.3.0')


# --- torch ---------------------------------------------------------------------------


def test_safe_loading_here() -> None:
    assert doctor.check_safe_loading() == Finding(
        OK, "mmlogo's reader and MMEngine's read tensors and refuse code"
    )


def test_safe_loading_needs_a_torch_without_known_holes(monkeypatch) -> None:
    have(monkeypatch, {}, dict(torch=fake_torch('2.9.1')))
    found = doctor.check_safe_loading()
    assert found.state == FAIL
    assert 'known holes before 2.10' in found.text
    assert found.fix == "pip install 'torch>=2.10.0' torchvision"


def unsafe(path: str) -> object:
    return torch.load(path, weights_only=False)


def careless(path: str) -> object:
    """Runs nothing, and says nothing of what it left out."""
    try:
        return read_checkpoint(path)
    except ValueError:
        return None


def changed(path: str) -> dict:
    return dict(weight=torch.zeros(4), step=3)


@pytest.mark.parametrize('place', ["mmlogo's reader", "MMEngine's loader"])
@pytest.mark.parametrize(
    ('read', 'text'),
    [
        (changed, 'brings tensors back changed'),
        (unsafe, 'ran code of a checkpoint'),
        (careless, 'took a checkpoint with code in it'),
    ],
)
def test_a_way_of_loading_that_is_wrong_or_unsafe(monkeypatch, place, read, text) -> None:
    ways = {"mmlogo's reader": read_checkpoint, "MMEngine's loader": read_checkpoint}
    ways[place] = read
    modules = {
        'torch': torch,
        'mmlogo.checkpoints.read': SimpleNamespace(read_checkpoint=ways["mmlogo's reader"]),
        'mmengine.runner': SimpleNamespace(
            CheckpointLoader=SimpleNamespace(load_checkpoint=ways["MMEngine's loader"])
        ),
    }
    have(monkeypatch, {}, modules)
    found = doctor.check_safe_loading()
    assert (found.state, found.text) == (FAIL, f'{place} {text}')
    assert "pip install 'torch>=2.10.0'" in found.fix


def test_mmengines_own_loader_would_not_pass(monkeypatch) -> None:
    """What the check is there for: a registration that is not in force."""
    own = runner.checkpoint.load_from_local
    monkeypatch.setitem(runner.CheckpointLoader._schemes, '', own)
    found = doctor.check_safe_loading()
    assert (found.state, found.text) == (FAIL, "MMEngine's loader ran code of a checkpoint")


def test_safe_loading_where_mmlogo_is_broken(monkeypatch) -> None:
    broken = {'torch': torch, 'mmlogo.checkpoints.read': ImportError('no mmengine')}
    have(monkeypatch, {}, broken)
    found = doctor.examine(doctor.check_safe_loading)
    assert (found.state, found.text) == (WARN, 'not checked: ImportError: no mmengine')


@pytest.mark.slow
def test_gloo_here() -> None:
    assert doctor.check_gloo() == Finding(OK, 'a group of one process reduces')


def test_gloo_that_fails(monkeypatch) -> None:
    monkeypatch.setattr(doctor, '_GLOO', "raise SystemExit('no route to host')")
    found = doctor.check_gloo()
    assert found.state == WARN
    assert 'no route to host' in found.text
    assert found.fix == 'export GLOO_SOCKET_IFNAME=lo'


def test_a_torch_without_distributed(monkeypatch) -> None:
    none = SimpleNamespace(is_available=lambda: False)
    have(monkeypatch, {}, {'torch.distributed': none})
    found = doctor.check_gloo()
    assert found.state == WARN
    assert 'no torch.distributed' in found.text
    assert found.fix == 'pip install --force-reinstall torch'


def test_a_process_that_hangs_is_ended() -> None:
    ran, said = doctor.run_python('import time; time.sleep(60)', seconds=0.2)
    assert (ran, said) == (False, 'no answer in 0.2 s')


def no_kernel(*args, **kwargs) -> None:
    raise RuntimeError('no kernel image is available')


@pytest.mark.parametrize(
    ('driver', 'stub', 'state', 'text', 'fix'),
    [
        (False, fake_torch(cuda='13.0'), OK, 'no NVIDIA driver; training runs on the', ''),
        (
            True,
            fake_torch('2.11.0+cpu'),
            WARN,
            'there is an NVIDIA driver, but torch 2.11.0+cpu has no CUDA',
            'pip install --force-reinstall torch torchvision',
        ),
        (
            True,
            fake_torch(cuda='13.0'),
            WARN,
            'torch is built for CUDA 13.0 and sees no device',
            'unset CUDA_VISIBLE_DEVICES; nvidia-smi',
        ),
        (
            True,
            fake_torch(cuda='13.0', available=True, ones=no_kernel),
            FAIL,
            'a GPU, CUDA 13.0, runs nothing',
            'pip install --upgrade torch torchvision',
        ),
        (
            True,
            fake_torch(cuda='13.0', available=True, ones=lambda n, device: torch.ones(n)),
            OK,
            '2 x a GPU, torch for CUDA 13.0',
            '',
        ),
    ],
    ids=['no driver', 'CPU build', 'hidden', 'no kernels', 'fine'],
)
def test_cuda(monkeypatch, driver, stub, state, text, fix) -> None:
    have(monkeypatch, {}, dict(torch=stub))
    monkeypatch.setattr(doctor, 'has_nvidia_driver', lambda: driver)
    found = doctor.check_cuda()
    assert found.state == state
    assert found.text.startswith(text)
    assert found.fix.startswith(fix)
    assert bool(found.fix) == bool(fix)


@pytest.mark.gpu
def test_cuda_here() -> None:
    for check in (doctor.check_cuda, doctor.check_nccl, doctor.check_bfloat16):
        assert check().state == OK


@pytest.mark.parametrize(
    ('available', 'nccl', 'finding'),
    [
        (False, False, Finding(OK, 'not needed without CUDA')),
        (True, True, Finding(OK, '2.27.5')),
        (
            True,
            False,
            Finding(
                WARN,
                'this torch has none; one GPU still trains',
                '--cfg-options env_cfg.dist_cfg.backend=gloo  # or a torch with NCCL',
            ),
        ),
    ],
)
def test_nccl(monkeypatch, available, nccl, finding) -> None:
    distributed = SimpleNamespace(is_nccl_available=lambda: nccl)
    modules = {'torch': fake_torch(available=available), 'torch.distributed': distributed}
    have(monkeypatch, {}, modules)
    assert doctor.check_nccl() == finding


@pytest.mark.parametrize(
    ('gpu', 'native', 'text'),
    [
        (True, True, 'native on the GPU'),
        (True, False, 'not on this GPU; --amp uses float16 there'),
        (False, True, 'native on the CPU'),
        (False, False, 'emulated on this CPU: --amp may be slower than float32'),
    ],
)
def test_bfloat16(monkeypatch, gpu, native, text) -> None:
    stub = fake_torch(
        available=gpu,
        of_cuda=dict(is_bf16_supported=lambda including_emulation: native),
        cpu=SimpleNamespace(_is_amx_tile_supported=lambda: native),
    )
    have(monkeypatch, {}, dict(torch=stub))
    assert doctor.check_bfloat16() == Finding(OK, text)


@pytest.mark.parametrize(
    ('versions', 'error', 'state', 'text'),
    [
        ({}, None, OK, 'not used'),
        ({'transformers': '5.2.0'}, TypeError('NoneType'), OK, 'not used'),
        ({'transformers': '4.57.6', 'pycocotools': '2'}, None, OK, '4.57.6 is fine'),
        (
            {'transformers': '5.2.0', 'pycocotools': '2'},
            TypeError('NoneType takes no arguments'),
            FAIL,
            'beside transformers 5.2.0: TypeError: NoneType takes no arguments',
        ),
    ],
)
def test_transformers_5_breaks_mmpretrain(monkeypatch, versions, error, state, text):
    """Seen with 5.0.0, 5.2.0 and 5.17.0; 4.57.6 is fine."""
    have(monkeypatch, versions, {'mmpretrain.models': error} if error else {})
    finding = doctor.check_transformers()
    assert finding.state == state
    assert text in finding.text
    if state == FAIL:
        assert finding.fix == "pip install 'transformers<5'"


# --- machine -------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written(monkeypatch) -> None:
    def read_only(**kwargs) -> None:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(doctor.tempfile, 'TemporaryFile', read_only)
    found = doctor.check_write_access()
    assert found.state == FAIL
    assert str(Path.cwd()) in found.text
    assert 'Permission denied' in found.text
    assert found.fix == 'cd to a folder of yours, or pass --work-dir DIR'


def test_a_folder_that_can_be_written_is_left_empty(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor.check_write_access().state == OK
    assert not list(tmp_path.iterdir())


def disk(monkeypatch, size: float) -> None:
    usage = SimpleNamespace(free=size, total=size)
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda path: usage)


def test_disk(monkeypatch) -> None:
    disk(monkeypatch, 0.5 * doctor.GIB)
    found = doctor.check_disk()
    assert (found.state, found.fix) == (WARN, 'pass --work-dir DIR on a larger disk')
    assert found.text.startswith('0.5 GiB free here')
    disk(monkeypatch, 3 * doctor.GIB)
    assert doctor.check_disk() == Finding(OK, '3.0 GiB free here')


def test_shared_memory(monkeypatch) -> None:
    disk(monkeypatch, doctor.GIB / 16)  # what Docker gives
    found = doctor.check_shared_memory()
    assert found.state == WARN
    assert found.text.startswith('/dev/shm has 0.06 GiB')
    assert '--shm-size=8g' in found.fix
    assert '--cfg-options train_dataloader.num_workers=0' in found.fix
    disk(monkeypatch, 8 * doctor.GIB)
    assert doctor.check_shared_memory() == Finding(OK, '/dev/shm has 8.00 GiB')


def test_a_system_without_shared_memory(monkeypatch) -> None:
    def missing(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(doctor.shutil, 'disk_usage', missing)
    assert doctor.check_shared_memory() == Finding(OK, 'no /dev/shm on this system')


@pytest.mark.parametrize(
    ('cores', 'threads', 'variable', 'finding'),
    [
        (8, 8, None, Finding(OK, '8 cores, 8 threads, OMP_NUM_THREADS=unset')),
        (8, 1, '1', Finding(OK, '8 cores, 1 threads, OMP_NUM_THREADS=1')),
        (
            2,
            64,
            None,
            Finding(
                WARN,
                '2 cores, 64 threads, OMP_NUM_THREADS=unset: threads wait for each other',
                'export OMP_NUM_THREADS=2',
            ),
        ),
    ],
)
def test_threads(monkeypatch, cores, threads, variable, finding) -> None:
    have(monkeypatch, {}, dict(torch=SimpleNamespace(get_num_threads=lambda: threads)))
    monkeypatch.setattr(doctor, 'usable_cores', lambda: cores)
    if variable is None:
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    else:
        monkeypatch.setenv('OMP_NUM_THREADS', variable)
    assert doctor.check_threads() == finding


@pytest.mark.parametrize(
    ('quota', 'cores'), [('150000 100000', 2), ('max 100000', 16), ('', 16)]
)
def test_cores_are_those_of_the_container(monkeypatch, quota, cores) -> None:
    monkeypatch.setattr(doctor.os, 'sched_getaffinity', lambda pid: set(range(16)))
    monkeypatch.setattr(doctor.Path, 'read_text', lambda path: quota)
    assert doctor.usable_cores() == cores


# --- data ----------------------------------------------------------------------------


def test_a_tree_is_found(tiny_tree) -> None:
    assert doctor.check_data(tiny_tree) == Finding(OK, f'4 classes in {tiny_tree}/train')


@pytest.mark.parametrize(
    'name',
    ['cifar-10-batches-py', 'cifar-10-python.tar.gz', 'cifar-100-python', 'stl10_binary'],
)
def test_an_official_archive_is_found(tmp_path, name) -> None:
    (tmp_path / name).touch()
    found = doctor.check_data(tmp_path)
    assert found == Finding(OK, f'official archive {name} in {tmp_path}')


@pytest.mark.parametrize('folder', [None, 'train', 'train/cat'])
def test_missing_data_says_how_to_go_on(tmp_path, folder) -> None:
    if folder:
        (tmp_path / folder).mkdir(parents=True)
    found = doctor.check_data(tmp_path)
    assert found.state == WARN
    assert str(tmp_path) in found.text
    assert '--data-root DIR with DIR/train/<class>/*' in found.fix
    assert 'python tools/train.py mmlogo::quickstart.py' in found.fix


def test_photographs(monkeypatch) -> None:
    assert doctor.check_photographs() == Finding(OK, '19 of scikit-image and scikit-learn')

    def not_installed(package: str) -> None:
        raise ModuleNotFoundError(f'No module named {package!r}')

    monkeypatch.setattr(photo_tiles, 'files', not_installed)
    found = doctor.check_photographs()
    assert found.state == WARN
    assert "No module named 'skimage'" in found.text
    assert found.fix.startswith('pip install')
    assert found.fix.endswith('scikit-image scikit-learn')


# --- the program ---------------------------------------------------------------------


def findings(monkeypatch, **found: Finding) -> None:
    checks = {name: partial(lambda x: x, finding) for name, finding in found.items()}
    monkeypatch.setattr(doctor, 'CHECKS', checks)


def test_lines_are_aligned_and_a_fault_has_its_fix_below(
    monkeypatch, capsys, tiny_tree
) -> None:
    findings(monkeypatch, a=Finding(OK, 'fine'), longer=Finding(WARN, 'odd', 'do this'))
    assert doctor.main(['--data-root', str(tiny_tree)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'ok    a       fine',
        'warn  longer  odd',
        '              fix: do this',
        f'ok    data    4 classes in {tiny_tree}/train',
        '',
        '0 FAIL, 1 warn, 2 ok',
    ]


def test_a_failure_is_the_exit_code(monkeypatch, capsys, tmp_path) -> None:
    findings(monkeypatch, a=Finding(FAIL, 'broken', 'mend it'), b=Finding(OK, 'fine'))
    assert doctor.main(['--data-root', str(tmp_path)]) == 1
    assert '1 FAIL, 1 warn, 1 ok' in capsys.readouterr().out


def test_a_check_that_breaks_is_a_finding_and_the_rest_goes_on(monkeypatch, capsys) -> None:
    def breaks() -> Finding:
        print('noise of an import')
        raise RuntimeError('two\nlines')

    monkeypatch.setattr(
        doctor, 'CHECKS', dict(bad=breaks, good=lambda: Finding(OK, 'still here'))
    )
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out
    assert 'FAIL  bad   the check broke: RuntimeError: two lines\n' in printed
    assert 'ok    good  still here' in printed
    assert 'noise' not in printed


def test_what_cannot_be_checked_without_a_package_says_so() -> None:
    found = doctor.examine(lambda: doctor.load('no_such_package'))
    assert found.state == WARN
    assert (
        "not checked: ModuleNotFoundError: No module named 'no_such_package'" in found.text
    )


def test_every_fault_has_a_fix() -> None:
    """No `Finding(WARN, ...)` or `Finding(FAIL, ...)` in the source without one."""
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(doctor)))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'Finding'
    ]
    assert len(calls) > 40
    for call in calls:
        if call.args[0].id != 'OK':
            assert len(call.args) == 3, f'line {call.lineno}'


@pytest.mark.parametrize('name', ['__init__.py', 'doctor.py'])
def test_a_python_that_is_too_old_can_run_the_doctor(name) -> None:
    source = (ROOT / 'mmlogo' / name).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        alias.name.partition('.')[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= set(sys.stdlib_module_names)


def bare(*arguments: str) -> subprocess.CompletedProcess:
    """A Python that sees mmlogo and no other package."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-S', *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60
    )


def test_the_doctor_runs_where_mmlogo_does_not() -> None:
    plain = bare('-c', 'import mmlogo')
    assert plain.returncode == 1
    assert 'ImportError: mmlogo needs torch and it is missing; install it' in plain.stderr
    assert 'python -m mmlogo.doctor' in plain.stderr
    done = bare('-m', 'mmlogo.doctor')
    assert done.returncode == 1, done.stderr
    assert not done.stderr
    for module, (distribution, minimum) in MINIMUM.items():
        line = f'missing; mmlogo needs {distribution} >= {minimum}'
        assert line in done.stdout, module
        assert f"fix: pip install '{distribution}>={minimum}'" in done.stdout
    assert 'not checked' in done.stdout  # gloo and the rest want torch
    assert 'the check broke' not in done.stdout


@pytest.mark.slow
def test_the_doctor_finds_nothing_wrong_here(tiny_tree) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'mmlogo.doctor', '--data-root', str(tiny_tree)],
        capture_output=True,
        text=True,
        cwd=tiny_tree,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, textwrap.indent(done.stdout + done.stderr, '  ')
    assert '0 FAIL' in done.stdout
    assert len(done.stdout.splitlines()) >= len(doctor.CHECKS) + 3
    assert not done.stderr


def test_what_is_imported_is_declared():
    """And not only there because a package of the tests brings it along."""
    setup = next(
        node
        for node in ast.walk(ast.parse((ROOT / 'setup.py').read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup'
    )
    said = {word.arg: word.value for word in setup.keywords}
    extras = ast.literal_eval(said['extras_require'])
    wanted = ast.literal_eval(said['install_requires'])
    wanted += [name for extra in extras if extra != 'tests' for name in extras[extra]]
    declared = {re.match(r'[\w.-]+', name)[0].lower() for name in wanted}
    owners = packages_distributions()
    files = [*ROOT.glob('mmlogo/**/*.py'), *ROOT.glob('tools/*.py')]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            else:
                continue
            for root in {name.partition('.')[0] for name in names}:
                if root not in {*sys.stdlib_module_names, 'mmlogo', 'benchmarks'}:
                    found = {owner.lower().replace('_', '-') for owner in owners[root]}
                    assert found & declared, f'{path}: {root} of {found}'
