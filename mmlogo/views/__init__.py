"""What a view is, and how views are made."""

from mmlogo.views.header import BadImage
from mmlogo.views.preprocessor import LabelledPreprocessor, MultiCropPreprocessor
from mmlogo.views.seeds import SeededIndex, Seeds, fresh_seeds, pack_seeds
from mmlogo.views.spec import ViewSpec, parse_views
from mmlogo.views.transforms import LoadImage, MultiCrop, PackImage

__all__ = [
    'BadImage',
    'LabelledPreprocessor',
    'LoadImage',
    'MultiCrop',
    'MultiCropPreprocessor',
    'PackImage',
    'SeededIndex',
    'Seeds',
    'ViewSpec',
    'fresh_seeds',
    'pack_seeds',
    'parse_views',
]
