from mmlogo.engine import (
    collapse,
    hooks,
    knn_loop,
    online_probe,
    optim,
    pretrained,
    provenance,
    schedule,
    wrapper,
)

__all__ = [
    'collapse',
    'hooks',
    'knn_loop',
    'online_probe',
    'optim',
    'pretrained',
    'provenance',
    'schedule',
    'wrapper',
]
