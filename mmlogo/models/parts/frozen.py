"""Call a module with its weights held constant."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call


def call_frozen(module: nn.Module, x: Tensor) -> Tensor:
    """Return `module(x)` in evaluation mode. `x` gets a gradient, the weights do not."""
    constants = {name: p.detach() for name, p in module.named_parameters()}
    training = module.training
    module.eval()
    try:
        return functional_call(module, constants, (x,))
    finally:
        module.train(training)
