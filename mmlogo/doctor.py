"""Check the environment: `python -m mmlogo.doctor [--data-root DIR]`.

It prints one line per check, and under each fault a command or setting that fixes it.
At the top this file imports only the standard library and modules of mmlogo that import
nothing else, because it must run where mmlogo itself cannot be imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mmlogo.version import MINIMUM, digits

OK, WARN, FAIL = 'ok', 'warn', 'FAIL'
PYTHONS = ((3, 10), (3, 13))  # first and last tested version
GIB = 2**30


class Finding(NamedTuple):
    """What a check found, and the command or setting that fixes it."""

    state: str
    text: str
    fix: str = ''


# --- what the checks ask of the machine ----------------------------------------------


def installed(distribution: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def load(module: str) -> Any:
    return importlib.import_module(module)


def run_python(code: str, seconds: float = 120) -> tuple[bool, str]:
    """Run `code` in a new interpreter. Return success and the last line of output."""
    command = [sys.executable, '-c', code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False, f'no answer in {seconds:g} s'
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f'exit code {done.returncode}'


def has_nvidia_driver() -> bool:
    return Path('/proc/driver/nvidia/version').is_file() or bool(shutil.which('nvidia-smi'))


def usable_cores() -> int:
    """Count the CPU cores that the process may use, by its affinity and cgroup quota."""
    affinity = getattr(os, 'sched_getaffinity', None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path('/sys/fs/cgroup/cpu.max').read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))  # quota 'max' raises ValueError
    return cores


# --- packages ------------------------------------------------------------------------


def check_python() -> Finding:
    low, high = (f'{major}.{minor}' for major, minor in PYTHONS)
    found, fix = platform.python_version(), f'conda create -n mmlogo python={high}'
    if sys.version_info[:2] < PYTHONS[0]:
        return Finding(FAIL, f'{found}, but mmlogo needs {low} to {high}', fix)
    if sys.version_info[:2] > PYTHONS[1]:
        return Finding(WARN, f'{found} is newer than any tested ({low} to {high})', fix)
    return Finding(OK, found)


def check_package(module: str) -> Finding:
    """Check that a package is installed once, new enough, maintained and importable."""
    maintained, minimum = MINIMUM[module]
    names = dict.fromkeys((maintained, module, f'{module}-lite', f'{module}-full'))
    found = {name: number for name in names if (number := installed(name))}
    install = f"pip install '{maintained}>={minimum}'"
    if not found:
        return Finding(FAIL, f'missing; mmlogo needs {maintained} >= {minimum}', install)
    replace = f'pip uninstall -y {" ".join(found)} && {install}'
    told = ' and '.join(f'{name} {number}' for name, number in found.items())
    if len(found) > 1:
        return Finding(WARN, f'{told}: each overwrites files of the other', replace)
    ((name, number),) = found.items()
    if digits(number) < digits(minimum):
        fix = install if name == maintained else replace
        return Finding(FAIL, f'{told}, but mmlogo needs {maintained} >= {minimum}', fix)
    try:
        load(module)
    except Exception as error:
        again = f"pip install --force-reinstall --no-deps '{maintained}>={minimum}'"
        return Finding(FAIL, f'{told} cannot be imported: {_said(error)}', again)
    if name != maintained:
        return Finding(WARN, f'{told} is the unmaintained original', replace)
    return Finding(OK, told)


def check_torchvision_match() -> Finding:
    torch, vision = load('torch').__version__, load('torchvision').__version__
    (major, minor), (_, theirs) = digits(torch)[:2], digits(vision)[:2]
    told = f'torch {torch} and torchvision {vision}'
    if major != 2:
        return Finding(WARN, f'{told}: pairs are known for torch 2 only', _pair_fix(torch))
    if theirs != minor + 15:
        wanted = f'torch 2.{minor} goes with torchvision 0.{minor + 15}'
        return Finding(FAIL, f'{told} do not match: {wanted}', _pair_fix(torch))
    return Finding(OK, told)


def check_torchvision_operators() -> Finding:
    torch, vision = load('torch'), load('torchvision')
    try:
        box, score = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1)
        vision.ops.nms(box, score, 0.5)
    except Exception as error:  # a build for another torch raises many kinds
        told = f'torchvision.ops.nms does not run: {_said(error)}'
        return Finding(FAIL, told, _pair_fix(torch.__version__))
    return Finding(OK, 'torchvision.ops.nms runs')


def _pair_fix(torch: str) -> str:
    """Return the command that reinstalls this torch's torchvision, from torch's index."""
    number, _, build = torch.partition('+')
    index = f' --index-url https://download.pytorch.org/whl/{build}' if build else ''
    wanted = f'==0.{digits(number)[1] + 15}.*' if number.startswith('2.') else ''
    return f"pip install --force-reinstall --no-deps 'torchvision{wanted}'{index}"


def check_mmcv_operators() -> Finding:
    """Check which operators mmdet would run: mmcv's own, or torchvision's."""
    load('mmcv')
    try:
        if load('mmlogo.transfer.operators').is_compiled():
            return Finding(OK, "mmcv's own, compiled")
    except ImportError as error:
        told = f"torchvision's: mmcv's were compiled for another torch: {_said(error)}"
        # Without pip's cache, which may hold the wheel for the other torch.
        fix = "pip install --force-reinstall --no-deps --no-cache-dir 'onedl-mmcv>=2.3.0'"
        return Finding(WARN, told, fix)
    if not _mmdet():
        return Finding(OK, "not compiled; only detection uses them, then torchvision's")
    load('mmcv.ops')  # this looks up every operator
    names = load('mmlogo.transfer.operators.torchvision_ops').NAMES
    return Finding(OK, f"torchvision's {names}; mmcv's are not compiled")


def _mmdet() -> str:
    """Return the installed distribution of mmdet with its version, or ''."""
    for name in ('onedl-mmdetection', 'mmdet'):
        if number := installed(name):
            return f'{name} {number}'
    return ''


def check_mmdet() -> Finding:
    told = "not installed; only detection needs it: pip install -e '.[detection]'"
    return Finding(OK, _mmdet() or told)


# --- torch ---------------------------------------------------------------------------


class _Canary:
    """Pickles as a call that makes a file, which a safe load refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), 'w')


def check_safe_loading() -> Finding:
    """That no code of a checkpoint runs, by mmlogo's reader and by MMEngine's loader."""
    torch = load('torch')
    fix = f"pip install 'torch>={MINIMUM['torch'][1]}' torchvision"
    if digits(torch.__version__) < digits(MINIMUM['torch'][1]):
        told = f'torch {torch.__version__}: weights_only=True has known holes before 2.10'
        return Finding(FAIL, told, fix)
    reader = load('mmlogo.checkpoints.read').read_checkpoint
    load('mmlogo.engine')  # as every training does; MMEngine's loader is then the reader
    loader = load('mmengine.runner').CheckpointLoader.load_checkpoint
    for name, read in (("mmlogo's reader", reader), ("MMEngine's loader", loader)):
        with tempfile.TemporaryDirectory() as folder:
            if fault := _fault_of(read, torch, Path(folder)):
                return Finding(FAIL, f'{name} {fault}', f'{fix}  # and mmlogo anew')
    return Finding(OK, "mmlogo's reader and MMEngine's read tensors and refuse code")


def _fault_of(read: Callable[[str], Any], torch: Any, folder: Path) -> str:
    """What is wrong with a way of reading checkpoints, or nothing."""
    path, sign = folder / 'checkpoint.pth', folder / 'the_code_ran'
    saved = dict(weight=torch.arange(4.0), step=3)
    for zipped in (True, False):  # torch has two formats
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)
        back = read(str(path))
        if back['step'] != 3 or not torch.equal(back['weight'], saved['weight']):
            return 'brings tensors back changed'
        torch.save(_Canary(sign), path, _use_new_zipfile_serialization=zipped)
        refused = False
        try:
            read(str(path))
        except Exception:
            refused = True
        if sign.exists():
            return 'ran code of a checkpoint'
        if not refused:
            return 'took a checkpoint with code in it'
    return ''


_GLOO = """
import socket, torch, torch.distributed as dist
with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=0, world_size=1)
x = torch.ones(3)
dist.all_reduce(x)
dist.destroy_process_group()
assert x.tolist() == [1, 1, 1]
"""


def check_gloo() -> Finding:
    if not load('torch.distributed').is_available():
        told = 'this torch has no torch.distributed; one process still trains'
        return Finding(WARN, told, 'pip install --force-reinstall torch')
    ran, said = run_python(_GLOO)
    if not ran:
        told = f'a group of one process fails: {said}; one process still trains'
        return Finding(WARN, told, 'export GLOO_SOCKET_IFNAME=lo')
    return Finding(OK, 'a group of one process reduces')


def check_cuda() -> Finding:
    torch = load('torch')
    build = torch.version.cuda
    if not torch.cuda.is_available():
        if not has_nvidia_driver():
            return Finding(OK, 'no NVIDIA driver; training runs on the CPU')
        if build is None:
            told = f'there is an NVIDIA driver, but torch {torch.__version__} has no CUDA'
            fix = 'pip install --force-reinstall torch torchvision'
            return Finding(WARN, told, fix)
        told = f'torch is built for CUDA {build} and sees no device'
        return Finding(
            WARN, told, 'unset CUDA_VISIBLE_DEVICES; nvidia-smi  # is the driver too old?'
        )
    name = torch.cuda.get_device_name()
    try:
        torch.ones(2, device='cuda').sum().item()
    except Exception as error:
        fix = 'pip install --upgrade torch torchvision  # a build with this GPU'
        return Finding(FAIL, f'{name}, CUDA {build}, runs nothing: {_said(error)}', fix)
    return Finding(OK, f'{torch.cuda.device_count()} x {name}, torch for CUDA {build}')


def check_nccl() -> Finding:
    torch = load('torch')
    if not torch.cuda.is_available():
        return Finding(OK, 'not needed without CUDA')
    if not load('torch.distributed').is_nccl_available():
        fix = '--cfg-options env_cfg.dist_cfg.backend=gloo  # or a torch with NCCL'
        return Finding(WARN, 'this torch has none; one GPU still trains', fix)
    return Finding(OK, '.'.join(str(part) for part in torch.cuda.nccl.version()))


def check_bfloat16() -> Finding:
    """Check which precision `--amp` would use."""
    torch = load('torch')
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Finding(OK, 'native on the GPU')
        return Finding(OK, 'not on this GPU; --amp uses float16 there')
    names = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    if any(getattr(torch.cpu, name, bool)() for name in names):
        return Finding(OK, 'native on the CPU')
    return Finding(OK, 'emulated on this CPU: --amp may be slower than float32')


# --- machine -------------------------------------------------------------------------


def check_write_access() -> Finding:
    try:
        with tempfile.TemporaryFile(dir='.'):
            return Finding(OK, 'work_dirs can be made here')
    except OSError as error:
        told = f'cannot write to {Path.cwd()}: {_said(error)}'
        return Finding(FAIL, told, 'cd to a folder of yours, or pass --work-dir DIR')


def check_disk(enough: int = 2 * GIB) -> Finding:
    free = shutil.disk_usage('.').free
    told = f'{free / GIB:.1f} GiB free here'
    if free < enough:
        told += ', and a run keeps several checkpoints'
        return Finding(WARN, told, 'pass --work-dir DIR on a larger disk')
    return Finding(OK, told)


def check_shared_memory(enough: int = GIB) -> Finding:
    try:
        total = shutil.disk_usage('/dev/shm').total
    except OSError:
        return Finding(OK, 'no /dev/shm on this system')
    told = f'/dev/shm has {total / GIB:.2f} GiB'
    if total < enough:
        fix = (
            'docker run --shm-size=8g ...  # or '
            '--cfg-options train_dataloader.num_workers=0'
        )
        return Finding(WARN, f'{told}; loader workers pass images through it', fix)
    return Finding(OK, told)


def check_threads() -> Finding:
    cores, asked = usable_cores(), os.environ.get('OMP_NUM_THREADS')
    threads = load('torch').get_num_threads()
    told = f'{cores} cores, {threads} threads, OMP_NUM_THREADS={asked or "unset"}'
    if threads > cores:
        fix = f'export OMP_NUM_THREADS={cores}'
        return Finding(WARN, f'{told}: threads wait for each other', fix)
    return Finding(OK, told)


# --- data ----------------------------------------------------------------------------


def check_data(root: Path) -> Finding:
    root = root.expanduser()
    if (root / 'train').is_dir():
        classes = [folder for folder in (root / 'train').iterdir() if folder.is_dir()]
        if any(next(folder.iterdir(), None) for folder in classes):
            return Finding(OK, f'{len(classes)} classes in {root}/train')
        told = f'{root}/train holds no <class>/<image>'
    elif archives := [*root.glob('cifar-10*-py*'), *root.glob('stl10_binary*')]:
        return Finding(OK, f'official archive {archives[0].name} in {root}')
    else:
        told = f'no data in {root}'
    fix = (
        'pass --data-root DIR with DIR/train/<class>/*; this needs no data: '
        'python tools/train.py mmlogo::quickstart.py'
    )
    return Finding(WARN, told, fix)


def check_photographs() -> Finding:
    tiles = load('mmlogo.datasets.photo_tiles')
    try:
        for name in tiles.PHOTOGRAPHS:
            tiles.load_photograph(name)
    except OSError as error:
        here = all(find_spec(name) for name in ('skimage', 'sklearn'))
        how = '--force-reinstall --no-deps ' if here else ''
        fix = f'pip install {how}scikit-image scikit-learn'
        return Finding(WARN, f'the quickstart has no images: {_said(error)}', fix)
    return Finding(OK, f'{len(tiles.PHOTOGRAPHS)} of scikit-image and scikit-learn')


def check_transformers() -> Finding:
    """Check that mmpretrain can be imported beside Hugging Face's transformers.

    Beside pycocotools it imports its multimodal models, and those need names that
    transformers 5 no longer has.
    """
    found = installed('transformers')
    if found is None or installed('pycocotools') is None:
        return Finding(OK, 'not used')
    try:
        load('mmpretrain.models')
    except Exception as error:
        text = f'mmpretrain cannot be imported beside transformers {found}: {_said(error)}'
        return Finding(FAIL, text, "pip install 'transformers<5'")
    return Finding(OK, f'{found} is fine beside mmpretrain')


# --- all of them ---------------------------------------------------------------------

CHECKS: dict[str, Callable[[], Finding]] = {
    'python': check_python,
    **{module: partial(check_package, module) for module in MINIMUM},
    'torch + torchvision': check_torchvision_match,
    'torchvision operators': check_torchvision_operators,
    'mmcv operators': check_mmcv_operators,
    'mmdet': check_mmdet,
    'transformers': check_transformers,
    'safe loading': check_safe_loading,
    'gloo': check_gloo,
    'cuda': check_cuda,
    'nccl': check_nccl,
    'bfloat16': check_bfloat16,
    'write access': check_write_access,
    'disk': check_disk,
    'shared memory': check_shared_memory,
    'cpu': check_threads,
    'photographs': check_photographs,
}


def _said(error: BaseException) -> str:
    """Return an error as one short line."""
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:200]}'


def examine(check: Callable[[], Finding]) -> Finding:
    """Run a check without output. An error inside the check becomes a finding too."""
    quiet = io.StringIO()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(quiet))
            stack.enter_context(contextlib.redirect_stderr(quiet))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter('ignore')
            return check()
    except ImportError as error:
        return Finding(WARN, f'not checked: {_said(error)}', 'fix the FAILs first')
    except Exception as error:
        return Finding(
            FAIL, f'the check broke: {_said(error)}', 'fix the other FAILs first'
        )


def main(arguments: list[str] | None = None) -> int:
    """Print every finding. Return 1 if a check fails, else 0."""
    parser = argparse.ArgumentParser(prog='python -m mmlogo.doctor', description=__doc__)
    parser.add_argument(
        '--data-root',
        type=Path,
        default=Path('data/cifar10'),
        help='folder of the data to check; default: data/cifar10',
    )
    root = parser.parse_args(arguments).data_root
    checks: dict[str, Callable[[], Finding]] = {**CHECKS, 'data': partial(check_data, root)}
    width, counts = max(map(len, checks)), dict.fromkeys((FAIL, WARN, OK), 0)
    for name, check in checks.items():
        state, text, fix = examine(check)
        counts[state] += 1
        print(f'{state:<4}  {name:<{width}}  {text}', flush=True)
        if fix:
            print(f'{"":<4}  {"":<{width}}  fix: {fix}', flush=True)
    print('\n' + ', '.join(f'{number} {state}' for state, number in counts.items()))
    return int(counts[FAIL] > 0)


if __name__ == '__main__':
    sys.exit(main())
