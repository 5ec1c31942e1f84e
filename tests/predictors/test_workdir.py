"""The work directory: whose it is, and files that are whole or not there."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.config import Config, TrainingConfig
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.files import write_json
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.workdir import (
    Workdir,
    WorkdirError,
)

DATA = {"train": "a", "validation": "b", "test": "c"}


def test_a_new_directory_is_claimed_and_then_known(tmp_path: Path) -> None:
    place, config = Workdir(tmp_path / "a" / "b"), Config()
    assert not place.check(config)
    assert not place.path.exists(), "checking writes nothing"
    place.claim(config, DATA)
    assert place.check(config)
    assert Workdir.existing(place.path).config() == config


def test_another_configuration_is_refused_with_the_differences(tmp_path: Path) -> None:
    place, config = Workdir(tmp_path / "w"), Config()
    place.claim(config, DATA)
    (place.checkpoints / "12").mkdir(parents=True)
    other = dataclasses.replace(config, training=TrainingConfig(epochs=3, seed=5))
    with pytest.raises(WorkdirError) as error:
        place.check(other)
    assert f"training.epochs: {config.training.epochs} -> 3" in str(error.value)
    assert "training.seed: 0 -> 5" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_never_saved_a_checkpoint_gives_way_to_another(
    tmp_path: Path,
) -> None:
    place = Workdir(tmp_path / "w")
    place.claim(Config(), DATA)
    other = Config(training=TrainingConfig(epochs=3))
    assert not place.check(other)
    place.claim(other, {"train": "x", "validation": "y", "test": "z"})
    assert place.config() == other


def test_other_documents_are_refused_by_the_name_of_their_split(tmp_path: Path) -> None:
    place = Workdir(tmp_path / "w")
    place.claim(Config(), DATA)
    place.claim(Config(), dict(DATA))
    with pytest.raises(WorkdirError, match="the validation and test documents are not"):
        place.claim(Config(), {"train": "a", "validation": "x", "test": "y"})


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="must be empty or a work directory"):
        Workdir(tmp_path).claim(Config(), DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(WorkdirError, match="must be a directory, it is a file"):
        Workdir(tmp_path / "thesis.txt").check(Config())


def test_what_is_no_work_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkdirError, match="absent: no such work directory"):
        Workdir.existing(tmp_path / "absent")
    with pytest.raises(WorkdirError, match=r"it has no config\.json"):
        Workdir.existing(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", r"config\.json: must be JSON"),
        ("config.json", '{"a": 1}', r"config\.json: unknown setting 'a'"),
        ("config.json", "[]", r"config\.json: configuration must be an object"),
        ("labels.json", "{", r"labels\.json: labels must be a JSON object"),
        ("labels.json", '{"names": []}', r"labels\.json: .* at least one label"),
        ("thresholds.json", "{", r"thresholds\.json: must be JSON"),
        ("label_graph.npz", "PK", r"label_graph\.npz: cannot be read"),
        ("results.json", "", r"results\.json: must be JSON"),
    ],
)
def test_a_damaged_file_is_named(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    place = Workdir(tmp_path)
    write_json(place.config_path, {})
    place.save_labels(LabelSpace(("a", "b")))
    (tmp_path / name).write_text(content)
    read = {
        "config.json": place.config,
        "labels.json": place.labels,
        "thresholds.json": place.thresholds,
        "label_graph.npz": place.label_graph,
        "results.json": place.results,
    }
    with pytest.raises(WorkdirError, match=message):
        read[name]()


def test_an_array_file_that_would_execute_something_is_refused(tmp_path: Path) -> None:
    place = Workdir(tmp_path)
    names = ("features", "adjacency", "prior", "counts")
    evil = {name: np.array([{"a": 1}], dtype=object) for name in names}
    np.savez(tmp_path / "label_graph.npz", **evil)
    with pytest.raises(WorkdirError, match=r"label_graph\.npz: cannot be read"):
        place.label_graph()


def test_the_files_of_a_model_come_back_as_they_were(tmp_path: Path) -> None:
    place = Workdir(tmp_path)
    labels = LabelSpace(("a", "ä"), {"a": "first"}, {"ä": ("a",)})
    place.save_labels(labels)
    assert place.labels() == labels
    values = {"kind": "label", "thresholds": {"a": 0.1 + 0.2, "ä": 1 / 3}}
    place.save_thresholds(values)
    assert place.has_thresholds
    assert place.thresholds() == values
    arrays = LabelGraphArrays(
        *(np.arange(4, dtype=np.float32).reshape(2, 2) + i for i in range(2)),
        np.array([0.5, 0.25], np.float32),
        np.array([2, 1], np.float32),
    )
    place.save_label_graph(arrays)
    for name, array in vars(arrays).items():
        np.testing.assert_array_equal(getattr(place.label_graph(), name), array)
