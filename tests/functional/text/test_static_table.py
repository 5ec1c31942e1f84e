from collections.abc import Iterator

import jax
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import labelgraph_jax as lg
from tests.examples import examples
from tests.reference import static_table as reference


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def drawn(seed: int, documents: int = 9, tokens: int = 6, features: int = 3):
    rng = np.random.default_rng(seed)
    shares = rng.random((documents, tokens)) * (rng.random((documents, tokens)) < 0.6)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    targets = rng.normal(size=(documents, features))
    start = rng.normal(size=(tokens, features))
    return tuple(x.astype(np.float32) for x in (shares, targets, start))


@pytest.mark.parametrize("strength", [0.01, 0.3, 10.0])
def test_the_table_solves_the_normal_equations(strength: float) -> None:
    shares, targets, start = drawn(0)
    expected = reference.ridge_token_table(shares, targets, start, strength)

    def fit(shares, targets, start):
        return lg.functional.ridge_token_table(
            shares, targets, start, strength=strength
        )

    np.testing.assert_allclose(fit(shares, targets, start), expected, atol=1e-4)
    jitted = jax.jit(fit)(shares, targets, start)
    np.testing.assert_allclose(jitted, expected, atol=1e-4)
    sparse = fit(csr_array(shares), targets, start)
    assert isinstance(sparse, np.ndarray)
    np.testing.assert_allclose(sparse, expected, atol=1e-4)


@examples(20)
@given(seed=st.integers(0, 2**16), strength=st.floats(0.01, 100))
def test_no_step_away_from_the_table_lowers_the_objective(seed, strength) -> None:
    shares, targets, start = drawn(seed)
    table = lg.functional.ridge_token_table(shares, targets, start, strength=strength)

    def objective(table):
        miss, moved = shares @ table - targets, table - start
        return (miss**2).sum() + strength * (moved**2).sum()

    least = objective(table)
    assert least <= objective(start) * (1 + 1e-5)
    steps = np.random.default_rng(seed + 1).normal(size=(8, *table.shape)) * 0.1
    for step in steps:
        assert least <= objective(table + step) * (1 + 1e-5)


def test_a_token_that_no_document_holds_keeps_its_start() -> None:
    shares, targets, start = drawn(1)
    shares[:, 2] = 0
    table = lg.functional.ridge_token_table(shares, targets, start)
    np.testing.assert_array_equal(table[2], start[2])


def test_no_documents_and_exact_targets_give_the_start() -> None:
    shares, _, start = drawn(2)
    fit = lg.functional.ridge_token_table
    np.testing.assert_array_equal(fit(shares, shares @ start, start), start)
    nothing = np.zeros((0, 3), np.float32)
    np.testing.assert_array_equal(fit(shares[:0], nothing, start), start)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"targets": np.zeros((8, 3), np.float32)}, "must fit together"),
        ({"start": np.zeros((5, 3), np.float32)}, "must fit together"),
        ({"start": np.zeros((6, 2), np.float32)}, "must fit together"),
        ({"strength": 0.0}, "strength must be above 0"),
        ({"strength": float("nan")}, "strength must be above 0"),
        ({"steps": 0}, "steps be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, said) -> None:
    names = ("shares", "targets", "start")
    arguments = dict(zip(names, drawn(3), strict=True)) | change
    with pytest.raises(ValueError, match=said):
        lg.functional.ridge_token_table(**arguments)
