"""What the table of label sets that share an encoder is made of."""
