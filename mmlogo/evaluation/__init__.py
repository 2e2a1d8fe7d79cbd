"""Features of a frozen network, and metrics that score them."""

from mmlogo.evaluation.calibration import CalibrationMetric
from mmlogo.evaluation.dense import PatchKNNMetric, RetrievalMetric, SegmentationMetric
from mmlogo.evaluation.features import Features, assemble, extract
from mmlogo.evaluation.keep import KeepFeatures
from mmlogo.evaluation.knn import KNNMetric, knn_predict
from mmlogo.evaluation.linear import (
    LinearMetric,
    LinearProbe,
    OnlineProbeMetric,
    fit_linear,
)
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.evaluation.spectrum import SpectrumMetric

__all__ = [
    'CalibrationMetric',
    'FeatureMetric',
    'Features',
    'KNNMetric',
    'KeepFeatures',
    'LinearMetric',
    'LinearProbe',
    'OnlineProbeMetric',
    'PatchKNNMetric',
    'RetrievalMetric',
    'SegmentationMetric',
    'SpectrumMetric',
    'assemble',
    'extract',
    'fit_linear',
    'knn_predict',
]
