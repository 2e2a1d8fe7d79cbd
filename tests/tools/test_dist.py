"""Two Gloo ranks equal one process, for everything that looks at the batch."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from helpers import (
    byol,
    byol_logo,
    cgh,
    encoder,
    give_clock,
    lewel_b,
    lewel_m,
    logo_head,
    moco,
    moco_logo,
    simsiam,
    simsiam_logo,
    tick,
    vicreg_logo,
)
from mmengine.dist import broadcast, get_dist_info
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmlogo.engine.wrapper import AnyDeviceDataParallel
from mmlogo.evaluation import Features, KNNMetric, assemble
from mmlogo.models.parts.gather import gather_batch, own_rows
from mmlogo.models.parts.norms import AllReduceBN
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.statistics import averaged_statistics
from mmlogo.registry import MODELS

pytestmark = pytest.mark.slow

N, STEPS = 8, 3
SYNC = encoder(dict(type='SyncBN'))


def split(make: Callable[..., dict]) -> Callable[[int], dict]:
    """Split BN 2 in one process; in two, each rank's own BatchNorm."""
    return lambda world_size: make(splits=2 // world_size)


CASES: dict[str, Callable[[int], dict]] = {
    'simsiam, SyncBN': lambda _: simsiam(),
    'simsiam_logo, SyncBN': lambda _: simsiam_logo(),
    'simsiam_logo, push_ratio': lambda _: simsiam_logo(head=logo_head(push_ratio=0.05)),
    'moco, SyncBN': lambda _: moco(backbone=SYNC),
    'moco symmetric, SyncBN': lambda _: moco(backbone=SYNC, symmetric=True),
    'moco_logo, SyncBN': lambda _: moco_logo(backbone=SYNC),
    'byol, SyncBN': lambda _: byol(),
    'byol_logo, SyncBN': lambda _: byol_logo(),
    # variance and covariance are of the batch of both
    'vicreg_logo, push_ratio': lambda _: vicreg_logo(
        head=logo_head(dict(type='VICRegPull'), push_ratio=0.05)
    ),
    'simsiam_logo, cosine': lambda _: simsiam_logo(
        head=logo_head(affinity=dict(type='CosineAffinity'))
    ),
    'lewel_b EMAN, SyncBN': lambda _: lewel_b(),
    # BatchNorm per process, as EMAN has it
    'lewel_b EMAN, split BN': lambda world_size: lewel_b(
        norm_cfg=dict(type='SplitBN', num_splits=2 // world_size)
    ),
    'lewel_b own statistics, SyncBN': lambda _: lewel_b(teacher=dict(momentum=0.9)),
    'lewel_m, split BN': split(lewel_m),
    'cgh, split BN': split(cgh),
    'moco, split BN': split(moco),
    'moco_logo, split BN': split(moco_logo),
}
# the teacher follows statistics that each process has for itself
PER_PROCESS = 'lewel_b EMAN, split BN'


def images() -> Tensor:
    from mmlogo.datasets import PhotoTiles

    return PhotoTiles(split='train', limit=8, names=('astronaut', 'cat', 'coffee')).images


def train(cfg: dict, resumed: int | None = None) -> dict:
    """Three steps on this rank's share; losses of the global batch and all state.

    Before step `resumed` every rank goes on from what rank 0 would have saved.

    In float64: sums in another order differ by rounding, and BatchNorm over few
    samples makes much of little.
    """
    rank, world_size = get_dist_info()
    init_default_scope('mmlogo')
    torch.manual_seed(0)
    model = MODELS.build(cfg).double().train()
    give_clock(model)
    if world_size > 1:
        wrapped: nn.Module = AnyDeviceDataParallel(model)
    else:
        wrapped = model = revert_sync_batchnorm(model)
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1, momentum=0.9)
    log, gradients = [], {}
    for step in range(STEPS):
        if step == resumed:
            with averaged_statistics(model):  # of a checkpoint
                saved = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(saved)
            for value in model.state_dict().values():
                broadcast(value)
        index = torch.arange(step * N, (step + 1) * N)
        seeds = torch.stack((torch.zeros(N).long(), torch.full((N,), step), index), dim=1)
        batch = dict(inputs=images()[index % 24], seeds=seeds)
        batch = {name: value[rank::world_size] for name, value in batch.items()}
        data = model.data_preprocessor(batch, True)
        data['inputs'] = [view.double() for view in data['inputs']]
        optimizer.zero_grad()
        terms = wrapped(**data, mode='loss')
        total, _ = model.parse_losses(terms)
        total.backward()
        gradients |= {f'{step} {k}': p.grad.clone() for k, p in parameters.items()}
        optimizer.step()
        tick(model)
        # the AUCs and cosines are the rank's own
        losses = [v.detach() for k, v in terms.items() if 'loss' in k or k == 'push_ratio']
        log.append(gather_batch(torch.stack(losses)[None]).mean(0))
    return dict(
        losses=torch.stack(log), gradients=gradients, state=dict(model.state_dict())
    )


def parts() -> dict:
    """Small parts on this rank's share, gathered."""
    rank, world_size = get_dist_info()
    generator = torch.Generator().manual_seed(1)
    everything = torch.randn(12, 3, 2, 2, generator=generator, dtype=torch.float64) * 3 + 1
    seeds = torch.stack([torch.zeros(12).long()] * 2 + [torch.arange(12)], dim=1)
    own_seeds = seeds[rank::world_size]
    x = everything[rank::world_size].clone().requires_grad_()
    norm = AllReduceBN(3).double()
    out = norm(x)
    (
        out * torch.arange(12.0, dtype=torch.float64)[rank::world_size, None, None, None]
    ).square().sum().backward()
    uneven = torch.arange(7.0)[rank::world_size]
    mine = Features(uneven[:, None], uneven.long(), uneven.long())
    padded = Features(*(torch.cat((column, column[:1])) for column in mine))
    bank, query = (
        Features(
            torch.randn(n, 4, generator=generator), torch.arange(n) % 3, torch.arange(n)
        )
        for n in (40, 13)  # the processes score 7 and 6 queries
    )
    return dict(
        norm=gather_batch(out),
        norm_gradient=gather_batch(x.grad),
        norm_weight_gradient=gather_batch(norm.weight.grad[None]).sum(0),
        running_mean=norm.running_mean,
        running_var=norm.running_var,
        gathered=gather_batch(x),
        own=torch.equal(own_rows(gather_batch(x)), x),
        shuffled=gather_batch(
            shuffled(lambda v: (v.flatten(1) * 2,), x.detach(), own_seeds, 0)[0]
        ),
        assembled=tuple(assemble([padded])),
        knn=KNNMetric(k=(1, 20)).score(bank, query),
        statistics=statistics_of_knn(),
    )


def statistics_of_knn() -> Tensor:
    """BatchNorm per process: what k-NN uses is the mean, as in the checkpoint.

    And afterwards each rank trains on with its own.
    """
    norm = nn.BatchNorm2d(1)
    rank, processes = get_dist_info()
    own = 3.0 + rank - (processes - 1) / 2  # the mean is 3
    norm.running_mean.fill_(own)
    with averaged_statistics(nn.Sequential(norm)):
        inside = norm.running_mean.clone()
    assert norm.running_mean.item() == own
    return inside


def run_rank(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE='2',
        LOCAL_RANK=str(rank),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    results = {name: train(make(2)) for name, make in CASES.items()}
    results['resumed'] = train(CASES[PER_PROCESS](2), resumed=2)
    torch.save((results, parts()), Path(folder) / f'rank{rank}.pth')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp('ranks')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(run_rank, (str(folder), port), nprocs=2)
    return [torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in range(2)]


@pytest.mark.parametrize('name', CASES)
def test_two_ranks_equal_one_process(name: str, two_ranks: list) -> None:
    """Losses, gradients, weights, queue, teacher, regressor and BN statistics."""
    one = train(CASES[name](1))
    first, second = (results[name] for results, _ in two_ranks)
    close = dict(rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(first['losses'], one['losses'], **close)
    for key, gradient in one['gradients'].items():
        torch.testing.assert_close(first['gradients'][key], gradient, msg=key, **close)
    assert set(first['state']) == set(one['state'])
    for key, value in one['state'].items():
        if 'split' in name and 'running_' in key and 'affinity' not in key:
            # per rank by design; one process keeps the mean of its splits
            got = (first['state'][key] + second['state'][key]) / 2
        else:
            torch.testing.assert_close(first['state'][key], second['state'][key], msg=key)
            got = first['state'][key]
        torch.testing.assert_close(
            got, value, msg=lambda text, key=key: f'{key}: {text}', **close
        )


def test_a_checkpoint_of_rank_0_has_the_statistics_of_all(two_ranks: list) -> None:
    for results, _ in two_ranks:
        for key, value in results[PER_PROCESS]['state'].items():
            if key.startswith('teacher.'):
                got = results['resumed']['state'][key]
                torch.testing.assert_close(got, value, rtol=1e-9, atol=1e-12, msg=key)


def test_parts_equal_one_process(two_ranks: list) -> None:
    one = parts()
    for _, got in two_ranks:
        for name, value in one.items():
            if name == 'assembled':
                for a, b in zip(got[name], value, strict=True):
                    assert torch.equal(a, b)
            elif name == 'own':
                assert got[name]
            elif name == 'knn':
                assert got[name] == value
                assert 0 < min(value.values()) < 100
            else:
                torch.testing.assert_close(got[name], value, rtol=1e-7, atol=1e-9, msg=name)


def test_all_reduce_bn_is_batch_norm_on_one_process() -> None:
    x = torch.randn(6, 3, 4, 4)
    ours, theirs = AllReduceBN(3), nn.BatchNorm2d(3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
