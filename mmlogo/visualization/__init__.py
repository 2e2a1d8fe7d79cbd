"""Pictures: views, curves, embeddings. Needs matplotlib; maps need scikit-learn.

A page about runs, `mmlogo.visualization.report`, needs jinja2 as well.
"""

from mmlogo.visualization.comparison import draw_comparison
from mmlogo.visualization.curves import draw_curves
from mmlogo.visualization.embedding import draw_embedding
from mmlogo.visualization.views import draw_views

__all__ = ['draw_comparison', 'draw_curves', 'draw_embedding', 'draw_views']
