"""Label sets, taxonomies, descriptions and vectors of labels."""
