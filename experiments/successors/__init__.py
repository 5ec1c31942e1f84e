"""What the study of MMoE's successors is made of."""
