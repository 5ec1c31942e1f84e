"""A trained model as a directory that needs none of this package."""
