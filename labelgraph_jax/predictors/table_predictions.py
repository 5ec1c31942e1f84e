"""Predictions of a model of a table's tasks, row by row, as JSON."""

import math
from typing import Any

import numpy as np

from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.data.tables.values import parse_number


def prediction(
    target: Target, scores: np.ndarray, all_scores: bool = False
) -> dict[str, Any]:
    """What one task says of one row, as JSON values; see `TableModel.predict`."""
    if target.kind == "squared":
        return {"value": _rounded(scores)}
    if target.kind == "binary":
        name = target.values[int(scores >= 0.5)] or f"not {target.values[1]}"
        return {"value": json_value(name), "probability": _rounded(scores)}
    every = {
        name: _rounded(score) for name, score in zip(target.values, scores, strict=True)
    }
    if target.kind == "multi_class":
        best = target.values[int(np.argmax(scores))]
        found: dict[str, Any] = {"value": json_value(best), "probability": every[best]}
    else:
        order = np.argsort(-scores, kind="stable")
        chosen = [target.values[i] for i in order if scores[i] >= 0.5]
        found = {"value": chosen, "scores": [every[name] for name in chosen]}
    return found | ({"probabilities": every} if all_scores else {})


def json_value(name: str) -> str | int | float:
    """What a column holds by that name: a number where it is one."""
    number = parse_number(name)
    if number is None or math.isinf(number):
        return name
    return int(number) if number.is_integer() else number


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")
