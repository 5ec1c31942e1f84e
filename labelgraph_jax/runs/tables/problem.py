"""The problem of a table's tasks: what `fit` asks of it."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from labelgraph_jax.config import Config
from labelgraph_jax.config.table import task_weights
from labelgraph_jax.data.documents import Corpus
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.predictors.tables.data import (
    TableSplits,
    encode_rows,
    learn_schema,
    learn_targets,
    read_splits,
    require_targets,
    table_fingerprint,
)
from labelgraph_jax.predictors.tables.decision import choose_rules, save_rules
from labelgraph_jax.predictors.tables.metrics import summarise
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.predictors.tables.network import (
    TableClassifier,
    build_table_classifier,
    table_objective,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.problem import Prepared, Say, Validate
from labelgraph_jax.runs.restore import restore_table
from labelgraph_jax.runs.tables.report import suspicions, table_lines
from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.objectives import (
    Batch,
    LossFn,
    Params,
    given_outputs,
    loss_of_outputs,
)


@dataclass(frozen=True, kw_only=True)
class PreparedTable(Prepared):
    """Rows, columns and network of a run, see `Prepared`."""

    splits: TableSplits
    schema: TableSchema
    targets: tuple[Target, ...]
    classifier: TableClassifier


@dataclass(frozen=True)
class TableProblem:
    """Tasks of a table, see `Problem`."""

    config: Config
    origin: Workdir | None = None
    """The run by whose columns it reads, where they are not its own."""
    what = "rows"

    def read(self, given: Corpus | None = None) -> TableSplits:
        """Read the splits that the settings name; no corpus is given."""
        return read_splits(self.config)

    def fingerprints(self, records: TableSplits) -> dict[str, str]:
        """Return the fingerprint of each split's table; "" where there is none."""
        tables = records.tables.items()
        return {n: "" if t is None else table_fingerprint(t) for n, t in tables}

    def settled(self, records: TableSplits, say: Say) -> "TableProblem":
        """Return the problem itself: no setting is chosen by the rows."""
        return self

    def prepare(self, records: TableSplits, say: Say) -> PreparedTable:
        """Learn tasks and columns from the training rows, and encode the rows."""
        config, name = self.config, records.name
        table, held = records.tables["train"], records.tables["validation"]
        assert table is not None
        for note in records.notes:
            say(f"{name}: {note}")

        # Tasks and columns, learned from the training rows.
        targets = learn_targets(config, table)
        schema = learn_schema(config, table)
        if self.origin is not None:
            schema = TableSchema.from_json(json.dumps(self.origin.table()))
        options = config.table
        beside: dict[str, Any] = {"weight": options.weight, "group": options.group}
        encoded = encode_rows(table, schema, targets, labelled=True, **beside)
        train = encoded.examples
        weights = task_weights(config)
        for line in table_lines(name, len(table), schema, targets, weights):
            say(line)
        for line in encoded.remarks:
            say(f"warning: {line}")
        for line in suspicions(table, schema, targets, train):
            say(line)
        validation = None
        if held is not None:
            for name in filter(None, beside.values()):
                held.require(name)
            encoded = encode_rows(held, schema, targets, labelled=True, **beside)
            validation = encoded.examples
            for line in encoded.remarks:
                say(f"validation: {line}")
            for task, counts in encoded.unseen_targets.items():
                say(
                    f"task {task}: {counts.total():,} validation targets that training "
                    f"lacks are left out: {', '.join(list(counts)[:3])}"
                )
        # What the end of the run will refuse is refused now, not after training.
        test = records.tables["test"]
        if test is not None:
            rows = encode_rows(test, schema, targets, labelled=True, **beside)
            require_targets(test, rows)

        # Batches of a small table are small, so that an epoch has a few steps.
        settings = config.training
        most = max(16, 2 ** int(np.log2(max(len(train) / 8, 16))))
        size = min(settings.batch_size, most)
        size = max(size - size % settings.micro_batches, settings.micro_batches)
        return PreparedTable(
            fingerprints=self.fingerprints(records),
            train=train,
            validation=validation,
            batch_size=size,
            tasks=tuple(target.name for target in targets),
            splits=records,
            schema=schema,
            targets=targets,
            classifier=build_table_classifier(config, schema, targets),
        )

    def save(self, place: Workdir, prepared: PreparedTable) -> None:
        """Save the tasks, and how the columns are read."""
        values = {"tasks": [target.to_json() for target in prepared.targets]}
        place.save_table(values | json.loads(prepared.schema.to_json()))

    def init(self, prepared: PreparedTable, key: jax.Array) -> Params:
        """Draw the parameters of the network."""
        return prepared.classifier.init(key)

    def network(self, prepared: PreparedTable) -> TableClassifier:
        """Return the classifier of the rows."""
        return prepared.classifier

    def objective(self, prepared: PreparedTable) -> LossFn:
        """Return the weighted loss of all tasks."""
        return table_objective(self.config, prepared.classifier)

    def validate(self, prepared: PreparedTable, mesh: Mesh) -> Validate:
        """Return the function that measures every task on the validation rows."""
        apply, examples = prepared.classifier.apply, prepared.validation
        assert isinstance(examples, TableExamples)
        run = compile_probabilities(apply, mesh, link=lambda outputs: outputs)
        loss = jax.jit(table_objective(self.config, prepared.classifier, given_outputs))

        def validate(params: Params, batches: Iterable[Batch]) -> dict[str, float]:
            outputs = predict_probabilities(run, params, batches)
            truth = examples.targets, examples.target_mask, examples.weights
            weights = task_weights(self.config)
            measured = summarise(outputs, examples, prepared.targets, weights)
            metrics = {
                "skill": measured["skill"],
                "loss": loss_of_outputs(loss, params, outputs, *truth),
            }
            for name, task in measured["tasks"].items():
                within = {f"within {k}": v for k, v in task.get("groups", {}).items()}
                for metric, value in (task["metrics"] | within).items():
                    counts = ("rows", "labels", "positives")
                    if value is not None and metric not in counts:
                        metrics[f"{name}/{metric}"] = value
            return metrics

        return validate

    def calibrate(
        self, place: Workdir, prepared: PreparedTable, say: Say
    ) -> TableModel:
        """Restore the model; calibrate and choose thresholds on validation rows."""
        model = dataclasses.replace(restore_table(place), rules={})
        examples = prepared.validation
        if not isinstance(examples, TableExamples) or not len(examples):
            return model
        rules = choose_rules(
            self.config.threshold,
            model.outputs(examples),
            model.targets,
            examples.targets,
            examples.target_mask,
            examples.weights,
        )
        on_first(lambda: save_rules(place, model.targets, rules))
        return dataclasses.replace(model, rules=rules)

    def results(
        self, place: Workdir, prepared: PreparedTable, model: TableModel
    ) -> dict[str, Any]:
        """Return the splits, the columns and the test metrics, for results.json."""
        splits, schema = prepared.splits, prepared.schema
        test = splits.tables["test"]
        return {
            "data": splits.name,
            "mixture": self.config.mixture.kind,
            "notes": list(splits.notes),
            "rows": {n: 0 if t is None else len(t) for n, t in splits.tables.items()},
            "columns": {
                "categorical": [c.name for c in schema.categorical],
                "numeric": [c.name for c in schema.numeric],
                "other": {
                    c.name: c.kind
                    for c in schema.columns
                    if c.kind not in ("categorical", "numeric")
                },
                "left_out": dict(schema.dropped),
            },
            "learned_weights": model.learned_weights,
            "test": None if test is None else model.evaluate(test),
        }

    def names(self, prepared: PreparedTable) -> tuple[str, ...]:
        """Return a key of each task, in the order of the outputs."""
        return tuple(_task_key(target.to_json()) for target in prepared.targets)

    def names_of(self, place: Workdir) -> tuple[str, ...]:
        """Return the keys of the tasks of another run."""
        return tuple(map(_task_key, place.table()["tasks"]))

    def without_graph(self) -> None:
        """None: rows have no label graph."""
        return None

    def supervised(self, prepared: PreparedTable) -> None:
        """None: rows have no unlabelled ones beside them."""
        return None

    def compared(
        self, place: Workdir, other: Workdir, records: TableSplits
    ) -> dict[str, object]:
        """Return nothing, as there is no supervised run beside it."""
        return {}  # there is no other

    def baseline(
        self,
        place: Workdir,
        records: TableSplits,
        say: Say,
        plain: Workdir | None = None,
    ) -> dict[str, Any]:
        """Linear models and gradient boosting, one per target, on the same splits."""
        from labelgraph_jax.runs.tables.baseline import table_baselines

        splits = records.tables
        train, test, held = splits["train"], splits["test"], splits["validation"]
        if test is None:
            raise WorkdirError(
                "a baseline needs test rows to stand beside; there are none"
            )
        assert train is not None
        say("training the baselines: a linear model and gradient boosting per target")
        model = restore_table(place)
        return table_baselines(
            model.encode(train, labelled=True).examples,
            model.encode(test, labelled=True).examples,
            model.targets,
            model.schema.cardinalities,
            task_weights(self.config),
            bags=model.schema.bags,
            seed=self.config.training.seed,
            validation=None
            if held is None
            else model.encode(held, labelled=True).examples,
            threshold=self.config.threshold,
        )


def _task_key(target: Mapping[str, object]) -> str:
    """A task as two runs have it in common: its name, kind and values."""
    return json.dumps([target.get(name) for name in ("name", "kind", "values")])
