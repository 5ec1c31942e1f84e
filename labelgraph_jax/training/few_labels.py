"""Linear heads on document vectors, with and without unlabelled documents.

A head is the optimum of a convex sum, found by steps in the metric of a fixed bound of
its curvature: no learning rate, no batches, no order of documents.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped
from scipy.optimize import isotonic_regression

from labelgraph_jax.functional.few_labels.pseudo_labels import (
    label_spreading,
    pseudo_labels,
    shrunk_prior,
)
from labelgraph_jax.functional.few_labels.virtual_adversarial import (
    bernoulli_divergence,
    virtual_adversarial_direction,
)
from labelgraph_jax.functional.many_labels.retrieval import Neighbours, nearest_keys

Kind = Literal["none", "cap", "teacher", "graph", "vat"]
STEPS = 60
BIAS_STRENGTH = 100.0
"""Strength of the bias, which is hardly regularised."""
NEIGHBOURS = 10
SPREAD_SHARE, SPREAD_STEPS = 0.5, 10
QUERIES = 2048
RADIUS = 0.1
"""Radius of the virtual adversary, as a share of a vector's length."""
VAT_DOCUMENTS = 4
"""Unlabelled documents that are smoothed, beside each labelled one."""
DROPPED = 0.15
"""Share of the features that the teacher's student does not see."""


@partial(jax.jit, static_argnames=("steps", "radius"))
def fit_heads(
    vectors: Float[Array, "M D"],
    targets: Float[Array, "M N"],
    weights: Float[Array, "M W"],
    strength: Float[Array, ""],
    start: Float[Array, "E N"] | None = None,
    *,
    steps: int = STEPS,
    radius: float = 0.0,
    smooth: Float[Array, " M"] | None = None,
) -> Float[Array, "E N"]:
    """Fit a linear head per label by weighted logistic regression.

        sum_mn w_mn BCE(x_m h_n, y_mn) + ||h||^2 / (2 strength)
            + sum_m s_m sum_n KL(p_mn || p_mn(x_m + r_m))

    Steps of Nesterov's method in the metric X' diag(max_n w) X / 4 + 1 / strength,
    which bounds the curvature of every label; r is the virtual adversary's change.

    Args:
        vectors: of the documents.
        targets: between 0 and 1.
        weights: of the cells, or `[M, 1]` of the documents.
        strength: the larger, the freer.
        start: heads to begin with; by default each label's frequency.
        steps: how many.
        radius: of the adversary, as a share of a vector's length; 0 leaves it out.
        smooth: weights s of its documents.

    Returns:
        D weights and, last, the bias of every label.

    Reference: Böhning and Lindsay, Monotonicity of quadratic-approximation algorithms,
        1988, for the bound.
    """
    # A bound of the curvature that holds for all labels, inverted once.
    wide = _with_one(vectors)
    held = jnp.full(wide.shape[1], 1.0 / strength).at[-1].set(1.0 / BIAS_STRENGTH)
    most = jnp.max(weights, axis=1)
    curvature = (wide * (most / 4)[:, None]).T @ wide + jnp.diag(held)
    if radius and smooth is not None:
        curvature += jnp.eye(wide.shape[1]) * jnp.sum(smooth) * radius**2 / 4
    inverse = jnp.linalg.inv(curvature)
    # Start at the log odds of the labels.
    if start is None:
        count = jnp.sum(weights * targets, axis=0) + 0.5
        total = jnp.sum(jnp.broadcast_to(weights, targets.shape), axis=0) + 1.0
        start = jnp.zeros((wide.shape[1], targets.shape[1]))
        start = start.at[-1].set(jnp.log(count / total) - jnp.log1p(-count / total))

    # How far a small change of the vectors moves the probabilities.
    def roughness(head: Array, fixed: Array, step: Array) -> Array:
        def logits(x: Array) -> Array:
            return _with_one(x) @ fixed

        change = virtual_adversarial_direction(
            logits, vectors, jax.random.fold_in(jax.random.key(0), step), radius=radius
        )
        apart = bernoulli_divergence(
            logits(vectors), _with_one(vectors + change) @ head
        )
        assert smooth is not None
        return jnp.sum(apart * smooth)

    # A step with Nesterov's momentum.
    def advance(
        state: tuple[Array, Array, Array], step: Array
    ) -> tuple[tuple[Array, Array, Array], None]:
        head, ahead, age = state
        error = weights * (jax.nn.sigmoid(wide @ ahead) - targets)
        slope = wide.T @ error + held[:, None] * ahead
        if radius and smooth is not None:
            slope += jax.grad(roughness)(ahead, ahead, step)
        new = ahead - inverse @ slope
        # Where momentum carries a label uphill it begins anew.
        uphill = jnp.sum(slope * (new - head), axis=0) > 0
        age = jnp.where(uphill, 0.0, age + 1)
        return (new, new + age / (age + 3) * (new - head), age), None

    state = (start, start, jnp.zeros(targets.shape[1]))
    return jax.lax.scan(advance, state, jnp.arange(steps))[0][0]


def _with_one(vectors: Array) -> Array:
    return jnp.concatenate([vectors, jnp.ones((*vectors.shape[:-1], 1))], axis=-1)


@jax.jit
def head_probabilities(
    head: Float[Array, "E N"], vectors: Float[Array, "M D"]
) -> Float[Array, "M N"]:
    """Return the probabilities of a head's labels."""
    return jax.nn.sigmoid(_with_one(jnp.asarray(vectors)) @ head)


def document_graph(
    vectors: Float[np.ndarray, "M D"], neighbours: int = NEIGHBOURS
) -> Neighbours:
    """Return the nearest documents of each by inner product, itself among them."""
    k = min(neighbours + 1, len(vectors))
    parts = [
        nearest_keys(vectors[begin : begin + QUERIES], vectors, k=k)
        for begin in range(0, len(vectors), QUERIES)
    ]
    similarities, rows = (jnp.concatenate(x) for x in zip(*parts, strict=True))
    return Neighbours(similarities, rows)


class Precision(NamedTuple):
    """Precision as a monotone function of the score, fitted to cross-fitted scores.

    Attributes:
        scores: ascending.
        shares: of the cells near each score that are positive.
    """

    scores: Float[np.ndarray, " P"]
    shares: Float[np.ndarray, " P"]

    @classmethod
    def measured(
        cls,
        probabilities: Float[np.ndarray, "L N"],
        targets: Shaped[np.ndarray, "L N"],
    ) -> "Precision":
        """Fit the curve to scores of documents that their head was not fitted on."""
        scores, place, count = np.unique(
            probabilities, return_inverse=True, return_counts=True
        )
        positive = np.bincount(place.ravel(), (targets > 0).ravel(), len(scores))
        shares = isotonic_regression(positive / count, weights=count).x
        # Of a level stretch its ends are enough.
        ends = np.ones(len(shares), bool)
        ends[1:-1] = (shares[1:-1] != shares[:-2]) | (shares[1:-1] != shares[2:])
        return cls(scores[ends], shares[ends])

    def of(self, probabilities: Float[np.ndarray, "U N"]) -> np.ndarray:
        """The share of positives at each score, float32."""
        return np.interp(probabilities, self.scores, self.shares).astype(np.float32)


class PseudoTargets(NamedTuple):
    """Targets and weights of unlabelled documents in self-training.

    Attributes:
        targets: float32.
        weights: of each cell in the loss, 0 where nothing is learned.
        prior: share of the labelled documents with each label, shrunk.
        positives: pseudo-positives of each label.
        precision: expected share of them that is right; NaN where there are none.
    """

    targets: Float[np.ndarray, "U N"]
    weights: Float[np.ndarray, "U N"]
    prior: Float[np.ndarray, " N"]
    positives: Int[np.ndarray, " N"]
    precision: Float[np.ndarray, " N"]


def targets_of_scores(
    kind: Kind,
    scores: Float[np.ndarray, "U N"],
    counts: Shaped[np.ndarray, " N"],
    documents: int,
    precision: Precision,
    *,
    spread: Float[np.ndarray, "U N"] | None = None,
) -> PseudoTargets:
    """Turn a supervised head's scores of unlabelled documents into weighed targets.

    `cap` and `graph` take the surest of each label by its prior, see `pseudo_labels`;
    `graph` ranks by scores that were spread over the document graph. `teacher` takes
    what is more likely than not, sure cells more than unsure ones. `vat` and `none`
    teach no target. A cell weighs as much as it is likely to be right.

    Args:
        kind: see above.
        scores: probabilities.
        counts: labelled documents with each label.
        documents: labelled documents in all.
        precision: of such scores.
        spread: for `graph`.
    """
    prior = np.asarray(shrunk_prior(counts, documents))
    right = precision.of(scores)
    if kind in ("cap", "graph"):
        ranked = scores if spread is None else spread
        found = pseudo_labels(ranked, prior)
        targets, mask = np.asarray(found.targets), np.asarray(found.target_mask)
        weights = mask * np.where(targets > 0, right, 1 - right)
    elif kind == "teacher":
        targets = ((right > 0.5) & (prior > 0)).astype(np.float32)
        weights = np.abs(2 * right - 1) * (prior > 0)
    else:
        targets, weights = np.zeros_like(right), np.zeros_like(right)
    positive = (targets > 0) & (weights > 0)
    number = positive.sum(axis=0)
    share = (right * positive).sum(axis=0) / np.maximum(number, 1)
    return PseudoTargets(
        targets.astype(np.float32),
        weights.astype(np.float32),
        prior,
        number,
        np.where(number > 0, share, np.nan),
    )


def spread_scores(
    graph: Neighbours,
    targets: Float[np.ndarray, "L N"],
    scores: Float[np.ndarray, "U N"],
    keep: Bool[np.ndarray, " L"],
) -> Float[np.ndarray, "U N"]:
    """Spread labels and scores over the graph of labelled, then unlabelled documents.

    Args:
        graph: of both, from `document_graph`.
        targets: of the labelled documents.
        scores: of the unlabelled ones.
        keep: the labelled documents that take part.
    """
    out = np.concatenate([~keep, np.zeros(len(scores), bool)])
    rows = np.asarray(graph.rows)
    rows = np.where(out[rows] | out[:, None], -1, rows)
    known = np.concatenate([targets * keep[:, None], scores]).astype(np.float32)
    found = label_spreading(
        known, rows, graph.similarities, share=SPREAD_SHARE, steps=SPREAD_STEPS
    )
    return np.asarray(found)[len(targets) :]


def fit_student(
    kind: Kind,
    labelled: Float[np.ndarray, "L D"],
    targets: Float[np.ndarray, "L N"],
    keep: Float[np.ndarray, " L"],
    unlabelled: Float[np.ndarray, "U D"],
    pseudo: PseudoTargets,
    teacher: Float[np.ndarray, "E N"],
    *,
    strength: float,
    seed: int = 0,
    steps: int = STEPS // 3,
) -> Float[np.ndarray, "E N"]:
    """Fit a head to both parts, and return its mean with the supervised one.

    Args:
        kind: `teacher` drops features of the unlabelled documents, `vat` smooths.
        labelled: vectors of the labelled documents.
        targets: their labels.
        keep: their weights.
        unlabelled: the others.
        pseudo: what they teach.
        teacher: the supervised head; where there is no unlabelled document it is what
            is returned.
        strength: as the supervised head's.
        seed: of what is dropped.
        steps: see `fit_heads`.
    """
    if not len(unlabelled) or kind == "none":
        return teacher
    targets_of_others = pseudo.targets
    if kind == "vat":
        # As many as its steps can bear; drawn, for a file may be in some order.
        order = np.random.default_rng((seed, 6)).permutation(len(unlabelled))
        drawn = order[: VAT_DOCUMENTS * len(labelled)]
        unlabelled, targets_of_others = unlabelled[drawn], targets_of_others[drawn]
    if kind == "teacher":
        seen = np.random.default_rng((seed, 5)).random(unlabelled.shape) >= DROPPED
        unlabelled = unlabelled * seen / (1 - DROPPED)
    vectors = np.concatenate([labelled, unlabelled]).astype(np.float32)
    cells = np.broadcast_to(keep[:, None], targets.shape)
    smooth = None
    if kind != "vat":
        weights = np.concatenate([cells, pseudo.weights])
    else:
        weights = np.concatenate([keep, np.zeros(len(unlabelled))])[:, None]
        smooth = np.full(len(vectors), len(labelled) / len(vectors), np.float32)
    student = fit_heads(
        vectors,
        np.concatenate([targets, targets_of_others]).astype(np.float32),
        weights.astype(np.float32),
        np.float32(strength),
        teacher,
        steps=steps,
        radius=RADIUS if kind == "vat" else 0.0,
        smooth=smooth,
    )
    return (teacher + np.asarray(student)) / 2
