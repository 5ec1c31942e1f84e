import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.losses import tasks as task_losses
from labelgraph_jax.functional.losses.tasks import Task
from tests.examples import examples
from tests.reference import task_losses as reference

TASKS = (
    Task("click", "binary"),
    Task("topics", "multi_label", 3),
    Task("colour", "multi_class", 4),
    Task("rating", "squared"),
)
COLUMNS = 9
ROWS = 7


def made_batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    outputs = generator.normal(scale=2, size=(ROWS, COLUMNS)).astype(np.float32)
    targets = np.zeros((ROWS, COLUMNS), np.float32)
    targets[:, :4] = generator.random((ROWS, 4)) < 0.5
    targets[np.arange(ROWS), 4 + generator.integers(0, 4, ROWS)] = 1
    targets[:, 8] = generator.normal(size=ROWS)
    return outputs, targets


def masks(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "target_mask": generator.random((ROWS, COLUMNS)) < 0.7,
        "example_mask": np.arange(ROWS) < ROWS - 2,
    }


@pytest.fixture
def untyped():
    """What a user sees: shapes are checked by the functions themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_sums_equal_plain_loops(wrap, masked: bool) -> None:
    outputs, targets = made_batch()
    options = masks(1) if masked else {}

    def sums(outputs, targets, options):
        return task_losses.task_loss_sums(outputs, targets, TASKS, **options)

    losses, weights = wrap(sums)(outputs, targets, options)
    expected = reference.task_loss_sums(outputs, targets, TASKS, **options)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    np.testing.assert_array_equal(weights, expected[1])


@pytest.mark.parametrize("masked", [False, True])
def test_weighted_loss_sums_equal_plain_loops(masked: bool) -> None:
    outputs, targets = made_batch()
    generator = np.random.default_rng(3)
    options = (masks(1) if masked else {}) | {
        "example_weight": generator.uniform(0, 2, ROWS).astype(np.float32),
        "positive_weight": generator.uniform(0.5, 20, COLUMNS).astype(np.float32),
    }
    found = task_losses.task_loss_sums(outputs, targets, TASKS, **options)
    expected = reference.task_loss_sums(outputs, targets, TASKS, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    total, rows = task_losses.multi_task_loss(outputs, targets, TASKS, **options)
    real = options.get("example_mask", np.ones(ROWS, bool))
    np.testing.assert_allclose(total, expected[0].sum(), rtol=1e-5)
    np.testing.assert_allclose(rows, options["example_weight"][real].sum(), rtol=1e-6)


def test_a_row_of_weight_three_is_three_rows_and_one_of_zero_none() -> None:
    outputs, targets = made_batch()
    counts = np.array([3, 0, 1, 2, 1, 0, 1])
    weighted = task_losses.multi_task_loss(
        outputs, targets, TASKS, example_weight=counts.astype(np.float32)
    )
    repeated = [np.repeat(array, counts, axis=0) for array in (outputs, targets)]
    np.testing.assert_allclose(
        weighted, task_losses.multi_task_loss(*repeated, TASKS), rtol=1e-5
    )


def test_a_task_without_a_target_in_the_batch_is_exactly_zero_and_not_nan() -> None:
    outputs, targets = made_batch()
    outputs[:, 4:8] = np.nan
    targets[:, 4:8] = np.nan
    mask = np.ones((ROWS, COLUMNS), bool)
    mask[:, 4:8] = False
    variances = jnp.array([0.1, 0.2, 0.3, 0.4])

    def loss(outputs, variances):
        return task_losses.multi_task_loss(
            outputs, targets, TASKS, log_variance=variances, target_mask=mask
        )[0]

    sums, weights = task_losses.task_loss_sums(
        outputs, targets, TASKS, target_mask=mask
    )
    assert sums[2] == 0
    assert weights[2] == 0
    by_output, by_variance = jax.grad(loss, argnums=(0, 1))(outputs, variances)
    np.testing.assert_array_equal(by_output[:, 4:8], 0)
    assert by_variance[2] == 0
    others = np.delete(np.asarray(by_output), np.s_[4:8], axis=1)
    assert np.isfinite(others).all()
    assert (others != 0).all()


def test_every_missing_target_has_a_gradient_of_exactly_zero() -> None:
    outputs, targets = made_batch()
    options = masks(3)
    targets[~options["target_mask"]] = np.nan

    def loss(outputs):
        return task_losses.multi_task_loss(outputs, targets, TASKS, **options)[0]

    gradient = np.asarray(jax.grad(loss)(outputs))
    kept = options["target_mask"] & options["example_mask"][:, None]
    np.testing.assert_array_equal(gradient[~kept], 0)
    assert np.isfinite(gradient).all()


@examples(15)
@given(seed=st.integers(0, 2**20), cut=st.integers(1, ROWS - 1))
def test_sums_add_up_over_batches(seed: int, cut: int) -> None:
    outputs, targets = made_batch(seed)
    mask = masks(seed)["target_mask"]

    def loss(rows):
        return task_losses.multi_task_loss(
            outputs[rows], targets[rows], TASKS, target_mask=mask[rows]
        )

    whole = loss(slice(None))
    first, second = loss(slice(0, cut)), loss(slice(cut, None))
    np.testing.assert_allclose(first[0] + second[0], whole[0], rtol=1e-4)
    assert first[1] + second[1] == whole[1] == ROWS


def test_the_weight_of_a_task_multiplies_its_loss() -> None:
    outputs, targets = made_batch()
    sums, _ = task_losses.task_loss_sums(outputs, targets, TASKS)
    weights = np.array([0.0, 2.0, 1.0, 0.5], np.float32)
    total, count = task_losses.multi_task_loss(
        outputs, targets, TASKS, task_weights=weights
    )
    np.testing.assert_allclose(total, (np.asarray(sums) * weights).sum(), rtol=1e-5)
    assert count == ROWS


def test_learned_weights_settle_where_a_tasks_variance_is_its_mean_loss() -> None:
    outputs, targets = made_batch()
    sums, rows = task_losses.task_loss_sums(outputs, targets, TASKS)
    # d/ds [c exp(-s) L + s n / 2] = 0 at exp(s) = 2 c L / n.
    scales = np.array([1.0, 1.0, 1.0, 0.5])
    settled = jnp.log(2 * scales * np.asarray(sums) / np.asarray(rows))

    def loss(variances):
        return task_losses.multi_task_loss(
            outputs, targets, TASKS, log_variance=variances
        )[0]

    np.testing.assert_allclose(jax.grad(loss)(settled), 0, atol=1e-4)


def test_probabilities_are_sigmoid_softmax_or_the_value_itself() -> None:
    outputs, _ = made_batch()
    found = np.asarray(task_losses.task_probabilities(jnp.asarray(outputs), TASKS))
    np.testing.assert_allclose(found[:, :4], 1 / (1 + np.exp(-outputs[:, :4])), 1e-5)
    np.testing.assert_allclose(found[:, 4:8].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[:, 8], outputs[:, 8])


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "at least one task"),
        ((Task("a", "binary"), Task("a", "squared")), "names must differ"),
        ((Task("a", "ranked"),), r"task a: kind must be one of .*'ranked'"),
        ((Task("a", "binary", 0),), "task a: a binary task must have at least 1"),
        ((Task("a", "multi_class", 1),), "multi_class task must have at least 2"),
    ],
)
def test_malformed_tasks_are_refused(tasks, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_losses.task_slices(tasks)


def test_columns_that_are_not_those_of_the_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[B, 9\]"):
        task_losses.task_loss_sums(np.zeros((2, 8)), np.zeros((2, 8)), TASKS)


def test_weights_that_are_not_one_per_task_are_refused(untyped) -> None:
    outputs, targets = made_batch()
    with pytest.raises(ValueError, match="one number for each of the 4 tasks"):
        task_losses.multi_task_loss(outputs, targets, TASKS, task_weights=np.ones(3))
