"""Data sets, and the sampler that gives every sample its seeds."""

from mmlogo.datasets.coco_masks import CocoMasks
from mmlogo.datasets.image_folder import ImageFolder, ImageNet
from mmlogo.datasets.imagenet100 import ImageNet100
from mmlogo.datasets.in_memory import (
    InMemoryCIFAR10,
    InMemoryCIFAR100,
    InMemoryImages,
    InMemorySTL10,
    collate_batch,
)
from mmlogo.datasets.listed import listed_subset
from mmlogo.datasets.mosaic import Mosaic
from mmlogo.datasets.photo_tiles import PhotoTiles
from mmlogo.datasets.sampler import EpochSampler

__all__ = [
    'CocoMasks',
    'EpochSampler',
    'ImageFolder',
    'ImageNet',
    'ImageNet100',
    'InMemoryCIFAR10',
    'InMemoryCIFAR100',
    'InMemoryImages',
    'InMemorySTL10',
    'Mosaic',
    'PhotoTiles',
    'collate_batch',
    'listed_subset',
]
