"""Position bias: what is clicked because of where it stood, and taking that apart.

Positions are numbered from 1, the top. 0 is no position: what a ranker has while it
serves, since nothing has a place before it is ranked.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from labelgraph_jax.functional.checks import check_axes, check_integers

NO_POSITION = 0


def drop_positions(
    key: Key[Array, ""], positions: Int[ArrayLike, "*batch"], rate: float
) -> Int[Array, "*batch"]:
    """Forget each position with probability `rate`: a model learns to do without.

    Args:
        key: randomness.
        positions: from 1 on; 0 stays 0.
        rate: 10 % in the paper.

    Raises:
        ValueError: rate lies outside [0, 1).

    Reference: Zhao et al., RecSys 2019, on position and selection bias.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(
            f"the rate of dropped positions must lie in [0, 1); got {rate}"
        )
    positions = jnp.asarray(positions)
    keep = jax.random.bernoulli(key, jnp.float32(1.0 - rate), positions.shape)
    return jnp.where(keep, positions, NO_POSITION)


def position_logits(
    table: Float[Array, "G P K"],
    positions: Int[ArrayLike, "*batch"],
    groups: Int[ArrayLike, "*batch"] | None = None,
) -> Float[Array, "*batch K"]:
    """Look up what a place adds to the logits: table[group, position].

    Args:
        table: by group (device, or page of the app), position (P = places + 1, number 0
            for none) and task.
        positions: a position beyond the last of the table counts as the last.
        groups: 0 .. G - 1; None is group 0 for all.

    Raises:
        ValueError: shapes do not fit together.
    """
    check_axes(table=(table, "G P K"))
    check_axes(positions=(positions, "..."), groups=(groups, "..."))
    check_integers(positions=positions, groups=groups)
    places = jnp.clip(jnp.asarray(positions), NO_POSITION, table.shape[1] - 1)
    groups = jnp.zeros_like(places) if groups is None else jnp.asarray(groups)
    return jnp.asarray(table)[groups, places]


def add_position_logits(
    outputs: Float[Array, "*batch O"],
    logits: Float[Array, "*batch K"],
    columns: Sequence[int],
) -> Float[Array, "*batch O"]:
    """Add the shallow tower's logits to the outputs of the tasks that feel positions.

        outputs[b, columns[k]] += logits[b, k]

    Args:
        outputs: of the main tower.
        logits: of the shallow tower.
        columns: the outputs they belong to, in order.

    Raises:
        ValueError: there are not as many columns as logits, or one twice; or the rows
            of outputs and logits differ.

    Reference: Zhao et al., RecSys 2019: a click is sigmoid(utility + bias), both
    trained together, and the bias left out when serving.
    """
    columns = tuple(columns)
    if len(columns) != logits.shape[-1] or len(set(columns)) != len(columns):
        raise ValueError(
            f"each of the {logits.shape[-1]} position logits must have an output "
            f"column of its own; got columns {columns}"
        )
    check_axes(outputs=(outputs, "... O"), logits=(logits, "... K"))
    outputs, logits = jnp.asarray(outputs), jnp.asarray(logits)
    at = outputs.at[..., jnp.asarray(columns, jnp.int32)]
    return at.add(logits.astype(outputs.dtype))
