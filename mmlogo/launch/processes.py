"""The processes of a run: join a process group, leave it, share the batch."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed
from mmengine.config import Config
from mmengine.dist import get_world_size
from torch.distributed import DistNetworkError

from mmlogo.launch.heartbeat import Heartbeat

HEARTBEAT = 30.0  # seconds of silence after which a process counts as stopped


# launcher -> its variables for RANK, WORLD_SIZE and LOCAL_RANK
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def init_processes(launcher: str, cfg: Config) -> None:
    """Join the process group: with NCCL on CUDA, with Gloo elsewhere.

    MMEngine's launchers call CUDA for every backend, so they fail on a CPU. MMEngine does
    not call them if a process group exists already.

    Args:
        launcher: One of `mmlogo.arguments.LAUNCHERS`. 'none' joins no group.
        cfg: The config. `env_cfg.dist_cfg` has options of the group, such as `backend`
            and `timeout`, seconds. `heartbeat` there is the number of seconds for which a
            process may be silent before the others end. Default: 30. None is for ever.

    Raises:
        ValueError: If a variable of the launcher is not set.
        OSError: If the port is in use.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        return
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} needs the variables {_VARIABLES[launcher]} and '
            f'{missing} are not set; start with tools/dist_train.sh CONFIG N'
            + (' or tools/slurm_train.sh' if launcher == 'slurm' else '')
        )
    rank, world_size, local_rank = (os.environ[name] for name in _VARIABLES[launcher])
    here = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE', world_size)
    if launcher == 'mpi' and here != world_size and 'MASTER_ADDR' not in os.environ:
        raise ValueError(
            f'--launcher mpi has {world_size} processes, {here} of them on this machine, '
            'and no MASTER_ADDR; pass the host of rank 0, as in mpirun -x MASTER_ADDR=HOST'
        )
    os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=local_rank)
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        nodes = ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']]
        found = subprocess.run(nodes, capture_output=True, text=True, check=True)
        os.environ['MASTER_ADDR'] = found.stdout.split()[0]
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    backend = options.pop('backend', 'nccl')
    if 'timeout' in options:
        options['timeout'] = timedelta(seconds=options['timeout'])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(local_rank))
    else:
        backend = 'gloo'
    heartbeat = options.pop('heartbeat', HEARTBEAT)
    _end_with_launcher()
    try:
        torch.distributed.init_process_group(backend, **options)
    except DistNetworkError as error:
        raise OSError(
            f'the processes cannot meet at {os.environ["MASTER_ADDR"]}, port '
            f'{os.environ["MASTER_PORT"]} ({str(error).splitlines()[0]}). If the port is '
            'in use by another training, give another one: PORT=29501 for '
            'tools/dist_train.sh, MASTER_PORT=29501 for other launchers'
        ) from error
    cfg.launcher = launcher
    if heartbeat is not None and get_world_size() > 1:
        _HEARTS.append(Heartbeat(int(rank), int(world_size), heartbeat))


_HEARTS: list[Heartbeat] = []


def _end_with_launcher() -> None:
    """Let Linux send SIGTERM to this process when torchrun ends in any way."""
    # A process that was started by hand may outlive the shell that started it.
    if sys.platform == 'linux' and 'TORCHELASTIC_RUN_ID' in os.environ:
        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended in between
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def leaving_processes() -> Iterator[None]:
    """Context manager. Call `leave_processes` when a program's `main` has ended well.

    An interrupted training has ended well, too. After an error, the other processes may not
    come to their end, so none waits for them.
    """
    try:
        yield
    except SystemExit:
        leave_processes()
        raise
    leave_processes()


def leave_processes() -> None:
    """Leave the process group, if there is one. Call it when a program's `main` has ended.

    Gloo's worker threads release tensors asynchronously and need the interpreter. If
    Python exits first, the process aborts ("terminate called without an active
    exception"), though its work is done. Destroying the group waits for the threads. But
    a model that is not yet garbage collected keeps the group alive. So: collect garbage,
    then destroy the group.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        while _HEARTS:
            _HEARTS.pop().end()
        gc.collect()
        torch.distributed.destroy_process_group()


def divide_global_batch(cfg: Config) -> None:
    """Share `global_batch_size` between the processes.

    `train_dataloader.batch_size`, from a config or the command line, is the batch size of
    one process, as in MMEngine. If it is set, it is used. Our configs do not set it.

    Raises:
        ValueError: If the number of processes does not divide `global_batch_size`, or if
            neither is set.
    """
    if 'batch_size' in cfg.train_dataloader:
        return
    if cfg.get('global_batch_size') is None:
        raise ValueError(
            'the config has no batch size; set global_batch_size, for all processes '
            'together, or train_dataloader.batch_size, for each'
        )
    total, processes = cfg.global_batch_size, get_world_size()
    if total % processes:
        raise ValueError(
            f'global_batch_size={total} cannot be divided by {processes} processes; '
            'change one of them, or give the batch per process with --cfg-options '
            'train_dataloader.batch_size=...'
        )
    cfg.train_dataloader.batch_size = total // processes
