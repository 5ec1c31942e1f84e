"""Learning from a stream: bounded memory, running statistics, drift."""
