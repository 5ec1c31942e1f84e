"""Multi-head graph attention, dense, complete, sparse and of chosen receivers."""
