"""Pictures: views, curves, embeddings. Needs matplotlib; maps need scikit-learn.

A page about runs, `mmlogo.report.report`, needs jinja2 as well.
"""

from mmlogo.report.comparison import draw_comparison
from mmlogo.report.curves import draw_curves
from mmlogo.report.embedding import draw_embedding
from mmlogo.report.views import draw_views

__all__ = ['draw_comparison', 'draw_curves', 'draw_embedding', 'draw_views']
