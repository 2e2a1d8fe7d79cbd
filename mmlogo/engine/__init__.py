from mmlogo.engine import (
    collapse,
    hooks,
    knn_loop,
    online_probe,
    optim,
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
    'provenance',
    'schedule',
    'wrapper',
]
