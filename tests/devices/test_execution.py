"""Devices of a run: what fits, and what is refused before documents are read."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.config import Config, ConfigError, DataConfig, SemiConfig
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import LabelProblem
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.signals import Stop, StoppedError
from tests.runs.test_execution import run_of
from tests.tiny import made_documents, tiny_config, write_jsonl


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        pytest.fail("the documents were read first")

    monkeypatch.setattr("labelgraph_jax.runs.labels.read_corpus", read)


def small(data: DataConfig, **text: Any) -> Config:
    """Six steps of the smallest model, whose table divides over eight devices."""
    return tiny_config(data, text=text, graph={"layers": 0, "features": "random"})


def train(config: Config, workdir: Path, **settings: Any) -> list[int]:
    """Train without the evaluation at the end; the steps that were saved."""
    saved: list[int] = []

    class Noting(CheckpointStore):
        def save(self, step: int, *values: Any, **named: Any) -> bool:
            is_saved = super().save(step, *values, **named)
            saved.extend([step] if is_saved else [])
            return is_saved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelgraph_jax.runs.fit.CheckpointStore", Noting)
        patch.setattr(LabelProblem, "calibrate", lambda *_: SimpleNamespace(params={}))
        patch.setattr(LabelProblem, "results", lambda *_: {})
        fit(config, workdir, progress=False, run=RunConfig(**settings))
    return saved


@pytest.mark.parametrize(
    ("mesh", "shape"),
    [
        ("", {"data": 8}),
        (" ", {"data": 8}),
        ("data=8", {"data": 8}),
        ("model=2", {"data": 4, "model": 2}),
        ("data=4,model=2", {"data": 4, "model": 2}),
        (" model = 8 , data = 1 ", {"data": 1, "model": 8}),
        ("data=8,model=1", {"data": 8}),
    ],
)
def test_a_mesh_lays_the_devices_out(mesh: str, shape: dict[str, int]) -> None:
    assert dict(run_of(mesh=mesh).mesh().shape) == shape


BAD_MESHES = {
    "data=3": ("--mesh data=3: a mesh of data=3,model=1 needs 3 devices; there are 8",),
    "data=16": ("--mesh data=16: ", "needs 16 devices; there are 8 (cpu)"),
    "model=3": ("--mesh model=3: 8 devices do not divide into groups of 3",),
    "data=2,model=2": ("a mesh of data=2,model=2 needs 4 devices; there are 8 (cpu)",),
    "all": ("--mesh all: a mesh is written data=4,model=2", "got 'all'"),
    "data=4,data=2": ("a mesh is written data=4,model=2", "got 'data=4,data=2'"),
    "data=4;model=2": ("along data must be a whole number >= 1; got 'data=4;model=2'",),
    "data=4,": ("a mesh is written data=4,model=2",),
    "data": ("the devices along data must be a whole number >= 1; got 'data'",),
    "data=0": ("the devices along data must be a whole number >= 1; got 'data=0'",),
    "model=0": ("the devices along model must be a whole number >= 1; got 'model=0'",),
    "data=-8": ("along data must be a whole number >= 1; got 'data=-8'",),
    "data=two": ("along data must be a whole number >= 1; got 'data=two'",),
}


@pytest.mark.parametrize("mesh", BAD_MESHES)
@pytest.mark.usefixtures("nothing_is_read")
def test_a_mesh_that_does_not_fit_the_devices_is_refused_with_their_numbers(
    mesh: str, tiny_data: DataConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        fit(tiny_config(tiny_data), tmp_path / "w", run=RunConfig(mesh=mesh))
    for part in BAD_MESHES[mesh]:
        assert part in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_pmap_has_no_model_axis() -> None:
    with pytest.raises(
        ConfigError, match=r"--parallel pmap .*must not have model=2; use .* jit"
    ):
        run_of(parallel="pmap", mesh="model=2").mesh()
    assert dict(run_of(parallel="pmap", mesh="data=8").mesh().shape) == {"data": 8}


@pytest.mark.parametrize(
    ("training", "settings", "message"),
    [
        (
            {"batch_size": 12},
            {},
            "training.batch_size: a batch of 12 rows does not divide over the 8 "
            "devices that share it; use a batch size that is a multiple of 8",
        ),
        ({"batch_size": 12}, {"parallel": "pmap"}, "a batch of 12 rows does not"),
        (
            {"batch_size": 6},
            {"mesh": "model=2"},
            "training.batch_size: a batch of 6 rows does not divide over the 4 devices",
        ),
        (
            {"batch_size": 24, "micro_batches": 2},
            {},
            "training.batch_size (24) in 2 training.micro_batches: a batch of 12 rows "
            "does not divide over the 8 devices",
        ),
    ],
)
@pytest.mark.usefixtures("nothing_is_read")
def test_a_batch_that_does_not_divide_over_the_devices_is_refused(
    training: dict[str, int],
    settings: dict[str, Any],
    message: str,
    tiny_data: DataConfig,
    tmp_path: Path,
) -> None:
    config = tiny_config(tiny_data, training=training)
    with pytest.raises(ConfigError) as refused:
        fit(config, tmp_path / "w", run=RunConfig(**settings))
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_over_other_devices_to_the_same_parameters(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    config, whole, moved = small(tiny_data), tmp_path / "whole", tmp_path / "moved"
    # 48 documents in batches of 16: an epoch has three steps, and there are two.
    assert train(config, whole, checkpoint_every=2) == [2, 3, 4, 6]

    def stopped_at(step: int, **settings: Any) -> None:
        polls = iter([*[False] * step, True])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stop, "poll", lambda _: next(polls))
            with pytest.raises(
                StoppedError, match=f"by SIGTERM at step {step}, which is saved"
            ):
                train(config, moved, **settings)

    stopped_at(0)
    stopped_at(2, parallel="pmap", profile="2:2")
    assert any((moved / "profile").rglob("*.xplane.pb"))
    assert train(config, moved, mesh="data=4,model=2") == [3, 6]
    # How it was carried out is no part of the run: it is the same configuration.
    assert (whole / "config.json").read_text() == (moved / "config.json").read_text()
    ours, theirs = (
        CheckpointStore(workdir / "checkpoints").restore_params("last")
        for workdir in (whole, moved)
    )
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-4, atol=2e-5)


def test_a_model_axis_over_what_cannot_be_split_says_why(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    config = small(tiny_data, vocabulary_size=15)
    with pytest.raises(
        ValueError,
        match=r"splits the model over 2 devices, but nothing of this model can be "
        r"split: .*: 5; .*: 15.* rows do not divide by 2",
    ):
        train(config, tmp_path / "w", mesh="model=2")


@pytest.mark.parametrize("kind", ["cap", "teacher"])
def test_unlabelled_documents_teach_eight_devices_what_they_teach_one(
    kind: str, tiny_data: DataConfig, tmp_path: Path
) -> None:
    texts = [{"text": f"{d['text']} {i}"} for i, d in enumerate(made_documents(40, 7))]
    raw = write_jsonl(tmp_path / "raw.jsonl", texts)
    config = dataclasses.replace(
        small(dataclasses.replace(tiny_data, unlabelled=str(raw))),
        semi=SemiConfig(kind=kind, ratio=2, compare=False),  # type: ignore[arg-type]
    )
    found = []
    for name, settings in (
        ("mesh", {}),
        ("pmap", {"parallel": "pmap"}),
        ("model", {"mesh": "data=1,model=8"}),
    ):
        train(config, tmp_path / name, **settings)
        store = CheckpointStore(tmp_path / name / "checkpoints")
        found.append(jax.tree.leaves(store.restore_params("last")))
    for other in found[1:]:
        for left, right in zip(found[0], other, strict=True):
            np.testing.assert_allclose(left, right, rtol=2e-4, atol=2e-5)
