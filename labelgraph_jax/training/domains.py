"""Two domains: a classifier that tells them apart, and what works against it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from labelgraph_jax.data.batches.unlabelled import PROGRESS, unlabelled_part
from labelgraph_jax.functional.few_labels.other_distributions import (
    coral,
    gradient_reversal,
)
from labelgraph_jax.training.objectives import Batch, Params

DOMAIN = "domain"
"""Of the parameters: the classifier of domains, which no prediction reads."""
HIDDEN = 64
"""Units of its hidden layer."""
PROJECTED = 256
"""Products of features and probabilities that a conditional one reads."""
PROBE_STEPS = 150


def reversal_scale(progress: Float[ArrayLike, ""]) -> Float[Array, ""]:
    """Return the scale of the reversed gradient at a share of the steps, 0 to 1.

        2 / (1 + exp(-10 p)) - 1

    Reference: Ganin et al., JMLR 2016.
    """
    return 2 / (1 + jnp.exp(-10 * jnp.asarray(progress, jnp.float32))) - 1


def domain_parameters(features: int, key: Array) -> dict[str, Array]:
    """The first parameters of a classifier of domains with one hidden layer."""
    first, second = jax.random.split(key)
    return {
        "hidden": jax.random.normal(first, (features, HIDDEN)) / features**0.5,
        "hidden_bias": jnp.zeros(HIDDEN),
        "out": jax.random.normal(second, (HIDDEN,)) / HIDDEN**0.5,
        "out_bias": jnp.zeros(()),
    }


def domain_logits(params: Params, features: Float[Array, "M F"]) -> Float[Array, " M"]:
    """Log-odds that documents are of the target, by that classifier."""
    hidden = jax.nn.relu(features @ params["hidden"] + params["hidden_bias"])
    return hidden @ params["out"] + params["out_bias"]


def domain_loss(
    params: Params,
    source: Float[Array, "B F"],
    target: Float[Array, "U F"],
    source_rows: Float[Array, " B"] | None = None,
    target_rows: Float[Array, " U"] | None = None,
) -> Float[Array, ""]:
    """Mean loss of a classifier of domains, both of which weigh the same.

    Args:
        params: of `domain_logits`.
        source: what it reads of the source documents.
        target: what it reads of the target documents.
        source_rows: what each source document counts.
        target_rows: what each target document counts.
    """

    def mean(features: Array, sign: float, rows: Array | None) -> Array:
        losses = jax.nn.softplus(sign * domain_logits(params, features))
        if rows is None:
            return jnp.mean(losses)
        return jnp.sum(losses * rows) / jnp.maximum(jnp.sum(rows), 1.0)

    return (mean(source, 1.0, source_rows) + mean(target, -1.0, target_rows)) / 2


def relative_coral(
    source: Float[Array, "B F"],
    target: Float[Array, "U F"],
    source_mask: Bool[Array, " B"] | None = None,
    target_mask: Bool[Array, " U"] | None = None,
) -> Float[Array, ""]:
    """Return `functional.coral` by the size of both covariances.

    It is 0 where they are equal, about 1 where they share no direction, whatever the
    scale of the vectors.
    """
    zero = jnp.zeros((1, source.shape[1]))
    apart = coral(source, target, source_mask, target_mask)
    sizes = coral(source, zero, source_mask) + coral(zero, target, None, target_mask)
    return apart / jnp.maximum(sizes, 1e-12)


def conditioned(
    features: Float[Array, "M F"],
    logits: Float[Array, "M N"],
    mixing: tuple[Float[Array, "F P"], Float[Array, "N P"]],
) -> Float[Array, "M P"]:
    """Return products of features and probabilities, through fixed random projections.

    Reference: Long et al., Conditional Adversarial Domain Adaptation, NeurIPS 2018,
        with sigmoids in the place of a softmax.
    """
    p = jax.lax.stop_gradient(jax.nn.sigmoid(logits))
    return (features @ mixing[0]) * (p @ mixing[1]) / features.shape[1] ** 0.5


def alignment(
    vectors: Callable[..., tuple[Array, Array]],
    kind: str,
    *,
    labels: int,
    weight: float = 1.0,
    conditional: bool = False,
) -> Callable[[Params, Batch, Array], Array]:
    """Build the loss that aligns the document vectors of both streams of a batch.

    Args:
        vectors: `vectors(params, batch, *, key)` -> document vectors `[B, D]` and, for
            a conditional one, logits `[B, N]`.
        kind: `coral`, or `adversarial`, of which the parameters hold `DOMAIN`.
        labels: N. The loss of labels is a mean over all of them, and this loss is
            divided by their number to have the weight that it has beside their sum.
        weight: lambda, at the end of training: of the reversed gradient, or of coral.
        conditional: see `conditioned`.

    Returns:
        `extra(params, batch, key)`, see `objectives.added_objective`.
    """

    def extra(params: Params, batch: Batch, key: Array) -> Array:
        both = (batch, unlabelled_part(batch))
        masks = [jnp.asarray(part["example_mask"]) for part in both]
        keys = jax.random.split(key)
        read = [vectors(params, b, key=k) for b, k in zip(both, keys, strict=True)]
        if kind == "coral":
            return weight * relative_coral(read[0][0], read[1][0], *masks) / labels
        scale = weight * reversal_scale(jnp.mean(batch[PROGRESS]))
        mixing = random_products(read[0][0].shape[1], labels)
        features = [
            conditioned(*pair, mixing) if conditional else pair[0] for pair in read
        ]
        features = [gradient_reversal(z, scale) for z in features]
        counted = [mask.astype(jnp.float32) for mask in masks]
        return domain_loss(params[DOMAIN], *features, *counted) / labels

    return extra


def random_products(features: int, labels: int) -> tuple[Array, Array]:
    """The fixed random projections of `conditioned`, `[F, P]` and `[N, P]`."""
    first, second = jax.random.split(jax.random.key(0))
    return (
        jax.random.normal(first, (features, PROJECTED)),
        jax.random.normal(second, (labels, PROJECTED)),
    )


@jax.jit
def _probe(features: Array, is_target: Array, fitted: Array, key: Array) -> Array:
    """Log-odds by a fresh classifier that was fitted on some of the documents."""
    params = domain_parameters(features.shape[1], key)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(0.01, PROBE_STEPS), weight_decay=1e-2
    )
    weights = [jnp.where(fitted & (is_target == t), 1.0, 0.0) for t in (False, True)]

    def step(
        carry: tuple[Params, optax.OptState], _: None
    ) -> tuple[tuple[Params, optax.OptState], None]:
        params, state = carry
        gradient = jax.grad(domain_loss)(params, features, features, *weights)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    (params, _), _ = jax.lax.scan(step, start, None, length=PROBE_STEPS)
    return domain_logits(params, features)


def domain_probe(
    source: Float[np.ndarray, "B D"], target: Float[np.ndarray, "U D"], key: Array
) -> tuple[float, Float[np.ndarray, " B"]]:
    """Measure how well a fresh classifier tells two sets of vectors apart.

    Args:
        source: the vectors of one set.
        target: the vectors of the other.
        key: of halves and first parameters.

    Returns:
        Its accuracy on the half of the documents that it was not fitted on, both ways,
        the mean over the two sets: 0.5 by chance. And how much likelier each source
        document is among the target's, by a classifier that was not fitted on it.
    """
    both = np.concatenate([source, target]).astype(np.float32)
    both = (both - both.mean(axis=0)) / max(float(both.std()), 1e-12)
    is_target = np.arange(len(both)) >= len(source)
    halves, *keys = jax.random.split(key, 3)
    first = np.asarray(jax.random.permutation(halves, len(both))) % 2 == 0
    logits = np.zeros(len(both))
    for fitted, own in zip((first, ~first), keys, strict=True):
        logits[~fitted] = np.asarray(_probe(both, is_target, fitted, own))[~fitted]
    # A fitted classifier is too sure: so much of its log-odds holds elsewhere.
    losses = {
        scale: sum(
            np.logaddexp(0, sign * scale * logits[own]).mean()
            for sign, own in ((1, ~is_target), (-1, is_target))
        )
        for scale in np.linspace(0, 1, 21)
    }
    ratio = np.exp(min(losses, key=lambda s: losses[s]) * logits[~is_target])
    right = (logits > 0) == is_target
    accuracy = (right[is_target].mean() + right[~is_target].mean()) / 2
    return float(accuracy), ratio
