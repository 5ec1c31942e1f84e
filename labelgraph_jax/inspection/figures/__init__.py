"""Figures: arrays in, matplotlib axes out.

    model = lg.load("workdirs/mine")
    lg.figures.learning_curves(model.workdir.history())

Every function takes `ax`, the axes to draw on, and returns them; without, it makes a
figure with pyplot. `ax.figure.savefig("curves.svg")` saves one. Colours are those of
`lg.figures.palette`; text follows `text.color` of your own matplotlib style.
matplotlib is imported when the first figure is drawn.
"""

from labelgraph_jax.inspection.figures import palette
from labelgraph_jax.inspection.figures.curves import (
    learning_curves,
    precision_recall_curves,
    reliability_diagram,
    threshold_curves,
)
from labelgraph_jax.inspection.figures.matrices import (
    adjacency_heat_map,
    gate_weights,
    label_confusion,
)
from labelgraph_jax.inspection.figures.metrics import f1_by_frequency, metric_intervals
from labelgraph_jax.inspection.figures.networks import label_network, label_vectors

__all__ = [
    "adjacency_heat_map",
    "f1_by_frequency",
    "gate_weights",
    "label_confusion",
    "label_network",
    "label_vectors",
    "learning_curves",
    "metric_intervals",
    "palette",
    "precision_recall_curves",
    "reliability_diagram",
    "threshold_curves",
]
