import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.text import pooling
from tests.examples import examples
from tests.reference import pooling as reference

IDS = jnp.array([[3, 1, 3, 3, 2], [4, 4, 0, 0, 0], [0, 0, 0, 0, 0]], jnp.int32)
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


def draw(seed: int, *shape: int) -> jax.Array:
    normal = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(normal, jnp.float32)


def loops(name: str, *arguments) -> np.ndarray:
    """The reference of that name on NumPy arrays."""
    plain = (np.asarray(a) if isinstance(a, jax.Array) else a for a in arguments)
    return getattr(reference, name)(*plain)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_every_function_equals_its_plain_loops(wrap) -> None:
    x = draw(0, 3, 5, 4)
    for name in ("masked_mean", "masked_max"):
        got = wrap(getattr(pooling, name))(x, MASK)
        np.testing.assert_allclose(got, loops(name, x, MASK), atol=1e-6)
    got = wrap(pooling.token_counts)(IDS, MASK)
    np.testing.assert_array_equal(got, loops("token_counts", IDS, MASK))
    for width in (1, 3, 7):
        kernel, bias = draw(width, width, 4, 6), draw(2, 6)
        got = wrap(pooling.text_convolution)(x, MASK, kernel, bias)
        expected = loops("text_convolution", x, MASK, kernel, bias)
        np.testing.assert_allclose(got[:2], expected[:2], atol=1e-5)
        np.testing.assert_array_equal(got[2], 0)


@pytest.mark.parametrize("damping", pooling.DAMPINGS)
@pytest.mark.parametrize("norm", pooling.BAG_NORMS)
def test_a_bag_equals_its_plain_loops(damping: str, norm: str) -> None:
    table, weights = draw(0, 5, 4), jnp.abs(draw(1, 5))
    got = pooling.bag_of_embeddings(
        table, IDS, MASK, weights, damping=damping, norm=norm
    )
    expected = loops("bag_of_embeddings", table, IDS, MASK, weights, damping, norm)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("damping", pooling.DAMPINGS)
@pytest.mark.parametrize("norm", pooling.BAG_NORMS)
def test_a_bag_of_counts_is_that_of_its_tokens(wrap, damping: str, norm: str) -> None:
    table, weights = draw(0, 5, 4), jnp.abs(draw(1, 5))
    counts = np.zeros((3, 5), np.float32)
    np.add.at(counts, (np.arange(3)[:, None], IDS), np.asarray(MASK, np.float32))
    counts = jnp.asarray(counts)

    def bag(table, counts, weights):
        return pooling.bag_of_counts(table, counts, weights, damping=damping, norm=norm)

    got = wrap(bag)(table, counts, weights)
    expected = loops("bag_of_embeddings", table, IDS, MASK, weights, damping, norm)
    np.testing.assert_allclose(got, expected, atol=1e-5)

    def of_tokens(table):
        return pooling.bag_of_embeddings(
            table, IDS, MASK, weights, damping=damping, norm=norm
        )

    cotangent = draw(3, 3, 4)
    np.testing.assert_allclose(
        jax.vjp(lambda table: bag(table, counts, weights), table)[1](cotangent)[0],
        jax.vjp(of_tokens, table)[1](cotangent)[0],
        atol=1e-5,
    )


@examples(20)
@given(st.permutations(range(5)))
def test_a_bag_of_counts_is_blind_to_the_order_of_rows(order: list[int]) -> None:
    table, counts = draw(0, 5, 4), jnp.round(jnp.abs(draw(1, 3, 5)))
    rows = jnp.asarray(order)
    np.testing.assert_allclose(
        pooling.bag_of_counts(table[rows], counts[:, rows]),
        pooling.bag_of_counts(table, counts),
        atol=1e-5,
    )


def test_a_bag_of_counts_of_nothing_is_zeros_and_knows_its_dampings() -> None:
    table, counts = jnp.ones((5, 4)), jnp.ones((2, 5))
    with pytest.raises(ValueError, match="damping must be one of"):
        pooling.bag_of_counts(table, counts, damping="cube")
    assert not pooling.bag_of_counts(table, jnp.zeros((2, 5))).any()


def test_the_default_bag_with_an_identity_table_is_scikit_learns_tfidf() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["the cat the dog the", "a cat sat", "dog dog dog sat here"]
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    expected = vectorizer.fit_transform(texts).toarray()
    rows = [[vectorizer.vocabulary_[w] for w in text.split()] for text in texts]
    ids, mask = np.zeros((3, 5), np.int32), np.zeros((3, 5), bool)
    for row, content in enumerate(rows):
        ids[row, : len(content)] = content
        mask[row, : len(content)] = True
    idf = jnp.asarray(vectorizer.idf_, jnp.float32)
    table = jnp.eye(expected.shape[1])
    got = pooling.bag_of_embeddings(table, jnp.array(ids), jnp.array(mask), idf)
    np.testing.assert_allclose(got, expected, atol=1e-6)


DISTINCT = jnp.array([[3, 1, 4, 0, 2], [4, 2, 0, 0, 0], [0, 0, 0, 0, 0]], jnp.int32)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("norm", pooling.BAG_NORMS)
def test_a_bag_of_values_equals_its_plain_loops(wrap, norm: str) -> None:
    table, weights, values = draw(0, 5, 4), jnp.abs(draw(1, 5)), draw(2, 3, 5)

    def bag(*arguments):
        *rest, values = arguments
        return pooling.bag_of_embeddings(*rest, values=values, norm=norm)

    got = wrap(bag)(table, DISTINCT, MASK, weights, values)
    expected = reference.bag_of_embeddings(
        *map(np.asarray, (table, DISTINCT, MASK, weights)),
        "log",
        norm,
        np.asarray(values),
    )
    np.testing.assert_allclose(got, expected, atol=1e-5)


@examples(10)
@given(st.floats(0.01, 100.0))
def test_a_bag_of_values_does_not_depend_on_their_scale(scale: float) -> None:
    table, values = jnp.eye(5), jnp.abs(draw(2, 3, 5))
    plain, scaled = (
        pooling.bag_of_embeddings(table, DISTINCT, MASK, values=factor * values)
        for factor in (1.0, scale)
    )
    np.testing.assert_allclose(plain, scaled, atol=1e-5)
    # The row divided by its L2 norm: what TF-IDF rows are.
    np.testing.assert_allclose(np.linalg.norm(plain[:2], axis=1), 1, atol=1e-5)


@examples(20)
@given(st.permutations(range(5)))
def test_a_bag_is_blind_to_the_order_of_tokens(order: list[int]) -> None:
    table = draw(0, 5, 4)
    plain = pooling.bag_of_embeddings(table, IDS, MASK)
    places = jnp.array(order)
    moved = pooling.bag_of_embeddings(table, IDS[:, places], MASK[:, places])
    np.testing.assert_allclose(plain, moved, atol=1e-6)


@pytest.mark.parametrize("extra", [1, 4])
def test_padding_a_batch_further_changes_no_document(extra: int) -> None:
    x, kernel, bias = draw(0, 3, 5, 4), draw(1, 3, 4, 6), draw(2, 6)
    wide_x = jnp.pad(x, ((0, 0), (0, extra), (0, 0)), constant_values=9.0)
    wide_ids = jnp.pad(IDS, ((0, 0), (0, extra)), constant_values=3)
    wide_mask = jnp.pad(MASK, ((0, 0), (0, extra)))
    table = draw(3, 5, 4)
    pairs = [
        (pooling.masked_mean(x, MASK), pooling.masked_mean(wide_x, wide_mask)),
        (pooling.masked_max(x, MASK), pooling.masked_max(wide_x, wide_mask)),
        (
            pooling.text_convolution(x, MASK, kernel, bias),
            pooling.text_convolution(wide_x, wide_mask, kernel, bias),
        ),
        (
            pooling.bag_of_embeddings(table, IDS, MASK),
            pooling.bag_of_embeddings(table, wide_ids, wide_mask),
        ),
    ]
    for plain, padded in pairs:
        np.testing.assert_allclose(plain, padded, atol=1e-5)


@pytest.mark.parametrize("norm", pooling.BAG_NORMS)
def test_the_gradient_of_an_empty_document_is_finite(norm: str) -> None:
    def total(table):
        return pooling.bag_of_embeddings(table, IDS, MASK, norm=norm).sum()

    assert np.isfinite(jax.grad(total)(draw(0, 5, 4))).all()


def test_windows_are_pooled_over_the_real_ones() -> None:
    vectors = jnp.asarray([[[1.0, 5.0], [3.0, 1.0], [9.0, 9.0]]])
    mask = jnp.asarray([[True, True, False]])
    np.testing.assert_allclose(pooling.pool_windows(vectors, mask), [[2, 3]])
    np.testing.assert_allclose(pooling.pool_windows(vectors, mask, "max"), [[3, 5]])


def test_bad_settings_say_what_must_hold() -> None:
    table = draw(0, 5, 4)
    with pytest.raises(ValueError, match="got 'cube' and 'tfidf'"):
        pooling.bag_of_embeddings(table, IDS, MASK, damping="cube")
    with pytest.raises(ValueError, match="pooled by mean or max, got 'last'"):
        pooling.pool_windows(draw(0, 1, 2, 3), jnp.ones((1, 2), bool), "last")
