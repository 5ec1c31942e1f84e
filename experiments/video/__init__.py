"""What the tables of video ranking are made of."""
