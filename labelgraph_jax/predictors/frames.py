"""Predictions as pandas frames; pandas is imported when one is asked for."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgraph_jax.predictors.documents import Texts

if TYPE_CHECKING:
    from pandas import DataFrame, Index

    from labelgraph_jax.data.tables.targets import Target
    from labelgraph_jax.predictors.tables.inputs import Rows

RowPrediction = dict[str, dict[str, object]]
"""Of one row, by task: value, probability and other fields."""


def predictions_frame(
    texts: Texts,
    chosen: Sequence[Sequence[tuple[str, float]]],
    top: Sequence[tuple[str, float]],
) -> "DataFrame":
    """A row per text: its labels, their probabilities, and the most probable label.

    Args:
        texts: what was predicted; a pandas Series gives its index. Documents that are
            no texts have no column of them.
        chosen: of each text its labels with their probabilities.
        top: of each text the most probable label and its probability.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = import_pandas()
    columns: dict[str, Any] = {}
    if isinstance(texts, str):
        columns["text"] = [texts]
    elif len(chosen) and all(isinstance(text, str) for text in texts):
        columns["text"] = list(texts)
    columns |= {
        "labels": [[name for name, _ in pairs] for pairs in chosen],
        "scores": [[score for _, score in pairs] for pairs in chosen],
        "top_label": [name for name, _ in top],
        "top_probability": np.asarray([score for _, score in top], np.float64),
    }
    return pandas.DataFrame(columns, index=_index(texts))


def probabilities_frame(
    texts: Texts, probabilities: np.ndarray, labels: Sequence[str]
) -> "DataFrame":
    """A row per text and a column per label.

    Args:
        texts: what was predicted; a pandas Series gives its index.
        probabilities: `[M, N]`.
        labels: N names.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = import_pandas()
    return pandas.DataFrame(probabilities, columns=list(labels), index=_index(texts))


def rows_frame(rows: "Rows", predictions: Sequence[RowPrediction]) -> "DataFrame":
    """A row per row of a table; per task a column of values, and its other columns.

    Args:
        rows: what was predicted; a pandas frame gives its index.
        predictions: see `TableModel.predict`; the task `income` fills `income`, and
            `income probability` where there is one.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = import_pandas()
    flat = [
        {
            task if field == "value" else f"{task} {field}": value
            for task, fields in row.items()
            for field, value in fields.items()
        }
        for row in predictions
    ]
    return pandas.DataFrame(flat, index=_index(rows))


def task_probabilities_frame(
    rows: "Rows", scores: dict[str, np.ndarray], targets: Sequence["Target"]
) -> "DataFrame":
    """A row per row of a table; a column per task, or several `task: value`.

    Args:
        rows: what was predicted; a pandas frame gives its index.
        scores: see `TableModel.predict_proba`.
        targets: of the model.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = import_pandas()
    columns: dict[str, np.ndarray] = {}
    for target in targets:
        part = scores[target.name]
        if part.ndim == 1:
            columns[target.name] = part
            continue
        for number, value in enumerate(target.values):
            columns[f"{target.name}: {value}"] = part[:, number]
    return pandas.DataFrame(columns, index=_index(rows))


def import_pandas() -> ModuleType:
    """pandas, which only frames need.

    Raises:
        ImportError: it is not installed; with the command that installs it.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "a frame needs pandas, which is not installed: pip install pandas, or "
            "leave as_frame out"
        ) from error
    return pandas


def _index(given: "Texts | Rows") -> "Index | None":
    """The index of a pandas object; None of anything else."""
    index = getattr(given, "index", None)
    return None if index is None or callable(index) else index
