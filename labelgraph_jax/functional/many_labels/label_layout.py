"""Layout of labels in chunks, and the parts that every loop over chunks shares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.checks import check_integers

SHARES = 48
"""A label axis is cut into a divisor of this number of shares: 1, 2, 3, 4, 6, 8 ..."""


class LabelLayout(NamedTuple):
    """Labels [N] seen as [shares, N / shares], of which a chunk takes some columns.

    The last chunk reaches back into the one before where the columns do not divide,
    so that every chunk has one size and nothing is padded.
    """

    labels: int
    shares: int
    columns: int
    chunks: int

    @property
    def share(self) -> int:
        """Number of labels of one share, N / shares."""
        return self.labels // self.shares

    @property
    def size(self) -> int:
        """Labels in a chunk."""
        return self.shares * self.columns

    def start(self, chunk: Int[Array, ""]) -> Int[Array, ""]:
        """First column of a chunk; the last chunk reaches back to stay whole."""
        first = jnp.asarray(chunk, jnp.int32) * self.columns
        return jnp.minimum(first, self.share - self.columns)

    def take(self, array: Array, chunk: Int[Array, ""]) -> Array:
        """A chunk of an array [N, ...]."""
        split = array.reshape(self.shares, self.share, *array.shape[1:])
        piece = jax.lax.dynamic_slice_in_dim(
            split, self.start(chunk), self.columns, axis=1
        )
        return piece.reshape(self.size, *array.shape[1:])

    def put(self, array: Array, piece: Array, chunk: Int[Array, ""]) -> Array:
        """The array [N, ...] with a chunk of it replaced."""
        split = array.reshape(self.shares, self.share, *array.shape[1:])
        piece = piece.reshape(self.shares, self.columns, *array.shape[1:])
        split = jax.lax.dynamic_update_slice_in_dim(
            split, piece, self.start(chunk), axis=1
        )
        return split.reshape(array.shape)

    def scores(
        self, documents: Array, labels: Array, bias: Array, chunk: Int[Array, ""]
    ) -> Float[Array, "B C"]:
        """Float32 logits of a chunk, in which products of bfloat16 are exact."""
        piece = self.take(labels, chunk)
        if documents.dtype != piece.dtype:
            documents, piece = documents.astype(jnp.float32), piece.astype(jnp.float32)
        product = jnp.einsum(
            "bd,cd->bc", documents, piece, preferred_element_type=jnp.float32
        )
        return product + self.take(bias, chunk).astype(jnp.float32)

    def ids(self, chunk: Int[Array, ""]) -> Int[Array, " C"]:
        """Labels of a chunk, ascending."""
        column = self.start(chunk) + jnp.arange(self.columns, dtype=jnp.int32)
        share = jnp.arange(self.shares, dtype=jnp.int32) * self.share
        return (share[:, None] + column).reshape(-1)

    def is_new(self, chunk: Int[Array, ""]) -> Bool[Array, " C"]:
        """Mask of the labels of a chunk that were in none before it."""
        column = self.start(chunk) + jnp.arange(self.columns, dtype=jnp.int32)
        new = column >= jnp.asarray(chunk, jnp.int32) * self.columns
        return jnp.broadcast_to(new, (self.shares, self.columns)).reshape(-1)

    def targets(
        self, positives: Int[Array, "B P"], chunk: Int[Array, ""]
    ) -> Bool[Array, "B C"]:
        """The truth of a chunk."""
        share, column = jnp.divmod(positives, self.share)
        column = column - self.start(chunk)
        inside = (positives >= 0) & (column >= 0) & (column < self.columns)
        place = jnp.where(inside, share * self.columns + column, self.size)

        def row(places: Int[Array, " P"]) -> Bool[Array, " C"]:
            return jnp.zeros(self.size, bool).at[places].set(True, mode="drop")

        return jax.vmap(row)(place)


def label_layout(labels: int, chunk: int) -> LabelLayout:
    """Cut labels into chunks of at most so many, over as many shares as can be.

    Raises:
        ValueError: chunk is below 1, or there is no label.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 label, got {chunk}")
    if labels < 1:
        raise ValueError("there must be at least one label, got none")
    divisors = (n for n in range(1, SHARES + 1) if SHARES % n == 0)
    shares = max(n for n in divisors if labels % n == 0 and n <= chunk)
    share = labels // shares
    chunks = -(-share // (chunk // shares))
    return LabelLayout(labels, shares, -(-share // chunks), chunks)


def checked_factors(
    documents: Float[ArrayLike, "B D"],
    labels: Float[ArrayLike, "N D"],
    bias: Float[ArrayLike, " N"],
    positives: Int[ArrayLike, "B P"],
    example_mask: Bool[ArrayLike, " B"] | None,
) -> tuple[Array, Array, Array, Array, Array]:
    """The arrays as JAX arrays, with a mask for all documents where none is given.

    Raises:
        ValueError: their shapes do not fit together, or positives are no integers.
    """
    documents, labels, bias = (jnp.asarray(x) for x in (documents, labels, bias))
    check_integers(positives=positives)
    positives = jnp.asarray(positives).astype(jnp.int32)
    rows = documents.shape[0]
    if example_mask is None:
        example_mask = jnp.ones(rows, bool)
    mask = jnp.asarray(example_mask, bool)
    fits = (
        documents.ndim == labels.ndim == positives.ndim == 2
        and documents.shape[1] == labels.shape[1]
        and bias.shape == labels.shape[:1]
        and positives.shape[0] == rows
        and mask.shape == (rows,)
    )
    if not fits:
        raise ValueError(
            "documents [B, D], labels [N, D], bias [N], positives [B, P] and "
            f"example_mask [B] do not fit together: got {documents.shape}, "
            f"{labels.shape}, {bias.shape}, {positives.shape} and {mask.shape}"
        )
    return documents, labels, bias, positives, mask
