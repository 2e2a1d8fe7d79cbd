"""Pictures of views, logs and features, and a page that has them all.

Needs matplotlib and adjustText; maps of features need scikit-learn, a page jinja2.
"""

from mmlogo.report.charts import draw_comparison, draw_curves
from mmlogo.report.embedding import draw_embedding
from mmlogo.report.report import write_report
from mmlogo.report.views import draw_views

__all__ = [
    'draw_comparison',
    'draw_curves',
    'draw_embedding',
    'draw_views',
    'write_report',
]
