"""Thresholds from few documents."""

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.functional.decisions.calibrated import calibrated_cut
from labelgraph_jax.functional.decisions.fitting import (
    RULES,
    SLOPES,
    ThresholdFits,
    count_cuts,
)
from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from tests.reference import threshold_fitting as reference


def made(documents=60, labels=4, seed=0, shift=0.0):
    """Scores of a fair classifier of labels from frequent to rare, and the truth."""
    rng = np.random.default_rng(seed)
    prior = 0.4 * 0.5 ** np.arange(labels)
    truth = rng.random((documents, labels)) < prior
    truth[0] = True
    logits = rng.normal(-1.5, 1.0, truth.shape) + 3.0 * truth + shift
    counts = np.round(1000 * prior)
    return np.float32(1 / (1 + np.exp(-logits))), truth, counts


def f1(decisions, truth):
    return 2 * (decisions & truth).sum() / (decisions.sum() + truth.sum())


def logit(p):
    return np.log(p) - np.log1p(-p)


def test_the_table_counts_what_a_loop_counts():
    scores, truth, counts = made(documents=23, labels=3)
    table = count_cuts(scores, truth, counts)
    assert np.bincount(table.block).tolist() == [2, 2, 2] + [1] * 17
    expected = reference.count_cuts(scores, truth, table.cuts, table.block, 20)
    for found, values in zip(
        (table.hits, table.predicted, table.positives), expected, strict=True
    ):
        np.testing.assert_array_equal(found, values)
    assert np.average(table.rarity, weights=truth.sum(0)) == pytest.approx(0.0)


@pytest.mark.parametrize("metric", ["micro_f1", "mean_f1"])
def test_every_rule_equals_its_loop(metric, monkeypatch):
    monkeypatch.setattr("labelgraph_jax.functional.decisions.fitting.MOST_CUTS", 9)
    scores, truth, counts = made(documents=12, labels=3)
    truth[1:, 2] = False
    table = count_cuts(scores, truth, counts)
    fits = ThresholdFits(table, metric=metric, shrinkage=2.0, doubt=0.0, resamples=4)
    found = fits.fit(RULES)
    draws = fits._draws(np.arange(12))
    flat = np.mean([reference.best_line(table, [0.0], d, metric) for d in draws], 0)
    np.testing.assert_allclose(logit(found["global"]), flat[0], atol=1e-6)
    line = np.mean([reference.best_line(table, SLOPES, d, metric) for d in draws], 0)
    sloped = line[0] + line[1] * table.rarity
    np.testing.assert_allclose(logit(found["sloped"]), sloped, atol=1e-6)
    for n, support in enumerate(truth.sum(0)):
        own = [reference.own_cut(table, n, draw) for draw in draws]
        own = np.mean([sloped[n] if cut is None else cut for cut in own])
        trust = support / (support + 2.0)
        expected = trust * own + (1 - trust) * sloped[n]
        assert logit(found["label"])[n] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(4)))
def test_permuting_labels_permutes_their_thresholds(seed, order):
    scores, truth, counts = made(seed=seed)
    found = ThresholdFits(count_cuts(scores, truth, counts), resamples=3).fit(RULES)
    other = count_cuts(scores[:, order], truth[:, order], counts[order])
    permuted = ThresholdFits(other, resamples=3).fit(RULES)
    for rule in RULES:
        assert ((found[rule] > 0) & (found[rule] < 1)).all()
        np.testing.assert_allclose(permuted[rule], found[rule][order], rtol=1e-5)


def test_scores_that_part_are_parted_half_way():
    truth = np.arange(40)[:, None] % 4 < np.array([1, 2])
    scores = np.where(truth, 0.8, 0.2)
    found = ThresholdFits(count_cuts(scores, truth, np.ones(2))).fit(RULES)
    for rule in RULES:
        np.testing.assert_allclose(found[rule], 0.5, atol=0.02)


def test_an_averaged_threshold_lies_nearer_to_the_truth_than_the_plain_optimum():
    scores, truth, counts = made(documents=20_000)
    best = logit(fit_global_threshold(scores, truth))
    plain, averaged = [], []
    for seed in range(30):
        few, few_truth, _ = made(documents=100, seed=seed + 1)
        plain.append(logit(fit_global_threshold(few, few_truth)))
        table = count_cuts(few, few_truth, counts)
        averaged.append(logit(ThresholdFits(table).fit(["global"])["global"][0]))
    errors = [np.mean((np.array(x) - best) ** 2) for x in (plain, averaged)]
    assert errors[1] < 0.8 * errors[0]


def test_rare_labels_that_score_low_get_lower_thresholds():
    scores, truth, counts = made(documents=4000, labels=5)
    frequency = np.log(counts)
    # Alike scores alone would ask for higher thresholds where positives are rare.
    tilted = logit(scores.astype(float)) + frequency - frequency[0]
    table = count_cuts(1 / (1 + np.exp(-tilted)), truth, counts)
    found = ThresholdFits(table).fit(RULES)
    slopes = np.diff(logit(found["sloped"])) / np.diff(frequency)
    np.testing.assert_allclose(slopes, slopes[0])
    assert 0.4 < slopes[0] < 0.75
    decided = {rule: tilted >= logit(found[rule]) for rule in RULES}
    assert f1(decided["sloped"], truth) > f1(decided["global"], truth) + 0.02


def test_shrinkage_leads_from_the_label_s_own_threshold_to_the_line():
    table = count_cuts(*made())
    near, far = (
        ThresholdFits(table, shrinkage=shrinkage, doubt=0.0).fit(RULES)
        for shrinkage in (0.0, 1e12)
    )
    np.testing.assert_allclose(far["label"], far["sloped"], rtol=1e-6)
    assert (abs(near["label"] - near["sloped"]) > 1e-3).any()


def test_blocks_that_are_not_kept_decide_nothing():
    table = count_cuts(*made(documents=80))
    keep = np.arange(20) % 3 > 0
    scrambled = table._replace(
        hits=np.where(keep[:, None, None], table.hits, 99.0).astype(np.float32),
        predicted=np.where(keep[:, None, None], table.predicted, 7.0).astype(
            np.float32
        ),
        positives=np.where(keep[:, None], table.positives, 50.0).astype(np.float32),
    )
    found, other = (ThresholdFits(t).fit(RULES, keep=keep) for t in (table, scrambled))
    for rule in RULES:
        np.testing.assert_array_equal(found[rule], other[rule])


def test_a_cell_that_is_not_annotated_decides_nothing_whatever_it_holds():
    scores, truth, counts = made(documents=80)
    mask = np.random.default_rng(5).random(scores.shape) < 0.7
    fits = []
    for score, positive in ((np.nan, True), (1.0, False)):
        dirty, dirty_truth = scores.copy(), truth.copy()
        dirty[~mask], dirty_truth[~mask] = score, positive
        table = count_cuts(dirty, dirty_truth, counts, target_mask=mask)
        fits.append(ThresholdFits(table).fit(RULES))
    for rule in RULES:
        np.testing.assert_array_equal(fits[0][rule], fits[1][rule])


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_scores_that_are_all_alike_predict_everything_or_nothing(score):
    scores = np.full((5, 2), score, np.float32)
    truth = np.eye(5, 2) > 0
    found = ThresholdFits(count_cuts(scores, truth, np.ones(2))).fit(RULES)
    for rule in RULES:
        assert np.isfinite(found[rule]).all()
        assert (scores >= found[rule].astype(np.float32)).all() or score == 0.0


def test_one_document_is_enough_to_fit_on():
    found = ThresholdFits(
        count_cuts(np.array([[0.9, 0.2]]), np.array([[1, 0]]), np.ones(2))
    ).fit(["global"])
    assert 0.2 < found["global"][0] <= 0.9


def test_what_cannot_be_fitted_on_is_refused():
    scores, truth, counts = made()
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=r"got \(60, 4\) and \(60, 3\)"):
            count_cuts(scores, truth[:, :3], counts)
        with pytest.raises(ValueError, match=r"each of 4 labels, got the shape \(3,\)"):
            count_cuts(scores, truth, counts[:3])
        with pytest.raises(ValueError, match=r"target_mask must have the shape"):
            count_cuts(scores, truth, counts, target_mask=truth[:, :2])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    for wrong in (scores + 1, scores * np.nan):
        with pytest.raises(ValueError, match=r"must be probabilities in \[0, 1\]"):
            count_cuts(wrong, truth, counts)
    with pytest.raises(ValueError, match="there is none"):
        count_cuts(scores, truth & False, counts)
    fits = ThresholdFits(count_cuts(scores, truth, counts))
    with pytest.raises(ValueError, match=r"rules are .* got \['best'\]"):
        fits.fit(["best"])
    with pytest.raises(ValueError, match="there is none"):
        fits.fit(["global"], keep=np.zeros(20, bool))
    with pytest.raises(ValueError, match="shrinkage must be >= 0, got -1"):
        ThresholdFits(fits.counts, shrinkage=-1.0)
    with pytest.raises(ValueError, match="doubt must be >= 0, got -1"):
        ThresholdFits(fits.counts, doubt=-1.0)


def test_one_positive_leaves_calibrated_scores_near_one_half():
    """One positive says nothing of the scores; their own word does."""
    scores, truth = np.full((48, 8), 0.005), np.zeros((48, 8), bool)
    scores[3, 2], scores[5, 1], truth[3, 2] = 0.9999, 0.3, True
    table = count_cuts(scores, truth, np.ones(8))
    own = ThresholdFits(table, doubt=0.0).fit(["global"])["global"][0]
    found = ThresholdFits(table).fit(["global"])["global"][0]
    assert own > 0.9
    assert 0.3 < found < 0.7


@pytest.mark.parametrize(("true", "other"), [(0.4, 0.05), (0.1, 0.01), (0.99, 0.9)])
@pytest.mark.parametrize("positives", [2, 3, 10])
def test_clear_scores_are_parted_however_far_from_one_half(true, other, positives):
    truth = np.arange(200)[:, None] < positives
    scores = np.where(truth, true, other)
    found = ThresholdFits(count_cuts(scores, truth, np.ones(1))).fit(RULES)
    for rule in RULES:
        assert other < found[rule][0] <= true


def test_what_calibrated_scores_ask_for_parts_documents_better_than_few_positives():
    many, many_truth, _ = made(documents=20_000)
    drawn, plain = [], []
    for seed in range(30):
        scores, truth, counts = made(documents=20, seed=seed + 1)
        table = count_cuts(scores, truth, counts)
        for doubt, found in ((10.0, drawn), (0.0, plain)):
            threshold = ThresholdFits(table, doubt=doubt).fit(["global"])["global"]
            found.append(f1(many >= threshold, many_truth))
    assert np.mean(drawn) > np.mean(plain)
    assert np.min(drawn) > np.min(plain)


def test_calibrated_scores_are_cut_at_half_of_their_best_f1():
    scores = np.random.default_rng(0).beta(0.3, 3.0, (4000, 1))
    truth = np.random.default_rng(1).random(scores.shape) < scores
    table = count_cuts(scores, truth, np.ones(1))
    sums = (each.sum((0, 1)) for each in (table.hits, table.predicted))
    cut = calibrated_cut(table.cuts, *sums)
    ordered = np.sort(scores.ravel())[::-1]
    ranks = np.arange(1, len(ordered) + 1)
    expected = 2 * ordered.cumsum() / (ranks + ordered.sum())
    assert 1 / (1 + np.exp(-cut)) == pytest.approx(expected.max() / 2, abs=0.02)


@pytest.mark.parametrize("shift", [-4.0, 0.0, 3.0])
def test_shifted_scores_are_cut_where_the_shift_took_the_threshold(shift):
    scores, truth, counts = made(documents=5000, shift=shift)
    table = count_cuts(scores, truth, counts)
    sums = (each.sum((0, 1)) for each in (table.hits, table.predicted))
    best = logit(fit_global_threshold(scores, truth))
    assert calibrated_cut(table.cuts, *sums) == pytest.approx(best, abs=0.3)


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_cuts_are_refused(count):
    cuts = np.zeros(count)
    with pytest.raises(ValueError, match=f"two cuts at least; got {count}"):
        calibrated_cut(cuts, cuts, cuts)
