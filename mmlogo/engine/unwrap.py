"""The model inside its data-parallel wrapper."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """The model that a wrapper wraps, or the model itself."""
    return model.module if is_model_wrapper(model) else model
