"""Time k-NN against faiss and against the whole score matrix at once.

.dev/benchmark_knn.py [--bank 50000] [--queries 10000] [--dim 512] [--k 200] [--rounds 3]

Random features; all three must find the same neighbours but for exact ties. They are timed
in turn, and the ratios are of each round; faiss is `IndexFlatIP`, exact.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlogo.evaluation.knn import nearest


def seconds(find: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.perf_counter()
    found = find()
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in dict(bank=50000, queries=10000, dim=512, k=200, rounds=3).items():
        parser.add_argument(f'--{name}', type=int, default=value)
    args = parser.parse_args()
    import faiss  # in the `tests` extra

    faiss.omp_set_num_threads(torch.get_num_threads())
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(args.bank, args.dim, generator=generator)
    query = torch.randn(args.queries, args.dim, generator=generator)

    def ours() -> Tensor:
        return torch.cat([rows for _, rows in nearest(query, bank, args.k)])

    def with_faiss() -> Tensor:
        index = faiss.IndexFlatIP(args.dim)
        index.add(F.normalize(bank, dim=1).numpy())
        found = index.search(F.normalize(query, dim=1).numpy(), args.k)[1]
        return torch.from_numpy(found)

    def at_once() -> Tensor:
        scores = F.normalize(query, dim=1) @ F.normalize(bank, dim=1).T
        return scores.topk(args.k, dim=1).indices

    ways = {'ours': ours, 'faiss': with_faiss, 'all scores at once': at_once}
    times: dict[str, list[float]] = {name: [] for name in ways}
    peak = 0.0
    for _ in range(args.rounds):
        found = {}
        for name, way in ways.items():
            taken, found[name] = seconds(way)
            times[name].append(taken)
            if not peak:  # the first pass of ours
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        for name in ('faiss', 'all scores at once'):
            same = (found['ours'] == found[name]).float().mean().item()
            print(f'{100 * same:.4f} % of the neighbours are at the place {name} has them')
    threads = torch.get_num_threads()
    print(f'{args.queries} queries, bank {args.bank} x {args.dim}, {threads} threads')
    print(f'peak memory after the first pass of ours, with the features: {peak:.0f} MB')
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(taken, times['ours'], strict=True)]
        print(f'{name:20s} {min(taken):7.2f} s   {statistics.median(ratios):5.2f} x ours')


if __name__ == '__main__':
    main()
