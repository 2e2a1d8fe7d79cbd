"""Starts the processes of a training on this machine, and ends with what they ended with.

    tools/processes.py PROCESSES PROGRAM [arguments of the program]

`tools/dist_train.sh` calls it. Several machines: set NNODES, NODE_RANK, MASTER_ADDR and
PORT on each.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

# As in mmlogo.engine.interrupts, which would take seconds to import.
EXIT_CODE = 75
SAVED = 'MMLOGO_SAVED'
_SIGNALS = 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1'


def main(words: Sequence[str]) -> int:
    """Run a program in several processes and return its exit code.

    Args:
        words: The number of processes, the program, and its arguments.

    Returns:
        0 if all processes ended well. 75 if all saved a checkpoint after a signal. 1 if one
        failed, and 128 and the signal's number if a signal ended them before they saved.
    """
    processes, *program = words
    nodes = int(os.environ.get('NNODES', '1'))
    address = os.environ.get('MASTER_ADDR', '127.0.0.1')
    port = int(os.environ.get('PORT') or (free_port() if nodes == 1 else 29500))
    if os.environ.get('NODE_RANK', '0') == '0' and not is_free(port):
        print(
            f'port {port} of this machine is in use, perhaps by another training; give '
            'another one, such as PORT=29501 tools/dist_train.sh ...'
            + (', or leave PORT out to have a free one found' if nodes == 1 else ''),
            file=sys.stderr,
        )
        return 1
    # Without it, a restarted Gloo job can wait for a store that is gone.
    os.environ.setdefault('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    with tempfile.TemporaryDirectory(prefix='mmlogo_') as folder:
        os.environ[SAVED] = folder
        try:
            run.main(
                [
                    f'--nnodes={nodes}',
                    f'--node_rank={os.environ.get("NODE_RANK", "0")}',
                    f'--master_addr={address}',
                    f'--master_port={port}',
                    f'--nproc_per_node={processes}',
                    f'--signals_to_handle={_SIGNALS}',
                    *program,
                ]
            )
        except SignalException as error:
            code = 128 + error.sigval.value
        except ChildFailedError as error:
            code = 1
            if len(list(Path(folder).iterdir())) < int(processes):
                print(error, file=sys.stderr)
        else:
            return 0
        saved = len(list(Path(folder).iterdir())) == int(processes)
        return EXIT_CODE if saved else code


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(('', 0))
        return found.getsockname()[1]


def is_free(port: int) -> bool:
    """Tell whether a port of this machine can be listened on."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(('', port))
        except OSError:
            return False
    return True


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
