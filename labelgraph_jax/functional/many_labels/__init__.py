"""Labels in blocks, lists of the best labels, nearest neighbours."""
