"""Bodies and towers of several tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.functional.losses.tasks import Task, multi_task_loss
from labelgraph_jax.modules.mixture import (
    GATES,
    MIXTURE_KINDS,
    Mixture,
    MultiTaskNetwork,
    gate_weights_of,
    l2_constraint,
)
from tests.reference import experts as reference

TASKS = (Task("click", "binary"), Task("colour", "multi_class", 3))
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)


def network(kind: str, **fields) -> tuple[MultiTaskNetwork, dict]:
    model = MultiTaskNetwork(
        TASKS, kind=kind, experts=4, **{"hidden": (3,), "towers": (2,), **fields}
    )
    return model, model.init(jax.random.key(0), INPUTS)["params"]


@pytest.mark.parametrize("kind", MIXTURE_KINDS)
def test_every_kind_gives_the_outputs_of_all_tasks_eager_and_jitted(kind: str) -> None:
    model, params = network(kind, hidden=(3, 4), shared=(5,))
    outputs = model.apply({"params": params}, INPUTS)
    assert outputs.shape == (5, 4)
    jitted = jax.jit(lambda p, x: model.apply({"params": p}, x))(params, INPUTS)
    np.testing.assert_allclose(outputs, jitted, atol=1e-5)
    assert params["mixture"]["shared"]["kernel_0"].shape == (6, 1, 5)


def test_mmoe_is_the_mixture_of_its_experts_computed_one_by_one() -> None:
    model = Mixture("mmoe", tasks=2, hidden=(3,), experts=4)
    params = model.init(jax.random.key(1), INPUTS)["params"]
    kernel, bias = (np.asarray(params["experts"][n]) for n in ("kernel_0", "bias_0"))
    outputs = np.stack(
        [np.maximum(INPUTS @ kernel[:, e] + bias[e], 0) for e in range(4)], axis=1
    )
    logits = np.stack(
        [np.asarray(INPUTS @ params["gate_kernel"][:, t]) for t in range(2)], axis=1
    )
    expected = reference.mix_experts(outputs, logits)
    got, left = model.apply({"params": params}, INPUTS, mutable=GATES)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    weights = reference.gate_weights(logits)
    np.testing.assert_allclose(gate_weights_of(left), weights, atol=1e-5)


def test_experts_differ_after_initialisation_and_after_a_step() -> None:
    # A public rebuild had eight experts with one and the same set of weights.
    model, params = network("mmoe")
    targets = jnp.ones((5, 4)).at[:, 2:].set(0.0)

    def loss(params):
        outputs = model.apply({"params": params}, INPUTS)
        return multi_task_loss(outputs, targets, TASKS)[0]

    moved = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))
    for tree in (params, moved):
        kernel = np.asarray(tree["mixture"]["experts"]["kernel_0"])
        for one in range(4):
            for other in range(one):
                assert np.abs(kernel[:, one] - kernel[:, other]).max() > 0.05


def test_each_expert_starts_as_if_it_were_alone() -> None:
    model = Mixture("mmoe", tasks=2, hidden=(400,), experts=8)
    params = model.init(jax.random.key(0), jnp.zeros((1, 200)))["params"]
    deviation = float(params["experts"]["kernel_0"].std())
    assert abs(deviation - np.sqrt(2 / 200)) < 0.005


def test_omoe_gives_every_task_the_same_vector_and_mmoe_does_not() -> None:
    for kind, same in (("omoe", True), ("shared_bottom", True), ("mmoe", False)):
        model = Mixture(kind, tasks=3, hidden=(3,), experts=4)
        params = model.init(jax.random.key(0), INPUTS)["params"]
        found = np.asarray(model.apply({"params": params}, INPUTS))
        assert np.array_equal(found[:, 0], found[:, 1]) == same, kind


def test_a_task_of_its_own_network_is_not_touched_by_the_other_tasks_loss() -> None:
    for kind, apart in (("single_task", True), ("cross_stitch", False)):
        model = Mixture(kind, tasks=2, hidden=(3,))
        params = model.init(jax.random.key(0), INPUTS)["params"]
        gradient = jax.grad(
            lambda p, model=model: jnp.sum(model.apply({"params": p}, INPUTS)[:, 0])
        )(params)
        other = np.asarray(gradient["experts"]["kernel_0"][:, 1])
        assert (other == 0).all() == apart, kind


def test_stitches_start_near_the_tasks_own_features_and_learn() -> None:
    model, params = network("cross_stitch")
    stitch = params["mixture"]["experts"]["stitch_0"]
    np.testing.assert_allclose(stitch, [[0.9, 0.1], [0.1, 0.9]], atol=1e-6)
    gradient = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, INPUTS)))(params)
    assert (np.asarray(gradient["mixture"]["experts"]["stitch_0"]) != 0).any()


def test_the_l2_constraint_is_the_distance_of_the_tasks_networks() -> None:
    _, params = network("l2_constrained")
    experts = params["mixture"]["experts"]
    expected = reference.pairwise_squared_distance(experts["kernel_0"], 1)
    expected += reference.pairwise_squared_distance(experts["bias_0"], 0)
    np.testing.assert_allclose(l2_constraint(params), expected, rtol=1e-5)
    same = jax.tree.map(jnp.ones_like, params)
    assert l2_constraint(same) == 0
    with pytest.raises(ValueError, match="parameters of a Mixture"):
        l2_constraint({"towers": {}})


def test_gate_dropout_acts_in_training_alone_and_needs_a_key() -> None:
    model = Mixture("mmoe", tasks=2, hidden=(3,), experts=4, gate_dropout=0.5)
    params = model.init(jax.random.key(0), INPUTS)["params"]
    key = {"dropout": jax.random.key(1)}
    serving = model.apply({"params": params}, INPUTS)
    plain = Mixture("mmoe", tasks=2, hidden=(3,), experts=4)
    np.testing.assert_array_equal(serving, plain.apply({"params": params}, INPUTS))
    _, left = model.apply(
        {"params": params}, INPUTS, deterministic=False, rngs=key, mutable=GATES
    )
    weights = np.asarray(gate_weights_of(left))
    assert (weights == 0).any()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


def test_a_kind_without_gates_leaves_no_gate_weights() -> None:
    model, params = network("shared_bottom")
    _, left = model.apply({"params": params}, INPUTS, mutable=GATES)
    assert gate_weights_of(left) is None
    assert not Mixture("shared_bottom", tasks=2).has_gates


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "soft"}, "kind must be one of .*'soft'"),
        ({"tasks": 0}, "tasks must be at least 1; got 0"),
        ({"experts": 0}, "experts must be at least 1; got 0"),
        ({"hidden": ()}, r"one layer or more.*hidden=\(\)"),
        ({"shared": (0,)}, r"each at least 1; got .*shared=\(0,\)"),
    ],
)
def test_a_malformed_mixture_is_refused(fields: dict, message: str) -> None:
    model = Mixture(**{"kind": "mmoe", "tasks": 2, **fields})
    with pytest.raises(ValueError, match=message):
        model.init(jax.random.key(0), INPUTS)


def ple(levels: int, **fields) -> tuple[Mixture, dict]:
    model = Mixture(
        "ple", tasks=2, hidden=(3,), experts=2, own_experts=2, levels=levels, **fields
    )
    return model, model.init(jax.random.key(1), INPUTS)["params"]


def level(params: dict, suffix: str, inputs: np.ndarray, gates: np.ndarray):
    """Outputs of the experts and logits of the gates of one level, one by one."""
    kernel, bias = (
        np.asarray(params[f"experts{suffix}"][n]) for n in ("kernel_0", "bias_0")
    )
    outputs = [np.maximum(inputs[:, e] @ kernel[:, e] + bias[e], 0) for e in range(6)]
    weights = np.asarray(params[f"gate_kernel{suffix}"])
    logits = [gates[:, t] @ weights[:, t] for t in range(weights.shape[1])]
    return np.stack(outputs, axis=1), np.stack(logits, axis=1)


def test_ple_of_two_levels_is_its_experts_and_gates_computed_one_by_one() -> None:
    model, params = ple(2)
    rows = np.asarray(INPUTS)
    outputs, logits = level(
        params, "", np.stack([rows] * 6, axis=1), np.stack([rows] * 3, axis=1)
    )
    mixed = reference.extraction(outputs, logits, tasks=2, own=2)  # [B, T + 1, F]
    outputs, logits = level(params, "_1", mixed[:, [0, 0, 1, 1, 2, 2]], mixed[:, :2])
    logits = np.concatenate([logits, np.zeros((5, 1, 6))], axis=1)  # no shared gate
    expected = reference.extraction(outputs, logits, tasks=2, own=2)[:, :2]
    got, left = model.apply({"params": params}, INPUTS, mutable=GATES)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    weights = np.asarray(gate_weights_of(left))
    assert weights.shape == (5, 2, 6)
    assert (weights[:, 0, 2:4] == 0).all() and (weights[:, 1, :2] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 2])
def test_experts_of_one_task_are_not_moved_by_another_unless_through_shared_ones(
    levels: int,
) -> None:
    model, params = ple(levels)
    gradient = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, INPUTS)[:, 0]))(
        params
    )
    last = "experts_1" if levels > 1 else "experts"
    kernel = np.asarray(gradient[last]["kernel_0"])
    assert (kernel[:, 2:4] == 0).all() and (kernel[:, 4:] != 0).any()
    # Of a first level the shared gate hands them on.
    assert (np.asarray(gradient["experts"]["kernel_0"])[:, 2:4] == 0).all() == (
        levels == 1
    )


def test_levels_of_mmoe_give_every_expert_a_mixture_of_its_own() -> None:
    model = Mixture("mmoe", tasks=2, hidden=(3,), experts=4, levels=3)
    params = model.init(jax.random.key(1), INPUTS)["params"]
    assert params["gate_kernel"].shape == (6, 4, 4)
    assert params["gate_kernel_2"].shape == (6, 2, 4)
    assert params["experts_1"]["kernel_0"].shape == (3, 4, 3)
    found = jax.jit(lambda p: model.apply({"params": p}, INPUTS))(params)
    assert found.shape == (5, 2, 3)


@pytest.mark.parametrize("kind", ["omoe", "mmoe", "ple"])
def test_normalised_experts_stay_alive_however_far_their_inputs_lie(kind: str) -> None:
    plain, params = network(kind, hidden=(8,))
    normal, normal_params = network(kind, hidden=(8,), expert_norm=True)

    def silent(model: MultiTaskNetwork, params: dict) -> float:
        # Biases far below zero, as a learning rate that is too large leaves them.
        experts = params["mixture"]["experts"]
        kernel = experts["kernel_0"] - 50.0
        moved = {**params["mixture"], "experts": {**experts, "kernel_0": kernel}}
        params = {**params, "mixture": moved}
        _, left = model.apply(
            {"params": params},
            jnp.abs(INPUTS),
            capture_intermediates=lambda module, _: module.name == "experts",
        )
        (outputs,) = left["intermediates"]["mixture"]["experts"]["__call__"]
        return float((outputs == 0).all(axis=(0, 2)).mean())

    assert silent(plain, params) == 1.0
    assert silent(normal, normal_params) == 0.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"kind": "omoe", "levels": 2},
            "levels are of kind mmoe and ple; got levels=2",
        ),
        ({"kind": "ple", "own_experts": 0}, "own_experts must be at least 1; got 0"),
        ({"kind": "single_task", "expert_norm": True}, "of kinds with gates"),
    ],
)
def test_levels_and_experts_that_there_cannot_be_are_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(tasks=2, **fields).init(jax.random.key(0), INPUTS)


def test_gate_dropout_of_ple_never_shows_a_task_the_experts_of_another() -> None:
    model, params = ple(2, gate_dropout=0.9)
    rngs = {"dropout": jax.random.key(5)}
    found, left = model.apply(
        {"params": params}, INPUTS, deterministic=False, rngs=rngs, mutable=GATES
    )
    weights = np.asarray(gate_weights_of(left))
    assert np.isfinite(found).all()
    assert (weights[:, 0, 2:4] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
