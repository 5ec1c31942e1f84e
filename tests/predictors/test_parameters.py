"""Parameters are read as Orbax reads them, and where that is not safe by Orbax."""

import json
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from labelgraph_jax.predictors import parameters
from labelgraph_jax.predictors.parameters import read_parameters
from labelgraph_jax.training.checkpoint import CheckpointError, CheckpointStore
from tests.zoo import Zoo


@pytest.mark.parametrize("name", ["bag", "memory", "mixture", "table"])
def test_they_are_those_that_orbax_reads(
    zoo: Zoo, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = zoo(name) / "checkpoints"
    with CheckpointStore(folder) as store:
        expected, step = store.restore_params("best"), store.step_of("best")
    # Nobody else is asked.
    monkeypatch.setattr(CheckpointStore, "restore_params", None)
    found = read_parameters(folder, "best")
    assert found[1] == step
    assert jax.tree.structure(found[0]) == jax.tree.structure(expected)
    for one, other in zip(*map(jax.tree.leaves, (found[0], expected)), strict=True):
        assert isinstance(one, np.ndarray)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_step_and_what_has_no_best_are_read_too(zoo: Zoo, tmp_path: Path) -> None:
    folder = zoo.copy("bag", tmp_path / "run") / "checkpoints"
    expected, step = read_parameters(folder, "best")
    (folder / "best.json").unlink()
    for which in ("best", "last", step):
        found = read_parameters(folder, which)
        assert found[1] == step
        jax.tree.map(np.testing.assert_array_equal, found[0], expected)


def test_a_flipped_bit_is_told(zoo: Zoo, tmp_path: Path) -> None:
    folder = zoo.copy("bag", tmp_path / "run") / "checkpoints"
    _, step = read_parameters(folder, "best")
    sums = json.loads((folder / str(step) / "checksums.json").read_text())
    name = max(sums, key=lambda n: (folder / str(step) / n).stat().st_size)
    path = folder / str(step) / name
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="is not as it was written"):
        read_parameters(folder, "best")


def test_another_layout_is_read_by_orbax(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = zoo("bag") / "checkpoints"
    expected = read_parameters(folder, "best")

    def fail(_: Path) -> None:
        raise KeyError("use_zarr3")

    monkeypatch.setattr(parameters, "_read", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params, step = read_parameters(folder, "best")
    assert step == expected[1]
    jax.tree.map(np.testing.assert_array_equal, params, expected[0])
