"""Checkpoints come back whole, anywhere, or not at all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from labelgraph_jax.training.checkpoint import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointStore,
    DamagedCheckpointWarning,
)
from labelgraph_jax.training.optimizer import make_optimizer

from .conftest import assert_same_bits, initial_params

PARAMS = initial_params() | {
    "half": jnp.arange(3, dtype=jnp.bfloat16),
    "scalar": jnp.float32(2.5),
    "empty": {},
}
OPTIMIZER = make_optimizer(
    learning_rate=0.1, total_steps=3, is_frozen=lambda path: path == "half"
)
OPT_STATE = OPTIMIZER.init(PARAMS)


def save(store: CheckpointStore, step: int, metric: float | None = None) -> None:
    params = {**PARAMS, "scalar": jnp.float32(step)}
    store.save(step, params, OPT_STATE, {"position": step}, {"a": 1}, metric=metric)


def damage(store: CheckpointStore, step: int, item: str = "params") -> None:
    """Flip one bit in the largest file of an item."""
    files = list((store.folder / str(step) / item).rglob("*"))
    target = max(
        (path for path in files if path.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(bytes(content))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with CheckpointStore(tmp_path / "checkpoints", metric="f1") as opened:
        yield opened


def test_everything_comes_back_bit_for_bit(store: CheckpointStore) -> None:
    data = {"position": 7, "inner": [1, None, "x", b"\x00\xff"], "n": np.int64(3)}
    config = {"rate": 0.1, "name": "Müller"}
    store.save(4, PARAMS, OPT_STATE, data, config, progress={"epoch": 2})
    restored = store.restore_all(params=PARAMS, opt_state=OPT_STATE)
    assert restored.step == 4
    assert_same_bits(restored.params, PARAMS)
    assert_same_bits(restored.opt_state, OPT_STATE)
    assert jax.tree.structure(restored.opt_state) == jax.tree.structure(OPT_STATE)
    assert restored.data_state == {**data, "n": 3}
    assert restored.config == config
    assert restored.progress == {"epoch": 2}


def test_parameters_come_back_without_a_template_as_host_arrays(
    store: CheckpointStore,
) -> None:
    save(store, 1)
    params = store.restore_params("last")
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(params["head"]["kernel"], PARAMS["head"]["kernel"])
    assert params["half"].dtype == jnp.bfloat16


def test_an_optimizer_without_state_is_no_obstacle(store: CheckpointStore) -> None:
    nothing = optax.sgd(1.0).init(PARAMS)
    store.save(1, PARAMS, nothing)
    assert store.restore_all(params=PARAMS, opt_state=nothing).opt_state == nothing


def test_the_best_survives_a_restart_and_later_worse_ones(
    store: CheckpointStore,
) -> None:
    for step, metric in enumerate([0.3, 0.8, 0.5, None, 0.8], start=1):
        save(store, step, metric)
    store.wait()
    assert store.steps() == [2, 4, 5]
    again = CheckpointStore(store.folder, metric="f1")
    assert (again.best_step, again.best_metric) == (2, 0.8)
    assert again.restore_params("best")["scalar"] == 2
    assert again.restore_params("last")["scalar"] == 5
    assert again.restore_params(4)["scalar"] == 4
    assert json.loads((store.folder / "best.json").read_text())["metric"] == "f1"


def test_the_last_is_the_best_where_no_metric_decided(store: CheckpointStore) -> None:
    save(store, 1)
    save(store, 2)
    assert store.restore_params("best")["scalar"] == 2


@pytest.mark.parametrize("item", ["params", "opt_state", "data", "step"])
def test_one_flipped_bit_is_noticed_and_the_one_before_is_used(
    store: CheckpointStore, item: str
) -> None:
    save(store, 1, 0.5)
    save(store, 2, 0.9)
    store.wait()
    damage(store, 2, item)
    with pytest.warns(
        DamagedCheckpointWarning, match=r"2 cannot be read: .* not as it was written"
    ):
        restored = store.restore_all(params=PARAMS, opt_state=OPT_STATE)
    assert restored.step == 1
    assert (store.best_step, store.best_metric) == (1, 0.5)
    assert CheckpointStore(store.folder).best_step == 1


def test_without_checksums_a_cut_file_is_noticed_all_the_same(
    store: CheckpointStore,
) -> None:
    save(store, 1)
    save(store, 2)
    store.wait()
    (store.folder / "2" / "checksums.json").unlink()
    (store.folder / "2" / "data" / "data.json").unlink()
    with pytest.warns(DamagedCheckpointWarning):
        assert store.restore_all(params=PARAMS, opt_state=OPT_STATE).step == 1


def test_a_damaged_best_is_an_error_not_another_model(store: CheckpointStore) -> None:
    save(store, 1, 0.9)
    save(store, 2, 0.5)
    store.wait()
    damage(store, 1)
    with pytest.raises(CheckpointError, match="1 cannot be read"):
        store.restore_params("best")
    assert store.restore_params("last")["scalar"] == 2


def test_a_later_checkpoint_goes_when_the_run_was_resumed_before_it(
    store: CheckpointStore,
) -> None:
    for step in (1, 2):
        save(store, step, 0.5)
    store.wait()
    damage(store, 2)
    again = CheckpointStore(store.folder)
    with pytest.warns(DamagedCheckpointWarning):
        again.restore_all(params=PARAMS, opt_state=OPT_STATE)
    # Two was to come again; another length of epoch came instead.
    again.save(1, PARAMS, OPT_STATE)
    again.close()
    assert again.steps() == [1]


def test_half_written_leftovers_do_not_count_and_go(store: CheckpointStore) -> None:
    leftover = store.folder / "9.orbax-checkpoint-tmp-1"
    (leftover / "params").mkdir(parents=True)
    assert store.steps() == []
    save(store, 1)
    store.wait()
    assert sorted(p.name for p in store.folder.iterdir()) == ["1"]


def test_a_failed_save_is_told_and_leaves_the_old_ones_whole(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelgraph_jax.training import checkpoint

    save(store, 1, 0.5)
    store.wait()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_checksums", no_space)
        save(store, 2, 0.9)
        with pytest.raises(OSError, match="No space left"):
            store.wait()
    assert 1 in store.steps()
    assert store.restore_params(1)["scalar"] == 1


@pytest.mark.process
def test_a_disk_that_takes_no_more_leaves_the_old_checkpoint_whole(
    tmp_path: Path,
) -> None:
    code = f"""
import resource, signal
import numpy as np
from labelgraph_jax.training.checkpoint import CheckpointStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with CheckpointStore({str(tmp_path / "checkpoints")!r}) as store:
    store.save(1, {{"w": np.ones(8, np.float32)}}, {{}})
    store.wait()
    # The system refuses to write files beyond this, as a full disk would.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    noise = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    store.save(2, {{"w": noise}}, {{}})
    try:
        store.wait()
    except OSError as error:
        print(error)
    print(store.steps(), store.restore_params("last")["w"].sum())
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    said, found = run.stdout.splitlines()
    assert "the checkpoint of step 2 could not be written to" in said, run.stderr
    assert said.endswith("; that of step 1 is whole")
    assert found == "[1] 8.0"


def test_a_checkpoint_of_another_model_names_both_sides(
    store: CheckpointStore,
) -> None:
    save(store, 1)
    other = {
        "head": {"kernel": np.zeros((5, 4), np.float32), "gain": np.zeros(2)},
        "half": PARAMS["half"],
        "scalar": PARAMS["scalar"],
    }
    with pytest.raises(CheckpointMismatchError) as caught:
        store.restore_all(params=other, opt_state=OPT_STATE)
    message = str(caught.value)
    assert "head/kernel is float32[5, 3] there and float32[5, 4] here" in message
    assert "only in the checkpoint: head/bias float32[3]" in message
    assert "only in this model: head/gain float64[2]" in message
    assert "\n" not in message


def test_an_empty_folder_and_an_absent_step_say_so(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*checkpoints"):
        store.restore_params()
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*checkpoints"):
        store.restore_all(params=PARAMS, opt_state=OPT_STATE)
    save(store, 1)
    with pytest.raises(CheckpointError, match=r"of step 5 in .*; there are \[1\]"):
        store.restore_params(5)


def test_arrays_saved_before_a_donating_step_are_not_overwritten_by_it(
    store: CheckpointStore,
) -> None:
    add = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    params = add({"w": jnp.zeros(500_000)})
    store.save(1, params, {})
    for _ in range(50):
        params = add(params)
    assert np.all(store.restore_params("last")["w"] == 1)


def test_keeping_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_last must be at least 1; got 0"):
        CheckpointStore(tmp_path, keep_last=0)


def test_of_a_finished_run_the_best_parameters_are_left_alone(
    store: CheckpointStore,
) -> None:
    for step, metric in [(1, 0.1), (2, 0.9), (3, 0.5), (4, 0.4)]:
        save(store, step, metric)
    store.wait()
    best = store.restore_params()
    store.keep_parameters()
    assert store.steps() == [2]
    assert {entry.name for entry in (store.folder / "2").iterdir()} >= {
        "params",
        "step",
        "config",
        "checksums.json",
    }
    assert not list((store.folder / "2").glob("opt_state"))
    again = CheckpointStore(store.folder)
    assert_same_bits(again.restore_params(), best)
    assert_same_bits(again.restore_params("last"), best)
    with pytest.raises(CheckpointError, match="parameters alone: training cannot"):
        again.restore_all(params=PARAMS, opt_state=OPT_STATE)
    damage(again, 2)
    with pytest.raises(CheckpointError, match="is not as it was written"):
        again.restore_params()


@pytest.mark.parametrize("broken", ["other checkpoints", "checksums", "half an item"])
def test_leaving_the_parameters_alone_can_be_broken_off_and_done_again(
    broken: str, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step, metric in [(1, 0.9), (2, 0.5), (3, 0.4)]:
        save(store, step, metric)
    store.wait()
    module = "labelgraph_jax.training.checkpoint"
    if broken == "other checkpoints":
        monkeypatch.setattr(f"{module}.forget_items", _broken_off)
    else:
        monkeypatch.setattr("shutil.rmtree", _broken_off)
    with pytest.raises(KeyboardInterrupt):
        store.keep_parameters()
    if broken == "half an item":
        next((store.folder / "1" / "opt_state").rglob("*")).parent.rename(
            store.folder / "1" / "opt_state.gone"
        )
    monkeypatch.undo()
    again = CheckpointStore(store.folder)
    assert float(again.restore_params()["scalar"]) == 1.0
    again.keep_parameters()
    assert again.steps() == [1]
    assert float(again.restore_params()["scalar"]) == 1.0


def _broken_off(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_save_that_is_not_due_is_none(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path / "c", metric="f1", seconds_between=1e9) as store:
        assert store.save(1, PARAMS, OPT_STATE, metric=0.1, if_due=True)
        assert not store.save(2, PARAMS, OPT_STATE, metric=0.3, if_due=True)
        assert not store.save(3, PARAMS, OPT_STATE, metric=0.2, if_due=True)
        store.wait()
        assert (store.best_step, store.steps()) == (2, [1])
        assert store.save(4, PARAMS, OPT_STATE)
        store.wait()
        assert store.steps() == [1, 2, 4]
        assert store.restore_all(params=PARAMS, opt_state=OPT_STATE).step == 4
        # The best of an interval that is saved itself is saved once.
        assert not store.save(5, PARAMS, OPT_STATE, metric=0.4, if_due=True)
        assert store.save(5, PARAMS, OPT_STATE)
        store.wait()
        assert store.steps() == [4, 5]
        assert (store.folder / "5" / "opt_state").is_dir()
