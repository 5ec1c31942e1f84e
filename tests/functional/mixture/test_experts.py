import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.mixture import experts
from tests.examples import examples
from tests.reference import experts as reference

BATCH, TASKS, EXPERTS, FEATURES = 6, 3, 4, 5


def draw(seed: int, *shape: int, scale: float = 1.0) -> jax.Array:
    normal = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(scale * normal, jnp.float32)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_every_function_equals_its_plain_loops(wrap) -> None:
    outputs = draw(0, BATCH, EXPERTS, FEATURES)
    logits = draw(1, BATCH, TASKS, EXPERTS, scale=3)
    got = wrap(experts.mix_experts)(outputs, logits)
    expected = reference.mix_experts(np.asarray(outputs), np.asarray(logits))
    np.testing.assert_allclose(got, expected, atol=1e-5)

    keep = np.random.default_rng(2).random(logits.shape) < 0.6
    got = wrap(lambda x, k: experts.gate_weights(x, keep=k))(logits, keep)
    expected = reference.gate_weights(np.asarray(logits), keep)
    np.testing.assert_allclose(got, expected, atol=1e-6)

    features, stitch = draw(3, BATCH, TASKS, FEATURES), draw(4, TASKS, TASKS)
    got = wrap(experts.cross_stitch)(features, stitch)
    expected = reference.cross_stitch(np.asarray(features), np.asarray(stitch))
    np.testing.assert_allclose(got, expected, atol=1e-5)

    for axis in (0, 1):
        got = experts.pairwise_squared_distance(features, axis)
        expected = reference.pairwise_squared_distance(features, axis)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_statistics_of_two_batches_equal_plain_loops_over_the_real_rows(wrap) -> None:
    weights = experts.gate_weights(draw(0, 2 * BATCH, TASKS, EXPERTS, scale=2))
    mask = np.arange(2 * BATCH) % 3 != 1
    halves = [
        wrap(experts.gate_sums)(weights[part], mask[part])
        for part in (slice(0, BATCH), slice(BATCH, None))
    ]
    got = wrap(experts.gate_statistics)(jax.tree.map(jnp.add, *halves))._asdict()
    for name, expected in reference.gate_statistics(weights, mask).items():
        np.testing.assert_allclose(got[name], expected, atol=2e-5, err_msg=name)


def test_statistics_of_no_row_are_finite_and_say_nothing() -> None:
    weights = experts.gate_weights(draw(0, BATCH, TASKS, EXPERTS))
    found = experts.gate_statistics(experts.gate_sums(weights, np.zeros(BATCH, bool)))
    for value in found:
        np.testing.assert_array_equal(value, 0)


def test_a_single_expert_is_neither_polarised_nor_a_division_by_zero() -> None:
    found = experts.gate_statistics(experts.gate_sums(jnp.ones((4, 2, 1))))
    np.testing.assert_array_equal(found.polarisation, 0)
    np.testing.assert_array_equal(found.entropy, 0)


def test_a_gate_on_one_expert_is_fully_polarised_and_an_even_one_not_at_all() -> None:
    one_hot = jax.nn.one_hot(jnp.zeros((5, 1), int), EXPERTS)
    even = jnp.full((5, 1, EXPERTS), 1 / EXPERTS)
    both = jnp.concatenate([one_hot, even], axis=1)
    found = experts.gate_statistics(experts.gate_sums(both))
    np.testing.assert_allclose(found.polarisation, [1, 0], atol=1e-6)
    np.testing.assert_allclose(found.entropy, [0, 1], atol=1e-6)


@examples(15)
@given(seed=st.integers(0, 2**20), scale=st.sampled_from([0.0, 1.0, 1e4]))
def test_a_mixture_lies_within_its_experts_and_follows_their_order(
    seed: int, scale: float
) -> None:
    outputs = draw(seed, BATCH, EXPERTS, FEATURES)
    logits = draw(seed + 1, BATCH, TASKS, EXPERTS, scale=scale)
    mixed = experts.mix_experts(outputs, logits)
    assert (mixed <= outputs.max(axis=1, keepdims=True) + 1e-5).all()
    assert (mixed >= outputs.min(axis=1, keepdims=True) - 1e-5).all()
    order = np.random.default_rng(seed).permutation(EXPERTS)
    again = experts.mix_experts(outputs[:, order], logits[:, :, order])
    np.testing.assert_allclose(mixed, again, atol=1e-5)


def test_equal_logits_give_the_mean_of_the_experts() -> None:
    outputs = draw(0, BATCH, EXPERTS, FEATURES)
    mixed = experts.mix_experts(outputs, jnp.zeros((BATCH, 1, EXPERTS)))
    np.testing.assert_allclose(mixed[:, 0], outputs.mean(axis=1), atol=1e-6)


def test_gate_dropout_leaves_out_its_share_and_renormalises_the_rest() -> None:
    shape = (4000, 2, EXPERTS)
    keep = experts.draw_gate_keep(jax.random.key(0), shape, 0.1)
    assert abs(float(keep.mean()) - 0.9) < 0.01
    weights = experts.gate_weights(draw(1, *shape), keep=keep)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(weights)[~np.asarray(keep)], 0)


def test_a_row_that_would_lose_every_expert_keeps_them_all() -> None:
    keep = experts.draw_gate_keep(jax.random.key(0), (500, 1, 2), 0.9)
    assert keep.any(axis=-1).all()
    # Of two experts both are lost in 81 % of the rows: those have both again.
    assert 0.7 < float(keep.all(axis=-1).mean()) < 0.9


def test_gate_dropout_acts_with_a_key_alone_and_is_the_same_for_the_same_key() -> None:
    outputs = draw(0, BATCH, EXPERTS, FEATURES)
    logits = draw(1, BATCH, TASKS, EXPERTS)
    plain = experts.mix_experts(outputs, logits)
    without = experts.mix_experts(outputs, logits, gate_dropout=0.5)
    np.testing.assert_array_equal(plain, without)
    first, second = (
        experts.mix_experts(outputs, logits, gate_dropout=0.5, key=jax.random.key(7))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, plain)


def test_the_gradient_of_the_gates_is_that_of_finite_differences() -> None:
    outputs = draw(0, 2, EXPERTS, FEATURES)
    logits = draw(1, 2, TASKS, EXPERTS)

    def loss(logits):
        return jnp.sum(jnp.square(experts.mix_experts(outputs, logits)))

    gradient = jax.grad(loss)(logits)
    step = np.zeros(logits.shape, np.float32)
    step[1, 2, 3] = 1e-2
    numeric = (loss(logits + step) - loss(logits - step)) / 2e-2
    np.testing.assert_allclose(gradient[1, 2, 3], numeric, rtol=2e-2)


def test_bfloat16_experts_are_mixed_in_float32_and_stay_bfloat16() -> None:
    outputs = draw(0, BATCH, EXPERTS, FEATURES).astype(jnp.bfloat16)
    logits = draw(1, BATCH, TASKS, EXPERTS)
    mixed = experts.mix_experts(outputs, logits)
    assert mixed.dtype == jnp.bfloat16
    exact = reference.mix_experts(np.asarray(outputs, float), np.asarray(logits))
    np.testing.assert_allclose(np.asarray(mixed, float), exact, atol=0.02)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0])
def test_a_rate_of_gate_dropout_outside_its_range_is_refused(rate: float) -> None:
    outputs, logits = draw(0, 2, 3, 4), draw(1, 2, 1, 3)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\); got"):
        experts.mix_experts(outputs, logits, gate_dropout=rate, key=jax.random.key(0))


def test_experts_and_gates_of_different_numbers_are_refused(untyped) -> None:
    with pytest.raises(ValueError, match=r"same E; got \(2, 3, 4\) and \(2, 1, 5\)"):
        experts.mix_experts(draw(0, 2, 3, 4), draw(1, 2, 1, 5))
