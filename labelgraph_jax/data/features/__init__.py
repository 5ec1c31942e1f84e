"""Documents that are features with values rather than texts."""
