"""A model trained on a table, in memory: rows in, one prediction per task out."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, overload

import jax
import numpy as np

from labelgraph_jax.config import Config
from labelgraph_jax.config.table import task_weights
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.data.tables.values import parse_number
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE, task_slices
from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.predictors.display import Facts, Shown, table_facts
from labelgraph_jax.predictors.documents import batch_rows
from labelgraph_jax.predictors.frames import (
    RowPrediction,
    rows_frame,
    task_probabilities_frame,
)
from labelgraph_jax.predictors.tables.data import (
    EncodedRows,
    encode_rows,
    require_targets,
    table_fingerprint,
)
from labelgraph_jax.predictors.tables.decision import (
    Rules,
    as_probability,
    calibrated,
    decide,
)
from labelgraph_jax.predictors.tables.inputs import Rows, as_table
from labelgraph_jax.predictors.tables.metrics import (
    conditional_probability,
    count_unseen,
    summarise,
)
from labelgraph_jax.predictors.tables.network import TableClassifier
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.training.evaluate import (
    Compiled,
    ProbabilityFn,
    compile_probabilities,
    predict_probabilities,
    predict_rows,
)
from labelgraph_jax.training.gates import (
    GateFn,
    collect_gate_statistics,
    compile_gate_sums,
)
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.objectives import Batch

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class TableModel(Shown):
    """Result of `lg.load(workdir)` for a run over a table.

    Attributes:
        workdir: where it came from.
        config: the configuration it was trained with.
        schema: how columns are read.
        targets: what every task predicts.
        classifier: pure `init` and `apply`.
        params: the best checkpoint's parameters.
        step: of that checkpoint, where it is known.
        rules: how binary and multi_label tasks are calibrated and decided; a task
            without one is decided at 0.5.
    """

    workdir: Workdir
    config: Config
    schema: TableSchema
    targets: tuple[Target, ...]
    classifier: TableClassifier
    params: Any
    step: int | None = None
    rules: Rules = field(default_factory=dict)

    def _facts(self) -> Facts:
        return table_facts(self)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, in the order they were named."""
        return tuple(target.name for target in self.targets)

    @property
    def learned_weights(self) -> dict[str, float] | None:
        """Learned weight of every task; None where weights were given.

        It is exp(-s) of the task's log-variance s; of gradnorm the sum is T.
        """
        if LOG_VARIANCE not in self.params:
            return None
        weights = np.exp(-np.asarray(self.params[LOG_VARIANCE], np.float64))
        if self.config.mixture.balance:
            weights *= len(weights) / weights.sum()
        return dict(zip(self.task_names, weights.tolist(), strict=True))

    @overload
    def predict_proba(
        self,
        rows: Rows,
        *,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> dict[str, np.ndarray]: ...

    @overload
    def predict_proba(
        self, rows: Rows, *, as_frame: Literal[True], batch_size: int | None = ...
    ) -> "DataFrame": ...

    def predict_proba(
        self, rows: Rows, *, as_frame: bool = False, batch_size: int | None = None
    ) -> "dict[str, np.ndarray] | DataFrame":
        """Per task what it says of every row, float32.

        Binary: the probability of the positive value, `[M]`; multi_label and
        multi_class: one per label or class, `[M, width]`; squared: the predicted
        value, `[M]`. As a frame a column per task, or `task: class`.

        Raises:
            DataError: a column is absent or of the wrong kind.
            ImportError: a frame is asked for and pandas is not installed.
        """
        encoded = self.encode(rows, labelled=False)
        found = self.probabilities(encoded, batch_size=batch_size)
        return (
            task_probabilities_frame(rows, found, self.targets) if as_frame else found
        )

    def probabilities(
        self, encoded: EncodedRows, *, batch_size: int | None = None
    ) -> dict[str, np.ndarray]:
        """Like `predict_proba`, for rows that are already encoded."""
        return self._probabilities(
            self.outputs(encoded.examples, batch_size=batch_size)
        )

    def _probabilities(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = outputs.astype(np.float64)
        found: dict[str, np.ndarray] = {}
        slices = task_slices(self.classifier.tasks)
        for target, columns in zip(self.targets, slices, strict=True):
            part = outputs[:, columns]
            if target.kind == "squared":
                part = target.in_units(part)
            elif target.kind == "multi_class":
                part = np.exp(part - part.max(axis=1, keepdims=True))
                part /= part.sum(axis=1, keepdims=True)
            else:
                part = as_probability(part)
            single = target.kind in ("binary", "squared")
            found[target.name] = (part[:, 0] if single else part).astype(np.float32)
        return found

    @overload
    def predict(
        self,
        rows: Rows,
        *,
        all_scores: bool = ...,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> list[RowPrediction]: ...

    @overload
    def predict(
        self,
        rows: Rows,
        *,
        all_scores: bool = ...,
        as_frame: Literal[True],
        batch_size: int | None = ...,
    ) -> "DataFrame": ...

    def predict(
        self,
        rows: Rows,
        *,
        all_scores: bool = False,
        as_frame: bool = False,
        batch_size: int | None = None,
    ) -> "list[RowPrediction] | DataFrame":
        """Per row and task a JSON object.

        `value`: the predicted value of the column (of several labels a list);
        `probability`: of the positive value, or of the predicted class; of a
        conditional task that of both being positive, and `conditional_probability` that
        once its parent is; with `all_scores`, `probabilities` of every class or label.
        As a frame a row per row, with the columns `task`, `task probability` ...

        Raises:
            DataError, ImportError: as `predict_proba`.
        """
        encoded = self.encode(rows, labelled=False)
        found = self.predictions(encoded, all_scores, batch_size=batch_size)
        return rows_frame(rows, found) if as_frame else found

    def predictions(
        self,
        encoded: EncodedRows,
        all_scores: bool = False,
        *,
        batch_size: int | None = None,
    ) -> list[RowPrediction]:
        """Like `predict`, for rows that are already encoded."""
        outputs = self.outputs(encoded.examples, batch_size=batch_size)
        return self.predicted(outputs, all_scores)

    def predicted(
        self, outputs: np.ndarray, all_scores: bool = False
    ) -> list[RowPrediction]:
        """Like `predict`, for the result of `outputs`."""
        scores = self._probabilities(outputs)
        decided = decide(outputs, self.targets, self.rules)
        slices = task_slices(self.classifier.tasks)
        columns = list(zip(self.targets, slices, strict=True))
        return [
            {
                t.name: prediction(
                    t,
                    scores[t.name][row],
                    all_scores,
                    decided=decided[row, own],
                    parent=scores[t.given][row] if t.given else None,
                )
                for t, own in columns
            }
            for row in range(len(outputs))
        ]

    def evaluate(self, rows: Rows, *, batch_size: int | None = None) -> dict[str, Any]:
        """Metrics of labelled rows, see `tables.metrics.summarise`.

        Raises:
            DataError: there is no task's column, or no target in it.
        """
        table = as_table(rows)
        encoded = self.encode(table, labelled=True)
        examples = encoded.examples
        require_targets(table, encoded)
        outputs = self.outputs(examples, batch_size=batch_size)
        found = summarise(
            outputs,
            examples,
            self.targets,
            task_weights(self.config),
            rules=self.rules,
        )
        absent = [
            name
            for name in (self.config.table.weight, self.config.table.group)
            if name and name not in table.columns
        ]
        return {
            "rows": len(table),
            **({"absent": absent} if absent else {}),
            "fingerprint": table_fingerprint(table),
            "unseen": count_unseen(encoded.unseen),
            "unseen_targets": count_unseen(encoded.unseen_targets),
            "remarks": list(encoded.remarks),
            **found,
        }

    def encode(
        self, rows: Rows, *, labelled: bool, strict: bool | None = None
    ) -> EncodedRows:
        """Rows as the model reads them, see `tables.data.encode_rows`."""
        table = as_table(rows)
        settings = self.config.table
        return encode_rows(
            table,
            self.schema,
            self.targets,
            labelled=labelled,
            weight=settings.weight,
            group=settings.group,
            strict=strict,
        )

    def outputs(
        self, examples: TableExamples, *, batch_size: int | None = None
    ) -> np.ndarray:
        """Calibrated logits, or standardised values, of rows, float32 `[M, O]`."""
        batches = own_batches(examples, batch_size=batch_rows(self.config, batch_size))
        outputs = predict_probabilities(self._run, self.params, batches)
        return calibrated(outputs, self.targets, self.rules)

    def gate_weights(self, rows: Rows) -> np.ndarray | None:
        """The gates' weights of every row, float32 `[M, T, E]`; None without gates.

        T is 1 where the tasks share one gate (omoe).
        """
        if not self.classifier.has_gates:
            return None
        # What training reads as missing in a split must be read here, too.
        examples = self.encode(rows, labelled=False, strict=False).examples
        batches = own_batches(examples, batch_size=batch_rows(self.config, None))

        def weights(batch: Batch) -> jax.Array:
            inputs = {name: batch[name] for name in ("categories", "numbers")}
            return self._gate_weights(self.params, inputs)

        return predict_rows(weights, batches, np.float32)

    def gate_statistics(
        self, rows: Rows, *, batch_size: int | None = None
    ) -> GateStatistics | None:
        """Return statistics of the gates on rows; None for a model without gates."""
        if not self.classifier.has_gates:
            return None
        # What training reads as missing in a split must be read here, too.
        examples = self.encode(rows, labelled=False, strict=False).examples
        batches = own_batches(examples, batch_size=batch_rows(self.config, batch_size))
        return collect_gate_statistics(self._gate_sums, self.params, batches)

    @cached_property
    def _gate_sums(self) -> Compiled:
        return compile_gate_sums(self.classifier.gate_weights)

    @cached_property
    def _gate_weights(self) -> GateFn:
        return jax.jit(self.classifier.gate_weights)

    @cached_property
    def _run(self) -> ProbabilityFn:
        return compile_probabilities(
            self.classifier.apply, link=lambda outputs: outputs
        )


def prediction(
    target: Target,
    scores: np.ndarray,
    all_scores: bool = False,
    *,
    decided: np.ndarray,
    parent: np.ndarray | None = None,
) -> dict[str, object]:
    """Return one task's prediction for one row as JSON, see `TableModel.predict`.

    Args:
        target: the task.
        scores: what it says of the row.
        all_scores: add the probability of every class or label.
        decided: which of its columns are decided for, of a binary or multi_label task.
        parent: of a conditional task the probability of what it is conditional on.
    """
    found: dict[str, object]
    if target.kind == "squared":
        return {"value": _rounded(scores)}
    if target.kind == "binary":
        name = target.values[int(decided[0])] or f"not {target.values[1]}"
        found = {"value": json_value(name), "probability": _rounded(scores)}
        if parent is not None:
            share = conditional_probability(scores, parent)
            found["conditional_probability"] = _rounded(share)
        return found
    every = {
        name: _rounded(score) for name, score in zip(target.values, scores, strict=True)
    }
    if target.kind == "multi_class":
        best = target.values[int(np.argmax(scores))]
        found = {"value": json_value(best), "probability": every[best]}
    else:
        order = np.argsort(-scores, kind="stable")
        chosen = [target.values[i] for i in order if decided[i]]
        found = {"value": chosen, "scores": [every[name] for name in chosen]}
    return found | ({"probabilities": every} if all_scores else {})


def json_value(name: str) -> str | int | float:
    """Return a name as its column holds it: a number where it is one."""
    number = parse_number(name)
    if number is None or math.isinf(number):
        return name
    return int(number) if number.is_integer() else number


def _rounded(value: SupportsFloat) -> float:
    return float(f"{float(value):.6g}")
