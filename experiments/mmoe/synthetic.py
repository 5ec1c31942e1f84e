"""Tasks whose relatedness is known: regression data made to a given correlation.

    w_1 = c u_1,   w_2 = c (p u_1 + sqrt(1 - p^2) u_2),   u_1, u_2 orthonormal
    x ~ N(0, I),   y_t = w_t . x + sum_{i=1..m} sin(alpha_i w_t . x + beta_i) + eps_t

The cosine p of the tasks' weights is called their correlation; that of the labels grows
with it, but is smaller (`PRESETS`). alpha and beta are the same for all tasks.

The paper gives d = 100 and eps ~ N(0, 0.01), but not c, m, alpha, beta or the number of
examples, and it is not said whether 0.01 is a variance (standard deviation 0.1) or a
standard deviation. Public code settled both in different ways, hence the presets.

Everything is a pure function of a key, so that it can be drawn inside `jit` and `vmap`.

Reference: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate
Mixture-of-Experts, KDD 2018, section 3.2.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from labelgraph_jax.data.documents import DataError


class SyntheticSpec(NamedTuple):
    """What the paper leaves open.

    Attributes:
        scale: c, the length of the tasks' weights.
        sines: m, how many sines are added.
        fixed_sines: alpha_i = i and beta_i = (i - 1)^2, the same for every data set;
            drawn from N(0, 1) where false.
        noise: standard deviation of eps.
    """

    scale: float
    sines: int
    fixed_sines: bool
    noise: float


PRESETS: Mapping[str, SyntheticSpec] = MappingProxyType(
    {
        # The generator that the paper's authors published. Frequencies up to 10: what
        # a small network leaves unexplained is mostly theirs.
        "google-research": SyntheticSpec(1.0, 10, True, 0.01),
        # drawbridge/keras-mmoe. The linear part is weak beside the sines, which can
        # cancel it, so that data sets differ much in difficulty.
        "keras-mmoe": SyntheticSpec(0.3, 5, False, 0.1),
        # A PyTorch rebuild of the paper's figures.
        "zoo": SyntheticSpec(3.0, 4, False, 0.01),
    }
)


class SyntheticTasks(NamedTuple):
    """One draw of the tasks: with it, examples can be drawn without end.

    Attributes:
        weights: w_t.
        frequencies: alpha.
        phases: beta.
        noise: standard deviation of eps.
    """

    weights: Float[Array, "T D"]
    frequencies: Float[Array, " m"]
    phases: Float[Array, " m"]
    noise: Float[Array, ""]


def preset(name: str) -> SyntheticSpec:
    """The preset of this name.

    Raises:
        DataError: there is none.
    """
    if name not in PRESETS:
        raise DataError(
            f"there is no synthetic preset {name!r}; there are {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def check_spec(spec: SyntheticSpec) -> None:
    """Refuses numbers that make no data.

    Raises:
        DataError: a scale that is not positive, or a negative count or noise.
    """
    if not (np.isfinite(spec.scale) and spec.scale > 0):
        raise DataError(f"scale must be positive, got {spec.scale}")
    if spec.sines < 0:
        raise DataError(f"sines must not be negative, got {spec.sines}")
    if not (np.isfinite(spec.noise) and spec.noise >= 0):
        raise DataError(f"noise must not be negative, got {spec.noise}")


def directions_for(correlation: float, tasks: int = 2) -> Float[np.ndarray, "T T"]:
    """How the tasks' weights are made of orthonormal vectors: w = c L u.

    L is the lower triangular matrix with L L^T = (1 - p) I + p 1 1^T: every two tasks
    have the cosine p. For two tasks it is the paper's [[1, 0], [p, sqrt(1 - p^2)]].

    Args:
        correlation: p.
        tasks: T.

    Raises:
        DataError: no task, or a correlation that so many tasks cannot have in pairs:
            it must lie in [-1 / (T - 1), 1].
    """
    if tasks < 1:
        raise DataError(f"tasks must be at least 1, got {tasks}")
    least = -1.0 / (tasks - 1) if tasks > 1 else -1.0
    if not least - 1e-12 <= correlation <= 1.0:
        raise DataError(
            f"the correlation of {tasks} tasks must lie in [{least:g}, 1], "
            f"got {correlation}"
        )
    gram = np.full((tasks, tasks), float(correlation))
    np.fill_diagonal(gram, 1.0)
    factor = np.zeros((tasks, tasks))
    # Written out, because numpy's Cholesky refuses the singular matrix of p = 1.
    for row in range(tasks):
        for column in range(row + 1):
            rest = gram[row, column] - factor[row, :column] @ factor[column, :column]
            if row == column:
                factor[row, row] = np.sqrt(max(rest, 0.0))
            elif factor[column, column] > 1e-9:
                factor[row, column] = rest / factor[column, column]
    return factor


def draw_tasks(
    key: Key[Array, ""],
    spec: SyntheticSpec,
    directions: Float[ArrayLike, "T T"],
    *,
    features: int = 100,
) -> SyntheticTasks:
    """Draw the weights and the sines of the tasks.

    The same key gives the same orthonormal vectors for every correlation, so that data
    sets which differ in it alone can be compared in pairs.

    Args:
        key: randomness.
        spec: a preset or one's own.
        directions: from `directions_for`; may be traced.
        features: D, at least T.

    Raises:
        DataError: fewer features than tasks, or a malformed spec.
    """
    check_spec(spec)
    tasks = np.shape(directions)[0]
    if features < tasks:
        raise DataError(
            f"{tasks} orthonormal vectors need at least {tasks} features, "
            f"got {features}"
        )
    vectors_key, frequencies_key, phases_key = jax.random.split(key, 3)
    basis, triangle = jnp.linalg.qr(jax.random.normal(vectors_key, (features, tasks)))
    # LAPACK settles the signs by the data; so the vectors are uniform on the sphere.
    basis = basis * jnp.where(jnp.diagonal(triangle) < 0, -1.0, 1.0)
    weights = spec.scale * jnp.asarray(directions, jnp.float32) @ basis.T
    if spec.fixed_sines:
        frequencies = jnp.arange(1, spec.sines + 1, dtype=jnp.float32)
        phases = jnp.square(frequencies - 1.0)
    else:
        frequencies = jax.random.normal(frequencies_key, (spec.sines,))
        phases = jax.random.normal(phases_key, (spec.sines,))
    return SyntheticTasks(weights, frequencies, phases, jnp.float32(spec.noise))


def draw_examples(
    key: Key[Array, ""], tasks: SyntheticTasks, count: int
) -> tuple[Float[Array, "B D"], Float[Array, "B T"]]:
    """Draw new examples of the tasks.

    Args:
        key: randomness.
        tasks: from `draw_tasks`.
        count: B.

    Returns:
        Inputs and targets.
    """
    inputs_key, noise_key = jax.random.split(key)
    inputs = jax.random.normal(inputs_key, (count, tasks.weights.shape[1]))
    targets = noiseless_targets(tasks, inputs)
    noise = jax.random.normal(noise_key, targets.shape)
    return inputs, targets + tasks.noise * noise


def noiseless_targets(
    tasks: SyntheticTasks, inputs: Float[Array, "B D"]
) -> Float[Array, "B T"]:
    """y_t without eps: w_t . x + sum_i sin(alpha_i w_t . x + beta_i)."""
    linear = inputs @ tasks.weights.T
    sines = jnp.sin(linear[..., None] * tasks.frequencies + tasks.phases)
    return linear + sines.sum(axis=-1)


def target_variance(spec: SyntheticSpec, tasks: SyntheticTasks) -> Float[Array, ""]:
    """The variance of every task's labels, exactly: what a constant guess loses.

    With z ~ N(0, c^2), E sin(a z + b) = sin(b) exp(-a^2 c^2 / 2),
    E z sin(a z + b) = a c^2 cos(b) exp(-a^2 c^2 / 2), and products of two sines by the
    cosines of sum and difference.
    """
    alpha, beta = tasks.frequencies, tasks.phases
    square = jnp.float32(spec.scale**2)

    def damped(frequency: Array) -> Array:
        return jnp.exp(-0.5 * square * jnp.square(frequency))

    def sums(sign: float) -> Array:
        frequency = alpha[:, None] + sign * alpha[None]
        return damped(frequency) * jnp.cos(beta[:, None] + sign * beta[None])

    means = jnp.sin(beta) * damped(alpha)
    with_linear = jnp.sum(alpha * square * jnp.cos(beta) * damped(alpha))
    of_sines = 0.5 * jnp.sum(sums(-1.0) - sums(1.0)) - jnp.square(means.sum())
    return square + 2.0 * with_linear + of_sines + jnp.square(tasks.noise)
