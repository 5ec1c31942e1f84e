"""The ranker: mixed tasks, ids that training did not know, positions and their bias."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.ranker import LinearRows, Ranker, ShallowTower
from labelgraph_jax.training.objectives import multi_task_objective

TASKS = (Task("click", "binary"), Task("seconds", "squared"), Task("like", "binary"))
CARDINALITIES = (5, 3)
CATEGORIES = jnp.array([[0, 1], [4, 2], [3, 0], [2, 2]])
NUMBERS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
POSITIONS, GROUPS = jnp.array([1, 2, 3, 0]), jnp.array([0, 1, 1, 0])


def ranker(**fields: Any) -> Ranker:
    small = {"dim": 3, "hidden": (4,), "experts": 2, "shared": (5,), "towers": (4,)}
    return Ranker(TASKS, CARDINALITIES, **(small | fields))


def towered(**fields: Any) -> Ranker:
    tower = {"position": "shallow_tower", "biased": ("like", "click"), "groups": 2}
    return ranker(**(tower | {"positions": 3} | fields))


def filled(model: Any) -> Any:
    """Parameters all of which are drawn, those that start at zero as well."""
    key = jax.random.key(0)
    shapes = jax.eval_shape(model.init, key, CATEGORIES, NUMBERS)["params"]
    leaves, tree = jax.tree.flatten(shapes)
    generator = np.random.default_rng(3)
    drawn = [jnp.asarray(generator.normal(size=x.shape), x.dtype) for x in leaves]
    return jax.tree.unflatten(tree, drawn)


@functools.partial(jax.jit, static_argnums=0)
def outputs(model: Ranker, params: Any, *places: Any) -> jax.Array:
    return model.apply({"params": params}, CATEGORIES, NUMBERS, *places)


@pytest.mark.parametrize("kind", ["mmoe", "shared_bottom", "single_task"])
def test_every_kind_of_mixture_gives_one_output_per_task(kind) -> None:
    model = towered(kind=kind)
    key = jax.random.key(0)
    made = jax.eval_shape(model.init_with_output, key, CATEGORIES, NUMBERS)[0]
    assert made.shape == (4, 3) and made.dtype == jnp.float32


def test_the_shallow_tower_adds_its_numbers_to_the_biased_tasks_alone() -> None:
    model = towered()
    params = filled(model)
    plain = outputs(ranker(), {k: v for k, v in params.items() if k != "shallow_tower"})
    added = outputs(model, params, POSITIONS, GROUPS) - plain
    bias = params["shallow_tower"]["bias"]
    expected = np.zeros((4, 3))
    expected[:, 2] = bias[GROUPS, POSITIONS, 0]  # biased names like first
    expected[:, 0] = bias[GROUPS, POSITIONS, 1]
    np.testing.assert_allclose(added, expected, atol=1e-4)


def test_serving_without_positions_is_position_zero_and_keeps_the_order() -> None:
    model = towered()
    params = filled(model)
    served = outputs(model, params)
    group = jnp.zeros(4, jnp.int32)
    none = outputs(model, params, jnp.zeros(4, jnp.int32), group)
    np.testing.assert_allclose(served, none, rtol=1e-4, atol=1e-5)
    first = outputs(model, params, jnp.ones(4, jnp.int32), group)
    np.testing.assert_allclose(
        served - served[:1], first - first[:1], rtol=1e-3, atol=1e-4
    )


def test_training_forgets_some_positions_and_serving_none() -> None:
    tower = ShallowTower(positions=1, drop_rate=0.5)
    params = {"params": {"bias": jnp.array([[[0.0], [1.0]]])}}
    ones = jnp.ones(200, jnp.int32)
    assert tower.apply(params, ones).sum() == 200
    keys = {"dropout": jax.random.key(0)}
    kept = float(tower.apply(params, ones, deterministic=False, rngs=keys).sum())
    assert 70 < kept < 130


def test_position_as_a_feature_can_change_the_order_and_ignored_cannot() -> None:
    feature = ranker(position="feature", positions=3, groups=2)
    params = filled(feature)
    first, last = (
        outputs(feature, params, jnp.full(4, place), GROUPS)[:, 0] for place in (1, 3)
    )
    assert not np.allclose(first - first[0], last - last[0], atol=1e-3)
    ignored = ranker()
    params = filled(ignored)
    np.testing.assert_array_equal(
        outputs(ignored, params, POSITIONS, GROUPS), outputs(ignored, params)
    )


def test_the_linear_part_is_one_weight_per_category_and_number() -> None:
    model = LinearRows(CARDINALITIES, 2)
    params = filled(model)
    got = model.apply({"params": params}, CATEGORIES, NUMBERS)
    for row in range(4):
        expected = NUMBERS[row] @ params["kernel"]
        expected += params["categories"][CATEGORIES[row, 0]]
        expected += params["categories"][5 + CATEGORIES[row, 1]]
        np.testing.assert_allclose(got[row], expected, rtol=1e-4, atol=1e-5)
    alone = LinearRows((), 2)
    none = jnp.zeros((4, 0), jnp.int32)
    zero = alone.init_with_output(jax.random.key(0), none, NUMBERS)[0]
    np.testing.assert_array_equal(zero, np.zeros((4, 2)))


def test_a_task_without_targets_gets_no_gradient_anywhere_it_owns() -> None:
    model = towered()
    params = filled(model)

    def apply_fn(params, batch, *, key, train):
        return outputs(model, params, POSITIONS, GROUPS)

    loss_fn = multi_task_objective(apply_fn, TASKS)
    batch = {
        "targets": jnp.zeros((4, 3)),
        "target_mask": jnp.array([[True, True, False]] * 4),
    }
    summed = jax.jit(jax.grad(lambda p: loss_fn(p, batch, jax.random.key(0))[0]))
    gradient = summed(params)
    assert not np.asarray(gradient["shallow_tower"]["bias"][:, :, 0]).any()
    assert np.asarray(gradient["shallow_tower"]["bias"][:, :, 1]).any()
    assert not np.asarray(gradient["wide"]["kernel"][:, 2]).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"position": "above"}, "position must be one of .*got 'above'"),
        ({"biased": ("click",)}, "position is 'ignored', got biased=.*click"),
        ({"position": "shallow_tower"}, "needs the names of the tasks"),
        ({"position": "shallow_tower", "biased": ("like", "like")}, "each once"),
        (
            {"position": "shallow_tower", "biased": ("dislike",)},
            r"\['click', 'seconds', 'like'\]; got 'dislike'",
        ),
        ({"positions": 0}, "positions and groups must be at least 1; got 0 and 1"),
    ],
)
def test_what_contradicts_itself_is_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(ranker(**fields).init, jax.random.key(0), CATEGORIES, NUMBERS)
