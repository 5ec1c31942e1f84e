"""Census-Income: inputs, networks of equal size, training, statistics, the report."""
