"""How a person looks at a trained model: report, explanations, figures, graph."""
