"""The run itself in its report: its data, its settings, the log of its training."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelgraph_jax.config import Config, to_dict
from labelgraph_jax.config.presets import preset
from labelgraph_jax.config.settings import flatten
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.statistics import split_statistics
from labelgraph_jax.inspection.report.contents import Data, Setting
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.adapt import sentence

FREQUENT = 10
"""Labels that are named as the most frequent ones."""
COLUMNS = (
    "documents",
    "labels",
    "labels per document",
    "most per document",
    "without a label",
    "words, median",
    "words, 95%",
    "words, longest",
)


def data_of_documents(
    results: Mapping[str, Any],
    splits: Mapping[str, Sequence[Document] | str],
    counts: np.ndarray,
    names: Sequence[str],
) -> Data:
    """The documents of a run, by split.

    Args:
        results: as of results.json.
        splits: documents by split, or why they cannot be read.
        counts: training documents with each label `[N]`.
        names: what the labels are called.
    """
    rows: dict[str, tuple[str, ...]] = {}
    reasons: list[str] = []
    known = results.get("documents") or {}
    for split, documents in splits.items():
        if isinstance(documents, str):
            reasons.append(documents)
            rows[split] = (f"{known[split]:,}" if split in known else "",)
        elif documents:
            rows[split] = _numbers(documents)
    order = np.argsort(-counts, kind="stable")[:FREQUENT]
    return Data(
        columns=COLUMNS,
        splits={n: row + ("",) * (len(COLUMNS) - len(row)) for n, row in rows.items()},
        labels=tuple((names[i], int(counts[i])) for i in order if counts[i]),
        notes=(
            *_notes(results),
            *(
                f"some documents are only counted here: {why}"
                for why in dict.fromkeys(reasons)
            ),
        ),
    )


def _numbers(documents: Sequence[Document]) -> tuple[str, ...]:
    found = split_statistics(documents)
    return (
        f"{found.documents:,}",
        f"{found.labels:,}",
        f"{found.labels_per_document_mean:.2f}",
        f"{found.labels_per_document_max:,}",
        f"{found.without_label_share:.1%}",
        f"{found.words_median:,.0f}",
        f"{found.words_p95:,.0f}",
        f"{found.words_max:,}",
    )


def data_of_rows(results: Mapping[str, Any]) -> Data:
    """The rows of a run over a table, by split."""
    rows = dict(results.get("rows") or {})
    if results.get("test"):
        rows["test"] = results["test"]["rows"]
    splits = {split: (f"{count:,}",) for split, count in rows.items()}
    return Data(("rows",), splits, (), _notes(results))


def _notes(results: Mapping[str, Any]) -> tuple[str, ...]:
    notes = list(results.get("notes") or ())
    test = results.get("test") or {}
    # Texts that were cut off.
    for found, what in (
        (results.get("truncated_training_documents"), "training document"),
        (test.get("truncated_documents"), "measured document"),
    ):
        if found:
            longer = counted(found, f"{what} is", f"{what}s are")
            notes.append(f"{longer} longer than what the encoder reads, and cut off")
    # Labels that are left out, or occur nowhere.
    for found, what in (
        (results.get("unseen_validation_labels"), "validation documents"),
        (test.get("unseen_labels"), "documents measured"),
    ):
        if found:
            notes.append(
                f"left out: {counted(sum(found.values()), 'occurrence')} in the {what} "
                f"of {counted(len(found), 'label')} that training never saw"
            )
    if absent := test.get("absent_labels"):
        notes.append(
            f"{counted(absent, 'label occurs', 'labels occur')} in none of the "
            "measured documents, which counts as 0 in macro F1; without that it is "
            f"{test['metrics']['macro_f1_present']:.4f}"
        )
    if cut := test.get("cut_documents"):
        notes.append(
            f"{counted(cut, 'document')} may have more labels than the "
            f"{test.get('kept_labels')} that are kept of each"
        )
    # What the run chose by itself.
    if adapted := results.get("adaptation"):
        notes += [sentence(adapted), *filter(None, [adapted.get("warning")])]
    if graph := results.get("graph"):
        notes.append(f"label graph, chosen on training documents: {graph['said']}")
    if chosen := results.get("hierarchy_choice"):
        notes.append(f"hierarchy.kind='auto' took {chosen['said']}")
    return tuple(notes)


def settings_of(config: Config) -> tuple[Setting, ...]:
    """All settings of a run, resolved ones, beside their defaults."""
    default = preset("table" if config.table.tasks else "default")
    # What follows from data and tasks is a default too.
    table = dataclasses.replace(default.table, tasks=config.table.tasks)
    resolved = dataclasses.replace(default, data=config.data, table=table).resolved()
    first, usual, own = (flatten(to_dict(c)) for c in (default, resolved, config))
    usual |= {name: value for name, value in first.items() if name.startswith("data.")}
    return tuple(
        Setting(name, _text(value), _text(usual.get(name)))
        for name, value in own.items()
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def read_history(place: Workdir) -> tuple[Mapping[str, object], ...] | str:
    """The lines of metrics.jsonl, or why there are none."""
    if place.is_ensemble:
        return "An ensemble is not trained; its members' directories have their curves."
    path = place.path / "metrics.jsonl"
    lines: list[Mapping[str, object]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                # A run that was killed may have left half a line.
                if text.endswith("\n") and (line := _line(text)):
                    lines.append(line)
    except OSError:
        return "This directory has no metrics.jsonl, so there is no curve to draw."
    if not _has_curves(lines):
        return "metrics.jsonl holds neither a loss nor a validation metric."
    return tuple(lines)


def _line(text: str) -> Mapping[str, object] | None:
    try:
        values = parse_json(text)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _has_curves(history: Sequence[Mapping[str, object]]) -> bool:
    return any(
        isinstance(line.get(name), int | float) and line.get("step") is not None
        for line in history
        for name in line
        if name == "loss" or name.startswith("validation/")
    )
