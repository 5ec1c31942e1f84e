"""An adjacency on disk: what is written, what is read, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import ConfigError
from labelgraph_jax.runs.adjacency_file import read_adjacency, write_adjacency

NAMES = ("corn", "öl", "ship")
MATRIX = np.arange(9, dtype=np.float32).reshape(3, 3) - 2


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "graph.npz"
    np.savez(path, **arrays)
    return path


def test_what_was_written_is_read_in_any_order_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "new" / "graph.npz"
    write_adjacency(path, NAMES, MATRIX, {"corpus": "mine"})
    np.testing.assert_array_equal(read_adjacency(path, NAMES), MATRIX)
    found = read_adjacency(path, ("ship", "corn", "öl"))
    assert found.dtype == np.float32
    for i, receiver in enumerate(("ship", "corn", "öl")):
        for j, sender in enumerate(("ship", "corn", "öl")):
            expected = MATRIX[NAMES.index(receiver), NAMES.index(sender)]
            assert found[i, j] == expected
    np.testing.assert_array_equal(read_adjacency(path, ("öl",)), [[2.0]])


def test_the_file_is_readable_without_this_package(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    write_adjacency(path, NAMES, MATRIX, {"tau": 0.1, "name": "ö"})
    with np.load(path, allow_pickle=False) as stored:
        assert tuple(stored["labels"]) == NAMES
        np.testing.assert_array_equal(stored["adjacency"], MATRIX)
        assert json.loads(str(stored["about"])) == {"tau": 0.1, "name": "ö"}
    assert [file.name for file in tmp_path.iterdir()] == ["graph.npz"]


def test_an_adjacency_in_integers_or_doubles_is_read_too(tmp_path: Path) -> None:
    path = saved(tmp_path, adjacency=np.eye(2, dtype=np.int64), labels=["a", "b"])
    np.testing.assert_array_equal(read_adjacency(path, ("b", "a")), np.eye(2))


def test_missing_labels_are_named_the_first_five_of_them(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    write_adjacency(path, NAMES, MATRIX, {})
    with pytest.raises(ConfigError, match=r"1 of 2 are missing: 'tin'$"):
        read_adjacency(path, ("corn", "tin"))
    with pytest.raises(ConfigError, match=r"7 of 8 .* '0', '1', .*'4' and 2 more"):
        read_adjacency(path, ("corn", *"0123456"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no adjacency file at .*nowhere.npz"):
        read_adjacency(tmp_path / "nowhere.npz", NAMES)
    path = tmp_path / "graph.npz"
    for content in (b"", b"label,label"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"graph.npz: must be an .npz file"):
            read_adjacency(path, NAMES)
    with path.open("wb") as file:
        np.save(file, MATRIX)
    with pytest.raises(ConfigError, match=r"must be an .npz file"):
        read_adjacency(path, NAMES)
    saved(tmp_path, adjacency=MATRIX)
    with pytest.raises(ConfigError, match=r"'adjacency' and 'labels', lacks labels"):
        read_adjacency(path, NAMES)


def test_a_file_that_would_execute_something_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, adjacency=np.array([print]), labels=NAMES)
    with pytest.raises(ConfigError, match=r"cannot be read: it holds pickled objects"):
        read_adjacency(path, NAMES)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, adjacency=np.zeros((3, 3)), labels=NAMES)
    content = bytearray(path.read_bytes())
    content[150:160] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"graph.npz: cannot be read: "):
        read_adjacency(path, NAMES)


def test_shapes_names_and_numbers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    def refused(adjacency: Any, labels: Any, match: str) -> None:
        path = saved(tmp_path, adjacency=adjacency, labels=labels)
        with pytest.raises(ConfigError, match=match):
            read_adjacency(path, ("a", "b"))

    ab = np.array(["a", "b"])
    refused(np.eye(3), ab, r"of 2 labels must have shape \(2, 2\), got \(3, 3\)")
    refused(np.eye(2), ["a", "a"], r"every label must stand once; 'a' twice")
    refused(np.eye(2), [1, 2], r"'labels' must be one axis of strings, got int64")
    refused(np.eye(2) > 0, ab.reshape(1, 2), r"strings, got str.* shape \(1, 2\)")
    refused(ab, ab, r"'adjacency' must hold numbers, got str")
    nan = np.array([[0, 1], [np.nan, np.inf]])
    refused(nan, ab, r"got nan where 'b' receives from 'a' \(2 such entries\)")
    refused(np.eye(2) * 1e300, ab, r"must be finite, got inf")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    with pytest.raises(ConfigError, match=r"must have shape \(2, 2\), got \(3, 3\)"):
        write_adjacency(path, ("a", "b"), np.eye(3), {})
    with pytest.raises(ConfigError, match=r"must be finite, got nan"):
        write_adjacency(path, ("a",), np.array([[np.nan]]), {})
    assert not list(tmp_path.iterdir())
