"""Rows of a table of results: metrics of the model, of baselines, of a constant."""

from collections.abc import Iterator, Mapping
from typing import Any

MODEL_AT_HALF = "label graph, at 0.5"
COLUMNS = {
    "micro_f1": ("micro", "F1"),
    "macro_f1": ("macro", "F1"),
    "samples_f1": ("sample", "F1"),
    "hamming_loss": ("Hamming", "loss"),
    "subset_accuracy": ("exact", "match"),
    "P@1": ("P@1", ""),
    "nDCG@5": ("nDCG@5", ""),
}
"""Metrics shown of labelled texts, and their titles on two lines."""
TASK_COLUMNS: dict[str, dict[str, str]] = {
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
"""Metrics shown of each kind of task of a table, and their titles."""
CONSTANT = "constant"
"""Name of the row of a prediction that is the same for every row of a table."""


def result_rows(results: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Return name and metrics of every row of the results of labelled texts.

    Below the model's row stands one for each label set, where there are several.
    """
    test = results["test"]
    if test is None:
        return []
    asked, decision = test["threshold"], test.get("decision", {})
    plain = asked == "half" and not (
        decision.get("at_least_one") or decision.get("consistent")
    )
    # The same name for every seed: which rule `auto` chose may differ.
    own = MODEL_AT_HALF if plain else f"label graph, {asked}"
    rows = [(own, test["metrics"])]
    rows += [
        (f"  {task}", found["metrics"])
        for task, found in test.get("tasks", {}).items()
        if found["metrics"]
    ]
    if not plain:
        rows.append((MODEL_AT_HALF, test["metrics_at_half"]))
    baseline = results.get("baseline")
    if baseline:
        rows += [(name, values) for name, values in baseline["metrics"].items()]
    return rows


def verdict(results: Mapping[str, Any]) -> str:
    """Say in one sentence whether the model or the baseline wins, each at its best.

    Empty where there is no baseline, or nothing was measured.
    """
    baseline = results.get("baseline")
    if not baseline or not results["test"]:
        return ""
    parts = []
    for metric in ("micro_f1", "macro_f1"):
        ours = results["test"]["metrics"][metric]
        name, theirs = max(
            ((n, values[metric]) for n, values in baseline["metrics"].items()),
            key=lambda pair: pair[1],
        )
        parts.append(
            f"on {'-'.join(COLUMNS[metric])} the label graph "
            f"{gain_in_words(ours - theirs)} against {name.replace(', ', ' ')}"
        )
    return "; ".join(parts)


def gain_in_words(gain: float) -> str:
    """Return `wins by 0.0123`, or loses, or ties."""
    word = "wins" if gain > 0 else "loses" if gain < 0 else "ties"
    return f"{word} by {abs(gain):.4f}"


def task_rows(
    results: Mapping[str, Any], task: str, *, own: str
) -> Iterator[tuple[str, Mapping[str, Any], float | None]]:
    """Yield name, metrics and skill of every row of a task of a table.

    Args:
        results: as of results.json.
        task: name of the task.
        own: what the model's row is called; the constant prediction's and those of
            the baselines follow.
    """
    measured = results["test"]["tasks"][task]
    skill = measured["skill"]
    yield own, measured["metrics"], skill
    yield CONSTANT, measured["constant"], None if skill is None else 0.0
    baselines = (results.get("baseline") or {}).get("models") or {}
    for name, model in baselines.items():
        values = model["tasks"][task]
        yield name, values["metrics"], values["skill"]
