"""A hook that lists the bad images of a run, and stops a run that has too many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mmengine.hooks import Hook

from mmlogo.registry import HOOKS

FILE = 'bad_samples.jsonl'


@HOOKS.register_module()
class BadSamplesHook(Hook):
    """List the images that a data set with `bad_samples='skip'` replaced.

    The names come with the batches, so the workers write nothing. Each process appends its
    own to `bad_samples.jsonl` in the work dir, beside `runs.jsonl`. A line has the start of
    the run, the loader, the name of the file, its index and error, the epoch and the rank.
    In each start of a run, a file is listed once for each loader.

    Raises:
        OSError: If more images of a data set are bad than its `max_bad` allows. The images
            that all processes listed since the start count.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()  # (loader, name)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._note(runner, 'train', data_batch)

    def before_bank_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._note(runner, 'bank', data_batch)

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._note(runner, 'val', data_batch)

    def before_test_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._note(runner, 'test', data_batch)

    def after_train(self, runner) -> None:
        found = listed(runner.work_dir, runner.timestamp)
        if found:
            runner.logger.warning(
                f'{len(found)} bad images were replaced by others; '
                f'{Path(runner.work_dir) / FILE} lists them'
            )

    def _note(self, runner, loader: str, data_batch: object) -> None:
        reports = data_batch.get('bad_samples') if isinstance(data_batch, Mapping) else None
        for report in filter(None, reports or ()):
            self._record(runner, loader, json.loads(report))

    def _record(self, runner, loader: str, report: dict) -> None:
        new = [
            file for file in report['files'] if (loader, file['name']) not in self._known
        ]
        if not new:
            return
        # Another process may have listed it in an earlier epoch.
        self._known |= _names(runner)
        for file in new:
            if (loader, file['name']) not in self._known:
                self._append(runner, loader, file | dict(epoch=report['epoch']))
                runner.logger.warning(f'replaced by another image: {file["error"]}')
        # After the own lines are written, the last process to write sees all of them.
        self._known |= _names(runner)
        count = sum(known == loader for known, _ in self._known)
        if count > report['limit']:
            raise OSError(
                f'{count} images of {loader}_dataloader are bad, and max_bad='
                f'{report["max_bad"]} of {report["size"]} images allows {report["limit"]}; '
                f'{Path(runner.work_dir) / FILE} lists them, the last is: '
                f'{new[-1]["error"]}; repair or remove the files (tools/check_data.py '
                f'{report["folder"]} names all), or raise max_bad of the data set'
            )

    def _append(self, runner, loader: str, file: Mapping) -> None:
        self._known.add((loader, file['name']))
        row = dict(
            event='bad_sample',
            run=runner.timestamp,
            loader=loader,
            **file,
            rank=runner.rank,
        )
        # One write to a file that is open for appending: processes do not mix their lines.
        with (Path(runner.work_dir) / FILE).open('a') as lines:
            lines.write(json.dumps(row) + '\n')


def _names(runner) -> set[tuple[str, str]]:
    return {
        (row['loader'], row['name']) for row in listed(runner.work_dir, runner.timestamp)
    }


def listed(work_dir: str | Path, run: str) -> list[dict]:
    """Return the rows of `bad_samples.jsonl` that a start of a run has written.

    Args:
        work_dir: The work dir. It need not have the file.
        run: The start: the Runner's timestamp, which all its processes share.
    """
    file = Path(work_dir) / FILE
    if not file.is_file():
        return []
    lines = file.read_text().splitlines(keepends=True)
    # A line without an end is still being written.
    rows = [json.loads(line) for line in lines if line.endswith('\n')]
    return [row for row in rows if row['run'] == run]
