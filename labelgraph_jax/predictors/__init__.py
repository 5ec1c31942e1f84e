"""What a trained thing is: networks, decisions, models, memories, ensembles."""
