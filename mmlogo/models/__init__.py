from importlib.util import find_spec

from mmlogo.models import heads, necks, parts, selfsup

__all__ = ['heads', 'necks', 'parts', 'selfsup']

if find_spec('mmdet') is not None:
    from mmlogo.models import detection as detection

    __all__ += ['detection']
