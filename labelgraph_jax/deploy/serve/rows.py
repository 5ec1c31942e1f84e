"""Rows -> what `predict` writes of them, in batches that are compiled beforehand.

As `scoring`, for a run over a table: there is no second way through the model, and a
row is read by itself, so that what others ask at the same time changes nothing.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelgraph_jax.data.batches.shapes import row_counts
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.scoring import TIMED, Asked, Scorer
from labelgraph_jax.deploy.serve.shapes import Bucket, Costs
from labelgraph_jax.functional.losses.tasks import output_count
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.tables.decision import decided_columns, rule_of
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.predictors.workdir import WorkdirError

KEY: tuple[Bucket, ...] = ((1, 1),)
"""Key of every row: rows have no length."""


@dataclass(frozen=True)
class Row:
    """A row as the model reads it: ids `[C]` and numbers `[Q]`."""

    categories: np.ndarray
    numbers: np.ndarray
    buckets: tuple[Bucket, ...] = KEY


class RowScorer:
    """A model of a table's tasks behind batches that are compiled beforehand.

    Attributes:
        model: the model.
        costs: seconds of a batch, by its rows; from `compile_all`.
    """

    what = "row"

    def __init__(self, model: TableModel, limits: Limits) -> None:
        self.model = model
        self.costs: dict[int, float] = {}
        self._sizes = row_counts(limits.max_batch)

    @property
    def about(self) -> dict[str, object]:
        """Facts of /model: tasks with their decisions, columns, test metrics."""
        # What the model is: tasks with their decisions, and columns.
        model = self.model
        rules = {
            target.name: rule_of(model.rules, target).summary()
            for target, _ in decided_columns(model.targets)
        }
        name = model.workdir.path.resolve().name
        step = -1 if model.step is None else int(model.step)
        found: dict[str, object] = {
            "model": {"name": name, "step": step},
            "mixture": model.config.resolved().mixture.kind,
            "tasks": [
                {
                    "name": target.name,
                    "kind": target.kind,
                    "values": list(target.values),
                    "decision": rules.get(target.name),
                }
                for target in model.targets
            ],
            "columns": [
                {"name": column.name, "kind": column.kind}
                for column in model.schema.columns
            ],
            "data": None,
            "metrics": None,
        }
        # How it did on the test split, where results are kept.
        try:
            results = model.workdir.results()
        except WorkdirError:
            return found
        tasks = (results.get("test") or {}).get("tasks") or {}
        metrics = {task: values["metrics"] for task, values in tasks.items()}
        return found | {"data": results.get("data"), "metrics": metrics or None}

    def compile_all(self, going_on: Callable[[], bool] = lambda: True) -> int:
        """Like `Scorer.compile_all`."""
        categories, numbers = self.model.classifier.widths
        blank = Row(np.zeros(categories, np.int32), np.zeros(numbers, np.float32))
        for size in self._sizes:
            if not going_on():
                return 0
            self.answer([blank] * size, [Asked()] * size)
            took = float("inf")
            for _ in range(TIMED):
                started = time.perf_counter()
                self.answer([blank] * size, [Asked()] * size)
                took = min(took, time.perf_counter() - started)
            self.costs[size] = took
        return len(self.costs)

    def cost(self, key: tuple[Bucket, ...]) -> Costs:
        """Seconds of a batch, by its rows."""
        return self.costs

    def join(self, keys: Sequence[tuple[Bucket, ...]]) -> tuple[Bucket, ...]:
        """All rows go together."""
        return KEY

    def read(self, rows: Sequence[Mapping[str, object]]) -> list[Row | RefusedError]:
        """Rows as the model reads them, or why one is not read."""
        found: list[Row | RefusedError] = []
        for row in rows:
            try:
                examples = self.model.encode([row], labelled=False).examples
            except DataError as error:
                reason = re.sub(r"^rows(:\d+)?: ", "", str(error))
                found.append(RefusedError(422, reason, "bad_row"))
            else:
                found.append(Row(examples.categories[0], examples.numbers[0]))
        return found

    def answer(
        self, rows: Sequence[Row], asked: Sequence[Asked]
    ) -> list[dict[str, object]]:
        """Return the prediction of each row, as `labelgraph predict` writes it.

        Args:
            rows: at most as many as the largest batch.
            asked: of each; `scores` counts.
        """
        size = min(n for n in self._sizes if n >= len(rows))
        filled = [*rows, *[rows[-1]] * (size - len(rows))]
        examples = TableExamples(
            np.stack([row.categories for row in filled]).astype(np.int32),
            np.stack([row.numbers for row in filled]).astype(np.float32),
            np.zeros((size, output_count(self.model.classifier.tasks)), np.float32),
        )
        outputs = self.model.outputs(examples, batch_size=size)
        return [
            {"tasks": self.model.predicted(outputs[i : i + 1], each.scores)[0]}
            for i, each in enumerate(asked)
        ]


def scorer_of(model: Model | TableModel, limits: Limits) -> Scorer | RowScorer:
    """A model behind the shapes of a service."""
    if isinstance(model, TableModel):
        return RowScorer(model, limits)
    return Scorer(model, limits)
