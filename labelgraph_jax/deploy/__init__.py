"""Forms in which a trained model is shipped: an exported directory, a service."""
