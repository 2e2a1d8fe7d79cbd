"""A step of an algorithm beside the sum of its parts, each written in plain torch.

The step is forward, backward and optimiser on one batch of real views. The parts, with the
same modules and tensors: `network` (forward and backward of backbone and neck for every
view), `teacher` (its moving average and its keys), `objective` (cosines, or InfoNCE with
the queue), `affinity` (LoGo's regressor and push), `optimizer`. Each is timed by itself in
every round.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from benchmarks import gpu, rounds
from mmengine.runner import Runner
from torch import nn

from mmlogo.engine.hooks import ClockHook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu.add_arguments(parser)
    rounds.add_arguments(parser, rounds=9)


def parts(runner: Runner, batch: dict) -> dict[str, Callable[[], object]]:
    """Parts of the step, by name, in plain torch."""
    model, inputs = runner.model, batch['inputs']
    head = getattr(model.head, 'pull', model.head)
    predictor = getattr(head, 'predictor', None)
    queue, teacher = getattr(model, 'queue', None), getattr(model, 'teacher', None)
    if predictor is None and not (queue and hasattr(head, 'temperature')):
        raise ValueError(
            f'the parts of {type(model).__name__} are not known; give a config of SimSiam, '
            'SimSiam-LoGo or MoCo-LoGo'
        )
    count = getattr(model.data_preprocessor, 'num_globals', 2)
    encoder = nn.Sequential(model.backbone, model.neck)
    precision = runner.optim_wrapper.optim_context
    with torch.no_grad(), precision(model):
        z = [encoder(x)[0] for x in inputs]
    gradients = [torch.randn_like(one) for one in z]
    embedded = [one.clone().requires_grad_() for one in z]
    constant = [one.clone() for one in z[:count]]
    optimizer = runner.optim_wrapper.optimizer
    for group in optimizer.param_groups:
        group['lr'] = 0.0  # the gradients of `network` are random and would lead to NaN

    def network() -> None:
        with precision(model):
            out = [encoder(x)[0] for x in inputs]
        torch.autograd.backward(out, gradients)

    def follow() -> None:
        old, new = nn.ModuleList((teacher.backbone, teacher.neck)), encoder
        with torch.no_grad(), precision(model):
            torch._foreach_lerp_([*old.parameters()], [*new.parameters()], 0.01)
            for x in inputs[:count]:
                order = torch.randperm(len(x))
                old[1](old[0](x[order]))[0][order.argsort()]

    def cosines() -> None:
        with precision(model):
            p = [predictor([one])[0].float() for one in embedded]
        losses = [
            -F.cosine_similarity(p[a], constant[b].float()).mean()
            for a, b in itertools.product(range(len(p)), range(count))
            if a != b
        ]
        torch.stack(losses).mean().backward()

    def contrast() -> None:
        keys = [F.normalize(one.float()) for one in constant]
        negatives = queue.keys.clone()
        losses = []
        for a, one in enumerate(embedded):
            q = F.normalize(one.float())
            with precision(model):
                logits = q @ negatives.T
            negative = (logits.float() / head.temperature).logsumexp(1)
            for b, k in enumerate(keys):
                if a != b:
                    positive = (q * k).sum(1) / head.temperature
                    losses.append((torch.logaddexp(positive, negative) - positive).mean())
        torch.stack(losses).mean().backward()
        queue.keys[: len(keys[0])] = keys[0]

    def affinity() -> None:
        local = [F.normalize(one.float()) for one in embedded[count:]]
        with precision(model):
            push = model.head.affinity.push(local)
            own = model.head.affinity.loss(local, batch['data_samples'].rows)
        (push + sum(v for name, v in own.items() if 'loss' in name)).backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    found = dict(network=network, teacher=follow, objective=cosines, affinity=affinity)
    found['objective'] = cosines if predictor is not None else contrast
    if teacher is None:
        del found['teacher']
    if getattr(model.head, 'affinity', None) is None:
        del found['affinity']
    return found | dict(optimizer=update)


def measure(config: str, args: argparse.Namespace) -> dict[str, Any]:
    runner, seconds = gpu.build(config, args), {}
    gpu.at_start(runner, lambda: seconds.update(in_turn(runner, args.rounds)))
    total = [sum(times) for times in zip(*list(seconds.values())[1:], strict=True)]
    return dict(
        config=Path(config).stem,
        batch=runner.train_dataloader.batch_size,
        precision='float32' if args.no_amp else 'bfloat16',
        ratio=rounds.ratios(seconds['step'], total),
        seconds=seconds | dict(parts=total),
    )


def in_turn(runner: Runner, count: int) -> rounds.Seconds:
    """Seconds of the step and of each part, in `count` rounds."""
    model, wrapper = runner.model.train(), runner.optim_wrapper
    clock = next(hook for hook in runner.hooks if isinstance(hook, ClockHook))
    batch = model.data_preprocessor(next(iter(runner.train_dataloader)), True)

    def step() -> None:
        clock.before_train_iter(runner, 0)
        with wrapper.optim_context(model):
            losses = model(**batch, mode='loss')
        wrapper.update_params(model.parse_losses(losses)[0])
        runner.train_loop._iter += 1

    return rounds.in_turn(dict(step=step, **parts(runner, batch)), count)[0]


def run(args: argparse.Namespace) -> None:
    rows = []
    for config in args.configs:
        row = measure(config, args)
        rows.append(row)
        low, middle, high = row['ratio']
        print(
            f'{row["config"]}, {row["precision"]}, batch {row["batch"]}: a step takes '
            f'{middle:.3f} of the sum of its parts ({low:.3f} to {high:.3f})'
        )
        for name, times in row['seconds'].items():
            print(f'  {name:12s} {1000 * statistics.median(times):9.1f} ms')
        rounds.write(args, rows)
