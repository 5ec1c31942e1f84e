"""Reuters-21578, Distribution 1.0: newswire with five sets of categories."""
