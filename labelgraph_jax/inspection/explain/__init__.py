"""Explanations of predictions: words, label graph, gates, documents."""

from labelgraph_jax.inspection.explain.explainer import ExplainError, explain
from labelgraph_jax.inspection.explain.explanation import Explanation
from labelgraph_jax.inspection.explain.label_explanation import LabelExplanation

__all__ = ["ExplainError", "Explanation", "LabelExplanation", "explain"]
