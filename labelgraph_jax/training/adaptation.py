"""Linear heads for documents of another distribution, learned on document vectors.

Source documents have labels, target documents none. Every way to adapt ends in one
linear head that reads the vectors of target documents.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.few_labels.other_distributions import (
    gradient_reversal,
    label_prior_shift,
)
from labelgraph_jax.functional.few_labels.pseudo_labels import (
    pseudo_labels,
    shrunk_prior,
)
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.training.domains import (
    DOMAIN,
    PROJECTED,
    conditioned,
    domain_loss,
    domain_parameters,
    random_products,
    relative_coral,
    reversal_scale,
)

KINDS = ("none", "prior", "coral", "adversarial", "self")
MOVING = ("coral", "adversarial")
"""Kinds that learn where the documents lie."""
STEPS = 150
"""Of gradient descent; a projection takes twice as many."""
AGAINST = 0.02
"""Learning rate of a projection and of what it works against."""
ROUNDS = 2
"""Of self-training."""


class Head(NamedTuple):
    """A linear head: `logits = vectors @ weights + bias`.

    Attributes:
        weights: of every label.
        bias: of every label.
        projection: what the head reads the vectors through, where it was learned.
    """

    weights: Float[Array, "D N"]
    bias: Float[Array, "N"]
    projection: Float[Array, "D D"] | None = None

    def probabilities(self, vectors: Float[ArrayLike, "M D"]) -> np.ndarray:
        """Probabilities of every label, float32 `[M, N]`."""
        return np.asarray(_scores(self.weights, self.bias, jnp.asarray(vectors)))

    def features(self, vectors: Float[ArrayLike, "M D"]) -> np.ndarray:
        """Return what the head reads of the vectors `[M, D]`."""
        if self.projection is None:
            return np.asarray(vectors)
        return np.asarray(jnp.asarray(vectors) @ self.projection)


@jax.jit
def _scores(weights: Array, bias: Array, vectors: Array) -> Array:
    return jax.nn.sigmoid(vectors @ weights + bias)


class _Data(NamedTuple):
    """Arrays of one fit; `rows` and `mask` weigh documents and cells."""

    source: Array  # [B, D]
    targets: Array  # [B, N]
    rows: Array  # [B]
    target: Array  # [U, D]
    pseudo: Array  # [U, N]
    mask: Array  # [U, N]


@partial(jax.jit, static_argnames=("steps", "kind", "conditional"))
def _fit(
    data: _Data,
    key: Array,
    decay: Array,
    weight: Array,
    *,
    steps: int,
    kind: str,
    conditional: bool,
) -> tuple[Array, Array, Array | None]:
    """Learn a head by Adam over all documents at once."""
    # Parameters: the bias at the labels' log odds, the projection at the identity.
    adversarial, moved = kind == "adversarial", kind in MOVING
    size, count = data.source.shape[1], data.targets.shape[1]
    total = jnp.sum(data.rows)
    share = (data.rows @ data.targets + 0.5) / (total + 1.0)
    params: dict[str, Any] = {
        "weights": jnp.zeros((size, count)),
        "bias": jax.scipy.special.logit(share),
    }
    read = PROJECTED if conditional else size
    if moved:
        params["projection"] = jnp.eye(size)
    if adversarial:
        params[DOMAIN] = domain_parameters(read, key)
    mixing = random_products(size, count)
    # Two that work against each other settle without momentum, and run away with it.
    rates = {
        name: AGAINST if name in ("projection", DOMAIN) else 0.05 for name in params
    }
    optimizer = optax.partition(
        {
            name: optax.adam(
                optax.cosine_decay_schedule(rate, steps),
                b1=0.0 if rate == AGAINST else 0.9,
            )
            for name, rate in rates.items()
        },
        {name: jax.tree.map(lambda _, n=name: n, p) for name, p in params.items()},
    )

    # The loss: source labels, decay, pseudo-labels, and the term of the kind.
    def loss(params: Params, step: Array) -> Array:
        features, others = data.source, data.target
        if moved:
            features = features @ params["projection"]
            others = others @ params["projection"]

        def cells(features: Array, targets: Array) -> Array:
            logits = features @ params["weights"] + params["bias"]
            return optax.sigmoid_binary_cross_entropy(logits, targets)

        value = jnp.sum(data.rows[:, None] * cells(features, data.targets)) / total
        value += decay * jnp.sum(jnp.square(params["weights"]))
        if data.mask.shape[1]:
            value += jnp.sum(data.mask * cells(others, data.pseudo)) / len(others)
        if kind == "coral":
            kept = data.rows > 0
            value += weight * relative_coral(features, others, kept)
        if adversarial:
            scale = weight * reversal_scale(step / steps)
            read = [features, others]
            if conditional:
                read = [
                    conditioned(z, z @ params["weights"] + params["bias"], mixing)
                    for z in read
                ]
            read = [gradient_reversal(z, scale) for z in read]
            value += domain_loss(params[DOMAIN], read[0], read[1], data.rows)
        return value

    # All steps of Adam in one scan.
    def step(
        carry: tuple[Params, optax.OptState], number: Array
    ) -> tuple[tuple[Params, optax.OptState], None]:
        params, state = carry
        gradient = jax.grad(loss)(params, number)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    (params, _), _ = jax.lax.scan(step, start, jnp.arange(steps))
    return params["weights"], params["bias"], params.get("projection")


def fit_adapted(
    kind: str,
    source: Float[np.ndarray, "B D"],
    targets: Float[np.ndarray, "B N"],
    target: Float[np.ndarray, "U D"],
    key: Array,
    *,
    decay: float = 1e-3,
    weight: float = 1.0,
    conditional: bool = False,
    rows: Float[np.ndarray, " B"] | None = None,
) -> Head:
    """Learn a linear head for target documents, from source documents with labels.

    - `none`: the source alone.
    - `prior`: the same head; its biases move to the label frequencies that
      `functional.label_prior_shift` finds among target documents.
    - `coral`, `adversarial`: with a projection of the vectors, after which covariances
      are alike, or a classifier cannot tell the domains apart.
    - `self`: in turn labels the surest target documents, as `functional.pseudo_labels`
      does, and learns from both.

    Args:
        kind: one of `KINDS`.
        source: vectors of documents with labels.
        targets: their labels, 0 or 1.
        target: vectors of documents without.
        key: of first parameters and projections.
        decay: of the squared weights, per document.
        weight: of the alignment, lambda; with 0 the head is that of `none`.
        conditional: the classifier of domains reads products with the probabilities.
        rows: what each source document counts; 1 by default.

    Returns:
        The head, of vectors as they are given.

    Raises:
        ValueError: an unknown kind, no target document, or vectors that do not fit.

    Reference: Ganin et al., JMLR 2016; Sun and Saenko, 2016; Saerens et al., 2002.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}")
    if not len(target) or source.shape[1] != target.shape[1]:
        raise ValueError(
            "target must hold vectors of the source's "
            f"{source.shape[1]} numbers, got {list(target.shape)}"
        )
    counted = np.ones(len(source), np.float32) if rows is None else rows
    # In a scale in which weights are about one.
    middle = np.average(source, axis=0, weights=counted)
    scale = 1 / max(float(np.sqrt(np.square(source - middle).mean())), 1e-12)
    near, far = (jnp.asarray((v - middle) * scale) for v in (source, target))
    labels = jnp.asarray(targets, jnp.float32)
    nothing = jnp.zeros((len(target), 0))
    data = _Data(near, labels, jnp.asarray(counted), far, nothing, nothing)
    moved = kind if kind in MOVING and weight > 0 else "none"
    options: dict[str, Any] = {
        "steps": STEPS if moved == "none" else 2 * STEPS,
        "kind": moved,
        "conditional": conditional and moved == "adversarial",
    }

    def fit(data: _Data) -> tuple[Array, Array, Array | None]:
        return _fit(data, key, decay, weight, **options)

    # Fit; self-training goes on with pseudo-labels of the target.
    weights, bias, projection = fit(data)
    if kind == "self" and weight > 0:
        prior = shrunk_prior(counted @ targets, counted.sum())
        for _ in range(ROUNDS):
            found = pseudo_labels(_scores(weights, bias, far), prior)
            mask = weight * found.target_mask
            data = data._replace(pseudo=found.targets, mask=mask)
            weights, bias, _ = fit(data)
    # The head in the vectors' own scale, with the target's prior if that is asked.
    if projection is not None:
        weights = projection @ weights
    if kind == "prior" and weight > 0:
        prior = (counted @ targets + 0.5) / (counted.sum() + 1.0)
        bias = bias + prior_odds(np.asarray(_scores(weights, bias, far)), prior)
    bias = bias - scale * jnp.asarray(middle, jnp.float32) @ weights
    return Head(scale * weights, bias, projection)


def prior_odds(
    probabilities: Float[np.ndarray, "U N"], prior: Float[np.ndarray, " N"]
) -> Float[np.ndarray, "N"]:
    """Return what to add to the logits of target documents.

    It is the difference of the log-odds of both label frequencies, of which the
    target's are estimated.

    Args:
        probabilities: of target documents, by a model of the source.
        prior: share of source documents with each label.
    """
    found = np.asarray(label_prior_shift(probabilities, prior).prior)
    least = 0.5 / (len(probabilities) + 1.0)

    def odds(share: np.ndarray) -> np.ndarray:
        kept = np.clip(share, least, 1 - least)
        return np.log(kept) - np.log1p(-kept)

    within = (prior > 0) & (prior < 1)
    return np.where(within, odds(found) - odds(prior), 0.0).astype(np.float32)
