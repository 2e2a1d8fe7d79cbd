"""The losses of all methods, as plain functions of embeddings.

Letters: q query, k key, p prediction, N batch, D length of an embedding, K length of the
queue. Every loss is a mean over the batch, in at least float32, and passes no gradient to
its targets.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mmlogo.models.parts.precision import at_least_float32


def unit(z: Float[Tensor, 'N D ...']) -> Float[Tensor, 'N D ...']:
    """Return z at unit norm over D."""
    return F.normalize(at_least_float32(z), dim=1)


def negative_cosine(
    p: Float[Tensor, 'N D ...'], target: Float[Tensor, 'N D ...']
) -> Float[Tensor, '']:
    """-cos(p, sg(target)), in [-1, 1]: SimSiam, arXiv 2011.10566, equation 1.

    Args:
        p: (N, D), or (N, D, K) with K vectors an image, whose mean is taken.
        target: The same shape; no gradient.
    """
    p, target = at_least_float32(p), at_least_float32(target.detach())
    return -F.cosine_similarity(p, target, dim=1).mean()


def squared_distance(
    p: Float[Tensor, 'N D ...'], target: Float[Tensor, 'N D ...']
) -> Float[Tensor, '']:
    """2 - 2 cos(p, sg(target)), in [0, 4]: BYOL, arXiv 2006.07733, equation 2.

    It is the squared distance of the two at unit norm. Arguments are those of
    `negative_cosine`.
    """
    return 2 + 2 * negative_cosine(p, target)


def info_nce(
    q: Float[Tensor, 'N D'],
    k: Float[Tensor, 'N D'],
    negatives: Float[Tensor, 'K E'],
    temperature: float,
) -> Float[Tensor, '']:
    """-log( exp(q k / tau) / (exp(q k / tau) + sum over negatives exp(q n / tau)) ).

    MoCo, arXiv 1911.05722, equation 1; LoGo, arXiv 2203.17205, equation 1.

    Args:
        q: (N, D), unit norm.
        k: (N, D), unit norm; row n is the key of query n. No gradient.
        negatives: (K, D), unit norm. No gradient.
        temperature: tau > 0.

    Raises:
        ValueError: If the negatives have another length than q.
    """
    positive = (q * k.detach()).sum(dim=1, keepdim=True)  # (N, 1)
    logits = torch.cat((positive, similarity(q, negatives)), dim=1)  # (N, 1 + K)
    first = torch.zeros(len(q), dtype=torch.int64, device=q.device)
    return F.cross_entropy(logits / temperature, first)


def log_sum_exp(
    q: Float[Tensor, 'N D'], negatives: Float[Tensor, 'K E'], temperature: float
) -> Float[Tensor, ' N']:
    """log(sum over negatives exp(q n / tau)), (N,), for `info_nce_given`."""
    return (similarity(q, negatives) / temperature).logsumexp(dim=1)


def info_nce_given(
    q: Float[Tensor, 'N D'],
    k: Float[Tensor, 'N D'],
    negative: Float[Tensor, ' N'],
    temperature: float,
) -> Float[Tensor, '']:
    """`info_nce`, if what the negatives add to it is known: equal but for rounding.

    Args:
        q: (N, D), unit norm.
        k: (N, D), unit norm; row n is the key of query n. No gradient.
        negative: (N,), the `log_sum_exp` of q.
        temperature: tau > 0.
    """
    positive = (q * k.detach()).sum(dim=1) / temperature  # (N,)
    return (torch.logaddexp(positive, negative) - positive).mean()


def variance_hinge(
    z: Float[Tensor, 'N D'], target: float = 1.0, epsilon: float = 1e-4
) -> Float[Tensor, '']:
    """Mean over D of max(0, gamma - sqrt(Var(z_d) + epsilon)).

    VICReg, arXiv 2105.04906, equations 1 and 2. The variance is over the batch, with N - 1.

    Args:
        z: (N, D), N >= 2.
        target: gamma, the deviation above which nothing is lost. Default: 1.
        epsilon: It keeps the root's gradient finite at a variance of 0. Default: 1e-4.
    """
    deviation = (at_least_float32(z).var(dim=0) + epsilon).sqrt()
    return F.relu(target - deviation).mean()


def covariance_penalty(z: Float[Tensor, 'N D']) -> Float[Tensor, '']:
    """1 / D times the sum of the squared covariances of different components.

    VICReg, arXiv 2105.04906, equations 3 and 4.

    Args:
        z: (N, D), N >= 2.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = at_least_float32(z)
        n, d = z.shape
        centred = (z - z.mean(dim=0)) / math.sqrt(n - 1)
        # Z'Z (D, D) and ZZ' (N, N) have the same sum of squares; the smaller is cheaper.
        products = centred @ centred.T if n < d else centred.T @ centred
        variance = centred.square().sum(dim=0)
        return (products.square().sum() - variance.square().sum()) / d


def relations(
    x: Float[Tensor, 'N D'], queue: Float[Tensor, 'K E'], temperature: float
) -> Float[Tensor, 'N K']:
    """softmax(x queue / tau): how x relates to the queue (CGH, arXiv 2308.13392).

    Args:
        x: (N, D), unit norm.
        queue: (K, D), unit norm. No gradient.
        temperature: tau > 0.
    """
    return (similarity(x, queue) / temperature).softmax(dim=1)


def relation_cross_entropy(
    target: Float[Tensor, 'N K'],
    x: Float[Tensor, 'N D'],
    queue: Float[Tensor, 'K E'],
    temperature: float,
) -> Float[Tensor, '']:
    """H(target, relations(x, queue, tau)): CGH, arXiv 2308.13392.

    Args:
        target: (N, K), relations to a queue whose row j is the image of row j of
            `queue`.
        x: (N, D), unit norm.
        queue: (K, D), unit norm. No gradient.
        temperature: tau > 0, of the relations of x.
    """
    return F.cross_entropy(similarity(x, queue) / temperature, target)


def similarity(
    x: Float[Tensor, 'N D'], queue: Float[Tensor, 'K E']
) -> Float[Tensor, 'N K']:
    """Return the dot products of x with a queue, (N, K), no gradient to the queue.

    Raises:
        ValueError: If the queue holds vectors of another length.
    """
    if x.shape[1] != queue.shape[1]:
        raise ValueError(
            f'the queue holds keys of length {queue.shape[1]} and the neck gives '
            f'{x.shape[1]}; set queue.dim (or queue.dims) to the out_channels of the neck'
        )
    # bfloat16 would round the logits by more than a confident loss is worth
    with torch.autocast(x.device.type, enabled=False):
        return at_least_float32(x) @ queue.detach().T
