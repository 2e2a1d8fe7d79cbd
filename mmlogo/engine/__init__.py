from mmlogo.engine import (
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
    'hooks',
    'knn_loop',
    'online_probe',
    'optim',
    'pretrained',
    'provenance',
    'schedule',
    'wrapper',
]
