"""Pictures of views, logs and features, and a page that has them all.

The pictures need matplotlib and adjustText. A map of features also needs scikit-learn, and
a page needs jinja2. The extra `report` installs all of them.
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
