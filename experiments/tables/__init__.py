"""The parts of `experiments.magnet_tables`: cells, runs, statistics, rendering."""
