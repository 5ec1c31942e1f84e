"""The gates of a trained model in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.training.gates import gate_warnings


@dataclass(frozen=True)
class GateReport:
    """Statistics of the gates of a trained model over some rows.

    Attributes:
        name: of the model and the rows.
        rows: how many rows.
        tasks: one name per gate; all names joined where the tasks share one gate.
        statistics: see `functional.GateStatistics`.
        warnings: what looks like a collapse.
    """

    name: str
    rows: int
    tasks: tuple[str, ...]
    statistics: GateStatistics
    warnings: tuple[str, ...]

    @classmethod
    def make(
        cls, name: str, rows: int, tasks: Sequence[str], statistics: GateStatistics
    ) -> "GateReport":
        """Return the report of some statistics; the tasks are those of the model."""
        gates = statistics.mean_weights.shape[0]
        names = tuple(tasks) if gates == len(tasks) else (", ".join(tasks),)
        return cls(
            name, rows, names, statistics, tuple(gate_warnings(statistics, tasks))
        )

    def to_json(self) -> dict[str, object]:
        """Return JSON values, rounded to six digits."""
        values = {
            field: np.round(np.asarray(value, np.float64), 6).tolist()
            for field, value in self.statistics._asdict().items()
        }
        return {
            "rows": self.rows,
            "tasks": list(self.tasks),
            "experts": self.statistics.mean_weights.shape[1],
            **values,
            "warnings": list(self.warnings),
        }
