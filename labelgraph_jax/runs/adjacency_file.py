"""A label adjacency on disk: what `labelgraph graph` writes and training starts from.

An `.npz` of three arrays, readable without this package:

    adjacency   float32 [N, N]; (i, j): label i receives from label j
    labels      the N label names, in the order of both axes
    about       JSON: where the adjacency came from
"""

import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.files import read_npz, write_npz

SHOWN = 5
"""Labels that an error names; of further ones it gives the number."""


def write_adjacency(
    path: str | Path,
    labels: Sequence[str],
    adjacency: np.ndarray,
    about: Mapping[str, object],
) -> None:
    """Save an adjacency with the names of its labels; a file in the way is replaced.

    Args:
        path: of the file; its folder is made where there is none.
        labels: one name per row and column.
        adjacency: `[N, N]`, entry (i, j) the weight with which i receives from j.
        about: whatever says where it came from, as JSON values.

    Raises:
        ConfigError: the adjacency does not fit the labels, holds a number that is not
            finite, or a label stands twice.
        OSError: the file cannot be written.
    """
    matrix = np.asarray(adjacency, np.float32)
    _check(f"{path}", matrix, labels)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "adjacency": matrix,
        "labels": np.array(list(labels), np.str_),
        "about": np.array(json.dumps(dict(about), ensure_ascii=False)),
    }
    write_npz(path, arrays)


def read_adjacency(path: str | Path, labels: Sequence[str]) -> np.ndarray:
    """The adjacency that a file holds, in the order of one's own labels.

    Labels that the file knows beside them are left out, with their edges. Reading
    executes nothing.

    Args:
        path: of a file that `write_adjacency` wrote, or of an `.npz` like it.
        labels: names in the order that is wanted.

    Returns:
        float32 `[N, N]`, entry (i, j) the weight with which `labels[i]` receives from
        `labels[j]`.

    Raises:
        ConfigError: the file is absent or no such `.npz`, lacks labels (they are
            named), or its adjacency does not fit its labels or is not finite.
    """
    matrix, names = _read(Path(path))
    _check(f"{path}", matrix, names)
    place = {name: row for row, name in enumerate(names)}
    missing = [name for name in labels if name not in place]
    if missing:
        raise ConfigError(
            f"{path}: must hold every label of the corpus; {len(missing)} of "
            f"{len(labels)} are missing: {_shown(missing)}"
        )
    rows = np.array([place[name] for name in labels], np.int64)
    return np.ascontiguousarray(matrix[np.ix_(rows, rows)], np.float32)


def _read(path: Path) -> tuple[np.ndarray, list[str]]:
    if not path.is_file():
        raise ConfigError(f"no adjacency file at {path}")
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{path}: must be an .npz file, it is none")
    with read_npz(path, error=ConfigError) as archive:
        absent = {"adjacency", "labels"} - set(archive)
        if absent:
            raise ConfigError(
                f"{path}: must hold the arrays 'adjacency' and 'labels', lacks "
                f"{' and '.join(sorted(absent))}"
            )
        matrix, names = archive["adjacency"], archive["labels"]
    if matrix.dtype.kind not in "fiub":
        raise ConfigError(
            f"{path}: 'adjacency' must hold numbers, got {matrix.dtype.name}"
        )
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ConfigError(
            f"{path}: 'labels' must be one axis of strings, got {names.dtype.name} of "
            f"shape {names.shape}"
        )
    with np.errstate(over="ignore"):
        return matrix.astype(np.float32), [str(name) for name in names]


def _check(where: str, matrix: np.ndarray, labels: Sequence[str]) -> None:
    size = len(labels)
    if matrix.shape != (size, size):
        raise ConfigError(
            f"{where}: the adjacency of {size} labels must have shape {(size, size)}, "
            f"got {matrix.shape}"
        )
    twice = [name for name, count in Counter(labels).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{where}: every label must stand once; {_shown(twice)} twice"
        )
    wrong = np.argwhere(~np.isfinite(matrix))
    if len(wrong):
        row, column = (int(index) for index in wrong[0])
        raise ConfigError(
            f"{where}: the adjacency must be finite, got {matrix[row, column]} where "
            f"{labels[row]!r} receives from {labels[column]!r} "
            f"({len(wrong)} such entries)"
        )


def _shown(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f"{listed} and {more} more" if more > 0 else listed
