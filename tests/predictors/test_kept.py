"""What a work directory keeps of the test documents: nothing in it is believed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.files import write_npz
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.predictors.kept import FILE, read_kept
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from tests.zoo import Zoo

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], object]


def changed(folder: Path, change: Change) -> None:
    with np.load(folder / FILE) as stored:
        arrays = dict(stored)
    change(arrays)
    write_npz(folder / FILE, arrays)


def set_to(name: str, value: object) -> Change:
    return lambda arrays: arrays.update({name: np.asarray(value)})


def plus(name: str, value: int) -> Change:
    return lambda arrays: arrays.update({name: arrays[name] + value})


def part(name: str, rows: slice) -> Change:
    return lambda arrays: arrays.update({name: arrays[name][rows]})


DAMAGES: dict[str, tuple[Change, str]] = {
    "labels a little out of range": (plus("truth_labels", 40), "truth_labels must be "),
    "labels far out of range": (plus("truth_labels", 10**6), "truth_labels must be "),
    "labels below zero": (plus("truth_labels", -3), "truth_labels must be 0 at least"),
    "ids out of range": (plus("ids", 10**6), "ids must be below 5"),
    "starts out of range": (plus("truth_starts", 10**6), "truth_starts must be"),
    "unsigned starts that fall": (
        lambda a: a.update(truth_starts=a["truth_starts"][::-1].astype(np.uint64)),
        "truth_starts must rise from 0",
    ),
    "fewer starts": (part("truth_starts", slice(3)), "truth_starts must be of shape"),
    "fewer documents": (set_to("documents", '["a"]'), "documents must be 24 ids"),
    "documents that are numbers": (set_to("documents", "[1]"), "documents must be"),
    "documents nested too deep": (set_to("documents", "[" * 10**5), "cannot be read"),
    "more labels": (set_to("labels", 10**9), "labels must be those of the model, 5"),
    "fewer bits": (part("decided", slice(2)), r"decided must be of shape \[24, 1\]"),
    "fractions as ids": (
        lambda a: a.update(ids=a["ids"].astype(np.float32)),
        "ids must hold whole numbers",
    ),
    "probabilities above one": (
        lambda a: a.update(probabilities=a["probabilities"] * 9),
        "probabilities must be below 1",
    ),
    "no array": (lambda a: a.pop("rest"), "rest is not a file in the archive"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_an_array_that_would_index_outside_is_refused_by_report(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    change, message = DAMAGES[case]
    changed(copy, change)
    with pytest.raises(WorkdirError, match=rf"test_predictions\.npz: .*{message}"):
        read_kept(Workdir(copy))
    assert command(["report", str(copy)]) == 2
    said = capsys.readouterr().err
    assert "test_predictions.npz" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("edge_senders", lambda a: a + 10**6),
        ("edge_receivers", lambda a: a[::-1].copy()),
        ("edge_weights", lambda a: a[:-1]),
        ("counts", lambda a: np.concatenate([a, a])),
        ("features", lambda a: a[1:]),
        ("prior", lambda a: a * np.nan),
    ],
)
def test_a_label_graph_that_would_index_outside_is_refused(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    ones = np.ones(3, np.float32)
    edges: Any = Edges(np.arange(3), np.array([1, 2, 0]), ones)
    arrays = LabelGraphArrays(np.ones((3, 2), np.float32), edges, ones, ones)
    place = Workdir(tmp_path)
    place.save_label_graph(arrays)
    assert isinstance(place.label_graph(3).adjacency, Edges)
    with np.load(tmp_path / "label_graph.npz") as stored:
        held = dict(stored)
    held[name] = change(held[name])
    write_npz(tmp_path / "label_graph.npz", held)
    with pytest.raises(WorkdirError, match=rf"label_graph\.npz: {name} must"):
        place.label_graph(3)
