"""A hook that trains a linear classifier beside the encoder and does not change it."""

from __future__ import annotations

from contextlib import ExitStack

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from mmengine.dist import all_reduce, all_reduce_params
from mmengine.hooks import Hook
from mmengine.utils import apply_to
from torch import Tensor

from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.engine.unwrap import unwrapped
from mmlogo.evaluation.features import pooled
from mmlogo.evaluation.linear import LinearProbe, OnlineProbeMetric
from mmlogo.registry import HOOKS, OPTIMIZERS

SAVED_AS = 'online_probe'


@HOOKS.register_module()
class OnlineProbeHook(Hook):
    """Train a `LinearProbe` on the backbone's features of the global views.

    The probe takes one step per training step. Its inputs are the features of the
    training's own forward pass, without gradient. So the hook adds no forward pass of the
    encoder, gives it no gradient and draws no random numbers. The probe is trained only if
    the evaluator has an `OnlineProbeMetric`. It is saved in the checkpoint. Samples with
    label -1, such as STL-10's unlabelled ones, take part in the normalisation but not in
    the loss.

    Args:
        optimizer: Config of the probe's optimiser. Default: None, which gives Adam with
            learning rate 1e-3.

    Raises:
        ValueError: If the evaluator has that metric and the training set has no labels.
    """

    priority = 'HIGHEST'  # StepInfoHook must read the probe's loss with the model's

    def __init__(self, optimizer: dict | None = None) -> None:
        self.optimizer_cfg = optimizer or dict(type='Adam', lr=1e-3)
        self.probe: LinearProbe | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.saved: dict = {}
        self.views: list[Tensor] = []
        self.features: list[Tensor] = []
        self.listening = ExitStack()
        self.passed_over = False

    def before_train(self, runner) -> None:
        if not metrics_of(runner.val_loop):
            return
        if runner.iter == 0:
            # Not resumed: a probe in loaded weights was trained in another run.
            self.saved = {}
        dataset = runner.train_dataloader.dataset
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        if not classes:
            raise _no_labels('the training set names no classes')
        self.num_classes = len(classes)
        model = unwrapped(runner.model)
        for part, hear in (
            (model.data_preprocessor, self.hear_views),
            (model.backbone, self.hear_features),
        ):
            self.listening.callback(part.register_forward_hook(hear).remove)

    def hear_views(self, preprocessor, args, made: dict) -> None:
        """Note the global views of a training batch."""
        views = made['inputs'] if preprocessor.training else []
        views = [] if isinstance(views, Tensor) else views
        self.views = list(views[: getattr(preprocessor, 'num_globals', len(views))])
        self.features = []

    def hear_features(self, backbone, args, maps) -> None:
        """Keep the features of a global view in training, (N, D)."""
        if backbone.training and any(_same(args[0], view) for view in self.views):
            self.features.append(pooled(maps, -1).detach())

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if not self.features:
            if self.views and not self.passed_over:
                self.passed_over = True
                runner.logger.warning(
                    'No online probe: no global view went through the backbone by itself'
                )
            return
        x, label = torch.cat(self.features), labels_of(data_batch)
        if label is None:
            raise _no_labels('the training batches carry none')
        y = label.to(x.device, non_blocking=True).repeat(len(self.features))
        self.views, self.features = [], []
        if self.probe is None:
            self.build(x)
        loss = self.learn(x, y)
        if outputs is not None:
            outputs['online_loss'] = loss

    def build(self, x: Tensor) -> None:
        """Make the probe and its optimiser for features (N, D). Load a saved state."""
        self.probe = LinearProbe(x.shape[1], self.num_classes).to(x.device)
        self.optimizer = OPTIMIZERS.build(
            dict(self.optimizer_cfg, params=self.probe.parameters())
        )
        if self.saved:
            self.probe.load_state_dict(self.saved['probe'])
            self.optimizer.load_state_dict(self.saved['optimizer'])

    def learn(self, x: Tensor, y: Tensor) -> Tensor:
        """Take one step on features (N, D) and labels (N,). Return the probe's loss."""
        assert self.probe is not None
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        scores = self.probe.train()(x)
        loss = F.cross_entropy(scores, y, ignore_index=-1, reduction='sum')
        count = (y >= 0).sum().float()
        all_reduce(count, op='mean')  # processes may have different numbers of labels
        loss = loss / count.clamp(min=1)
        loss.backward()
        gradients = [p.grad for p in self.probe.parameters() if p.grad is not None]
        all_reduce_params(gradients, op='mean')
        self.optimizer.step()
        return loss.detach()

    def after_train(self, runner) -> None:
        self.listening.close()

    def before_val(self, runner) -> None:
        self.hand_over(runner.val_loop)

    def before_test(self, runner) -> None:
        if self.hand_over(runner.test_loop) is None and metrics_of(runner.test_loop):
            runner.logger.warning('No online accuracy: the checkpoint has no probe')

    def hand_over(self, loop) -> LinearProbe | None:
        """Give the probe to the metrics. Before training it is the saved one, if any."""
        probe = self.restored() if self.probe is None else self.probe.eval()
        for metric in metrics_of(loop):
            metric.probe = probe
        return probe

    def restored(self) -> LinearProbe | None:
        """Return the saved probe, or None."""
        if not self.saved:
            return None
        state = self.saved['probe']
        num_classes, dim = state['1.weight'].shape
        probe = LinearProbe(dim, num_classes).to(get_device()).eval()
        probe.load_state_dict(state)
        return probe

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.probe is not None and self.optimizer is not None:
            state = dict(
                probe=self.probe.state_dict(), optimizer=self.optimizer.state_dict()
            )
            # as MMEngine does with all that it saves itself
            self.saved = apply_to(state, torch.is_tensor, torch.Tensor.cpu)
        if self.saved:
            checkpoint[SAVED_AS] = self.saved

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self.saved = checkpoint.get(SAVED_AS, {})


def metrics_of(loop) -> list[OnlineProbeMetric]:
    """Return the metrics of a validation or test loop that need the probe."""
    metrics = loop.evaluator.metrics if isinstance(loop, KNNLoop) else []
    return [metric for metric in metrics if isinstance(metric, OnlineProbeMetric)]


def labels_of(data: dict) -> Tensor | None:
    """Return the labels (N,) of a batch of ours or of mmpretrain, or None."""
    if 'data_samples' in data and 'gt_label' not in data:
        samples = data['data_samples']
        if not all('gt_label' in sample for sample in samples):
            return None
        return torch.cat([sample.gt_label.view(-1) for sample in samples])
    return data.get('gt_label')


def _same(x: Tensor, view: Tensor) -> bool:
    return x.shape == view.shape and x.data_ptr() == view.data_ptr()


def _no_labels(why: str) -> ValueError:
    return ValueError(
        f'an online probe needs labels and {why}; take OnlineProbeMetric out of '
        'val_evaluator, or train on a labelled set'
    )
