"""k-NN beside faiss's exact index, and beside the matrix product with torch's topk.

Random features. All must find the same neighbours, but for equal cosines and rounding. One
row is printed for each size of the bank, length of the features and number of neighbours.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from benchmarks import rounds
from torch import Tensor

from mmlogo.evaluation.knn import nearest

try:
    import faiss
except ImportError:
    faiss = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, value in dict(bank=[50000], dim=[512], k=[20, 200]).items():
        parser.add_argument(f'--{name}', type=int, nargs='+', default=value)
    parser.add_argument('--queries', type=int, default=10000)
    rounds.add_arguments(parser)


def ways_to_find(query: Tensor, bank: Tensor, k: int) -> dict[str, Callable[[], Tensor]]:
    """Ways to find the rows (Q, k) of the bank."""

    def ours() -> Tensor:
        return torch.cat([rows for _, rows in nearest(query, bank, k)])

    def product() -> Tensor:
        a, b = F.normalize(query, dim=1), F.normalize(bank, dim=1)
        parts = a.split(max(1, 2**26 // len(bank)))
        return torch.cat([(part @ b.T).topk(k, dim=1).indices for part in parts])

    def with_faiss() -> Tensor:
        index = faiss.IndexFlatIP(bank.shape[1])
        index.add(F.normalize(bank, dim=1).numpy())
        return torch.from_numpy(index.search(F.normalize(query, dim=1).numpy(), k)[1])

    ways = {'ours': ours, 'product and topk': product}
    return ways | ({'faiss IndexFlatIP': with_faiss} if faiss else {})


def run(args: argparse.Namespace) -> None:
    if faiss is None:
        print('faiss is left out: it is not installed (pip install faiss-cpu)')
    else:
        faiss.omp_set_num_threads(torch.get_num_threads())
    rows = []
    for size, dim in itertools.product(args.bank, args.dim):
        generator = torch.Generator().manual_seed(0)
        bank = torch.randn(size, dim, generator=generator)
        query = torch.randn(args.queries, dim, generator=generator)
        for k in args.k:
            seconds, found = rounds.in_turn(ways_to_find(query, bank, k), args.rounds)
            same = {
                name: (other == found['ours']).double().mean().item()
                for name, other in found.items()
            }
            row = dict(bank=size, dim=dim, k=k, queries=args.queries)
            rows.append(row | dict(same=same, seconds=seconds))
            worst = 100 * min(same.values())
            print(f'{row}: at least {worst:.3f} % of the neighbours are the same')
            print(rounds.compared(seconds), flush=True)
            rounds.write(args, rows)
