"""Agreement against loops, against what nltk gave, and where it says nothing."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import labelgraph_jax as lg
from labelgraph_jax.functional.metrics.bootstrap import document_draws
from tests.reference import agreement as reference

F = lg.functional

# Three annotators, 24 documents, 4 labels; then who annotated which document.
SETS = np.array(
    [
        [int(cell) for cell in annotator]
        for annotator in (
            "1011101000111000001011011000000111010101100000100010101110001000"
            "01000101001000111000100000010010",
            "1001001000111100010001011000000110010101100100101000001110000001"
            "11011101011000011001100001000010",
            "0001101000111000100001011000000111010111100000100101101110000001"
            "11010101001000011000100001101011",
        )
    ]
).reshape(3, 24, 4)
RATED = np.array(
    [
        [int(cell) for cell in annotator]
        for annotator in (
            "110101101111110110111010",
            "101101110111111110111111",
            "110111111110111110110111",
        )
    ],
    bool,
)
# Of nltk 3.10.4: AnnotationTask(data, distance).alpha(), .pi(), .kappa_pairwise(0, 1)
# of every label, and masi_distance of the first four documents of the first two.
NLTK_ALPHA_MASI = 0.45865323487701115
NLTK_ALPHA_NOMINAL = 0.3649468892261002
NLTK_PI = [0.44401544401544424, 0.5846153846153848, 0.625, 0.6111111111111109]
NLTK_KAPPA = [
    0.41666666666666674,
    0.48275862068965525,
    0.6363636363636365,
    0.5890410958904109,
]
NLTK_ALPHAS = [0.49867374005305043, 0.6538461538461539, 0.5820433436532508, 0.5]
NLTK_MASI = [
    [0.5555555555555556, 0.7777777777777778, 0.5555555555555556, 0.9166666666666666],
    [0.8888888888888888, 0.6666666666666667, 0.8888888888888888, 0.8888888888888888],
    [0.8888888888888888, 0.6666666666666667, 0.0, 1.0],
    [0.6666666666666667, 1.0, 1.0, 0.6666666666666667],
]
EXACT = {"rtol": 0, "atol": 1e-9}


def coded(sets, rated):
    """Rows of distinct sets, -1 for a missing one; and the sets."""
    kinds, rows = np.unique(sets.reshape(-1, sets.shape[-1]), axis=0, return_inverse=1)
    return np.where(rated, rows.reshape(rated.shape), -1), kinds


def test_kappa_alpha_and_distances_are_those_of_nltk():
    np.testing.assert_allclose(
        F.masi_distance(SETS[0, :4], SETS[1, :4]), NLTK_MASI, **EXACT
    )
    pair = F.pair_agreement(SETS[0], SETS[1])
    np.testing.assert_allclose(pair.kappa, NLTK_KAPPA, **EXACT)
    for label in range(4):
        given = SETS[:, :, label].sum(axis=0)
        votes = np.stack([given, 3 - given], axis=1)
        np.testing.assert_allclose(F.fleiss_kappa(votes), NLTK_PI[label], **EXACT)
        values = np.where(RATED, SETS[:, :, label], -1)
        found = F.krippendorff_alpha(values, 1 - np.eye(2))
        np.testing.assert_allclose(found, NLTK_ALPHAS[label], **EXACT)
    values, kinds = coded(SETS, RATED)
    found = F.krippendorff_alpha(values, F.masi_distance(kinds, kinds))
    np.testing.assert_allclose(found, NLTK_ALPHA_MASI, **EXACT)
    found = F.krippendorff_alpha(values, 1 - np.eye(len(kinds)))
    np.testing.assert_allclose(found, NLTK_ALPHA_NOMINAL, **EXACT)


def test_the_table_of_fleiss_has_the_kappa_that_is_published_for_it():
    # Ten items, fourteen raters, five categories: kappa 0.210.
    votes = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0]),
        *([2, 2, 8, 1, 1], [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2]),
        *([6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    assert round(float(F.fleiss_kappa(np.array(votes))), 3) == 0.210


@given(st.integers(0, 2**31 - 1))
def test_agreement_is_that_of_loops_and_does_not_depend_on_order(seed):
    rng = np.random.default_rng(seed)
    sets = rng.random((3, 12, 3)) < 0.4
    rated = rng.random((3, 12)) < 0.8
    rated[:2, :3] = True
    sets[0, 0], sets[1, 1] = True, False
    pair = F.pair_agreement(sets[0], sets[1])
    swapped = F.pair_agreement(sets[1], sets[0])
    for label in range(3):
        one, other = (sets[a, :, label].tolist() for a in (0, 1))
        np.testing.assert_allclose(
            pair.kappa[label], reference.kappa(one, other), **EXACT
        )
    np.testing.assert_array_equal(pair.kappa, swapped.kappa)
    votes = rng.integers(0, 4, (6, 3))
    votes[0] = [2, 1, 0]
    np.testing.assert_allclose(
        F.fleiss_kappa(votes), reference.fleiss(votes.tolist()), **EXACT
    )
    values, kinds = coded(sets, rated)
    distance = F.masi_distance(kinds, kinds)
    for i, one in enumerate(kinds):
        for j, other in enumerate(kinds):
            wanted = reference.masi(
                *({*np.flatnonzero(x).tolist()} for x in (one, other))
            )
            np.testing.assert_allclose(distance[i, j], wanted, **EXACT)
    found = F.krippendorff_alpha(values, distance)
    np.testing.assert_allclose(
        found, reference.alpha(values.tolist(), distance.tolist()), **EXACT
    )
    order = rng.permutation(12)
    mixed = F.krippendorff_alpha(values[::-1, order], distance)
    np.testing.assert_allclose(mixed, found, **EXACT)


def test_draws_give_what_repeated_documents_give():
    draws = document_draws(24, 3, seed=1)
    values, kinds = coded(SETS, RATED)
    distance = F.masi_distance(kinds, kinds)
    given = SETS[:, :, 0].sum(axis=0)
    votes = np.stack([given, 3 - given], axis=1)
    pair = F.pair_agreement(SETS[0], SETS[1], RATED[0][:, None] & (SETS[2] >= 0))
    drawn_pair = F.pair_agreement(
        SETS[0], SETS[1], RATED[0][:, None] & (SETS[2] >= 0), draws=draws
    )
    assert drawn_pair.kappa.shape == (3, *pair.kappa.shape)
    for row, draw in enumerate(draws):
        again = np.repeat(np.arange(24), draw)
        one = F.pair_agreement(
            SETS[0][again],
            SETS[1][again],
            RATED[0][again][:, None] & (SETS[2][again] >= 0),
        )
        np.testing.assert_allclose(drawn_pair.kappa[row], one.kappa, **EXACT)
        np.testing.assert_allclose(
            F.fleiss_kappa(votes, draws=draws)[row],
            F.fleiss_kappa(votes[again]),
            **EXACT,
        )
        np.testing.assert_allclose(
            F.krippendorff_alpha(values, distance, draws=draws)[row],
            F.krippendorff_alpha(values[:, again], distance),
            **EXACT,
        )


def test_where_nothing_can_be_said_the_answer_is_nan():
    same = np.ones((4, 1))
    pair = F.pair_agreement(same, same)
    assert np.isnan(pair.kappa[0])
    assert pair.pabak[0] == 1
    nobody = F.pair_agreement(same, same, np.zeros((4, 1), bool))
    assert nobody.documents[0] == 0
    assert np.isnan(nobody.observed[0])
    assert np.isnan(F.fleiss_kappa(np.array([[3, 0], [3, 0]])))
    assert np.isnan(F.fleiss_kappa(np.array([[1, 0], [0, 1]])))
    assert np.isnan(F.krippendorff_alpha(np.zeros((2, 3), int), 1 - np.eye(2)))
    alone = np.array([[0, 1], [-1, -1]])
    assert np.isnan(F.krippendorff_alpha(alone, 1 - np.eye(2)))


def test_perfect_agreement_is_one_and_empty_sets_are_equal():
    values, kinds = coded(np.stack([SETS[0]] * 2), np.ones((2, 24), bool))
    assert F.krippendorff_alpha(values, F.masi_distance(kinds, kinds)) == 1
    np.testing.assert_array_equal(F.pair_agreement(SETS[0], SETS[0]).kappa, 1)
    assert F.masi_distance(np.zeros((1, 3)), np.zeros((1, 3))) == 0
    assert F.masi_distance(np.zeros((1, 3)), np.ones((1, 3))) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.fleiss_kappa(np.array([[-1, 2]])), "counts of annotators, got -1"),
        (lambda: F.fleiss_kappa(np.array([[0.5, 2]])), "must be counts"),
        (
            lambda: F.krippendorff_alpha(np.array([[2]]), np.eye(2)),
            "rows of distances, -1 to 1, got 2 to 2",
        ),
        (
            lambda: F.krippendorff_alpha(np.array([[0.0]]), np.eye(2)),
            "values must hold integers",
        ),
        (
            lambda: F.masi_distance(np.array([[np.nan]]), np.ones((1, 1))),
            "first must be numbers, got NaN",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=message):
            call()
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
