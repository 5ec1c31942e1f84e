"""Trained objects: networks, decisions, models, memories, ensembles."""
