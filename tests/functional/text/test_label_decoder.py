"""The label decoder: sequences, their loss, and what greedy decoding says of each."""

from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.text.label_decoder import (
    DecoderWeights,
    greedy_decode,
    label_sequence_loss,
    label_sequences,
)
from labelgraph_jax.functional.text.recurrent import LstmWeights
from tests.examples import examples
from tests.reference import label_decoder as reference

B, N, H, E = 5, 4, 3, 2
COUNTS = np.array([3.0, 9.0, 3.0, 5.0])  # in order: 1, 3, 0, 2
TARGETS = np.array(
    [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 0]]
)
ANNOTATED = np.array(
    [[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], bool
)

DECODE = jax.jit(greedy_decode, static_argnames="max_labels")
LOSS = jax.jit(label_sequence_loss)
SEQUENCES = jax.jit(label_sequences, static_argnames="max_labels")


@pytest.fixture
def shapes_unchecked():
    """Let the functions, not jaxtyping, answer a wrong shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def draw(seed: int, scale: float = 1.0) -> tuple[DecoderWeights, Any, Any]:
    """Weights of a decoder, and the states of B documents."""
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(scale * generator.normal(size=shape), jnp.float32)

    cell = LstmWeights(normal(E, 4 * H), normal(H, 4 * H), normal(4 * H))
    weights = DecoderWeights(normal(N + 1, E), cell, normal(H, N + 1), normal(N + 1))
    return weights, jnp.tanh(normal(B, H)), jnp.tanh(normal(B, H))


def plain(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def loss(drawn, targets=TARGETS, *, max_labels=N, target_mask=None, example_mask=None):
    sequences = SEQUENCES(
        targets, COUNTS, max_labels=max_labels, target_mask=target_mask
    )
    return LOSS(*drawn, sequences, example_mask)


def test_labels_are_written_most_frequent_first_then_stop() -> None:
    sequences = label_sequences(TARGETS, COUNTS, max_labels=9)
    expected = [[1, 0, 4, 4], [4] * 4, [1, 3, 0, 2], [3, 2, 4, 4], [0, 4, 4, 4]]
    np.testing.assert_array_equal(sequences.symbols, expected)
    np.testing.assert_array_equal(sequences.steps.sum(axis=1), [3, 1, 4, 3, 2])
    # The document of four labels: each is taken out of the choice once written.
    np.testing.assert_array_equal(
        sequences.free[2],
        [[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 1, 0, 1]],
    )


@examples(25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_sequences_are_those_of_plain_loops(seed: int, max_labels: int) -> None:
    generator = np.random.default_rng(seed)
    targets = generator.random((B, N)) < 0.5
    annotated = generator.random((B, N)) < 0.7
    counts = generator.integers(0, 3, N)
    sequences = SEQUENCES(targets, counts, max_labels=max_labels, target_mask=annotated)
    expected = reference.written_labels(targets, counts, max_labels, annotated)
    for b, labels in enumerate(expected):
        symbols = np.asarray(sequences.symbols[b])
        length = len(symbols)
        assert length == min(max_labels, N)
        assert symbols.tolist() == (labels + [N] * length)[:length]
        assert sequences.steps[b].sum() == min(len(labels) + 1, length)
        for t in range(length):
            gone = set(labels[:t]) | set(np.flatnonzero(~annotated[b]))
            assert set(np.flatnonzero(~sequences.free[b, t])) == gone


@pytest.mark.parametrize("max_labels", [1, 2, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_that_of_plain_loops(max_labels: int, masked: bool) -> None:
    drawn = draw(0)
    masks: dict[str, Any] = {}
    if masked:
        real = np.array([1, 1, 0, 1, 1], bool)
        masks = {"target_mask": ANNOTATED, "example_mask": real}
    got = loss(drawn, max_labels=max_labels, **masks)
    expected = reference.label_sequence_loss(
        *plain(drawn), TARGETS, COUNTS, max_labels, *masks.values()
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_loss_is_the_same_eager_and_compiled() -> None:
    drawn = draw(0)
    eager = label_sequence_loss(
        *drawn, label_sequences(TARGETS, COUNTS, max_labels=3), None
    )
    np.testing.assert_allclose(eager, loss(drawn, max_labels=3), rtol=1e-6)


def test_a_missing_target_has_no_say_and_exactly_no_gradient() -> None:
    weights, hidden, cell = draw(1)
    annotated = np.array([[True, True, True, False]] * B)  # nobody knows of label 3

    def total(kernel, embedding, targets):
        changed = weights._replace(output_kernel=kernel, embedding=embedding)
        return loss((changed, hidden, cell), targets, target_mask=annotated)[0]

    run = jax.value_and_grad(total, (0, 1))
    flipped = TARGETS.copy()
    flipped[:, 3] = 1 - flipped[:, 3]
    arguments = weights.output_kernel, weights.embedding
    value, gradients = run(*arguments, TARGETS)
    same_value, same_gradients = run(*arguments, flipped)
    assert value == same_value
    for first, second in zip(gradients, same_gradients, strict=True):
        np.testing.assert_array_equal(first, second)
    kernel, embedding = map(np.asarray, gradients)
    assert (kernel[:, 3] == 0).all() and (embedding[3] == 0).all()
    assert (kernel[:, 0] != 0).any() and (embedding[0] != 0).any()


def test_padding_and_documents_without_annotation_add_nothing() -> None:
    drawn = draw(2)
    nobody = np.zeros((B, N), bool)
    assert loss(drawn, target_mask=nobody) == (0.0, 0.0)
    assert loss(drawn, example_mask=np.zeros(B, bool)) == (0.0, 0.0)
    ones = [loss(drawn, example_mask=np.arange(B) == b) for b in range(B)]
    np.testing.assert_allclose(loss(drawn), np.sum(ones, axis=0), rtol=1e-6)
    broken = drawn[1].at[0].set(jnp.nan)
    sums = loss((drawn[0], broken, drawn[2]), example_mask=np.arange(B) > 0)
    np.testing.assert_allclose(sums, np.sum(ones[1:], axis=0), rtol=1e-6)


@pytest.mark.parametrize("max_labels", [1, 3, 9])
def test_decoding_is_that_of_plain_loops(max_labels: int) -> None:
    drawn = draw(3, scale=1.5)
    got = DECODE(*drawn, max_labels=max_labels)
    probabilities, symbols = reference.greedy_decode(*plain(drawn), max_labels)
    np.testing.assert_array_equal(got.symbols, symbols)
    np.testing.assert_allclose(jax.nn.sigmoid(got.logits), probabilities, atol=1e-5)
    assert len({tuple(row) for row in symbols.tolist()}) > 1


def test_decoding_is_the_same_eager_and_compiled() -> None:
    drawn = draw(3)
    eager, compiled = (f(*drawn, max_labels=3) for f in (greedy_decode, DECODE))
    np.testing.assert_array_equal(eager.symbols, compiled.symbols)
    np.testing.assert_allclose(eager.logits, compiled.logits, atol=1e-4)


def test_decoding_each_document_alone_is_decoding_the_batch() -> None:
    weights, hidden, cell = draw(4)
    together = DECODE(weights, hidden, cell, max_labels=3)
    alone = jax.vmap(
        lambda h, c: greedy_decode(weights, h[None], c[None], max_labels=3)
    )(hidden, cell)
    np.testing.assert_array_equal(alone.symbols[:, 0], together.symbols)
    np.testing.assert_allclose(alone.logits[:, 0], together.logits, atol=1e-5)


def written_set(symbols: jax.Array) -> np.ndarray:
    """[B, N]: whether a label is among the symbols written."""
    return np.stack([(np.asarray(symbols) == n).any(axis=1) for n in range(N)], axis=1)


def test_where_every_choice_is_clear_half_separates_what_was_written() -> None:
    found = []
    for seed in range(40):
        weights, hidden, cell = draw(seed)
        sharp = weights._replace(
            output_kernel=40 * weights.output_kernel,
            output_bias=40 * weights.output_bias,
        )
        logits, symbols = DECODE(sharp, hidden, cell, max_labels=N)
        chances = np.asarray(jax.nn.sigmoid(logits))
        clear = ~((chances > 0.2) & (chances < 0.8)).any(axis=1)
        found.append((clear, ((chances >= 0.5) == written_set(symbols)).all(axis=1)))
    clear, equal = np.concatenate(found, axis=1)
    assert clear.mean() > 0.8
    assert equal[clear].all()
    assert not equal.all(), "the two may differ where a choice was not clear"


def test_a_certain_or_an_impossible_label_has_finite_odds() -> None:
    weights, hidden, cell = draw(5)
    bias = jnp.array([200.0, -200.0, 0.0, 0.0, 100.0])
    logits, symbols = DECODE(
        weights._replace(output_bias=bias), hidden, cell, max_labels=N
    )
    np.testing.assert_array_equal(symbols[:, 0], 0)
    np.testing.assert_array_equal(symbols[:, 1:], N)
    assert np.isfinite(logits).all()
    assert (np.asarray(logits)[:, 0] > 10).all()
    assert (np.asarray(logits)[:, 1] < -60).all()


@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_input_is_refused_in_one_sentence() -> None:
    drawn = draw(6)
    with pytest.raises(ValueError, match="max_labels must be at least 1, got 0"):
        label_sequences(TARGETS, COUNTS, max_labels=0)
    with pytest.raises(ValueError, match="max_labels must be at least 1, got 0"):
        greedy_decode(*drawn, max_labels=0)
    with pytest.raises(ValueError, match=r"label_counts must have shape \(4,\)"):
        label_sequences(TARGETS, COUNTS[:3], max_labels=2)
