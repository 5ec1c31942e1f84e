"""Settings of what several tasks share: the mixture between encoder and tasks."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import check_choices, require, require_numbers

GATED = ("omoe", "mmoe")
"""Kinds of mixture that have gates and experts."""


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Layer between the encoder and the tasks, where there are several."""

    kind: Literal[
        "none",
        "single_task",
        "shared_bottom",
        "omoe",
        "mmoe",
        "cross_stitch",
        "l2_constrained",
    ] = "none"
    """A network per task, one for all, experts mixed by one gate or by a gate per task,
    networks stitched together or drawn towards each other. none: a text's label
    sets have one graph; a table takes mmoe, or shared_bottom for a single task."""
    experts: int = 8
    """omoe, mmoe: how many experts the tasks share."""
    hidden: tuple[int, ...] = ()
    """Units of each layer of an expert, of a task's network, or of the shared one;
    what suits the input when empty."""
    shared: tuple[int, ...] = ()
    """Units of layers below all of that, which every task shares."""
    towers: tuple[int, ...] | None = None
    """Units of each layer of a task's own tower; a text's towers are its label graphs,
    so it has none by default."""
    gate_dropout: float = 0.0
    """omoe, mmoe: probability that an expert is left out of a task's mixture in
    training, against gates that polarise."""
    dropout: float = 0.0
    """Dropout after each hidden layer."""
    weighting: Literal["given", "uncertainty"] = "given"
    """Weights of the tasks' losses: given, or learned by each task's uncertainty."""
    task_weights: tuple[float, ...] = ()
    """given: one weight per task, in the order of the tasks; 1 each when empty."""
    l2: float = 1e-3
    """l2_constrained: weight of the squared distance between the tasks' networks."""

    def __post_init__(self) -> None:
        check_choices(self, "mixture")
        require_numbers(
            self,
            "mixture",
            at_least_one=("experts",),
            shares=("gate_dropout", "dropout"),
            not_negative=("l2",),
        )
        for name in ("hidden", "shared", "towers"):
            units = getattr(self, name) or ()
            require(
                all(unit >= 1 for unit in units),
                f"mixture.{name} must hold numbers of units, each at least 1, got "
                f"{list(units)}",
            )
        require(
            all(0 <= weight < float("inf") for weight in self.task_weights),
            "mixture.task_weights must not be negative or infinite, got "
            f"{list(self.task_weights)}",
        )
        require(
            not self.task_weights or any(self.task_weights),
            "mixture.task_weights must not all be 0",
        )
        require(
            self.weighting == "given" or not self.task_weights,
            "mixture.task_weights are given and mixture.weighting='uncertainty' learns "
            "them: choose one",
        )
        require(
            not self.gate_dropout or self.kind in (*GATED, "none"),
            f"mixture.gate_dropout needs gates: mixture.kind must be one of "
            f"{list(GATED)}, got '{self.kind}'",
        )

    def weights(self, tasks: tuple[str, ...]) -> tuple[float, ...]:
        """The weight of each task's loss.

        Raises:
            ConfigError: as many weights were not given as there are tasks.
        """
        require(
            len(self.task_weights) in (0, len(tasks)),
            f"mixture.task_weights must hold one weight for each of the {len(tasks)} "
            f"tasks ({', '.join(tasks)}), got {len(self.task_weights)}",
        )
        return self.task_weights or (1.0,) * len(tasks)

    def network(self) -> dict[str, Any]:
        """Return arguments of a `modules.mixture.Mixture`, except tasks and hidden."""
        return {
            "kind": self.kind,
            "experts": self.experts,
            "shared": tuple(self.shared),
            "gate_dropout": self.gate_dropout,
            "dropout_rate": self.dropout,
        }
