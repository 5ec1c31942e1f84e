"""Experts shared by tasks: gates, mixtures, cross-stitch, and what the gates do."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key

from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.text.transformer import layer_norm


def gate_weights(
    gate_logits: Float[ArrayLike, "*batch E"],
    *,
    keep: Bool[ArrayLike, "... E"] | None = None,
) -> Float[Array, "*batch E"]:
    """The share that every expert has in every task: a softmax over the experts.

        weights[b, t, e] = exp(x[b, t, e]) / sum_f keep[b, t, f] exp(x[b, t, f])

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> lg.functional.gate_weights(jnp.zeros((1, 4))).tolist()
        [[0.25, 0.25, 0.25, 0.25]]

    Args:
        gate_logits: scores of the experts, of any float type.
        keep: True where the expert takes part. Leaving an expert out of the softmax is
            the same as setting its weight to zero and renormalising the others.

    Returns:
        Weights, float32, that sum to one; a row whose experts are all left out is zero.

    Reference: Ma et al., Multi-gate Mixture-of-Experts, KDD 2018, equation 7.
    """
    logits = jnp.asarray(gate_logits, jnp.float32)
    return jax.nn.softmax(logits, axis=-1, where=keep)


def draw_gate_keep(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    rate: float,
    *,
    access: Bool[ArrayLike, "*#shape"] | None = None,
) -> Bool[Array, "*shape"]:
    """Draw which experts take part: each is left out with probability `rate`.

    A row that would lose every expert keeps them all, so that its task still has an
    answer.

    Args:
        key: randomness.
        shape: of the gate logits; the last axis counts the experts.
        rate: probability that an expert is left out, drawn for every row and task.
        access: True where a gate may see the expert, see `expert_access`; all may by
            default.

    Raises:
        ValueError: rate lies outside [0, 1).

    Reference: Zhao et al., Recommending what video to watch next, RecSys 2019, section
    5.4: gates that polarise on a few experts are cured by zeroing each expert's weight
    with probability 10 % and renormalising.
    """
    _check_rate(rate)
    keep = jax.random.bernoulli(key, jnp.float32(1.0 - rate), shape)
    allowed = jnp.asarray(True if access is None else access)
    keep &= allowed
    return keep | (allowed & ~keep.any(axis=-1, keepdims=True))


def expert_access(tasks: int, own: int, shared: int) -> Bool[np.ndarray, "G E"]:
    """The experts that every gate of a level of progressive layered extraction sees.

    Experts stand in the order of their owners: `own` of the first task, `own` of the
    second, ..., then the shared ones, `E = tasks * own + shared`. The gate of a task
    sees its own experts and the shared ones; the last row, the shared gate that feeds
    the next level, sees them all.

    Example:
        >>> import labelgraph_jax as lg
        >>> lg.functional.expert_access(2, 1, 1).astype(int).tolist()
        [[1, 0, 1], [0, 1, 1], [1, 1, 1]]

    Args:
        tasks: T.
        own: experts of each task alone; 0 leaves MMoE.
        shared: experts of all tasks.

    Raises:
        ValueError: there is no task, a negative count, or a gate that sees no expert.

    Reference: Tang et al., Progressive Layered Extraction (PLE), RecSys 2020, sections
    4.1 (customised gate control) and 4.2.
    """
    if tasks < 1 or min(own, shared) < 0 or own + shared < 1:
        raise ValueError(
            "there must be at least one task, and one expert that a gate sees; got "
            f"tasks={tasks}, own={own}, shared={shared}"
        )
    owner = np.repeat(np.arange(tasks + 1), [own] * tasks + [shared])
    gates = np.arange(tasks + 1)[:, None]
    return (owner == gates) | (owner == tasks) | (gates == tasks)


def normalise_experts(
    units: Float[ArrayLike, "*batch E F"],
    scale: Float[ArrayLike, "E F"],
    shift: Float[ArrayLike, "E F"],
) -> Float[Array, "*batch E F"]:
    """Bring the units of every expert to mean 0 and variance 1, row by row.

        normal[b, e] = (x[b, e] - mean) / sqrt(variance + 1e-6) scale[e] + shift[e]

    Before its ReLU no expert can then fall silent for all rows, and none can shout the
    others down: what gates weigh is of one size.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> units = jnp.array([[[1.0, 3.0], [-100.0, 300.0]]])  # two experts
        >>> ones, zeros = jnp.ones((2, 2)), jnp.zeros((2, 2))
        >>> lg.functional.normalise_experts(units, ones, zeros).round(3).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]

    Returns:
        The same in the units' type; mean and variance are taken in float32.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Wang et al., HoME, 2024, section 3.1, whose experts are normalised over
    the rows of a batch; ours over the units of a row, so that a step needs no running
    averages and a batch may be split anywhere.
    """
    units = jnp.asarray(units)
    check_axes(units=(units, "... E F"), scale=(scale, "E F"), shift=(shift, "E F"))
    wide = units.astype(jnp.float32)
    normal = layer_norm(wide, jnp.ones(units.shape[-1], jnp.float32), epsilon=1e-6)
    scale, shift = (jnp.asarray(x, jnp.float32) for x in (scale, shift))
    return (normal * scale + shift).astype(units.dtype)


def mix_experts(
    expert_outputs: Float[ArrayLike, "B E F"],
    gate_logits: Float[ArrayLike, "B T E"],
    *,
    gate_dropout: float = 0.0,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "B T F"]:
    """Each task's own mixture of the experts that all tasks share.

        mixed[b, t] = sum_e softmax_e(gate_logits[b, t]) expert_outputs[b, e]

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> experts = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])  # one row, two experts
        >>> gates = jnp.array([[[0.0, 0.0], [9.0, 0.0]]])  # two tasks
        >>> lg.mix_experts(experts, gates).round(2).tolist()
        [[[0.5, 0.5], [1.0, 0.0]]]

    Args:
        expert_outputs: what each expert says of each row.
        gate_logits: one gate per task; one gate for all tasks (OMoE) is T = 1.
        gate_dropout: probability that an expert is left out of a task's mixture of a
            row, the others renormalised (see `draw_gate_keep`); acts only with a key.
        key: randomness of the gate dropout; None leaves every expert in.

    Returns:
        The mixtures, of the experts' type. Softmax and sum are taken in float32.

    Raises:
        ValueError: gate_dropout lies outside [0, 1), or the shapes do not fit.

    Reference: Ma et al., KDD 2018, equations 6 and 7.
    """
    _check_rate(gate_dropout)
    outputs, logits = jnp.asarray(expert_outputs), jnp.asarray(gate_logits)
    if outputs.ndim != 3 or logits.ndim != 3 or outputs.shape[1] != logits.shape[2]:
        raise ValueError(
            "mix_experts takes expert outputs [B, E, F] and gate logits [B, T, E] with "
            f"the same E; got {outputs.shape} and {logits.shape}"
        )
    keep = None
    if gate_dropout and key is not None:
        keep = draw_gate_keep(key, logits.shape, gate_dropout)
    return mix_weighted(outputs, gate_weights(logits, keep=keep))


def mix_weighted(
    expert_outputs: Float[Array, "B E F"], weights: Float[Array, "B T E"]
) -> Float[Array, "B T F"]:
    """`mix_experts` with the gate weights given: sum_e weights[b, t, e] outputs[b, e].

    A batched product of `[T, E]` by `[E, F]` matrices, one per row: half the time, in a
    whole train step on a CPU, of a sum written out over the experts.
    """
    outputs = expert_outputs.astype(jnp.float32)
    mixed = jnp.einsum("bte,bef->btf", weights, outputs)
    return mixed.astype(expert_outputs.dtype)


def cross_stitch(
    features: Float[Array, "*batch T F"], stitch: Float[Array, "T T"]
) -> Float[Array, "*batch T F"]:
    """Linear mixtures of the tasks' hidden layers, the same for every unit and row.

        stitched[b, t] = sum_u stitch[t, u] features[b, u]

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> features = jnp.array([[1.0], [3.0]])  # two tasks, one unit
        >>> stitch = jnp.array([[0.5, 0.5], [0.0, 1.0]])
        >>> lg.functional.cross_stitch(features, stitch).tolist()
        [[2.0], [3.0]]

    Raises:
        ValueError: shapes do not fit together.

    Reference: Misra et al., Cross-stitch networks, CVPR 2016, equation 1, for any
    number of tasks.
    """
    check_axes(features=(features, "... T F"), stitch=(stitch, "T T"))
    return jnp.einsum("tu,...uf->...tf", stitch, features)


def pairwise_squared_distance(
    stack: Float[Array, "..."], axis: int
) -> Float[Array, ""]:
    """Sum over pairs of tasks t < u of ||x_t - x_u||^2, tasks along `axis`.

        sum_{t<u} ||x_t - x_u||^2 = T sum_t ||x_t||^2 - ||sum_t x_t||^2
                                  = T sum_t ||x_t - mean||^2

    Reference: Duong et al., ACL 2015; the L2-constrained model of KDD 2018.
    """
    centred = stack - stack.mean(axis=axis, keepdims=True)
    return stack.shape[axis] * jnp.sum(jnp.square(centred.astype(jnp.float32)))


class GateSums(NamedTuple):
    """Sums over rows of what the gates did; they add over batches and devices.

    Attributes:
        weights: sum of the gate weights `[T, E]`.
        squares: sum of their squares `[T, E]`.
        entropy: sum of the gates' entropies, in nats `[T]`.
        top: rows whose largest weight is this expert's `[T, E]`.
        rows: how many rows.
    """

    weights: Float[Array, "T E"]
    squares: Float[Array, "T E"]
    entropy: Float[Array, " T"]
    top: Float[Array, "T E"]
    rows: Float[Array, ""]


class GateStatistics(NamedTuple):
    """Statistics of the gates of a model, from `gate_sums` over any number of rows.

    Attributes:
        mean_weights: mean gate weight `[T, E]`; rows sum to one.
        spread: standard deviation of the gate weight over rows `[T, E]`: zero says that
            a gate does not read its input.
        entropy: mean entropy of a row's gate over log E `[T]`: 0 is one expert,
            1 all alike.
        top_share: share of the rows in which the expert weighs most `[T, E]`.
        utilisation: mean over tasks of the mean weights `[E]`; 1 / E each is even.
        similarity: cosine of the tasks' mean weights `[T, T]`.
        polarisation: 1 - (entropy of the mean weights over log E) `[T]`: 0 when a task
            uses all experts equally over the rows, 1 when it uses a single one.
    """

    mean_weights: Float[Array, "T E"]
    spread: Float[Array, "T E"]
    entropy: Float[Array, " T"]
    top_share: Float[Array, "T E"]
    utilisation: Float[Array, " E"]
    similarity: Float[Array, "T T"]
    polarisation: Float[Array, " T"]


def gate_sums(
    weights: Float[ArrayLike, "B T E"],
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> GateSums:
    """Count what the gates did with the real rows of one batch.

    Args:
        weights: from `gate_weights`.
        example_mask: True where the row is real, False where it is padding.

    Raises:
        ValueError: shapes do not fit together.
    """
    check_axes(weights=(weights, "B T E"), example_mask=(example_mask, "B"))
    weights = jnp.asarray(weights, jnp.float32)
    rows = jnp.ones(len(weights), bool) if example_mask is None else example_mask
    rows = jnp.asarray(rows, bool)
    weights = jnp.where(rows[:, None, None], weights, 0.0)
    real = rows.astype(jnp.float32)
    top = jax.nn.one_hot(weights.argmax(-1), weights.shape[-1], dtype=jnp.float32)
    return GateSums(
        weights=weights.sum(axis=0),
        squares=jnp.square(weights).sum(axis=0),
        entropy=_entropy(weights).sum(axis=0),
        top=jnp.einsum("b,bte->te", real, top),
        rows=real.sum(),
    )


def gate_statistics(sums: GateSums) -> GateStatistics:
    """The ratios that `gate_sums` stand for; all zero where no row was counted."""
    count = jnp.maximum(sums.rows, 1.0)
    mean = sums.weights / count
    experts = mean.shape[-1]
    # A single expert has no choice: its gate is neither even nor polarised.
    most = jnp.log(jnp.float32(experts)) if experts > 1 else jnp.float32(1.0)
    norms = jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    unit = mean / norms
    seen = sums.rows > 0
    even = (
        _entropy(mean) / most if experts > 1 else jnp.ones(mean.shape[0], jnp.float32)
    )
    return GateStatistics(
        mean_weights=mean,
        spread=jnp.sqrt(jnp.maximum(sums.squares / count - jnp.square(mean), 0.0)),
        entropy=sums.entropy / count / most,
        top_share=sums.top / count,
        utilisation=mean.mean(axis=0),
        similarity=unit @ unit.T,
        polarisation=jnp.where(seen, 1.0 - even, 0.0),
    )


def _entropy(weights: Float[Array, "*batch E"]) -> Float[Array, "*batch"]:
    logarithms = jnp.log(jnp.where(weights > 0, weights, 1.0))
    return -jnp.sum(weights * logarithms, axis=-1)


def _check_rate(rate: float) -> None:
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"the rate of gate dropout must lie in [0, 1); got {rate}")
