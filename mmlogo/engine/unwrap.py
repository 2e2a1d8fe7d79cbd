"""Access to the model inside a data-parallel wrapper."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """Return the model inside a wrapper, or the model itself if it has no wrapper."""
    return model.module if is_model_wrapper(model) else model
