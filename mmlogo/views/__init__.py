from mmlogo.views.preprocessor import LabelledPreprocessor, MultiCropPreprocessor
from mmlogo.views.seeds import SampleKey, fresh_keys, pack_keys
from mmlogo.views.spec import ViewSpec, parse_views
from mmlogo.views.transforms import LoadImage, MultiCrop, PackImage

__all__ = [
    'LabelledPreprocessor',
    'LoadImage',
    'MultiCrop',
    'MultiCropPreprocessor',
    'PackImage',
    'SampleKey',
    'ViewSpec',
    'fresh_keys',
    'pack_keys',
    'parse_views',
]
