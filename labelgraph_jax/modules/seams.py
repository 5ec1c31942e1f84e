"""Collections through which token vectors and attention are read, or put in.

Nothing of this costs a call that does not ask: a collection that is not given is not
read, and one that is not `mutable` is not written.
"""

from collections.abc import Mapping

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from labelgraph_jax.functional.trees import Params

LOOKED_UP = "looked_up"
"""Collection in which a call leaves the token vectors that it looked up."""
SUBSTITUTES = "substitutes"
"""Collection whose token vectors are read in place of those looked up."""
ATTENTION = "attention"
"""Collection in which a label graph leaves the attention of `RECEIVERS`."""
RECEIVERS = "receivers"
"""Collection that names the labels whose attention is asked for."""
MESSAGE = "message"
"""Name of the part of the vectors of `RECEIVERS` that came from other labels, in the
collection `ATTENTION`."""

COUNTED = "counted"
"""Collection whose counts of tokens, `[B, V]`, a bag reads in place of token ids."""

VECTORS = "vectors"
COUNTS = "counts"


def at_token_seam(
    module: nn.Module, vectors: Float[Array, "*B S D"]
) -> Float[Array, "*B S D"]:
    """The token vectors that a module goes on with: its own, or those put in."""
    if not module.is_initializing():
        module.sow(LOOKED_UP, VECTORS, vectors)
    if not module.has_variable(SUBSTITUTES, VECTORS):
        return vectors
    given: Array = module.get_variable(SUBSTITUTES, VECTORS)
    if given.shape != vectors.shape:
        raise ValueError(
            f"substitutes must have the shape {vectors.shape} of the token vectors, "
            f"got {given.shape}"
        )
    return given


def is_watched(module: nn.Module) -> bool:
    """Return True where this call reads or replaces token vectors."""
    reads = module.is_mutable_collection(LOOKED_UP) and not module.is_initializing()
    return reads or module.has_variable(SUBSTITUTES, VECTORS)


def substitutes(vectors: Array, path: tuple[str, ...] = ()) -> dict[str, Params]:
    """The collection that puts vectors in at a module below the called one."""
    tree: Params = {VECTORS: vectors}
    for name in reversed(path):
        tree = {name: tree}
    return {SUBSTITUTES: tree}


def looked_up(variables: Mapping[str, Params]) -> Array:
    """The token vectors that a call with `mutable=LOOKED_UP` left."""
    leaves = jax.tree.leaves(variables.get(LOOKED_UP, {}))
    if not leaves:
        raise ValueError("this call looked no token vectors up")
    found: Array = leaves[-1]
    return found
