"""What a label graph is made of."""
