"""A memory of training documents and label texts beside a classifier."""
