"""From a finished run over a table to what its report says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.tasks import GATED
from labelgraph_jax.inspection.gates import run_gates
from labelgraph_jax.inspection.report.about_run import (
    data_of_rows,
    read_history,
    settings_of,
)
from labelgraph_jax.inspection.report.contents import (
    NOT_OF_TABLES,
    Gates,
    Inapplicable,
    Report,
    TableTask,
)
from labelgraph_jax.inspection.report.gathering import Say, gates_of
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.result_rows import (
    GROUP_COLUMNS,
    TASK_COLUMNS,
    group_rows,
    task_rows,
)


def gather_table(
    place: Workdir,
    *,
    data: str = "",
    reading: ReadingConfig | None = None,
    say: Say = lambda line: None,
) -> Report:
    """Everything that the report of a run over a table says.

    Args:
        place: a finished run.
        data: a table to measure on; without it the run's own test split.
        reading: how `data` is read.
        say: takes one line about what is going on.

    Raises:
        WorkdirError: no finished run stands there.
        DataError: the table is malformed.
    """
    results = dict(place.results())
    if data:
        say(f"scoring the rows of {data}")
        results |= {
            "test": evaluate_workdir(place.path, data=data, reading=reading)["test"]
        }
        results |= {"baseline": None, "data": Path(data).name}
    test = results["test"]
    tasks = () if test is None else tuple(_tasks(results))
    why = NOT_OF_TABLES
    return Report(
        title=str(results["data"]),
        facts=_facts(results),
        data=data_of_rows(results),
        settings=settings_of(place.config()),
        history=read_history(place),
        overall=why if test else "There is no test split, so nothing was measured.",
        scored=why,
        graph=why,
        vectors=why,
        gates=_gates(place, results, data),
        worst=why,
        tasks=tasks,
        is_table=True,
    )


def _tasks(results: Mapping[str, Any]) -> list[TableTask]:
    """Per task the model's metrics, the constant prediction's, the baselines'."""
    found = []
    for task, measured in results["test"]["tasks"].items():
        columns = TASK_COLUMNS[measured["kind"]]
        own = "this model"
        within = dict(group_rows(results, task, own=own))
        rows = {
            name: {title: metrics.get(key) for key, title in columns.items()}
            | {"skill": skill}
            | {
                f"{title} within groups": (within.get(name) or within[own])[key]
                for key, title in GROUP_COLUMNS.items()
                if within and key not in ("groups", "mixed")
            }
            for name, metrics, skill in task_rows(results, task, own=own)
        }
        found.append(TableTask(task, measured["kind"], rows))
    return found


def _facts(results: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows, test = results.get("rows") or {}, results.get("test") or {}
    facts = [
        ("tasks", f"{len(test.get('tasks') or ())}"),
        ("training rows", f"{rows.get('train', 0):,}"),
        ("test rows", f"{test.get('rows', 0):,}"),
        ("mixture", str(results.get("mixture"))),
        ("parameters", f"{results.get('parameters', 0):,}"),
    ]
    if test.get("skill") is not None:
        facts.append(("mean skill", f"{test['skill']:.4f}"))
    facts.append(("seed", f"{results.get('seed', 0)}"))
    return tuple(facts)


def _gates(place: Workdir, results: Mapping[str, Any], data: str) -> Gates | str:
    if results.get("mixture") not in GATED:
        kind = results.get("mixture")
        return Inapplicable(f"A mixture of kind '{kind}' has no gates.")
    if results.get("test") is None and not data:
        return "There is no test split whose gates could be read."
    try:
        return gates_of(run_gates(place.path, data=data).to_json())
    except (ValueError, OSError) as error:
        return f"The gates cannot be read: {' '.join(str(error).split())}"
