"""A label graph in every document: its numbers, what it depends on, its memory."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax as lg
from tests.examples import examples
from tests.reference import attention as graph_reference
from tests.reference import label_attention as reference

F = lg.functional
B, S, N, D, H = 3, 5, 6, 4, 2
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)


@pytest.fixture
def shapes_unchecked():
    """Let the functions, not jaxtyping, answer a wrong shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def draw(seed: int, *shape: int) -> jax.Array:
    normal = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(normal, jnp.float32)


GIVEN = {
    "tokens": draw(0, B, S, D),
    "mask": MASK,
    "queries": draw(1, N, D),
    "outputs": draw(2, N, D),
    "kernel": draw(3, D, H, D),
    "receiver_vector": draw(4, H, D),
    "sender_vector": draw(5, H, D),
    "scale": jnp.array(0.7),
}
WEIGHTS = jnp.asarray(np.random.default_rng(6).random((N, N)) > 0.5, jnp.float32)
SCORES = jax.jit(F.document_graph_scores, static_argnames=("role", "method"))


def loops(edge_weights: jax.Array) -> np.ndarray:
    x = {name: np.asarray(value, float) for name, value in GIVEN.items()}
    shares = reference.label_attention_weights(x["tokens"], MASK, x["queries"])
    halves = x["receiver_vector"], x["sender_vector"]
    out = np.zeros((B, N))
    for b in range(B):
        read = np.zeros((N, D))
        for n, s in np.ndindex(N, S):
            if MASK[b, s]:
                read[n] += shares[b, n, s] * x["tokens"][b, s]
        heads, _ = graph_reference.graph_attention(
            read,
            x["kernel"],
            np.concatenate(halves, axis=1),
            edge_weights=np.asarray(edge_weights, float),
        )
        for n in range(N):
            message = np.tanh(heads[n].mean(axis=0))
            out[b, n] = (read[n] + 0.7 * message) @ x["outputs"][n]
    return out


@pytest.mark.parametrize("function", [F.document_graph_scores, SCORES])
def test_scores_equal_plain_loops_compiled_or_not(function) -> None:
    got = function(**GIVEN, edge_weights=WEIGHTS)
    np.testing.assert_allclose(got, loops(WEIGHTS), atol=1e-5)


def test_a_list_of_edges_and_documents_in_parts_give_the_same(monkeypatch) -> None:
    whole = SCORES(**GIVEN, edge_weights=WEIGHTS)
    to, of = np.nonzero(np.asarray(WEIGHTS))
    edges = F.make_edges(to, of, n=N)
    np.testing.assert_allclose(SCORES(**GIVEN, edges=edges), whole, atol=1e-5)
    module = "labelgraph_jax.functional.attention.document_graph.CELLS"
    monkeypatch.setattr(module, 1)
    one = F.document_graph_scores(**GIVEN, edge_weights=WEIGHTS)
    np.testing.assert_allclose(one, whole, atol=1e-5)


def test_without_messages_it_is_label_attention() -> None:
    got = SCORES(**GIVEN | {"scale": jnp.array(0.0)}, role="none")
    names = ("tokens", "mask", "queries", "outputs")
    plain = F.label_attention_scores(*(GIVEN[name] for name in names))
    np.testing.assert_allclose(got, plain, atol=1e-5)


@examples(20)
@given(seed=st.integers(0, 2**16))
def test_labels_in_another_order_get_the_same_scores(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(N)
    turned = {n: GIVEN[n][order] for n in ("queries", "outputs")}
    got = SCORES(**GIVEN | turned, edge_weights=WEIGHTS[order][:, order])
    plain = SCORES(**GIVEN, edge_weights=WEIGHTS)
    np.testing.assert_allclose(got, plain[:, order], atol=1e-5)


@examples(20)
@given(seed=st.integers(0, 2**16))
def test_padding_and_other_documents_change_nothing(seed: int) -> None:
    noise = jnp.where(MASK[..., None], GIVEN["tokens"], draw(seed, B, S, D))
    got = SCORES(**GIVEN | {"tokens": noise}, edge_weights=WEIGHTS)
    plain = SCORES(**GIVEN, edge_weights=WEIGHTS)
    np.testing.assert_allclose(got, plain, atol=1e-5)
    assert not np.asarray(plain[2]).any()  # no token: nothing is read or sent


def test_a_message_depends_on_the_document() -> None:
    silent = SCORES(**GIVEN | {"scale": jnp.array(0.0)}, edge_weights=WEIGHTS)
    added = np.asarray(SCORES(**GIVEN, edge_weights=WEIGHTS) - silent)
    assert np.abs(added[0] - added[1]).max() > 0.1


def test_many_labels_never_make_a_matrix_of_labels_by_labels() -> None:
    documents, labels, tokens, width = 32, 4_271, 64, 32
    rng = np.random.default_rng(0)
    senders = rng.integers(0, labels, (labels, 5))
    pairs = np.unique(
        np.stack([np.repeat(np.arange(labels), 5), senders.ravel()]).T, axis=0
    )
    edges = F.make_edges(pairs[:, 0], pairs[:, 1], n=labels)

    def loss(queries, role, edges=None):
        scores = F.document_graph_scores(
            jnp.zeros((documents, tokens, width)),
            jnp.ones((documents, tokens), bool),
            queries,
            queries,
            jnp.zeros((width, 2, width)),
            jnp.zeros((2, width)),
            jnp.zeros((2, width)),
            jnp.array(1.0),
            role=role,
            edges=edges,
        )
        return jnp.sum(scores)

    queries = jnp.zeros((labels, width))
    for role, listed in (("none", None), ("additive", edges)):
        slope = jax.jit(jax.grad(loss), static_argnames="role")
        compiled = slope.lower(queries, role=role, edges=listed).compile()
        matrix = 4 * labels * labels * documents
        assert compiled.memory_analysis().temp_size_in_bytes < matrix / 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": draw(0, N + 1, D)}, "outputs"),
        ({"kernel": draw(0, D, H, D + 1)}, "kernel"),
        (
            {"queries": draw(0, N, D + 1), "outputs": draw(0, N, D + 1)},
            "queries|kernel",
        ),
    ],
)
def test_wrong_shapes_are_refused(change, message, shapes_unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        F.document_graph_scores(**GIVEN | change, edge_weights=WEIGHTS)


def test_gradients_reach_queries_kernel_and_scale() -> None:
    def total(parts):
        return jnp.sum(SCORES(**GIVEN | parts, edge_weights=WEIGHTS) ** 2)

    names = ("queries", "outputs", "kernel", "receiver_vector", "scale")
    slopes = jax.grad(total)({name: GIVEN[name] for name in names})
    assert all(np.abs(np.asarray(slope)).max() > 1e-4 for slope in slopes.values())
