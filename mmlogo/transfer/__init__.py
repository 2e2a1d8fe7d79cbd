"""Pretrained networks in mmdet's detectors.

Nothing is imported here: `mmlogo` imports `mmlogo.transfer.operators` before anything
else, and may not import mmengine or torch with it.
"""
