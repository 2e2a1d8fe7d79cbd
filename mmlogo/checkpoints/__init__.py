"""Checkpoints: reading them safely, matching, exporting and publishing them."""
