"""Pretrained networks in mmdet's detectors.

This file imports nothing. `mmlogo` imports `operators` and `deferred` of this package
before anything else, and these must not import mmengine or torch.
"""
