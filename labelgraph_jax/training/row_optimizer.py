"""AdamW of a table of which a step reads a few rows: the others catch up later.

Dense AdamW moves every row at every step, also those whose gradient is zero: their
averages shrink, what is left of them moves the row on, and the row decays. A row that
sat out the steps s+1 .. t is brought to where these would have taken it at once. With
its averages m and v of step s, the rates lr_u, the decay d, c_u = sqrt(1 - b2^u) / (1 -
b1^u) and q = b1 / sqrt(b2), dense AdamW would have made of it

    w_t = w_s D(s, t) - m / (sqrt(v) + e) A(s, t)
    D(s, t) = prod_{u=s+1..t} (1 - lr_u d)
    A(s, t) = sum_{u=s+1..t} lr_u c_u q^(u - s) D(u, t)
    m_t = b1^(t - s) m,   v_t = b2^(t - s) v.

Adam's epsilon differs from step to step, by (1 - b2^u)^(1/2) b2^((s - u) / 2) in
units of sqrt(v); e is its mean over the steps sat out, weighed as in A, which is exact
to first order. The sums of all pairs (s, t) follow from one number of every step, its
sum to the end of the run, H(s) = A(s, T) / D(s, T): A(s, t) = D(s, t) H(s) - q^(t - s)
H(t). These numbers come from the schedule alone, so that a resumed run has the same.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

LARGEST_DECAY = 0.05
"""Rate times decay: from about 0.1 on, H of the module would grow with the steps."""


class TableRows(NamedTuple):
    """Rows of a table, or the whole of it, and what the optimizer keeps of each.

    Attributes:
        values, mu, nu: as of the step that each row was last brought to.
        last_step: the steps that were done then.
    """

    values: Float[Array, "R D"]
    mu: Float[Array, "R D"]
    nu: Float[Array, "R D"]
    last_step: Int[Array, " R"]


class SkippedSteps(NamedTuple):
    """Numbers of every step of a run, by which rows catch up; see `RowAdamW.skipped`.

    Attributes:
        origin: the steps that were done when the averages began, 0 of a fresh run.
        moves: H of the module, of the steps 0 .. T.
        epsilons: the same sums, weighed by Adam's epsilon.
        mantissa, exponent: of D(0, t), which may be smaller than a float32 can be.
    """

    origin: Int[np.ndarray, ""]
    moves: Float[np.ndarray, " T"]
    epsilons: Float[np.ndarray, " T"]
    mantissa: Float[np.ndarray, " T"]
    exponent: Int[np.ndarray, " T"]


@dataclass(frozen=True)
class RowAdamW:
    """AdamW as of `make_optimizer`, for rows that are there and rows that are not.

    Attributes:
        schedule: the learning rate of each step, counted from 0.
        total_steps: of the run; rows cannot catch up beyond.
        weight_decay: decoupled.
        b1, b2, eps: Adam's.

    Raises:
        ValueError: a row decays by more than `LARGEST_DECAY` a step.

    Example:
        >>> import jax.numpy as jnp
        >>> rule = RowAdamW(lambda step: 0.1, total_steps=10, weight_decay=0.0)
        >>> skipped = rule.skipped()
        >>> one = jnp.ones((1, 1))
        >>> rows = rule.update(rule.init(one), one, 0, skipped)
        >>> later = rule.catch_up(rows, 5, skipped)  # as four gradients of zero
        >>> [round(float(x.values[0, 0]), 3) for x in (rows, later)]
        [0.9, 0.703]
    """

    schedule: optax.Schedule
    total_steps: int
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        largest = float(np.max(self._rates())) * self.weight_decay
        if largest > LARGEST_DECAY:
            raise ValueError(
                f"learning_rate x weight_decay must be at most {LARGEST_DECAY} for "
                f"rows to catch up, got {largest:g}"
            )

    def _rates(self) -> Float[np.ndarray, " T"]:
        steps = jax.vmap(self.schedule)(jnp.arange(self.total_steps))
        return np.broadcast_to(np.asarray(steps, np.float64), self.total_steps)

    def init(self, values: Float[Array, "R D"]) -> TableRows:
        """Rows before the first step."""
        mu, nu = jnp.zeros_like(values), jnp.zeros_like(values)
        return TableRows(values, mu, nu, jnp.zeros(len(values), jnp.int32))

    def skipped(self, origin: int = 0) -> SkippedSteps:
        """The numbers of every step, computed in float64.

        Args:
            origin: the steps that were done when the averages began.
        """
        rates = self._rates()
        count = np.maximum(np.arange(1, self.total_steps + 1) - origin, 1)
        first, second = 1 - self.b1**count, 1 - self.b2**count
        kept = 1 - rates * self.weight_decay
        # D(0, t) by logarithms to the base 2: exact where nothing decays.
        logarithms = np.concatenate([[0.0], np.cumsum(np.log2(kept))])
        exponent = np.floor(logarithms)
        return SkippedSteps(
            np.asarray(origin, np.int32),
            _to_the_end(rates * np.sqrt(second) / first, kept, self._ratios[0]),
            _to_the_end(self.eps * rates * second / first, kept, self._ratios[1]),
            np.exp2(logarithms - exponent).astype(np.float32),
            exponent.astype(np.int32),
        )

    @property
    def _ratios(self) -> tuple[float, float]:
        return self.b1 / math.sqrt(self.b2), self.b1 / self.b2

    def catch_up(
        self, rows: TableRows, step: Int[ArrayLike, ""], skipped: SkippedSteps
    ) -> TableRows:
        """The rows as they stand after `step` steps, those they sat out included."""
        step = jnp.asarray(step, jnp.int32)
        between = (step - rows.last_step).astype(jnp.float32)
        then, now = (
            [jnp.asarray(numbers)[at] for numbers in skipped[1:]]
            for at in (rows.last_step, step)
        )
        decay = jnp.ldexp(now[2] / then[2], now[3] - then[3])
        move, epsilon = (
            decay * then[i] - jnp.power(ratio, between) * now[i]
            for i, ratio in enumerate(self._ratios)
        )
        epsilon = jnp.where(move > 0, epsilon / jnp.where(move > 0, move, 1), self.eps)
        direction = rows.mu / (jnp.sqrt(rows.nu) + epsilon[:, None])
        return TableRows(
            rows.values * decay[:, None] - direction * move[:, None],
            rows.mu * jnp.power(self.b1, between)[:, None],
            rows.nu * jnp.power(self.b2, between)[:, None],
            jnp.full_like(rows.last_step, step),
        )

    def update(
        self,
        rows: TableRows,
        gradient: Float[Array, "R D"],
        step: Int[ArrayLike, ""],
        skipped: SkippedSteps,
    ) -> TableRows:
        """One step of AdamW of rows that stand at `step`."""
        count = (jnp.asarray(step) + 1 - skipped.origin).astype(jnp.float32)
        mu = self.b1 * rows.mu + (1 - self.b1) * gradient
        nu = self.b2 * rows.nu + (1 - self.b2) * jnp.square(gradient)
        size = jnp.sqrt(nu / (1 - self.b2**count)) + self.eps
        move = mu / (1 - self.b1**count) / size + self.weight_decay * rows.values
        return TableRows(
            rows.values - self.schedule(step) * move,
            mu,
            nu,
            jnp.full_like(rows.last_step, step + 1),
        )


def _to_the_end(
    gains: Float[np.ndarray, " T"], kept: Float[np.ndarray, " T"], ratio: float
) -> Float[np.ndarray, " T"]:
    """H of the module, of the steps 0 .. T, from the last one back."""
    sums, sum_ = np.zeros(len(gains) + 1, np.float32), 0.0
    each = zip((gains / kept * ratio).tolist(), (ratio / kept).tolist(), strict=True)
    for step, (gain, factor) in reversed(list(enumerate(each))):
        sum_ = gain + factor * sum_
        sums[step] = sum_
    return sums
