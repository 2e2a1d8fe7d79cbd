"""Optimiser wrappers and parameter groups."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from mmcv.cnn import is_norm
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn
from torch.optim import Optimizer

from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

FUSED = ('SGD', 'Adam', 'AdamW')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with groups that hold their learning rate.

    `paramwise_cfg.custom_keys = {'head.affinity': dict(hold_lr=True)}` keeps the learning
    rate of a group at its first value, as scaled by `auto_scale_lr`. The rate is restored
    before every optimiser step, so no scheduler has an effect on it. It is part of the
    optimiser's state, so a resumed run keeps it.

    `paramwise_cfg.norm_and_bias = dict(weight_decay=0.0, lars_exclude=True)` gives options
    to the parameters of norm layers and to biases. It finds them by their kind, not by
    their name. A custom key takes precedence over it.

    On a GPU, SGD, Adam and AdamW are made with `fused=True`, if the config does not choose
    another way. A step is a few calls then, and `FiniteHook` need not wait for the GPU.

    Parameters with equal options share a group, so that the optimiser works on lists of
    tensors. MMEngine makes one group per parameter.

    Raises:
        ValueError: If a custom key is in the name of no trainable parameter.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        plain = unwrapped(model)
        names = [name for name, p in plain.named_parameters() if p.requires_grad]
        for key in self.paramwise_cfg.get('custom_keys', {}):
            if not any(key in name for name in names) and not _is_left_out(plain, key):
                prefixes = {
                    '.'.join(name.split('.')[:depth])
                    for name in names
                    for depth in (1, 2, 3)
                }
                near = get_close_matches(key, prefixes, 1)
                hint = f'; did you mean {near[0]!r}?' if near else ''
                raise ValueError(
                    f'paramwise_cfg.custom_keys has {key!r}, which is in the name of no '
                    f'trainable parameter{hint}'
                )
        chosen = {'fused', 'foreach', 'differentiable'} & set(self.optimizer_cfg)
        on_gpu = next(plain.parameters()).is_cuda
        if on_gpu and self.optimizer_cfg['type'] in FUSED and not chosen:
            self.optimizer_cfg['fused'] = True
        with _quiet():  # MMEngine would log every option and every frozen parameter
            wrapper = super().__call__(model)
        wrapper.optimizer.register_step_pre_hook(hold_learning_rates)
        return wrapper

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs
    ) -> None:
        super().add_params(params, module, prefix, **kwargs)
        if prefix:  # a submodule; the groups of the whole model are merged below, once
            return
        chosen = {
            p
            for part in module.modules()
            for name, p in part.named_parameters(recurse=False)
            if name == 'bias' or is_norm(part)
        }
        said = self._said(module)
        merged: dict[str, dict] = {}
        for group in params:
            (p,) = group.pop('params')
            if p in chosen:
                options = self.paramwise_cfg.get('norm_and_bias', {}).items()
                group |= {name: value for name, value in options if name not in said[p]}
            first = merged.setdefault(repr(sorted(group.items())), {'params': [], **group})
            first['params'].append(p)
        params[:] = merged.values()

    def _said(self, module: nn.Module) -> dict[nn.Parameter, set[str]]:
        """Return the names of the options that a custom key sets, for each parameter.

        MMEngine takes the longest key that is in the parameter's name. It fills in base
        values for options that the key leaves out. So the groups do not show which
        options a key has set.
        """
        keys = self.paramwise_cfg.get('custom_keys', {})
        ordered = sorted(sorted(keys), key=len, reverse=True)
        factors = dict(lr_mult='lr', decay_mult='weight_decay')
        found = {}
        for name, p in module.named_parameters():
            key = next((key for key in ordered if key in name), None)
            found[p] = {factors.get(option, option) for option in keys.get(key, ())}
        return found


def _is_left_out(model: nn.Module, path: str) -> bool:
    """Tell whether `path` is an optional part that this model does not have."""
    owner, _, name = path.rpartition('.')
    try:
        return getattr(model.get_submodule(owner), name, model) is None
    except AttributeError:
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def hold_learning_rates(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    """Restore the learning rate of groups with `hold_lr`. Hook before an optimiser step."""
    for group in optimizer.param_groups:
        if group.get('hold_lr'):
            # Schedulers store the first value in 'initial_lr'. Without a scheduler it is
            # missing, and nothing has changed the learning rate.
            group['lr'] = group.get('initial_lr', group['lr'])


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on CPU and CUDA, without loss scaling.

    MMEngine's AmpOptimWrapper refuses a CPU.

    Args:
        dtype: Must be 'bfloat16', the default.
        kwargs: Arguments of MMEngine's `OptimWrapper`.

    Raises:
        ValueError: If `dtype` is not 'bfloat16'.
    """

    def __init__(self, *, dtype: str = 'bfloat16', **kwargs) -> None:
        super().__init__(**kwargs)
        if dtype != 'bfloat16':
            raise ValueError(
                f'AutocastOptimWrapper has no loss scaling, so dtype={dtype!r} would '
                "underflow; use 'bfloat16', or AmpOptimWrapper for float16 on CUDA"
            )

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
