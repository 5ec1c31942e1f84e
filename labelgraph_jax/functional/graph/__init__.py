"""Label graphs: adjacencies, edge lists, convolution, taxonomies."""
