from mmlogo.evaluation.features import Features, assemble, extract
from mmlogo.evaluation.knn import KNNMetric, knn_predict
from mmlogo.evaluation.linear import LinearProbe, OnlineProbeMetric
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.evaluation.spectrum import SpectrumMetric

__all__ = [
    'FeatureMetric',
    'Features',
    'KNNMetric',
    'LinearProbe',
    'OnlineProbeMetric',
    'SpectrumMetric',
    'assemble',
    'extract',
    'knn_predict',
]
