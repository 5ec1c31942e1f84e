"""The gates of a run: read them, write them as JSON, draw them."""

import json
from pathlib import Path

import numpy as np

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.files import write_text
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.records import documents_of_run, rows_of_run
from labelgraph_jax.runs.restore import load_model, load_table
from labelgraph_jax.training.gate_report import GateReport


def run_gates(
    workdir: str | Path,
    *,
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
) -> GateReport:
    """Measure the gates of a trained model, on its own test split or on a file.

    Args:
        workdir: what `labelgraph train` left.
        data: a file in any format that training reads; its labels do not matter.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, where the run's files were read otherwise.

    Raises:
        WorkdirError: no finished run stands there, or its model has no gates.
        DataError: a document or file is malformed.
    """
    if Workdir.existing(workdir).is_table:
        return _table_gates(workdir, data, reading)
    model = load_model(workdir)
    kind = model.config.mixture.kind
    if not model.classifier.has_gates:
        raise WorkdirError(
            f"{workdir}: a model with mixture.kind='{kind}' has no gates; those of "
            "kind mmoe, omoe and ple have "
            "(labelgraph train --task all --mixture.kind mmoe)"
        )
    name, documents = documents_of_run(
        model, data=data, data_dir=data_dir, reading=reading
    )
    statistics = model.gate_statistics(documents)
    assert statistics is not None
    return GateReport.make(name, len(documents), model.task_names, statistics)


def _table_gates(
    workdir: str | Path, data: str, reading: ReadingConfig | None
) -> GateReport:
    model = load_table(workdir)
    name, rows = rows_of_run(model, data, reading)
    statistics = model.gate_statistics(rows)
    if statistics is None:
        raise WorkdirError(
            f"{workdir}: a model with mixture.kind='{model.config.mixture.kind}' has "
            "no gates; those of kind mmoe, omoe and ple have"
        )
    return GateReport.make(name, len(rows), model.task_names, statistics)


def write_gates(report: GateReport, path: str | Path) -> None:
    """Write the report as JSON.

    Raises:
        OSError: it cannot be written.
    """
    write_text(Path(path), json.dumps(report.to_json(), indent=2) + "\n")


def draw_gates(report: GateReport, path: str | Path) -> None:
    """Draw mean gate weights, experts x tasks, as a picture (png, svg or pdf).

    Raises:
        ValueError: the name ends in none of these.
        OSError: it cannot be written.
    """
    path = Path(path)
    known = (".png", ".svg", ".pdf")
    if path.suffix.lower() not in known:
        raise ValueError(f"a figure must end in {', '.join(known)}; got {path.name!r}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from labelgraph_jax.inspection.figures.matrices import gate_weights

    mean = np.asarray(report.statistics.mean_weights)
    tasks, experts = mean.shape
    figure = Figure(figsize=(2.5 + 0.6 * experts, 1.6 + 0.45 * tasks), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    title = f"{report.name}: mean gate weight, {counted(report.rows, 'row')}"
    gate_weights(mean, report.tasks, title=title, ax=axes)
    figure.tight_layout()
    figure.savefig(path)
