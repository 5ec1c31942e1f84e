"""The rankers that are compared, and what one row costs each of them."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from labelgraph_jax.functional.losses.tasks import Task, output_count
from labelgraph_jax.modules.mixture import MixtureKind
from labelgraph_jax.modules.ranker import Ranker

DIM, SHARED, TOWERS, EXPERT = 8, 64, 16, 64
_COUNTED_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row of the table.

    Attributes:
        name, title: as printed.
        kind, experts, gate_dropout: of the mixture.
        as_costly_as: for a shared-bottom model, the cell whose multiplications its
            width is made to match; experts have a fixed width.
        tuned_as: the cell whose learning rate it takes; its own name by default.
    """

    name: str
    title: str
    kind: MixtureKind
    experts: int = 1
    gate_dropout: float = 0.0
    as_costly_as: str = ""
    tuned_as: str = ""


CELLS = (
    Cell("small", "shared-bottom, small", "shared_bottom", as_costly_as="mmoe4"),
    Cell("large", "shared-bottom, large", "shared_bottom", as_costly_as="mmoe8"),
    Cell("mmoe4", "MMoE, 4 experts", "mmoe", 4, 0.1),
    Cell("mmoe8", "MMoE, 8 experts", "mmoe", 8, 0.1),
    Cell(
        *("mmoe8-all", "MMoE, 8 experts, no gate dropout", "mmoe", 8, 0.0),
        tuned_as="mmoe8",
    ),
)
PAIRS = (
    ("large", "small"),
    ("mmoe4", "small"),
    ("mmoe8", "large"),
    ("mmoe8", "small"),
    ("mmoe8", "mmoe8-all"),
)
"""What is compared with what: at equal multiplications, with more of them, and with and
without gate dropout."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a ranker reads: sizes of the categorical columns, count of the numbers."""

    cardinalities: tuple[int, ...]
    numbers: int

    @property
    def width(self) -> int:
        """Features of an encoded row."""
        return len(self.cardinalities) * DIM + self.numbers


def rankers(
    tasks: Sequence[Task], inputs: Inputs, *, dropout_rate: float = 0.0
) -> dict[str, Ranker]:
    """The ranker of every cell, shared-bottom ones as wide as they may be."""
    made = {
        cell.name: Ranker(
            tasks=tuple(tasks),
            cardinalities=inputs.cardinalities,
            dim=DIM,
            kind=cell.kind,
            hidden=(EXPERT,),
            experts=cell.experts,
            shared=(SHARED,),
            towers=(TOWERS,),
            gate_dropout=cell.gate_dropout,
            dropout_rate=dropout_rate,
        )
        for cell in CELLS
    }
    for cell in CELLS:
        if cell.as_costly_as:
            width = matched_width(
                made[cell.name], made[cell.as_costly_as], inputs.numbers
            )
            made[cell.name] = made[cell.name].clone(hidden=(width,))
    return made


def matched_width(bottom: Ranker, target: Ranker, numbers: int) -> int:
    """The width at which a shared-bottom ranker costs what another ranker does.

    Its multiplications grow linearly with the width of its bottom layer: two counts of
    the compiled program give the line.
    """
    low, high = 32, 96
    at_low, at_high = (
        compiled_multiplications(bottom.clone(hidden=(width,)), numbers)
        for width in (low, high)
    )
    slope = (at_high - at_low) / (high - low)
    wanted = compiled_multiplications(target, numbers)
    return max(1, round(low + (wanted - at_low) / slope))


def compiled_multiplications(model: Ranker, numbers: int) -> float:
    """Half of the floating-point operations per row of the compiled, served model.

    A product of matrices is as many additions as multiplications. Activations, softmax
    and the gates' weighted sum are in it too; looking a category up costs nothing.
    """
    rows = _COUNTED_ROWS
    categories = jax.ShapeDtypeStruct((rows, len(model.cardinalities)), jnp.int32)
    amounts = jax.ShapeDtypeStruct((rows, numbers), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), categories, amounts)
    compiled = jax.jit(model.apply).lower(variables, categories, amounts).compile()
    costs = compiled.cost_analysis() or {}
    return float(costs["flops"]) / 2 / rows


def hand_multiplications(model: Ranker, numbers: int) -> int:
    """Products of a row by the weights of every layer, counted from the sizes."""
    tasks, features = len(model.tasks), len(model.cardinalities) * model.dim + numbers
    experts = model.experts if model.kind == "mmoe" else 1
    (shared,), (hidden,), (tower,) = model.shared, model.hidden, model.towers
    gates = shared * tasks * experts + tasks * experts * hidden
    return (
        features * shared
        + shared * experts * hidden
        + (gates if model.kind == "mmoe" else 0)
        + tasks * hidden * tower
        + tower * output_count(model.tasks)
        + numbers * output_count(model.tasks)  # the wide part
    )
