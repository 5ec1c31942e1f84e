"""Settings of what several tasks share: the mixture between encoder and tasks."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import check_choices, require, require_numbers

GATED = ("omoe", "mmoe", "ple")
"""Kinds of mixture that have gates and experts."""
LEVELLED = ("mmoe", "ple")
"""Kinds of which several levels may stand above each other."""


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Layer between the encoder and the tasks, where there are several."""

    kind: Literal[
        "none",
        "single_task",
        "shared_bottom",
        "omoe",
        "mmoe",
        "ple",
        "cross_stitch",
        "l2_constrained",
    ] = "none"
    """A network per task, one for all, experts mixed by one gate or by a gate per task,
    experts of each task beside shared ones (ple), networks stitched together or drawn
    towards each other. none: a text's label sets have one graph; a table takes mmoe, or
    shared_bottom for a single task."""
    experts: int = 8
    """omoe, mmoe, ple: how many experts the tasks share."""
    own_experts: int = 1
    """ple: how many experts each task has for itself."""
    levels: int | None = None
    """mmoe, ple: gated layers above each other; 1 of mmoe and 2 of ple when left open
    (ple of 1 level is CGC)."""
    expert_norm: bool = False
    """omoe, mmoe, ple: bring the units of every expert to one scale, against experts
    that fall silent."""
    hidden: tuple[int, ...] = ()
    """Units of each layer of an expert, of a task's network, or of the shared one;
    what suits the input when empty."""
    shared: tuple[int, ...] = ()
    """Units of layers below all of that, which every task shares."""
    towers: tuple[int, ...] | None = None
    """Units of each layer of a task's own tower; a text's towers are its label graphs,
    so it has none by default."""
    gate_dropout: float = 0.0
    """omoe, mmoe, ple: probability that an expert is left out of a task's mixture in
    training, against gates that polarise."""
    dropout: float = 0.0
    """Dropout after each hidden layer."""
    weighting: Literal["given", "uncertainty", "gradnorm", "project"] = "given"
    """Weights of the tasks' losses: given, learned by each task's uncertainty, or such
    that gradients are of one norm, tasks that lag behind before (gradnorm); project:
    given, and what conflicts in the tasks' gradients is taken away."""
    task_weights: tuple[float, ...] = ()
    """given: one weight per task, in the order of the tasks; 1 each when empty."""
    l2: float = 1e-3
    """l2_constrained: weight of the squared distance between the tasks' networks."""

    def __post_init__(self) -> None:
        # Choices and numbers, each by itself.
        check_choices(self, "mixture")
        require_numbers(
            self,
            "mixture",
            at_least_one=("experts", "own_experts"),
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
        # Weights of the tasks: valid numbers, and one way to choose them.
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
            not self.learns_weights or not self.task_weights,
            f"mixture.task_weights are given and mixture.weighting='{self.weighting}' "
            "learns them: choose one",
        )
        require(
            self.balance == "" or self.kind != "l2_constrained",
            f"mixture.weighting='{self.weighting}' joins the gradients of the tasks' "
            "own losses, and mixture.kind='l2_constrained' has another one: choose one",
        )
        # What only some kinds of mixture have: gates, levels, experts of a task's own.
        for name in ("gate_dropout", "expert_norm"):
            require(
                not getattr(self, name) or self.kind in (*GATED, "none"),
                f"mixture.{name} needs gates: mixture.kind must be one of "
                f"{list(GATED)}, got '{self.kind}'",
            )
        require(
            self.levels is None or self.levels >= 1,
            f"mixture.levels must be at least 1, got {self.levels}",
        )
        require(
            (self.levels or 1) == 1 or self.kind in (*LEVELLED, "none"),
            f"mixture.levels={self.levels} needs levels: mixture.kind must be one of "
            f"{list(LEVELLED)}, got '{self.kind}'",
        )
        require(
            self.own_experts == 1 or self.kind == "ple",
            "mixture.own_experts is read with mixture.kind='ple' alone, got "
            f"'{self.kind}'",
        )
        require(
            not self.expert_norm or all(units > 1 for units in self.hidden),
            "mixture.expert_norm needs mixture.hidden of at least 2 units, got "
            f"{list(self.hidden)}",
        )

    @property
    def learns_weights(self) -> bool:
        """True where a parameter holds the weights of the tasks."""
        return self.weighting in ("uncertainty", "gradnorm")

    @property
    def balance(self) -> str:
        """The rule that joins the tasks' gradients; "" where they are summed."""
        return self.weighting if self.weighting in ("gradnorm", "project") else ""

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
            "own_experts": self.own_experts,
            "levels": self.levels or (2 if self.kind == "ple" else 1),
            "expert_norm": self.expert_norm,
            "shared": tuple(self.shared),
            "gate_dropout": self.gate_dropout,
            "dropout_rate": self.dropout,
        }
