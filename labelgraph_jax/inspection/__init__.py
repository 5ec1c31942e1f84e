"""Tools to look at a trained model: report, explanations, figures, graph."""
