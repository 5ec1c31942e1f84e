"""The label graph: symmetry, isolation, and where the adjacency gets a gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.functional.attention.graph_attention import AdjacencyRole
from labelgraph_jax.functional.graph.edges import (
    LOG_WEIGHT_FLOOR,
    edges_from_adjacency,
    log_edge_weights,
)
from labelgraph_jax.modules.label_graph import (
    CONVOLUTION_ROLES,
    LEARNED_ROLES,
    LabelGraph,
)

N, D, OUT = 5, 4, 6
ROLES: tuple[AdjacencyRole, ...] = (
    "additive",
    "multiplicative",
    "fixed",
    "mask",
    "none",
)
OTHER_FORMS = ("gatv2", "relu", "convolution")
PER_LABEL = ("free_vectors", "features")
PER_EDGE = ("edge_bias", "edge_weights")


def made_inputs(n: int = N) -> tuple[jax.Array, jax.Array]:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(n, D)).astype(np.float32)
    adjacency = generator.random((n, n)).astype(np.float32)
    adjacency[adjacency < 0.3] = 0.0
    np.fill_diagonal(adjacency, 1.0)
    return jnp.asarray(features), jnp.asarray(adjacency)


def small_graph(**options: Any) -> LabelGraph:
    return LabelGraph(OUT, hidden_dim=3, heads=2, **options)


def started(graph: LabelGraph, *inputs: jax.Array) -> Any:
    """Parameters, the scale of the message so large that it is seen."""
    params = dict(graph.init(jax.random.key(0), *inputs)["params"])
    if "message_scale" in params:
        params["message_scale"] = jnp.float32(1.0)
    return params


def check_permutation(graph: LabelGraph) -> None:
    features, adjacency = made_inputs()
    params = started(graph, features, adjacency)
    order = np.array([3, 0, 4, 1, 2])
    permuted = dict(params)
    for name in PER_LABEL:
        permuted[name] = params[name][order]
    for name in PER_EDGE:
        if name in params:
            permuted[name] = params[name][order][:, order]
    before = graph.apply({"params": params}, features, adjacency)
    after = graph.apply(
        {"params": permuted}, features[order], adjacency[order][:, order]
    )
    np.testing.assert_allclose(after, before[order], atol=1e-6)


@pytest.mark.parametrize("learned", [None, False])
@pytest.mark.parametrize("role", ROLES)
def test_permuting_the_labels_permutes_their_vectors(
    role: str, learned: bool | None
) -> None:
    check_permutation(small_graph(role=role, learned=learned))


@pytest.mark.parametrize("attention", OTHER_FORMS)
def test_permuting_the_labels_permutes_their_vectors_in_every_form(
    attention: str,
) -> None:
    check_permutation(
        small_graph(attention=attention, role="multiplicative", gated=True)
    )


def test_the_heads_start_and_attend_differently() -> None:
    graph = small_graph()
    params = started(graph, *made_inputs())
    for name in ("kernel_0", "receiver_0", "sender_0", "kernel_1"):
        first, second = np.moveaxis(params[name], -2, 0)
        assert np.abs(first - second).max() > 0.1, name


def test_dropping_a_head_changes_the_label_vectors() -> None:
    graph = small_graph()
    inputs = made_inputs()
    params = started(graph, *inputs)
    twice, first = dict(params), np.array([0, 0])
    for layer in (0, 1):
        twice[f"kernel_{layer}"] = params[f"kernel_{layer}"][:, first]
        for name in (f"receiver_{layer}", f"sender_{layer}"):
            twice[name] = params[name][first]
    both = graph.apply({"params": params}, *inputs)
    assert np.abs(both - graph.apply({"params": twice}, *inputs)).max() > 1e-3


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("role", ROLES)
def test_an_isolated_label_has_a_finite_vector_and_finite_gradients(
    role: str, residual: bool
) -> None:
    graph = small_graph(role=role, residual=residual)
    features, adjacency = made_inputs()
    adjacency = adjacency.at[2].set(0.0).at[:, 2].set(0.0)
    params = started(graph, features, adjacency)

    def total(params: Any) -> jax.Array:
        return (graph.apply({"params": params}, features, adjacency) ** 2).sum()

    vectors = graph.apply({"params": params}, features, adjacency)
    assert np.isfinite(vectors).all()
    for leaf in jax.tree.leaves(jax.grad(total)(params)):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("initial", ["weights", "signed", "zero", "identity"])
@pytest.mark.parametrize("role", LEARNED_ROLES)
def test_a_learned_adjacency_gets_a_gradient_and_moves_the_message(
    role: str, initial: str
) -> None:
    features, adjacency = made_inputs()
    adjacency = {
        "weights": adjacency,
        "signed": adjacency - 0.5,
        "zero": jnp.zeros((N, N)),
        "identity": jnp.eye(N),
    }[initial]
    graph = small_graph(role=role, residual=False, layers=1)
    params = started(graph, features, adjacency)
    name = "edge_bias" if role == "additive" else "edge_weights"

    def total(edges: jax.Array) -> jax.Array:
        values = {**params, name: edges}
        return graph.apply({"params": values}, features, adjacency)[:, 0].sum()

    gradient = jax.grad(total)(params[name])
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient) > 1e-7).all(), "every edge is learned, absent ones too"
    moved = params[name] + 0.5 * gradient / np.abs(gradient).max()
    assert total(moved) > total(params[name])


@pytest.mark.parametrize("role", ROLES)
def test_only_a_learned_adjacency_is_a_parameter(role: str) -> None:
    inputs = made_inputs()
    names = set(started(small_graph(role=role), *inputs))
    assert bool(names & set(PER_EDGE)) is (role in LEARNED_ROLES)
    assert not set(started(small_graph(role=role, learned=False), *inputs)) & set(
        PER_EDGE
    )


@pytest.mark.parametrize("role", ["mask", "fixed", "none"])
def test_an_adjacency_without_gradient_cannot_be_learned(role: str) -> None:
    with pytest.raises(ValueError, match=f"is learned, got '{role}'.*no gradient"):
        small_graph(role=role, learned=True)


# Under multiplicative weights every label takes part in the softmax.
@pytest.mark.parametrize("role", ["additive", "fixed", "mask"])
def test_the_adjacency_decides_from_whom_a_label_receives(role: str) -> None:
    graph = small_graph(role=role, learned=False, layers=1)
    features, adjacency = made_inputs()
    adjacency = adjacency.at[0, 1].set(0.0)
    params = started(graph, features, adjacency)

    def first(features: jax.Array) -> jax.Array:
        values = {**params, "features": features}
        return graph.apply({"params": values}, features, adjacency)[0].sum()

    received = np.abs(jax.grad(first)(features)).sum(axis=1)
    assert received[1] == 0.0
    assert received[0] > 0.0


def test_without_a_layer_a_label_is_its_free_vector() -> None:
    graph = small_graph(layers=0)
    inputs = made_inputs()
    params = started(graph, *inputs)
    assert set(params) == {"free_vectors"}
    vectors = graph.apply({"params": params}, *inputs)
    np.testing.assert_array_equal(vectors, params["free_vectors"])


def test_without_the_residual_a_label_is_the_message_alone() -> None:
    inputs = made_inputs()
    whole, message = small_graph(), small_graph(residual=False)
    params = started(whole, *inputs)
    params["message_scale"] = jnp.float32(0.25)
    alone = {
        name: leaf
        for name, leaf in params.items()
        if name not in ("free_vectors", "message_scale")
    }
    assert set(started(message, *inputs)) == set(alone)
    vectors = message.apply({"params": alone}, *inputs)
    assert np.abs(vectors).max() <= 1.0, "the last activation is tanh"
    np.testing.assert_allclose(
        whole.apply({"params": params}, *inputs),
        params["free_vectors"] + 0.25 * vectors,
        atol=1e-6,
    )


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_any_number_of_layers_ends_in_the_width_that_was_asked_for(layers: int) -> None:
    graph = small_graph(layers=layers)
    inputs = made_inputs()
    params = started(graph, *inputs)
    assert params["kernel_0"].shape == (D, 2, OUT if layers == 1 else 3)
    assert params[f"kernel_{layers - 1}"].shape[-1] == OUT
    assert graph.apply({"params": params}, *inputs).shape == (N, OUT)


def test_a_single_label_is_a_graph_too() -> None:
    graph = small_graph()
    inputs = made_inputs(1)
    params = started(graph, *inputs)
    assert np.isfinite(graph.apply({"params": params}, *inputs)).all()


def test_dropout_needs_randomness_and_acts_in_training_alone() -> None:
    graph = small_graph(dropout_rate=0.5)
    inputs = made_inputs()
    params = started(graph, *inputs)

    def run(key: int) -> Any:
        rngs = {"dropout": jax.random.key(key)}
        return graph.apply({"params": params}, *inputs, deterministic=False, rngs=rngs)

    assert np.abs(run(1) - run(2)).max() > 1e-3
    np.testing.assert_array_equal(run(1), run(1))
    still = graph.apply({"params": params}, *inputs)
    np.testing.assert_array_equal(still, graph.apply({"params": params}, *inputs))


def test_the_log_weights_start_at_the_floor_where_there_is_no_edge() -> None:
    weights = jnp.array([[1.0, 0.0], [0.5, 1e-6]])
    floor = np.log(LOG_WEIGHT_FLOOR)
    expected = [[0.0, floor], [np.log(0.5), floor]]
    np.testing.assert_allclose(log_edge_weights(weights), expected, rtol=1e-6)


def test_a_signed_adjacency_is_its_own_log_weights() -> None:
    weights = jnp.array([[0.3, -0.2], [0.0, 0.1]])
    np.testing.assert_array_equal(log_edge_weights(weights), weights)


def test_a_learned_additive_adjacency_starts_as_the_constant_one() -> None:
    features, adjacency = made_inputs()
    adjacency = jnp.maximum(adjacency, LOG_WEIGHT_FLOOR)
    learned, constant = small_graph(), small_graph(learned=False)
    params = started(learned, features, adjacency)
    others = {name: leaf for name, leaf in params.items() if name != "edge_bias"}
    np.testing.assert_allclose(
        learned.apply({"params": params}, features, adjacency),
        constant.apply({"params": others}, features, adjacency),
        atol=1e-6,
    )


def test_the_default_has_the_parameters_that_earlier_checkpoints_have() -> None:
    params = small_graph().init(jax.random.key(0), *made_inputs())["params"]
    assert {name: leaf.shape for name, leaf in params.items()} == {
        "free_vectors": (N, OUT),
        "features": (N, D),
        "edge_bias": (N, N),
        "kernel_0": (D, 2, 3),
        "receiver_0": (2, 3),
        "sender_0": (2, 3),
        "kernel_1": (3, 2, OUT),
        "receiver_1": (2, OUT),
        "sender_1": (2, OUT),
        "message_scale": (),
    }


def test_every_form_has_the_parameters_of_its_formula() -> None:
    def layer(attention: str) -> dict[str, tuple[int, ...]]:
        graph = small_graph(
            attention=attention, role="multiplicative", layers=1, residual=False
        )
        params = graph.init(jax.random.key(0), *made_inputs())["params"]
        assert params.pop("features").shape == (N, D)
        assert params.pop("edge_weights").shape == (N, N)
        return {name: leaf.shape for name, leaf in params.items()}

    kernel, vector = (D, 2, OUT), (2, OUT)
    assert layer("gatv2") == {
        "kernel_0": kernel,
        "receiver_kernel_0": kernel,
        "attention_0": vector,
    }
    assert layer("relu") == {
        "kernel_0": kernel,
        "receiver_0": vector,
        "sender_0": vector,
    }
    assert layer("convolution") == {"kernel_0": (D, OUT)}


@pytest.mark.parametrize("initial", ["weights", "signed", "identity"])
@pytest.mark.parametrize(
    ("attention", "role"),
    [
        ("gatv2", "additive"),
        ("gatv2", "multiplicative"),
        ("relu", "additive"),
        ("relu", "multiplicative"),
        ("convolution", "multiplicative"),
    ],
)
def test_in_every_form_a_learned_adjacency_gets_a_gradient(
    attention: str, role: str, initial: str
) -> None:
    features, adjacency = made_inputs()
    adjacency = {
        "weights": adjacency,
        "signed": adjacency - 0.5,
        "identity": jnp.eye(N),
    }[initial]
    graph = small_graph(attention=attention, role=role, residual=False, layers=1)
    params = started(graph, features, adjacency)
    name = "edge_bias" if (attention, role) == ("gatv2", "additive") else "edge_weights"

    def total(edges: jax.Array) -> jax.Array:
        values = {**params, name: edges}
        return graph.apply({"params": values}, features, adjacency)[:, 0].sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(params[name])
    assert np.isfinite(value) and np.isfinite(gradient).all()
    learned = np.abs(gradient) > 1e-7
    # A ReLU that is shut passes no gradient; half of them are, in one head or both.
    # A convolution's only edge of a label weighs 1, however large it is.
    alone = np.eye(N, dtype=bool) & (initial == "identity")
    if attention == "relu":
        assert learned.mean() > 0.4
    elif attention == "convolution":
        np.testing.assert_array_equal(learned, ~alone)
    else:
        assert learned.all()


@pytest.mark.parametrize("attention", OTHER_FORMS)
def test_a_form_is_another_function_of_the_same_graph(attention: str) -> None:
    features, adjacency = made_inputs()
    graph = small_graph(attention=attention, role="fixed", residual=False, layers=1)
    params = started(graph, features, adjacency)
    found = graph.apply({"params": params}, features, adjacency)
    rows = adjacency / adjacency.sum(axis=1, keepdims=True)
    kernel = params["kernel_0"]
    if attention == "convolution":
        columns = adjacency.sum(axis=0)
        rows = adjacency * adjacency.sum(axis=1)[:, None] ** -0.5 * columns**-0.5
        kernel = kernel[:, None]
    # Every form but the convolution shares what `fixed` means: the adjacency's rows.
    expected = jnp.tanh(rows @ jnp.einsum("nd,dhf->nhf", features, kernel).mean(axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_gate_between_shut_and_open_weighs_the_message_of_every_label() -> None:
    inputs = made_inputs()
    plain, gated = small_graph(), small_graph(gated=True)
    params = started(gated, *inputs)
    free = params["free_vectors"]
    ungated = {n: leaf for n, leaf in params.items() if not n.startswith("gate_")}
    assert set(started(plain, *inputs)) == set(ungated)
    message = plain.apply({"params": ungated}, *inputs) - free

    def share(**gate: Any) -> Any:
        vectors = gated.apply({"params": {**params, **gate}}, *inputs)
        return ((vectors - free) * message).sum(axis=1) / (message**2).sum(axis=1)

    np.testing.assert_allclose(share(), np.full(N, 0.5), atol=1e-5)
    np.testing.assert_allclose(share(gate_bias=jnp.float32(20)), np.ones(N), atol=1e-5)
    shut = share(gate_bias=jnp.float32(-20))
    np.testing.assert_allclose(shut, np.zeros(N), atol=1e-5)
    by_input = share(gate_kernel=jnp.ones(2 * OUT))
    assert np.std(by_input) > 0.01, "the gate depends on the label"

    def total(kernel: jax.Array) -> jax.Array:
        values = {**params, "gate_kernel": kernel}
        return (gated.apply({"params": values}, *inputs) ** 2).sum()

    gradient = jax.grad(total)(params["gate_kernel"])
    assert (np.abs(gradient) > 1e-6).all()


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one of gat, gatv2, .*, got 'gatv3'"):
        small_graph(attention="gatv3")
    for role in set(ROLES) - set(CONVOLUTION_ROLES):
        with pytest.raises(ValueError, match=rf"multiplicative, fixed .* got '{role}'"):
            small_graph(attention="convolution", role=role)
    with pytest.raises(ValueError, match="gated must come with residual"):
        small_graph(gated=True, residual=False)


def test_encoded_names_join_the_label_vectors_as_they_are() -> None:
    features = jax.random.normal(jax.random.key(0), (3, 4))
    plain = LabelGraph(output_dim=4, hidden_dim=2, heads=1)
    skipping = plain.clone(skip=True)
    params = skipping.init(jax.random.key(1), features, jnp.eye(3))["params"]
    rest = {name: value for name, value in params.items() if name != "skip_scale"}
    with_names = skipping.apply({"params": params}, features, jnp.eye(3))
    without = plain.apply({"params": rest}, features, jnp.eye(3))
    np.testing.assert_allclose(with_names, without + features, rtol=1e-5, atol=1e-6)


def test_features_of_another_width_join_the_label_vectors_through_a_projection() -> (
    None
):
    features = jax.random.normal(jax.random.key(0), (3, 5))
    module = LabelGraph(output_dim=4, hidden_dim=2, heads=1, skip=True, residual=False)
    params = module.init(jax.random.key(1), features, jnp.eye(3))["params"]
    assert params["skip_kernel"].shape == (5, 4)
    gone = {**params, "skip_kernel": jnp.zeros((5, 4))}
    difference = module.apply({"params": params}, features, jnp.eye(3)) - module.apply(
        {"params": gone}, features, jnp.eye(3)
    )
    expected = features @ params["skip_kernel"]
    np.testing.assert_allclose(difference, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("attention", "role", "learned"),
    [
        ("gat", "additive", None),
        ("gat", "mask", None),
        ("relu", "multiplicative", None),
        ("convolution", "fixed", None),
        ("convolution", "multiplicative", None),
    ],
)
def test_a_list_of_edges_is_the_same_graph_as_its_matrix(
    attention: str, role: str, learned: bool | None
) -> None:
    features, adjacency = made_inputs()
    # A learned additive matrix has weights where there is no edge too: none here.
    adjacency = jnp.maximum(adjacency, 0.1)
    edges = edges_from_adjacency(adjacency)
    graph = small_graph(attention=attention, role=role, learned=learned)
    params = started(graph, features, edges)
    for name in PER_EDGE:
        if name in params:
            assert params[name].shape == edges.weights.shape
    by_matrix = {
        name: leaf.reshape(N, N) if name in PER_EDGE else leaf
        for name, leaf in params.items()
    }
    np.testing.assert_allclose(
        graph.apply({"params": params}, features, edges),
        graph.apply({"params": by_matrix}, features, adjacency),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("attention", "role"), [("gat", "additive"), ("relu", "multiplicative")]
)
def test_edges_of_low_rank_are_learned_without_an_adjacency(
    attention: str, role: str
) -> None:
    features, _ = made_inputs()
    graph = small_graph(attention=attention, role=role, rank=2, layers=1)
    params = started(graph, features, None)
    names = ("receiver_factors", "sender_factors")
    assert [params[name].shape for name in names] == [(N, 2), (N, 2)]

    def total(params: Any, graph: LabelGraph = graph) -> Any:
        return (graph.apply({"params": params}, features, None) ** 2).sum()

    gradient = jax.grad(total)(params)
    for name in names:
        assert (np.abs(gradient[name]) > 1e-8).mean() > 0.5
    for method in ("complete", "blocked", "dense"):
        np.testing.assert_allclose(
            total(params, graph.clone(method=method)), total(params), rtol=1e-4
        )


def test_dropped_attention_acts_in_training_alone() -> None:
    graph = small_graph(attention_dropout_rate=0.5)
    features, adjacency = made_inputs()
    for given in (adjacency, edges_from_adjacency(adjacency)):
        params = started(graph, features, given)

        def run(key: int, params: Any = params, given: Any = given) -> Any:
            rngs = {"dropout": jax.random.key(key)}
            return graph.apply(
                {"params": params}, features, given, deterministic=False, rngs=rngs
            )

        assert np.abs(run(1) - run(2)).max() > 1e-3
        np.testing.assert_array_equal(run(1), run(1))


def test_a_graph_of_the_wrong_kind_is_refused_with_what_would_do() -> None:
    features, adjacency = made_inputs()
    edges = edges_from_adjacency(adjacency)
    for graph, given, message in (
        (small_graph(), None, "None takes role 'none', or a rank"),
        (small_graph(rank=1), adjacency, "must be None with rank 1.*got a matrix"),
        (small_graph(rank=1), edges, "must be None with rank 1.*got Edges"),
        (small_graph(attention="gatv2"), edges, "gat, relu and convolution take"),
        (small_graph(method="dense"), edges, "methods that can: sparse"),
        (small_graph(method="complete"), adjacency, "methods that can: dense, blocked"),
        (small_graph(free_bytes=10), adjacency, "needs .* and .*10 bytes. are free"),
    ):
        with pytest.raises(ValueError, match=message):
            graph.init(jax.random.key(0), features, given)
    for options, message in (
        ({"rank": -1}, "rank must be at least 0, got -1"),
        ({"rank": 2, "learned": False}, "rank 2 learns the edges"),
        ({"rank": 2, "attention": "gatv2"}, "gat and relu learn edges of low rank"),
        ({"rank": 2, "attention": "relu"}, "role must be 'multiplicative'"),
        ({"attention": "gatv2", "method": "sparse"}, "one of auto, dense with"),
        (
            {
                "attention": "convolution",
                "role": "fixed",
                "attention_dropout_rate": 0.1,
            },
            "attention_dropout_rate must be 0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            small_graph(**options)
