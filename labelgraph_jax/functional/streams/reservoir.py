"""A memory of bounded size over a stream of documents, balanced by label."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.checks import check_axes, check_integers, check_numbers

PART = 128


class Reservoir(NamedTuple):
    """Places of a memory, and the label that each document in it stands for.

    Attributes:
        owners: label of the document in each place; -1 in a place that is free.
        stored: documents in the memory that stand for each label.
        seen: documents of the stream that stood for each label.
        full: labels that have been those with most documents in a full memory.
    """

    owners: Int[Array, " M"]
    stored: Int[Array, " N"]
    seen: Int[Array, " N"]
    full: Bool[Array, " N"]

    @classmethod
    def empty(cls, places: int, labels: int) -> "Reservoir":
        """Return a memory that holds nothing.

        Args:
            places: documents that it can hold, M.
            labels: that documents may stand for, N.

        Raises:
            ValueError: one of them is below 1.
        """
        if places < 1 or labels < 1:
            raise ValueError(
                f"places and labels must be at least 1, got {places} and {labels}"
            )
        none = jnp.zeros(labels, jnp.int32)
        free = jnp.full(places, -1, jnp.int32)
        return cls(free, none, none, jnp.zeros(labels, bool))


def reservoir_insert(
    reservoir: Reservoir, label: Int[ArrayLike, ""], uniforms: Float[ArrayLike, "2"]
) -> tuple[Reservoir, Int[Array, ""]]:
    """Offer a document of a stream to a memory; return its place, or -1.

    While a place is free, the first one is taken. Then a document whose label has
    never been the fullest takes the place of any document of the fullest label; one
    whose label has been takes, with probability stored / seen, that of a document of
    its own label, so that every document of the stream stays with the same probability.
    With one label for all it is Vitter's algorithm R. Made to be scanned over.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> memory = lg.functional.Reservoir.empty(2, 2)
        >>> for label in (0, 0, 1):
        ...     draw = jnp.array([0.5, 0.9])
        ...     memory, place = lg.functional.reservoir_insert(memory, label, draw)
        >>> memory.owners.tolist(), int(place)
        ([0, 1], 1)

    Args:
        reservoir: `Reservoir.empty(...)`, or from the call before.
        label: that the document stands for, as the rarest of those that it has.
        uniforms: two numbers in 0..1: whether it is kept, and in whose place.

    Raises:
        ValueError: shapes that do not fit, or a label that is no integer.

    Reference: Vitter, Random sampling with a reservoir, ACM TOMS 1985; Chrysakis and
        Moens, Online continual learning from imbalanced data, ICML 2020 (algorithm 1,
        class-balancing reservoir). Several labels a document are ours: it stands for
        one of them.
    """
    owners, stored, seen, full = map(jnp.asarray, reservoir)
    label, draws = jnp.asarray(label), jnp.asarray(uniforms)
    check_axes(
        owners=(owners, "M"), stored=(stored, "N"), seen=(seen, "N"), full=(full, "N")
    )
    check_axes(uniforms=(draws, "2"))
    check_integers(label=label, owners=owners)
    check_numbers(uniforms=draws)
    dtype = draws.dtype if draws.dtype.itemsize > 4 else jnp.float32
    keep, whose = draws.astype(dtype)
    seen = seen.at[label].add(1)
    room = (owners < 0).any()
    most = stored.max()
    full = full | (~room & (stored == most) & (most > 0))
    own = full[label]
    kept = (
        room | ~own | (keep * seen[label].astype(dtype) <= stored[label].astype(dtype))
    )
    # A document of the victim's label that has the place, counted by the second draw.
    victim = jnp.where(own, label, jnp.argmax(stored).astype(label.dtype))
    among = jnp.where(room, owners < 0, owners == victim)
    count = among.sum(dtype=jnp.int32)
    rank = jnp.where(room, 0, (whose * count.astype(dtype)).astype(count.dtype))
    place = _nth(among, jnp.clip(rank, 0, jnp.maximum(count - 1, 0)))
    kept &= count > 0
    stored = stored.at[victim].add(-(kept & ~room).astype(stored.dtype))
    stored = stored.at[label].add(kept.astype(stored.dtype))
    owner = jnp.where(kept, label, owners[place]).astype(owners.dtype)
    found = Reservoir(owners.at[place].set(owner), stored, seen, full)
    return found, jnp.where(kept, place, -1)


def _nth(mask: Bool[Array, " M"], n: Int[Array, ""]) -> Int[Array, ""]:
    """Return the place of the n-th True, counted from 0.

    Sums of parts come first, as a sum over all places for each of them takes many times
    as long.
    """
    parts = jnp.pad(mask, (0, -mask.shape[0] % PART)).reshape(-1, PART)
    ends = jnp.cumsum(parts.sum(axis=1, dtype=jnp.int32))
    part = jnp.argmax(ends > n)
    own = parts[part]
    before = ends[part] - own.sum(dtype=jnp.int32)
    return (
        part * PART + jnp.argmax(before + jnp.cumsum(own, dtype=jnp.int32) > n)
    ).astype(jnp.int32)
