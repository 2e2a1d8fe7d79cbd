"""Pretrained networks in mmdet's detectors.

This file imports nothing. `mmlogo` imports `mmlogo.transfer.operators` and
`mmlogo.transfer.deferred` before anything else, and these must not import mmengine or torch.
"""
