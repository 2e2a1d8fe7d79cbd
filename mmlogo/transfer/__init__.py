"""Pretrained networks in mmdet's detectors.

This file imports nothing. `mmlogo` imports `mmlogo.transfer.operators` before anything
else, and that must not import mmengine or torch.
"""
