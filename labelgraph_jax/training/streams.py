"""A linear head over document vectors that learns from a stream, in bounded memory.

A block of documents is scored, then learned from. Labels have places, a power of two of
them: a place without a label is masked, has no gradient and is never predicted, so that
a new label compiles nothing unless the places run out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.streams.reservoir import Reservoir
from labelgraph_jax.functional.streams.running import PageHinkley, decayed_edges
from labelgraph_jax.functional.trees import Tree
from labelgraph_jax.training.stream_block import (
    AGAIN,
    BATCH,
    EMPTY,
    UNBORN,
    WIDEST,
    Documents,
    Found,
    Head,
    State,
    Teacher,
    learn_block,
    padded,
)

FEWEST_PLACES = 16
EDGES = 4_096
"""Pairs of labels that are kept."""
TEACHER_BLOCKS = 40
"""Blocks after which the head is what is held on to."""
NONE, GONE = -1, -2
"""In the memory: no label; no document."""


class Learned(NamedTuple):
    """Outcome of a block, scored before it was learned from.

    Attributes:
        hits, wrong, missed: per place, documents with the label that got it, that got
            it without having it, and that did not get it.
        unborn: of those missed the ones whose label no block before had shown.
        loss: of a document, over the labels that were there.
        drift: of `loss`, `prior`, those that have risen.
    """

    hits: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray
    unborn: np.ndarray
    loss: float
    drift: tuple[str, ...]


def places_for(labels: int) -> int:
    """The power of two that holds so many labels."""
    return max(FEWEST_PLACES, 1 << max(0, labels - 1).bit_length())


class StreamLearner:
    """A head, its memory and its statistics.

    Args:
        dim: numbers of a document vector.
        places: of labels; a power of two.
        memory_bytes: for documents that are learned from again; 0 for none.
        block: documents of a block, at most.
        rate: of learning, Adagrad's.
        distil: weight of what was known beside what is seen; 0 for none.
        at_least_one: a document without a label gets its most probable one.
        seed: of everything that is drawn.

    Attributes:
        compilations: programs that were compiled.
        blocks: that were learned.
    """

    def __init__(
        self,
        dim: int,
        *,
        places: int = FEWEST_PLACES,
        memory_bytes: int = 16 << 20,
        block: int = 500,
        rate: float = 1.0,
        distil: float = 0.0,
        at_least_one: bool = False,
        seed: int = 0,
    ) -> None:
        self.block = block
        self.compilations = self.blocks = 0
        self._distil = distil
        self._seed = seed
        rows = memory_bytes // bytes_of_a_document(dim)
        # Written to now: the memory takes its room at the start or not at all.
        self._vectors = np.full((rows, dim), 0, np.float16)
        self._labels = np.full((rows, WIDEST), NONE, np.int32)
        self._filled = 0
        head = jax.tree.map(lambda value: jnp.full(places, value), EMPTY)
        table = jnp.zeros((places, dim))
        head = head._replace(vectors=table, vector_squares=table)
        free = jnp.full(EDGES, places, jnp.int32)
        self.state = State(
            head,
            Teacher(table, head.bias, head.active) if distil else None,
            Reservoir.empty(rows, places + 1) if rows else None,
            Edges(free, free, jnp.zeros(EDGES)),
            PageHinkley.start(),
            PageHinkley.start(),
        )
        self.state = _own(self.state)

        def traced(
            state: State,
            documents: Documents,
            again: Documents | None,
            uniforms: Array,
        ) -> tuple[State, Found]:
            self.compilations += 1
            return learn_block(
                state,
                documents,
                again,
                uniforms,
                rate=rate * min(1.0, 16 / dim**0.5),
                distil=distil,
                at_least_one=at_least_one,
            )

        self._learn = jax.jit(traced, donate_argnums=0)

    @property
    def places(self) -> int:
        """Number of labels that the head has room for."""
        return len(self.state.head.bias)

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept from block to block."""
        leaves = (*jax.tree.leaves(self.state), self._vectors, self._labels)
        return sum(leaf.nbytes for leaf in leaves)

    @property
    def remembered(self) -> int:
        """Documents in the memory."""
        return self._filled

    def set_places(self, slots: Sequence[int], **values: ArrayLike) -> None:
        """Write rows of the head, such as `active=True` or `vectors=...`.

        What is not named starts as a label that nothing is known of.
        """
        rows = jnp.asarray(np.asarray(slots, np.int32))
        fresh = EMPTY._asdict() | values
        head = Head(
            *(
                old.at[rows].set(jnp.asarray(fresh[name], old.dtype))
                for name, old in self.state.head._asdict().items()
            )
        )
        teacher = self.state.teacher
        if teacher is not None:
            parts = teacher._asdict().items()
            teacher = Teacher(
                *(x.at[rows].set(getattr(head, n)[rows]) for n, x in parts)
            )
        self.state = self.state._replace(head=head, teacher=teacher)

    def hold(self) -> None:
        """Let distillation hold on to the head as it is now."""
        if self._distil:
            head = self.state.head
            held = _own(Teacher(head.vectors, head.bias, head.active))
            self.state = self.state._replace(teacher=held)

    def grow(self, places: int) -> None:
        """Make room for more labels; the next block is compiled anew."""
        before = self.places
        if places <= before:
            return

        def wider(x: Array, fill: ArrayLike, count: int = places - before) -> Array:
            shape = (count, *x.shape[1:])
            return jnp.concatenate([x, jnp.full(shape, fill, x.dtype)])

        state = self.state
        memory, teacher = state.memory, state.teacher
        if memory is not None:
            none = [wider(x, 0) for x in memory[1:]]
            memory = Reservoir(memory.owners, *none)
        if teacher is not None:
            fills = (0, UNBORN, False)
            teacher = Teacher(*(map(wider, teacher, fills)))
        free = state.edges.weights <= 0
        to, by = (jnp.where(free, places, ids) for ids in state.edges[:2])
        self.state = state._replace(
            head=Head(*map(wider, state.head, EMPTY)),
            memory=memory,
            teacher=teacher,
            edges=Edges(to, by, state.edges.weights),
        )

    def move(self, old: int, new: int | None) -> None:
        """Let documents of the memory, and edges, have another label, or none."""
        # A document that has both, or whose label goes, has one label less.
        rows, columns = np.nonzero(self._labels == old)
        both = (self._labels[rows] == (GONE if new is None else new)).any(axis=1)
        to = NONE if new is None else new
        self._labels[rows, columns] = np.where(both, NONE, to)
        state = self.state
        if state.memory is not None:
            # Owners count from 1; 0 is for documents without a label.
            owners, stored, seen, full = state.memory
            own, other = old + 1, 0 if new is None else new + 1
            stored = stored.at[other].add(stored[own]).at[own].set(0)
            seen = seen.at[other].add(seen[own]).at[own].set(0)
            owners = jnp.where(owners == own, other, owners)
            full = full.at[own].set(False)
            state = state._replace(memory=Reservoir(owners, stored, seen, full))
        self.state = state._replace(edges=self._edges_without(old, new))

    def drop(self, label: int) -> None:
        """Forget the documents of the memory that have a label, and its edges."""
        rows = np.flatnonzero((self._labels == label).any(axis=1))
        self._vectors[rows], self._labels[rows] = 0, NONE
        self._labels[rows, 0] = GONE
        state = self.state
        if state.memory is not None and len(rows):
            owners, stored, *others = state.memory
            gone = jnp.zeros_like(stored).at[owners[rows]].add(1)
            owners = owners.at[rows].set(-1)
            state = state._replace(memory=Reservoir(owners, stored - gone, *others))
        self.state = state._replace(edges=self._edges_without(label, None))

    def _edges_without(self, old: int, new: int | None) -> Edges:
        """The edges with another label in the place of one, or with none."""
        to, by, weights = (np.array(part) for part in self.state.edges)
        gone = (to == old) | (by == old)
        if new is not None:
            to, by = (np.where(ids == old, new, ids) for ids in (to, by))
            gone &= to == by
        weights[gone] = 0
        free = jnp.full(EDGES, self.places, jnp.int32)
        none = Edges(free, free, jnp.zeros(EDGES))
        return decayed_edges(none, to, by, weights, decay=1.0, n=self.places)

    def learn(self, vectors: np.ndarray, labels: Sequence[Sequence[int]]) -> Learned:
        """Score documents, then learn from them.

        Args:
            vectors: `[n, D]`, at most `block` of them.
            labels: places of each document's labels; those that are new get their
                place active here.
        """
        rng = np.random.default_rng([self._seed, self.blocks])
        room = -(-self.block // BATCH) * BATCH
        documents = padded(vectors, labels, room=room, places=self.places)
        again = self._remembered(rng, room // BATCH * AGAIN)
        uniforms = rng.random((room, 2), np.float32)
        self.state, found = self._learn(self.state, documents, again, uniforms)
        counts, loss, drift, slots = jax.device_get(found)
        # Of documents that got one place, one after the other, the last has it.
        rows = np.flatnonzero(slots >= 0)
        taken, last = np.unique(slots[rows][::-1], return_index=True)
        rows = rows[::-1][last]
        own = documents.labels[rows, :WIDEST]
        self._vectors[taken] = documents.vectors[rows]
        self._labels[taken] = np.where(own < self.places, own, NONE)
        self._filled = max(self._filled, int(taken.max(initial=-1)) + 1)
        self.blocks += 1
        if self.blocks % TEACHER_BLOCKS == 0:
            self.hold()
        named = [n for n, rose in zip(("loss", "prior"), drift, strict=True) if rose]
        hits, wrong, missed, unborn = counts
        return Learned(hits, wrong, missed, unborn, float(loss), tuple(named))

    def _remembered(self, rng: np.random.Generator, room: int) -> Documents | None:
        if self.state.memory is None:
            return None
        rows = rng.integers(0, max(self._filled, 1), room)
        ids = self._labels[rows]
        found = np.where(ids < 0, self.places, ids)
        mask = (ids[:, 0] != GONE) & (self._filled > 0)
        vectors = self._vectors[rows].astype(np.float32)
        return Documents(vectors, found, mask)  # type: ignore[arg-type]

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that a learner needs to go on, by name."""
        leaves = jax.tree.leaves(self.state)
        found = {f"state_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        found["memory_vectors"] = self._vectors[: self._filled]
        found["memory_labels"] = self._labels[: self._filled]
        found["blocks"] = np.asarray(self.blocks)
        return found

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave of a learner of the same settings.

        Raises:
            ValueError: it is of other settings.
        """
        leaves, form = jax.tree.flatten(self.state)
        kept = [np.asarray(arrays[f"state_{i}"]) for i in range(len(leaves))]
        for own, other in zip(leaves, kept, strict=True):
            if own.shape != other.shape or own.dtype != other.dtype:
                raise ValueError(
                    f"must be of shape {list(own.shape)}, got {list(other.shape)}"
                )
        self.state = _own(jax.tree.unflatten(form, kept))
        self._filled = len(arrays["memory_vectors"])
        self._vectors[: self._filled] = arrays["memory_vectors"]
        self._labels[: self._filled] = arrays["memory_labels"]
        self.blocks = int(arrays["blocks"])


def _own(tree: Tree) -> Tree:
    """Give every leaf a buffer, to be given away, and a type of its own.

    So the next block compiles nothing.
    """
    return jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), tree)


def bytes_of_a_document(dim: int) -> int:
    """Bytes that a document takes in the memory: vector, labels, owner."""
    return 2 * dim + 4 * WIDEST + 4
