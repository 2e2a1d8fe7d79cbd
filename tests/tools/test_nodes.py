"""Two machines: `tools/dist_train.sh` twice on this one, as NODE_RANK 0 and 1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT, checkpoint, weights, write_config

pytestmark = pytest.mark.slow


def launch(node: int, nodes: int, port: int, processes: int, *words: object):
    env = dict(os.environ, NNODES=str(nodes), NODE_RANK=str(node), PORT=str(port))
    return subprocess.Popen(
        ['bash', ROOT / 'tools' / 'dist_train.sh', words[0], str(processes), *words[1:]],
        env=env,
        cwd=words[-1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(('', 0))
        return found.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, 'two', 'moco_logo_r18_cifar10')


def words(config: Path, tree: Path, folder: Path) -> list:
    folder.mkdir(exist_ok=True)
    return [config, '--data-root', tree, '--work-dir', folder]


def test_two_machines_train_as_two_processes_of_one(tmp_path, tiny_tree, config, port):
    both = words(config, tiny_tree, tmp_path / 'both')
    machines = [launch(node, 2, port, 1, *both) for node in (0, 1)]
    for machine in machines:
        out, _ = machine.communicate(timeout=300)
        assert machine.returncode == 0, out
    alone = launch(0, 1, port, 2, *words(config, tiny_tree, tmp_path / 'alone'))
    out, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, out
    one, other = weights(tmp_path / 'both'), weights(tmp_path / 'alone')
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_signal_to_one_machine_saves_on_both(tmp_path, tiny_tree, config, port):
    folder = tmp_path / 'both'
    both = words(config, tiny_tree, folder)
    both[1:1] = ['--cfg-options', 'train_cfg.max_epochs=2000', '--resume', 'auto']
    machines = [launch(node, 2, port, 1, *both) for node in (0, 1)]
    deadline = time.monotonic() + 200
    while not list(folder.glob('epoch_*.pth')) and time.monotonic() < deadline:
        time.sleep(0.5)
    machines[1].send_signal(signal.SIGTERM)
    for machine in machines:
        out, _ = machine.communicate(timeout=120)
        assert machine.returncode == 75, out
    newest = Path((folder / 'last_checkpoint').read_text()).name
    assert 0 < checkpoint(folder, newest)['meta']['epoch'] < 2000
