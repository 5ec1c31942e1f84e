"""A whole run of a mixture whose experts are split over devices."""

import dataclasses
from pathlib import Path

import numpy as np

from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.runs.fit import fit
from tests.tiny import tiny_config
from tests.zoo import MMOE, Zoo


def test_experts_over_devices_give_the_run_of_one_device(
    zoo: Zoo, tmp_path: Path
) -> None:
    config, results = tiny_config(zoo.both_sets, training={"epochs": 1}), []
    mixture = dataclasses.replace(MMOE, experts=4)
    for mesh in ("data=8", "data=4,model=2"):
        results.append(
            fit(
                dataclasses.replace(config, mixture=mixture),
                tmp_path / mesh,
                progress=False,
                run=RunConfig(mesh=mesh),
            )
        )
    one, two = (np.asarray(r["gates"]["mean_weights"]) for r in results)
    np.testing.assert_allclose(one, two, atol=1e-3)
