"""Structure over labels."""
