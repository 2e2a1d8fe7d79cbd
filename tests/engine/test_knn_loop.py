"""What the k-NN loop refuses; that it works is shown by tests/tools/test_train.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmlogo.engine.knn_loop import _check_same_classes


def data(*classes: str) -> SimpleNamespace:
    return SimpleNamespace(metainfo=dict(classes=classes))


def test_bank_and_queries_number_their_classes_alike():
    _check_same_classes(data('cat', 'dog'), data('cat', 'dog'))
    _check_same_classes(SimpleNamespace(), data('cat'))  # nothing to compare
    with pytest.raises(ValueError, match=r"2 and 1 classes; in one only: \['cat'\]"):
        _check_same_classes(data('cat', 'dog'), data('dog'))
