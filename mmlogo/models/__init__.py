from mmlogo.models import heads, necks, parts, selfsup

__all__ = ['heads', 'necks', 'parts', 'selfsup']
