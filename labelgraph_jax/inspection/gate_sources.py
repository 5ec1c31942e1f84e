"""A run -> the report of its gates."""

from pathlib import Path

from labelgraph_jax.inspection.gate_report import GateReport
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.records import documents_of_run, rows_of_run
from labelgraph_jax.runs.restore import load_model, load_table


def run_gates(workdir: str | Path, *, data: str = "", data_dir: str = "") -> GateReport:
    """What the gates of a trained model do, on its own test split or on a file.

    Args:
        workdir: what `labelgraph train` left.
        data: a file in any format that training reads; its labels do not matter.
        data_dir: where the local corpus copies lie now, if they have moved.

    Raises:
        WorkdirError: no finished run stands there, or its model has no gates.
        DataError: a document or file is malformed.
    """
    if Workdir.existing(workdir).is_table:
        return _table_gates(workdir, data)
    model = load_model(workdir)
    kind = model.config.mixture.kind
    if not model.classifier.has_gates:
        raise WorkdirError(
            f"{workdir}: a model with mixture.kind='{kind}' has no gates; those of "
            "kind mmoe and omoe have (labelgraph train --task all --mixture.kind mmoe)"
        )
    name, documents = documents_of_run(
        model.config.data, model.label_space, data=data, data_dir=data_dir
    )
    statistics = model.gate_statistics(documents)
    assert statistics is not None
    return GateReport.make(name, len(documents), model.task_names, statistics)


def _table_gates(workdir: str | Path, data: str) -> GateReport:
    model = load_table(workdir)
    name, rows = rows_of_run(model, data)
    statistics = model.gate_statistics(rows)
    if statistics is None:
        raise WorkdirError(
            f"{workdir}: a model with mixture.kind='{model.config.mixture.kind}' has "
            "no gates; those of kind mmoe and omoe have"
        )
    return GateReport.make(name, len(rows), model.task_names, statistics)
