"""Description of label graphs."""
