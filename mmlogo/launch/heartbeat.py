"""Lets every process of a training notice when another one has stopped."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta

from torch.distributed import TCPStore

_EVERY = 1.0  # seconds between two beats


class Heartbeat:
    """A thread that tells the other processes that this one is there, and listens to them.

    A process that was killed closes its connections, so the others notice at once. One that
    is stopped or frozen keeps them open, and the others would wait for it in the next
    exchange. When a process has been silent for too long, this one says so and ends with
    code 1. The state since the last checkpoint is lost.

    Args:
        rank: This process.
        processes: The number of processes.
        patience: Seconds of silence.
    """

    def __init__(self, rank: int, processes: int, patience: float) -> None:
        self.rank, self.processes, self.patience = rank, processes, patience
        self.heard = dict.fromkeys(range(processes), time.monotonic())
        self.ended = threading.Event()
        self.store = TCPStore(
            os.environ['MASTER_ADDR'],
            int(os.environ['MASTER_PORT']),
            is_master=False,
            timeout=timedelta(seconds=max(60.0, patience)),
        )
        for work in (self._beat, self._watch):
            threading.Thread(target=work, name='heartbeat', daemon=True).start()

    def end(self) -> None:
        """Stop listening. Call it when all processes have come to their end."""
        self.ended.set()

    def _beat(self) -> None:
        count, last = 0, {rank: b'' for rank in range(self.processes)}
        while not self.ended.is_set():
            count += 1
            try:
                self.store.set(self._key(self.rank), str(count))
                for rank in last:
                    beat = self.store.get(self._key(rank))
                    if beat != last[rank]:
                        last[rank], self.heard[rank] = beat, time.monotonic()
            except RuntimeError as error:
                if not self.ended.wait(2 * _EVERY):  # at the end, some leave earlier
                    self._leave(f'the process of rank 0 has ended ({type(error).__name__})')
            self.ended.wait(_EVERY)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self.ended.wait(_EVERY):
            now = time.monotonic()
            if now - before > 5 * _EVERY:  # this process was stopped itself
                self.heard = dict.fromkeys(self.heard, now)
            before = now
            silent = {rank: now - heard for rank, heard in self.heard.items()}
            # Rank 0 keeps the store: while it is silent, nobody can be heard.
            rank = 0 if silent[0] > self.patience else max(silent, key=silent.__getitem__)
            if silent[rank] > self.patience:
                self._leave(f'rank {rank} has been silent for {silent[rank]:.0f} s')

    def _leave(self, why: str) -> None:
        print(
            f'\nrank {self.rank} ends: {why}. It was stopped or killed, hangs, or its '
            'machine is gone. Look at that process, then start again with --resume. '
            'env_cfg.dist_cfg.heartbeat is the number of seconds before that, None for '
            'never',
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    @staticmethod
    def _key(rank: int) -> str:
        return f'mmlogo/heartbeat/{rank}'
