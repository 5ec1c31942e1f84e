"""Starting values of a label graph, and the file that keeps them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.data.files import read_npz, write_npz
from labelgraph_jax.functional.graph.edges import Edges


@dataclass(frozen=True)
class LabelGraphArrays:
    """Start of a label graph; all of it from the training split.

    Attributes:
        features: initial label features, float32 `[N, D]`.
        adjacency: label adjacency, float32 `[N, N]`; (i, j): i receives from j; or
            its edges as a list; or None, where every label receives from every label
            or edge weights are learned at a low rank.
        prior: share of the training documents with each label, float32 `[N]`.
        counts: training documents with each label, float32 `[N]`.
    """

    features: np.ndarray
    adjacency: np.ndarray | Edges | None
    prior: np.ndarray
    counts: np.ndarray


def write_label_graph(path: Path, arrays: LabelGraphArrays) -> None:
    """Write what the label graph starts from."""
    adjacency = arrays.adjacency
    start: dict[str, Any] = {}
    if isinstance(adjacency, Edges):
        start = {f"edge_{name}": part for name, part in adjacency._asdict().items()}
    elif adjacency is not None:
        start = {"adjacency": adjacency}
    for name in ("features", "prior", "counts"):
        start[name] = getattr(arrays, name)
    write_npz(path, start)


def read_label_graph(
    path: Path, labels: int | None = None, *, error: type[ValueError]
) -> LabelGraphArrays:
    """Return what the label graph started from.

    Args:
        path: of the file.
        labels: how many labels the model has, where that is known.
        error: raised where something is wrong.

    Raises:
        ValueError: `error`; the file is damaged, or of other labels.
    """
    if not path.is_file():
        raise error(f"{path}: cannot be read; train first")
    sizes = {} if labels is None else {"N": labels}
    with read_npz(path, error=error, sizes=sizes) as stored:
        counts = stored.take("counts", "f", "N", low=0)
        adjacency: Any = None
        if "edge_receivers" in stored:
            parts: list[Any] = [
                stored.take(f"edge_{name}", "iu", "E", low=0, below=len(counts))
                for name in ("receivers", "senders")
            ]
            if (np.diff(parts[0].astype(np.int64)) < 0).any():
                raise error(f"{path}: edge_receivers must be sorted")
            parts.append(stored.take("edge_weights", "f", "E"))
            adjacency = Edges(*parts)
        elif "adjacency" in stored:
            adjacency = stored.take("adjacency", "f", "N", "N")
        return LabelGraphArrays(
            features=stored.take("features", "f", "N", "D"),
            adjacency=adjacency,
            prior=stored.take("prior", "f", "N"),
            counts=counts,
        )
