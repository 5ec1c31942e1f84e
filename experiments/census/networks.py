"""The six models of the paper, each in several shapes of one number of parameters."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import (
    MIXTURE_KINDS,
    MixtureKind,
    MultiTaskNetwork,
)

MODELS = tuple(kind for kind in MIXTURE_KINDS if kind != "ple")
"""The paper's; what came after it stands in `experiments.mixture_successors`."""
_MIXTURES = ("omoe", "mmoe")


@dataclass(frozen=True)
class Shape:
    """A network without its input width.

    Attributes:
        kind: of the mixture.
        hidden: units of each layer, per expert, per task or of the shared network.
        experts: of omoe and mmoe; 1 for the others, which have none.
        towers: units of each layer of a task's tower.
    """

    kind: MixtureKind
    hidden: tuple[int, ...]
    experts: int = 1
    towers: tuple[int, ...] = (8,)

    def __str__(self) -> str:
        units = "-".join(map(str, self.hidden))
        experts = f"{self.experts} x " if self.kind in _MIXTURES else ""
        return f"{experts}{units}, towers {'-'.join(map(str, self.towers))}"

    def network(self, tasks: tuple[Task, ...], dropout: float) -> MultiTaskNetwork:
        """The network; dropout follows every hidden layer."""
        return MultiTaskNetwork(
            tasks=tasks,
            kind=self.kind,
            hidden=self.hidden,
            experts=self.experts,
            towers=self.towers,
            dropout_rate=dropout,
        )


def shapes_of(
    kind: MixtureKind, tasks: tuple[Task, ...], width: int, budget: int
) -> tuple[Shape, ...]:
    """The shapes that are tried, every one with about `budget` parameters.

    Four per model: one layer or two; four or eight experts where there are experts,
    and towers of 8 or 16 units where there are none.
    """
    if kind in _MIXTURES:
        free = [((8,), experts) for experts in (8, 4)]
    else:
        free = [((units,), 1) for units in (8, 16)]
    shapes = []
    for towers, experts in free:
        for above in ((), (16,)):
            shape = Shape(kind, (1, *above), experts, towers)
            shapes.append(widened(shape, tasks, width, budget))
    return tuple(shapes)


def widened(shape: Shape, tasks: tuple[Task, ...], width: int, budget: int) -> Shape:
    """The shape with the first layer that comes nearest to `budget` parameters."""

    def with_units(units: int) -> Shape:
        return dataclasses.replace(shape, hidden=(units, *shape.hidden[1:]))

    one, two = (parameter_count(with_units(u), tasks, width) for u in (1, 2))
    return with_units(max(round((budget - one) / (two - one)) + 1, 1))


def parameter_count(shape: Shape, tasks: tuple[Task, ...], width: int) -> int:
    """All that is learned, gates and outputs included."""
    init = shape.network(tasks, 0.0).init
    tree = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, width)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def network_inputs(batch: Mapping[str, Any]) -> Float[Array, "B D"]:
    """What a network reads of a batch of `CensusInputs.splits`."""
    if "inputs" in batch:
        return batch["inputs"]
    categories = batch["categories"].astype(jnp.float32)
    return jnp.concatenate([categories, batch["numbers"]], axis=-1)


def apply_fn(network: MultiTaskNetwork) -> Callable[..., Float[Array, "B O"]]:
    """The network as `training.objectives.ApplyFn`."""

    def apply(
        params: Any, batch: Mapping[str, Any], *, key: Any, train: bool
    ) -> Float[Array, "B O"]:
        outputs: Any = network.apply(
            {"params": params},
            network_inputs(batch),
            deterministic=not train,
            rngs={"dropout": key} if train else None,
        )
        return outputs

    return apply
