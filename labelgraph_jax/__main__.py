"""`python -m labelgraph_jax`: the same as `labelgraph`."""

from labelgraph_jax.cli import main

if __name__ == "__main__":
    main()
