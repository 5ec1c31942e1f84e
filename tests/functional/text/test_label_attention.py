"""Label-wise attention: its numbers, its masks, its memory."""

import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.text import label_attention as attention
from tests.examples import examples
from tests.reference import label_attention as reference

B, S, N, D = 3, 5, 7, 4
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


TOKENS, QUERIES, OUTPUTS = draw(0, B, S, D), draw(1, N, D), draw(2, N, D)

SCORES = jax.jit(attention.label_attention_scores)
WEIGHTS = jax.jit(attention.label_attention_weights)


def loops(name: str, *arguments: jax.Array) -> np.ndarray:
    plain = [np.asarray(x, bool if x.dtype == bool else float) for x in arguments]
    return getattr(reference, name)(*plain)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_every_function_equals_its_plain_loops(wrap) -> None:
    for name, arguments in (
        ("label_attention_weights", (TOKENS, MASK, QUERIES)),
        ("label_attention_scores", (TOKENS, MASK, QUERIES, OUTPUTS)),
        ("token_convolution", (TOKENS, MASK, draw(3, 2, D, 6), draw(4, 6))),
        ("token_convolution", (TOKENS, MASK, draw(3, 3, D, 6), draw(4, 6))),
    ):
        got = wrap(getattr(attention, name))(*arguments)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, loops(name, *arguments), atol=1e-5)


def test_labels_in_groups_have_the_same_scores_and_gradients() -> None:
    def scores(chunk_labels):
        def total(tokens, queries, outputs):
            found = attention.label_attention_scores(
                tokens, MASK, queries, outputs, chunk_labels=chunk_labels
            )
            return jnp.sum(found * draw(5, B, N)), found

        run = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))
        return jax.tree.leaves(run(TOKENS, QUERIES, OUTPUTS))

    whole, parts = scores(N), scores(3)  # seven labels in groups of three
    for expected, got in zip(whole, parts, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_many_labels_never_make_one_large_array() -> None:
    batch, tokens, labels, features = 32, 512, 4271, 8
    shapes = [(batch, tokens, features), (batch, tokens)]
    arrays = [
        jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, ("f4", "?"), strict=True)
    ]
    vectors = jax.ShapeDtypeStruct((labels, features), "f4")

    def loss(tokens, mask, queries, outputs):
        return jnp.sum(attention.label_attention_scores(tokens, mask, queries, outputs))

    jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 2, 3)))(*arrays, vectors, vectors)
    shapes = [found.split("]")[0] for found in str(jaxpr).split("f32[")[1:]]
    sizes = [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]
    assert max(sizes) <= attention.CHUNK_CELLS


def test_what_stands_at_padding_is_never_read() -> None:
    dirty = jnp.where(MASK[..., None], TOKENS, jnp.nan)

    def total(tokens):
        scores = attention.label_attention_scores(tokens, MASK, QUERIES, OUTPUTS)
        convolved = attention.token_convolution(
            tokens, MASK, draw(3, 3, D, 6), draw(4, 6)
        )
        return jnp.sum(scores**2) + jnp.sum(convolved**2)

    run = jax.jit(jax.value_and_grad(total))
    (clean_value, clean_gradient), (value, gradient) = run(TOKENS), run(dirty)
    np.testing.assert_allclose(value, clean_value, rtol=1e-6)
    np.testing.assert_array_equal(gradient, clean_gradient)
    assert (np.asarray(gradient)[~np.asarray(MASK)] == 0).all()


def test_a_document_without_tokens_scores_zero() -> None:
    scores = SCORES(TOKENS, MASK, QUERIES, OUTPUTS)
    np.testing.assert_array_equal(scores[2], 0)
    weights = WEIGHTS(TOKENS, MASK, QUERIES)
    np.testing.assert_array_equal(weights[2], 0)


def test_a_large_query_finds_the_one_token_that_answers_it() -> None:
    tokens = jnp.eye(4)[None]
    scores = SCORES(
        tokens, jnp.ones((1, 4), bool), 1e4 * jnp.eye(4), jnp.diag(jnp.arange(4.0))
    )
    np.testing.assert_allclose(scores[0], np.arange(4.0), atol=1e-6)


@examples(20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_order_and_the_padding_of_the_tokens_do_not_matter(
    seed: int, length: int
) -> None:
    generator = np.random.default_rng(seed)
    tokens = generator.normal(size=(1, 6, D)).astype(np.float32)
    mask = np.arange(6)[None] < length
    order = generator.permutation(6)
    first, second = (
        SCORES(jnp.asarray(t), jnp.asarray(m), QUERIES, OUTPUTS)
        for t, m in ((tokens, mask), (tokens[:, order], mask[:, order]))
    )
    np.testing.assert_allclose(first, second, atol=1e-5)
    weights = WEIGHTS(jnp.asarray(tokens), jnp.asarray(mask), QUERIES)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    assert (np.asarray(weights)[..., length:] == 0).all()


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": MASK[:, :4]}, r"tokens must have shape \[B, S, D\] and mask"),
        ({"queries": QUERIES[:, :3]}, r"queries must have shape \[N, 4\]"),
        ({"outputs": OUTPUTS[:5]}, r"outputs must .* got \(5, 4\)"),
        ({"chunk_labels": 0}, "chunk_labels must be at least 1, got 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message: str) -> None:
    good = {"tokens": TOKENS, "mask": MASK, "queries": QUERIES, "outputs": OUTPUTS}
    with pytest.raises(ValueError, match=message):
        attention.label_attention_scores(**{**good, **change})
