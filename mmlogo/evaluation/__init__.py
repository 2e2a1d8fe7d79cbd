from mmlogo.evaluation.features import Features, assemble, extract
from mmlogo.evaluation.knn import KNNMetric, knn_predict
from mmlogo.evaluation.metric import FeatureMetric

__all__ = ['FeatureMetric', 'Features', 'KNNMetric', 'assemble', 'extract', 'knn_predict']
