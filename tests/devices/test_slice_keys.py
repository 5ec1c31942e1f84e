"""The place in a pmap is a slice of what the key draws for the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.functional.slice_keys import slice_key
from tests.functional.test_slice_keys import same


def test_the_place_in_a_pmap_is_a_slice_of_the_batch_over_all_devices() -> None:
    key = jax.random.key(4)

    def draw(_: jax.Array) -> jax.Array:
        place = jax.lax.axis_index("data")
        return jax.random.uniform(slice_key(key, place), (2,))

    rows = jax.pmap(draw, axis_name="data")(jnp.arange(8))
    same(np.asarray(rows).reshape(16), np.asarray(jax.random.uniform(key, (16,))))
