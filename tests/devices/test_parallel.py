"""Batches reach the devices whole, split, or with a clear error."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from labelgraph_jax.training.parallel import (
    batch_rows,
    make_mesh,
    pad_batch,
    shard_batch,
)


def test_a_mesh_has_all_devices_on_one_automatic_data_axis() -> None:
    mesh = make_mesh()
    assert dict(mesh.shape) == {"data": len(jax.devices())}
    assert mesh.axis_types == (AxisType.Auto,)


def test_a_mesh_of_no_device_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one device"):
        make_mesh([])


def test_rows_are_split_over_the_devices_in_order() -> None:
    rows = np.arange(16.0).reshape(16, 1)
    placed = shard_batch({"rows": rows}, make_mesh())["rows"]
    for index, shard in enumerate(placed.addressable_shards):
        np.testing.assert_array_equal(shard.data, rows[2 * index : 2 * index + 2])


def test_padding_is_masked_and_only_as_long_as_needed() -> None:
    batch = {"x": np.ones((5, 2), np.float32)}
    padded = pad_batch(batch, 4)
    assert padded["x"].shape == (8, 2)
    assert padded["example_mask"].tolist() == [True] * 5 + [False] * 3
    assert pad_batch(batch, 5)["x"].shape == (5, 2)


def test_an_existing_mask_is_kept_under_padding() -> None:
    batch = {"x": np.ones(3), "example_mask": np.array([True, True, False])}
    assert pad_batch(batch, 4)["example_mask"].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "batch", [{}, {"x": np.ones(3), "y": np.ones(4)}, {"x": np.float32(1)}]
)
def test_arrays_without_a_common_first_dimension_are_refused(batch: dict) -> None:
    with pytest.raises(ValueError, match="share their first dimension"):
        batch_rows(batch)
