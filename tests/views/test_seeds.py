"""Randomness as a function of the seeds: the generator, its streams, the seeds."""

from __future__ import annotations

import copy
import math
import pickle
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmlogo.datasets import EpochSampler, sampler
from mmlogo.views import draw
from mmlogo.views import seeds as module
from mmlogo.views.draw import draw_boxes, draw_look
from mmlogo.views.seeds import (
    NOISE_STREAM,
    SHUFFLE_STREAM,
    SeededIndex,
    Seeds,
    fresh_seeds,
    normal,
    pack_seeds,
    philox,
    seeds_of,
    uniform,
)
from mmlogo.views.spec import ViewSpec

# Random123 1.14, tests/kat_vectors: counter, key, result of philox4x32-10.
KNOWN_ANSWERS = {
    'zeros': (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    'ones': (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    'pi': (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


def plain_philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 as Salmon et al. write it, on Python's own integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return tuple(c)


def signed(word: int) -> int:
    """64 bits as int64 holds them."""
    return word - 2**64 if word >= 2**63 else word


@pytest.mark.parametrize('name', KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(name: str) -> None:
    counter, key, expected = KNOWN_ANSWERS[name]
    assert plain_philox(counter, key) == expected
    block, stream, index, epoch = counter
    seed = signed(key[0] | key[1] << 32)
    words = philox(torch.tensor([[seed, epoch, index]]), stream, block)
    assert tuple(words[0].tolist()) == expected


def test_philox_equals_plain_integers_for_many_seeds() -> None:
    seeds = torch.randint(0, 2**62, (50, 3))  # seeds beyond 32 bits use both key words
    seeds[:, 1:] &= 0xFFFFFFFF
    blocks = torch.randint(0, 2**32, (50,))
    words = philox(seeds, 77, blocks)
    for row, block, got in zip(
        seeds.tolist(), blocks.tolist(), words.tolist(), strict=True
    ):
        seed, epoch, index = row
        counter = (block, 77, index, epoch)
        assert tuple(got) == plain_philox(counter, (seed % 2**32, seed >> 32))


@pytest.mark.gpu
def test_philox_and_normal_are_the_same_on_cuda(seeds) -> None:
    k = seeds(1000, epoch=3, seed=9)
    assert torch.equal(philox(k.cuda(), 5).cpu(), philox(k, 5))
    torch.testing.assert_close(
        normal(k.cuda(), [NOISE_STREAM], 7)[0].cpu(), normal(k, [NOISE_STREAM], 7)[0]
    )


def test_uniform_is_the_words_over_two_to_the_32(seeds) -> None:
    u = uniform(seeds(100), [3], [2])[0, 0]
    assert u.dtype == torch.float64
    assert torch.equal((u * 2**32).long(), philox(seeds(100), 3, 2))
    assert u.min() >= 0
    assert u.max() < 1


def chi_square_uniform(u: Tensor, bins: int = 64) -> float:
    """Standard scores of Pearson's statistic, N(0, 1) if u is uniform."""
    observed = (u * bins).long().bincount(minlength=bins).double()
    expected = len(u) / bins
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    return (statistic - (bins - 1)) / math.sqrt(2 * (bins - 1))


def neighbouring_draws(seeds) -> dict[str, Tensor]:
    """Columns (20000, 4) that differ in one coordinate of the counter or the key."""
    n = 20_000
    base = seeds(n)
    return {
        'base': uniform(base, [0], [0])[0, 0],
        'next block': uniform(base, [0], [1])[0, 0],
        'next stream': uniform(base, [1], [0])[0, 0],
        'next epoch': uniform(seeds(n, epoch=1), [0], [0])[0, 0],
        'next seed': uniform(seeds(n, seed=1), [0], [0])[0, 0],
    }


def test_uniform_is_uniform(seeds) -> None:
    for name, u in neighbouring_draws(seeds).items():
        for column in u.unbind(1):
            assert abs(chi_square_uniform(column)) < 4.5, name
            # standard error of the mean of 20,000: 0.002
            assert column.mean().item() == pytest.approx(0.5, abs=0.01), name
            assert column.var().item() == pytest.approx(1 / 12, abs=0.005), name


def test_draws_with_neighbouring_seeds_are_uncorrelated(seeds) -> None:
    columns = torch.cat(list(neighbouring_draws(seeds).values()), dim=1)  # (20000, 20)
    correlation = torch.corrcoef(columns.T) - torch.eye(columns.shape[1])
    # 190 pairs with a standard error of 0.007 each
    assert correlation.abs().max() < 0.03
    for row in columns.T:  # along the sample index
        serial = torch.corrcoef(torch.stack((row[:-1], row[1:])))[0, 1]
        assert abs(serial) < 0.03


def test_normal_is_standard_normal(seeds) -> None:
    z = normal(seeds(5000), [NOISE_STREAM], 8)[0].double()  # (5000, 8)
    for column in z.unbind(1):
        assert column.mean().item() == pytest.approx(0, abs=0.07)
        assert column.var().item() == pytest.approx(1, abs=0.1)
    flat = z.flatten()  # 40,000: standard errors 0.005, 0.007, 0.012, 0.025
    assert flat.mean().item() == pytest.approx(0, abs=0.02)
    assert flat.var().item() == pytest.approx(1, abs=0.03)
    assert (flat**3).mean().item() == pytest.approx(0, abs=0.08)
    assert (flat**4).mean().item() == pytest.approx(3, abs=0.12)
    half = 0.5 * (1 + torch.erf(flat / math.sqrt(2)))
    assert abs(chi_square_uniform(half)) < 4.5
    assert (torch.corrcoef(z.T) - torch.eye(8)).abs().max() < 0.07


def test_normal_is_box_muller_of_the_stream(seeds) -> None:
    k = seeds(3, epoch=2, seed=5)
    got = normal(k, [NOISE_STREAM], 8)[0]
    for block in range(2):
        words = (philox(k, NOISE_STREAM, block).double() + 0.5) / 2**32
        radius = (-2 * words[:, :2].log()).sqrt()
        angle = 2 * math.pi * words[:, 2:]
        expected = torch.cat((radius * angle.cos(), radius * angle.sin()), dim=1).float()
        part = got[:, 4 * block : 4 * block + 4]
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


def test_a_shorter_normal_vector_is_the_start_of_a_longer_one(seeds) -> None:
    long = normal(seeds(4), [NOISE_STREAM], 11)[0]
    for length in (1, 4, 5):
        assert torch.equal(normal(seeds(4), [NOISE_STREAM], length)[0], long[:, :length])


def test_normal_of_a_sample_does_not_depend_on_its_batch(seeds) -> None:
    k = seeds(6)
    assert torch.equal(
        normal(k, [NOISE_STREAM], 9)[0][4:5], normal(k[4:5], [NOISE_STREAM], 9)[0]
    )


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every (stream, block) drawn since the list was last cleared."""
    drawn: list[tuple[int, int]] = []

    def recording(seeds: Tensor, stream: int | Tensor, block: int | Tensor = 0) -> Tensor:
        rows = torch.zeros(len(seeds), dtype=torch.int64)
        pairs = torch.broadcast_tensors(rows + stream, rows + block)
        pairs = torch.stack(pairs, dim=-1).view(-1, 2)
        drawn.extend(map(tuple, pairs.unique(dim=0).tolist()))
        return philox(seeds, stream, block)

    monkeypatch.setattr(module, 'philox', recording)
    monkeypatch.setattr(sampler, 'philox', recording)
    return drawn


def draw_view(seeds: Tensor, view: int) -> None:
    """Draw all that a view may need; no attempt fits, so all ten are made."""
    spec = ViewSpec(size=8, scale=(0.9, 1.0), jitter=(0.4,) * 3 + (0.1,), jitter_p=0.5)
    draw_boxes(seeds, view, spec, 1, 50)
    draw_look(seeds, view, spec)


def test_no_two_uses_share_random_words(counters, seeds) -> None:
    used = {}
    for view in range(8):
        draw_view(seeds(2), view)
        # each block of a view has one use
        assert len(counters) == len(set(counters)) == draw.ATTEMPTS + 4
        used[f'view {view}'] = set(counters)
        counters.clear()
        normal(seeds(2), [NOISE_STREAM + view], 4096)[0]
        used[f'noise {view}'] = set(counters)
        counters.clear()
        used[f'shuffle {view}'] = {(SHUFFLE_STREAM + view, 0)}
    list(EpochSampler(range(4), seed=0))
    used['order of the epoch'] = set(counters)
    assert used['order of the epoch']
    for one, other in combinations(used, 2):
        assert not used[one] & used[other], f'{one} and {other}'


@pytest.mark.parametrize(
    'clone',
    [lambda key: pickle.loads(pickle.dumps(key)), copy.copy, copy.deepcopy],
    ids=['pickle', 'copy', 'deepcopy'],
)
def test_a_seeded_index_survives_copies(clone) -> None:
    key = clone(SeededIndex(7, epoch=3, seed=11))
    assert type(key) is SeededIndex
    assert (int(key), key.epoch, key.seed) == (7, 3, 11)


def test_a_seeded_index_is_its_index() -> None:
    key = SeededIndex(2, epoch=9, seed=1)
    assert ['a', 'b', 'c'][key] == 'c'
    assert key == 2
    assert hash(key) == hash(2)
    assert repr(key) == 'SeededIndex(2, epoch=9, seed=1)'


class Echo(Dataset):
    """Returns what it was asked for."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        return pack_seeds([index])[0]


@pytest.mark.parametrize('workers', [0, 1])
def test_a_seeded_index_reaches_a_worker(workers: int) -> None:
    asked = [SeededIndex(i, epoch=4, seed=2) for i in (5, 0, 3, 1)]
    loader = DataLoader(Echo(), batch_size=2, sampler=asked, num_workers=workers)
    assert torch.cat(list(loader)).tolist() == [[2, 4, i] for i in (5, 0, 3, 1)]


def test_pack_seeds_orders_the_columns_seed_epoch_index() -> None:
    packed = pack_seeds(
        [SeededIndex(7, epoch=3, seed=11), SeededIndex(8, epoch=4, seed=12)]
    )
    assert packed.dtype == torch.int64
    assert packed.tolist() == [[11, 3, 7], [12, 4, 8]]
    assert pack_seeds([]).shape == (0, 3)


def test_pack_seeds_refuses_an_index_without_an_epoch() -> None:
    with pytest.raises(ValueError, match=r"index 3 carries no epoch.*type='EpochSampler'"):
        pack_seeds([3, 4])


def test_fresh_seeds_follow_the_global_seed_and_differ() -> None:
    torch.manual_seed(5)
    first, second = fresh_seeds(100), fresh_seeds(100)
    torch.manual_seed(5)
    assert torch.equal(fresh_seeds(100), first)
    assert not torch.equal(first, second)
    assert len(torch.cat((first, second)).unique(dim=0)) == 200
    assert philox(first, 0).unique(dim=0).shape == (100, 4)


def test_seeds_of_passes_seeds_on_and_draws_fresh_ones_for_anything_else(
    seeds, monkeypatch
) -> None:
    said = []
    monkeypatch.setattr(module, 'print_log', lambda text, *_: said.append(text))
    module._warn_of_fresh_seeds.cache_clear()
    x = torch.zeros(5, 3, 2, 2)
    assert torch.equal(seeds_of(Seeds(seeds(5)), x), seeds(5))
    assert said == []
    fresh = seeds_of(['a data sample'] * 5, x)
    assert not torch.equal(seeds_of(None, x), fresh)
    assert len(said) == 1  # once, however many batches there are
    assert "sampler=dict(type='EpochSampler'" in said[0]
    assert fresh.shape == (5, 3)
    assert len(fresh.unique(dim=0)) == 5
