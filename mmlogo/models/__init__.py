from mmlogo.models import heads, parts, selfsup

__all__ = ['heads', 'parts', 'selfsup']
