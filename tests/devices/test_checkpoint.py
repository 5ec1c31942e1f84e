"""Checkpoints come back on other devices than those they were saved from."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from labelgraph_jax.training.checkpoint import (
    CheckpointStore,
)
from labelgraph_jax.training.parallel import make_mesh, replicated_sharding
from tests.training.test_checkpoint import OPTIMIZER, PARAMS, save


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with CheckpointStore(tmp_path / "checkpoints", metric="f1") as opened:
        yield opened


def test_parameters_saved_from_eight_devices_come_back_in_a_process_with_one(
    store: CheckpointStore,
) -> None:
    everywhere = jax.device_put(PARAMS, replicated_sharding(make_mesh()))
    store.save(3, everywhere, OPTIMIZER.init(everywhere))
    store.wait()
    code = f"""
import jax
from labelgraph_jax.training.checkpoint import CheckpointStore
assert len(jax.devices()) == 1
params = CheckpointStore({str(store.folder)!r}).restore_params("last")
print(float(jax.numpy.asarray(params["head"]["kernel"]).sum()))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"JAX_PLATFORMS": "cpu", "PATH": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(PARAMS["head"]["kernel"].sum(), 1e-5)


def test_leaves_go_where_their_template_is(store: CheckpointStore) -> None:
    save(store, 1)
    sharding = replicated_sharding(make_mesh())
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), PARAMS
    )
    params = store.restore_params("last", template=template)
    assert params["head"]["kernel"].sharding == sharding
