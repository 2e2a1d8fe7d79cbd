"""A training with everything around it, beside others that do the same work.

One training of the config by its own Runner, with its hooks and its log. After every block
of its steps each of the others takes as many, with a copy of the network as it was before
the first step. An iteration goes from images to the optimiser's step. The others:

- bare, channels_last and bare, contiguous: a plain loop of torch over our loader and our
  views. Their first loss must be that of the Runner.
- kornia: a plain loop, channels_last, over images in memory, with kornia's augmentations on
  whole batches.
- lightly: its transform of PIL images, its loss, torch's DataLoader, as in its tutorials.
- mmpretrain: its transforms, its collate function, its data preprocessor and `train_step`.

The last three draw other views of the same kind. They know two global views of one size, so
they are left out for other configs. All use one process and load in it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from benchmarks import gpu, rounds
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmlogo.registry import MODELS
from mmlogo.views.spec import ViewSpec

try:
    import kornia.augmentation as kornia
except ImportError:
    kornia = None
try:
    import lightly.loss
    import lightly.transforms
except ImportError:
    lightly = None

Step = Callable[[], Tensor | None]  # one iteration; its loss, if others must have it too
TOLERANCE = dict(float32=1e-4, bfloat16=5e-3)  # of first losses, which are about 0 to 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu.add_arguments(parser)
    rounds.add_arguments(parser)
    parser.add_argument('--block', type=int, default=5, help='steps in a round')


def forever(loader: DataLoader) -> Iterator[Any]:
    for epoch in itertools.count():
        if hasattr(loader.sampler, 'set_epoch'):
            loader.sampler.set_epoch(epoch)
        yield from loader


class Others:
    """What the Runner is compared with. Every step trains a copy of its model."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.model = runner, runner.model
        self.amp = type(runner.optim_wrapper).__name__ != 'OptimWrapper'
        self.batch = runner.train_dataloader.batch_size
        self.dataset = runner.train_dataloader.dataset
        preprocessor = self.model.data_preprocessor
        self.specs: list[ViewSpec] = list(preprocessor.specs)
        self.mean, self.std = preprocessor.mean.flatten(), preprocessor.std.flatten()

    def steps(self) -> dict[str, Step]:
        two = len(self.specs) == 2 and len({*self.specs}) == 1 and not self.specs[0].blur
        others = dict(
            kornia=(self.kornia, kornia),
            lightly=(self.lightly, lightly),
            mmpretrain=(self.mmpretrain, type(self.model).__name__ == 'SimSiam'),
        )
        found = {}
        for name, layout in (
            ('bare, channels_last', torch.channels_last),
            ('bare, contiguous', torch.contiguous_format),
        ):
            if step := self.bare(layout):
                found[name] = step
            else:
                print(f'{name} is left out: it knows the two cosine methods')
        for name, (build, there) in others.items():
            if two and there:
                found[name] = build()
            else:
                print(f'{name} is left out: {"not installed" if two else "other views"}')
        return found

    def copied(self) -> nn.Module:
        model = MODELS.build(self.runner.cfg.model)
        model.load_state_dict(self.model.state_dict())
        return model.train()

    def trained(self, layout=torch.channels_last) -> Callable[[list[Tensor]], Tensor]:
        return gpu.bare_loop(self.copied(), amp=self.amp, layout=layout)

    def loader(self, dataset: Any, **kwargs) -> DataLoader:
        return DataLoader(dataset, self.batch, shuffle=True, drop_last=True, **kwargs)

    def bare(self, layout: torch.memory_format) -> Step | None:
        step = self.trained(layout)
        if step is None:
            return None
        run = self.runner
        batches = forever(run.build_dataloader(run.cfg.train_dataloader, run.seed))
        preprocessor = self.copied().data_preprocessor
        preprocessor.channels_last = layout is torch.channels_last
        return lambda: step(preprocessor(next(batches), True)['inputs'])

    def kornia(self) -> Step:
        spec, step = self.specs[0], self.trained()
        augment = kornia.AugmentationSequential(
            kornia.RandomResizedCrop((spec.size,) * 2, spec.scale, spec.ratio),
            kornia.RandomHorizontalFlip(spec.flip),
            kornia.ColorJitter(*spec.jitter, p=spec.jitter_p),
            kornia.RandomGrayscale(p=spec.gray),
            kornia.Normalize(self.mean, self.std),
        )

        def batches() -> Iterator[Tensor]:
            while True:
                order = torch.randperm(len(self.dataset)).split(self.batch)
                yield from (self.dataset.images[i] for i in order if len(i) == self.batch)

        images = batches()

        def iteration() -> None:
            x = next(images).float() / 255
            with torch.no_grad():
                views = [augment(x), augment(x)]
            step(views).item()

        return iteration

    def lightly(self) -> Step:
        spec, model = self.specs[0], self.copied()
        transform = lightly.transforms.SimSiamTransform(
            input_size=spec.size,
            cj_prob=spec.jitter_p,
            cj_strength=1.0,
            cj_bright=spec.jitter[0],
            cj_contrast=spec.jitter[1],
            cj_sat=spec.jitter[2],
            cj_hue=spec.jitter[3],
            min_scale=spec.scale[0],
            random_gray_scale=spec.gray,
            gaussian_blur=0.0,
            hf_prob=spec.flip,
            normalize=dict(mean=self.mean.tolist(), std=self.std.tolist()),
        )
        dataset = Pictures(self.dataset.images, transform)
        batches = forever(self.loader(dataset))
        criterion = lightly.loss.NegativeCosineSimilarity()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        def embedded(x: Tensor) -> tuple[Tensor, Tensor]:
            z = model.neck(model.backbone(x))
            return z[0].detach(), model.head.predictor(z)[0]

        def iteration() -> None:
            x0, x1 = next(batches)
            with torch.autocast('cpu', torch.bfloat16, enabled=self.amp):
                (z0, p0), (z1, p1) = embedded(x0), embedded(x1)
                loss = 0.5 * (criterion(z0, p1) + criterion(z1, p0))
            loss.item()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return iteration

    def mmpretrain(self) -> Step:
        from mmengine.dataset import Compose, default_collate
        from mmpretrain.models import SelfSupDataPreprocessor
        from mmpretrain.registry import TRANSFORMS

        spec, model = self.specs[0], self.copied()
        names = ('brightness', 'contrast', 'saturation', 'hue')
        jitter = dict(type='ColorJitter', **dict(zip(names, spec.jitter, strict=True)))
        view = [
            dict(
                type='RandomResizedCrop',
                scale=spec.size,
                crop_ratio_range=spec.scale,
                backend='pillow',
            ),
            dict(type='RandomApply', transforms=[jitter], prob=spec.jitter_p),
            dict(type='RandomGrayscale', prob=spec.gray, keep_channels=True),
            dict(type='RandomFlip', prob=spec.flip),
        ]
        pipeline = Compose(
            [
                TRANSFORMS.build(dict(cfg, _scope_='mmpretrain'))
                for cfg in (
                    dict(type='MultiView', num_views=2, transforms=[view]),
                    dict(type='PackInputs'),
                )
            ]
        )
        model.data_preprocessor = SelfSupDataPreprocessor(
            mean=(255 * self.mean).tolist(), std=(255 * self.std).tolist(), bgr_to_rgb=True
        )
        dataset = Pictures(self.dataset.images, pipeline, dicts=True)
        batches = forever(self.loader(dataset, collate_fn=default_collate))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        wrapper = type(self.runner.optim_wrapper)(optimizer=optimizer)

        return lambda: model.train_step(next(batches), wrapper)['loss'].item()


class Pictures(torch.utils.data.Dataset):
    """Images one by one: PIL's for torchvision's transforms, BGR arrays for MMEngine's."""

    def __init__(self, images: Tensor, transform: Callable, dicts: bool = False) -> None:
        from PIL import Image

        arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.dicts, self.transform = dicts, transform
        self.images = [
            array[..., ::-1].copy() if dicts else Image.fromarray(array) for array in arrays
        ]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        image = self.images[index]
        if not self.dicts:
            return self.transform(image)
        shape = image.shape[:2]
        return self.transform(
            dict(img=image.copy(), img_shape=shape, ori_shape=shape, sample_idx=index)
        )


class InTurn(Hook):
    """Stops the Runner's clock after every block of steps, and lets the others run."""

    def __init__(self, count: int, block: int) -> None:
        self.count, self.block = count, block
        self.seconds: rounds.Seconds = dict(ours=[])
        self.first: dict[str, float] = {}

    def before_train(self, runner) -> None:
        self.others = Others(runner)
        self.steps = self.others.steps()
        self.seconds |= {name: [] for name in self.steps}

    def before_train_epoch(self, runner) -> None:
        if not runner.iter:
            self.start = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if 'ours' not in self.first:
            pulled = [outputs[x] for x in ('loss_gg', 'loss_lg') if x in outputs]
            self.first['ours'] = sum(x.item() for x in pulled or [outputs['loss']])
        if (runner.iter + 1) % self.block:
            return
        rounds.synchronise()
        self.seconds['ours'].append(time.perf_counter() - self.start)
        for name, step in self.steps.items():
            spent = [rounds.measured(step) for _ in range(self.block)]
            self.seconds[name].append(sum(seconds for seconds, _ in spent))
            if isinstance(spent[0][1], Tensor):
                self.first.setdefault(name, spent[0][1].item())
        if len(self.seconds['ours']) > self.count:
            raise gpu.EnoughError
        self.start = time.perf_counter()


def measure(config: str, args: argparse.Namespace) -> dict[str, Any]:
    runner = gpu.build(config, args, epochs=1000)
    # Before the probe hears of the epoch, and after every other hook of an iteration.
    hook = InTurn(args.rounds, args.block)
    runner.register_hook(hook, priority='LOWEST')
    with contextlib.suppress(gpu.EnoughError):
        runner.train()
    precision = 'bfloat16' if hook.others.amp else 'float32'
    for name, loss in hook.first.items():
        if not abs(loss - hook.first['ours']) < TOLERANCE[precision]:
            raise ValueError(
                f'{name} has the first loss {loss} and the Runner {hook.first["ours"]}: '
                'they do not do the same work'
            )
    return dict(
        config=Path(config).stem,
        batch=hook.others.batch,
        precision=precision,
        block=args.block,
        first_losses=hook.first,
        seconds={name: times[1:] for name, times in hook.seconds.items()},  # warmed up
    )


def run(args: argparse.Namespace) -> None:
    rows = []
    for config in args.configs:
        row = measure(config, args)
        rows.append(row)
        images = row['batch'] * row['block'] / statistics.median(row['seconds']['ours'])
        print(f'{row["config"]}, {row["precision"]}, batch {row["batch"]}: {images:.1f}/s')
        print(rounds.compared(row['seconds']), flush=True)
        rounds.write(args, rows)
