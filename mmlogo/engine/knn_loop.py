"""Validation and test loops that score frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from mmengine.runner import autocast
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from mmlogo.engine.unwrap import unwrapped
from mmlogo.engine.waiting import explained, share_in_workers, watched
from mmlogo.evaluation.features import EMPTY, Features, Source, assemble, extract
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.models.parts.statistics import averaged_statistics
from mmlogo.registry import LOOPS


@LOOPS.register_module()
class KNNLoop(BaseLoop):
    """Extract the features of a bank and of queries, and score them.

    With it, logging, TensorBoard and `save_best` work for a self-supervised model as for
    any other. All metrics of the evaluator share the features.

    Args:
        runner: The Runner.
        dataloader: Loader of the queries, or its config.
        evaluator: Configs of metrics, each a `FeatureMetric`.
        bank_dataloader: Loader of the labelled bank, or its config. Default: None, which
            takes `bank_dataloader` at the top level of the config, so that validation and
            test share one.
        fp16: With True, features are extracted in bfloat16 under autocast. Scores are
            float32 either way. Default: False.

    Raises:
        TypeError: If a metric is no `FeatureMetric`.
        ValueError: If a metric needs a bank and there is none, or if bank and queries
            number their classes differently.
    """

    stage = 'val'

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        evaluator: dict | list,
        *,
        bank_dataloader: DataLoader | dict | None = None,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader)
        share_in_workers(self.dataloader)
        self.evaluator = runner.build_evaluator(evaluator)
        for metric in self.evaluator.metrics:
            if not isinstance(metric, FeatureMetric):
                raise TypeError(
                    f'KNNLoop cannot feed {type(metric).__name__}: metrics of features '
                    'derive from mmlogo.evaluation.FeatureMetric, such as KNNMetric'
                )
        self.bank_dataloader: DataLoader | None = None
        if any(metric.needs_bank for metric in self.evaluator.metrics):
            bank_dataloader = bank_dataloader or runner.cfg.get('bank_dataloader')
            if bank_dataloader is None:
                raise ValueError(
                    f'{type(self).__name__} has no bank to find neighbours in; set '
                    '`bank_dataloader` at the top level of the config'
                )
            self.bank_dataloader = runner.build_dataloader(bank_dataloader, runner.seed)
            share_in_workers(self.bank_dataloader)
            _check_same_classes(self.bank_dataloader.dataset, self.dataloader.dataset)
        self.fp16 = fp16

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        self.runner.call_hook(f'before_{self.stage}')
        self.runner.call_hook(f'before_{self.stage}_epoch')
        model = self.runner.model
        was_training = model.training
        model.eval()
        # Every process must extract with the same statistics, those of a checkpoint.
        # Otherwise k-NN would compare features of different networks.
        with explained(), averaged_statistics(unwrapped(model)):
            bank: dict = {}
            if self.bank_dataloader is not None:
                of_bank = [m for m in self.evaluator.metrics if m.needs_bank]
                bank = self.collect(self.bank_dataloader, of_bank, report=False)
            query = self.collect(self.dataloader, self.evaluator.metrics, report=True)
        metrics: dict[str, float] = {}
        for metric in self.evaluator.metrics:
            source = metric.features
            scores = metric.score(bank.get(source, EMPTY), query[source])
            twice = sorted(set(scores) & set(metrics))
            if twice:
                raise ValueError(
                    f'two metrics report {twice}; give one a `prefix` of its own'
                )
            metrics |= scores
        model.train(was_training)
        self.runner.call_hook(f'after_{self.stage}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.stage}')
        return metrics

    def collect(
        self, dataloader: DataLoader, metrics: Sequence[FeatureMetric], report: bool
    ) -> dict[str | Source, Features]:
        """Extract the features of a loader, by source.

        Args:
            dataloader: The loader.
            metrics: Metrics whose features are extracted.
            report: With True, call the hooks before and after every batch. With False, as
                for a bank, call only the hooks' `before_bank_iter`.

        Raises:
            ValueError: If the loader has no batch on this process.
        """
        model = unwrapped(self.runner.model)
        labelled = any(metric.needs_labels for metric in metrics)
        parts: dict[str | Source, list[Features]] = {m.features: [] for m in metrics}
        for idx, data in enumerate(watched(dataloader)):
            if report:
                self._hook('before', idx, data)
            else:  # not a stage of MMEngine; BadSamplesHook has it
                self.runner.call_hook('before_bank_iter', batch_idx=idx, data_batch=data)
            # CUDA's default is float16, whose range may be too small for features.
            half = autocast(dtype=torch.bfloat16) if self.fp16 else nullcontext()
            with half:
                features = extract(model, data, parts, labelled)
            for source, x in features.items():
                parts[source].append(x)
            if report:
                self._hook('after', idx, data, outputs=[])
        if not len(dataloader):
            raise ValueError(
                'a k-NN loader served no batch on this process; use fewer processes or '
                'more samples'
            )
        return {source: assemble(batches) for source, batches in parts.items()}

    def _hook(self, when: str, idx: int, data: dict, **outputs) -> None:
        self.runner.call_hook(
            f'{when}_{self.stage}_iter', batch_idx=idx, data_batch=data, **outputs
        )


def _check_same_classes(bank: object, query: object) -> None:
    """Raise ValueError if two data sets number their classes differently."""
    first, second = (
        list(getattr(data, 'metainfo', {}).get('classes') or ()) for data in (bank, query)
    )
    if first and second and first != second:
        differ = sorted(set(first) ^ set(second))
        raise ValueError(
            'the bank and the queries of k-NN number their classes differently '
            f'({len(first)} and {len(second)} classes; in one only: {differ[:5]}); '
            'give both the same class folders, empty ones too'
        )


@LOOPS.register_module()
class KNNTestLoop(KNNLoop):
    """`KNNLoop` that calls the test hooks, for `tools/test.py`."""

    stage = 'test'
