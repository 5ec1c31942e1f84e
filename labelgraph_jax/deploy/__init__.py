"""What a trained model is shipped as: an exported directory, a service."""
