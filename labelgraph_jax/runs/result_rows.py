"""Rows of a table of results: metrics of the model, of baselines, of a constant."""

from collections.abc import Iterator, Mapping
from typing import Any

from labelgraph_jax.config.wording import counted

OLD_MODEL = "label graph"
"""Name of a model whose results do not name it: those of 0.6.0 and before."""
AT_HALF = "  at 0.5"
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
GROUP_COLUMNS = {
    "groups": "groups",
    "mixed": "mixed",
    "AUC": "AUC",
    "GAUC": "GAUC",
    "nDCG@5": "nDCG@5",
    "nDCG@10": "nDCG@10",
    "hit@1": "hit@1",
    "hit@5": "hit@5",
}
"""Metrics shown of a binary task within groups of rows, and their titles."""
CONSTANT = "constant"
"""Name of the row of a prediction that is the same for every row of a table."""


def result_rows(results: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Return name and metrics of every row of the results of labelled texts.

    Below the model's row, which is decided as the run decides, stand one for each label
    set, where there are several, and one that is decided at 0.5.
    """
    test = results["test"]
    if test is None:
        return []
    decision = test.get("decision", {})
    plain = test["threshold"] == "half" and not (
        decision.get("at_least_one") or decision.get("consistent")
    )
    rows = [(results.get("model", OLD_MODEL), test["metrics"])]
    rows += [
        (f"  {task}", found["metrics"])
        for task, found in test.get("tasks", {}).items()
        if found["metrics"]
    ]
    if not plain:
        rows.append((AT_HALF, test["metrics_at_half"]))
    return rows + list(_rivals(results, "metrics").items())


def _rivals(results: Mapping[str, Any], what: str) -> dict[str, Any]:
    """By name of the run without unlabelled documents and of baselines."""
    semi = (results.get("semi") or {}).get("supervised") or {}
    return {**semi.get(what, {}), **(results.get("baseline") or {}).get(what, {})}


def verdicts(results: Mapping[str, Any]) -> list[str]:
    """Say how the model differs from each rival, a sentence each.

    A difference has the interval in which 95 of 100 resamples of the test documents
    lie, and is `level` where that holds zero; results of 0.6.0 have none.
    """
    if not results["test"]:
        return []
    own = results["test"]["metrics"]
    model = results.get("model", OLD_MODEL)
    intervals = _rivals(results, "differences")
    sentences = []
    for name, values in _rivals(results, "metrics").items():
        parts = []
        for metric in ("micro_f1", "macro_f1"):
            title = "-".join(COLUMNS[metric])
            gain = own[metric] - values[metric]
            found = intervals.get(name, {}).get(metric)
            parts.append(f"{title} {difference_in_words(gain, found)}")
        sentences.append(f"{model} against {name}: {', '.join(parts)}")
    return sentences


UNLABELLED_COLUMNS = {
    "prior": "labelled share",
    "pseudo_positives": "pseudo-positives",
    "expected_precision": "expected precision",
    "predicted": "predicted share",
    "drift": "drift",
}
"""Figures of each label about the documents without labels, and their titles."""


def unlabelled_lines(results: Mapping[str, Any]) -> list[str]:
    """Say what was learned from documents without labels, and what it changed."""
    semi = results.get("semi")
    if not semi:
        return []
    count = f"{semi['documents']:,} documents without labels"
    lines = [f"{count}: {semi['said'] or semi['kind']}"]
    bands = (semi.get("supervised") or {}).get("bands", {})
    for band, found in bands.items():
        parts = (
            f"{'-'.join(COLUMNS[metric])} "
            + difference_in_words(found[metric]["difference"], found[metric])
            for metric in ("micro_f1", "macro_f1")
        )
        lines.append(
            f"With them against without, {counted(found['labels'], 'label')} of {band} "
            f"labelled documents: {', '.join(parts)}"
        )
    return lines


def unlabelled_rows(results: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return name and cells of each label, see `UNLABELLED_COLUMNS`.

    Those of most pseudo-positives come first.
    """
    labels = (results.get("semi") or {}).get("labels", {})

    def shown(name: str, value: float | None) -> str:
        if value is None:
            return "-"
        form = {"pseudo_positives": ",", "drift": "+.4f"}.get(name, ".4f")
        return format(value, form)

    ordered = sorted(labels.items(), key=lambda item: -item[1]["pseudo_positives"])
    return [
        (label, [shown(name, row[name]) for name in UNLABELLED_COLUMNS])
        for label, row in ordered
    ]


def difference_in_words(gain: float, interval: Mapping[str, float] | None) -> str:
    """Return `+0.0123 [+0.0040, +0.0206]`, and whether that is level."""
    if interval is None:
        return f"{gain:+.4f}"
    low, high = interval["low"], interval["high"]
    level = " (level)" if low <= 0 <= high else ""
    return f"{interval['difference']:+.4f} [{low:+.4f}, {high:+.4f}]{level}"


def task_rows(
    results: Mapping[str, Any], task: str, *, own: str
) -> Iterator[tuple[str, Mapping[str, Any], float | None]]:
    """Yield name, metrics and skill of every row of a task of a table.

    Args:
        results: as of results.json.
        task: name of the task.
        own: what the model's row is called; its own decided at 0.5, where thresholds
            are others, the constant prediction's and those of the baselines follow.
    """
    measured = results["test"]["tasks"][task]
    skill = measured["skill"]
    yield own, measured["metrics"], skill
    yield from _given(measured)
    if "metrics_at_half" in measured:
        yield (
            AT_HALF.strip(),
            measured["metrics"] | measured["metrics_at_half"],
            skill,
        )
    yield CONSTANT, measured["constant"], None if skill is None else 0.0
    baselines = (results.get("baseline") or {}).get("models") or {}
    for name, model in baselines.items():
        values = model["tasks"][task]
        yield name, values["metrics"], values["skill"]
        yield from _given(values, f"{name}, ")


def _given(
    measured: Mapping[str, Any], of: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], float | None]]:
    """The row of a conditional task among the rows whose parent is positive."""
    if given := measured.get("given"):
        yield f"{of}given {given['task']}", given["metrics"], given["skill"]


def group_rows(
    results: Mapping[str, Any], task: str, *, own: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and metrics within groups of the model, of chance, of the baselines.

    Args:
        results: as of results.json.
        task: name of the task; nothing where its rows are in no groups.
        own: what the model's row is called.
    """
    measured = results["test"]["tasks"][task]
    rows = {own: measured.get("groups"), CONSTANT: measured.get("constant_groups")}
    baselines = (results.get("baseline") or {}).get("models") or {}
    rows |= {
        name: model["tasks"][task].get("groups") for name, model in baselines.items()
    }
    for name, values in rows.items():
        if values is not None:
            yield name, values
