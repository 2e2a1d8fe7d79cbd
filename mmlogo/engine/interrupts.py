"""What the processes of an interrupted training tell one another and their launcher."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import get_rank

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: a temporary failure, the user may try again
SAVED = 'MMLOGO_SAVED'  # names a folder in which every process notes that all is saved


class TrainingInterrupted(SystemExit):
    """A training saved its state and ended, because a signal asked for it."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class Agreement:
    """Lets the processes agree on the iteration after which they end.

    Each iteration starts an exchange of one number, and takes the result of the one before,
    which has had an iteration's time to come. So no process waits.
    """

    def __init__(self) -> None:
        self.group = dist.new_group(backend='gloo')
        self.pending: tuple[dist.Work, torch.Tensor] | None = None

    def reached(self, wanted: bool) -> bool:
        """Tell whether a process wanted to end one iteration ago.

        Args:
            wanted: Whether this process wants to end.
        """
        result = False
        if self.pending is not None:
            work, flag = self.pending
            work.wait()
            result = bool(flag.item())
        flag = torch.tensor([int(wanted)])
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.group, async_op=True)
        if result:
            work.wait()  # nothing is under way when the processes leave
        self.pending = work, flag
        return result


def note_saved() -> None:
    """Tell the launcher that this process has saved all there is."""
    folder = os.environ.get(SAVED)
    if folder and Path(folder).is_dir():
        Path(folder, str(get_rank())).touch()
