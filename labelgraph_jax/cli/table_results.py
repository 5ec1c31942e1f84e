"""The results of a run over a table on a terminal: one table per kind of task."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from labelgraph_jax.predictors.table_metrics import unseen_lines

COLUMNS: dict[str, dict[str, str]] = {
    "binary": {
        "rows": "rows",
        "positives": "positive",
        "auc": "AUC",
        "pr_auc": "PR-AUC",
        "log_loss": "log-loss",
        "f1": "F1",
    },
    "multi_class": {
        "rows": "rows",
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
        "log_loss": "log-loss",
    },
    "multi_label": {
        "rows": "rows",
        "auc": "AUC",
        "pr_auc": "PR-AUC",
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "log_loss": "log-loss",
    },
    "squared": {"rows": "rows", "rmse": "RMSE", "mae": "MAE", "r2": "R²"},
}
"""Metrics shown of each kind of task, and their titles."""

CONSTANT = "constant"
UNDEFINED = "undefined"
_COUNTS = ("rows", "positives")


def print_table_results(results: dict[str, Any], *, workdir: str) -> None:
    """Prints the table of results, what it was measured on, and what to do next."""
    console = Console(highlight=False)
    test = results["test"]
    if test is None:
        console.print("No test split: nothing was evaluated.")
        return
    own = results["split"] == "test"
    console.print(
        f"{results['data']}: {test['rows']:,} {'test ' if own else ''}rows, "
        f"{len(test['tasks'])} tasks, {results['mixture']}",
        style="bold",
        markup=False,
    )
    for kind, columns in COLUMNS.items():
        tasks = [n for n, task in test["tasks"].items() if task["kind"] == kind]
        if not tasks:
            continue
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(kind, overflow="fold")
        for title in (*columns.values(), "skill"):
            table.add_column(title, justify="right", no_wrap=True)
        for task in tasks:
            for name, metrics, skill in _rows(results, task):
                inner = name != task
                cells = [
                    "" if inner and key in _COUNTS else _cell(key, metrics[key])
                    for key in columns
                ]
                label = f"  {name}" if inner else name
                table.add_row(label, *cells, _cell("skill", skill))
        console.print(table)
    for line in _notes(results):
        console.print(line, markup=False, soft_wrap=True)
    if own:
        console.print(f"Everything else is in {workdir}/results.json", markup=False)


def _rows(
    results: dict[str, Any], task: str
) -> Iterator[tuple[str, dict[str, Any], float | None]]:
    """The model's row of a task, the constant prediction's, and the baselines'."""
    own = results["test"]["tasks"][task]
    yield task, own["metrics"], own["skill"]
    yield CONSTANT, own["constant"], None if own["skill"] is None else 0.0
    for name, found in ((results["baseline"] or {}).get("models") or {}).items():
        values = found["tasks"][task]
        yield name, values["metrics"], values["skill"]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return UNDEFINED
    if key == "rows":
        return f"{value:,.0f}"
    if key == "positives":
        return f"{value:.1%}" if value >= 0.01 or value == 0 else f"{value:.2%}"
    if key in ("rmse", "mae"):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:.4f}"


def _notes(results: dict[str, Any]) -> Iterator[str]:
    test = results["test"]
    for name, task in test["tasks"].items():
        yield from _undefined(name, task)
    for line in unseen_lines(test["unseen"], test["rows"]):
        yield line[0].upper() + line[1:]
    for name, found in test["unseen_targets"].items():
        shown = ", ".join(found["most_frequent"])
        yield (
            f"Task {name}: {found['rows']:,} targets that training lacks are left out "
            f"({shown})"
        )
    if results.get("learned_weights"):
        weights = results["learned_weights"].items()
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights)
        yield f"Weights of the tasks' losses, learned: {shown}"
    yield (
        "Skill: the part of the constant prediction's loss that is saved; 0 is no "
        f"better than the shares of training, 1 is perfect. Mean {test['skill']:.4f}"
    )
    baseline = results["baseline"]
    if baseline:
        yield _verdict(test, baseline)


def _undefined(name: str, task: dict[str, Any]) -> Iterator[str]:
    metrics = task["metrics"]
    if not metrics["rows"]:
        yield f"Task {name}: no row has a target, so nothing was measured"
    elif task["kind"] == "binary" and metrics["auc"] is None:
        held = "positive" if metrics["positives"] else "negative"
        yield f"Task {name}: every target is {held}, so its AUC is undefined"
    elif task["kind"] == "squared" and metrics["r2"] is None:
        yield f"Task {name}: every target is the same, so R² is undefined"


def _verdict(test: dict[str, Any], baseline: dict[str, Any]) -> str:
    """One sentence: the model against each baseline, by mean skill."""
    parts = []
    for name, found in baseline["models"].items():
        gain = test["skill"] - found["skill"]
        word = "wins" if gain > 0 else "loses" if gain < 0 else "ties"
        parts.append(f"{word} by {abs(gain):.4f} against {name}")
    return f"On mean skill the model {' and '.join(parts)}."
