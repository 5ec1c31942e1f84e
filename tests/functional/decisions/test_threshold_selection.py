"""The simplest rule that no richer one beats."""

import numpy as np
import pytest

from labelgraph_jax.functional.decisions.fitting import (
    RULES,
    ThresholdFits,
    count_cuts,
)
from labelgraph_jax.functional.decisions.selection import (
    cross_fitted_decisions,
    simplest_rule,
)
from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from tests.functional.decisions.test_threshold_fitting import f1, logit, made


def at(probabilities, thresholds):
    return {rule: probabilities >= each for rule, each in thresholds.items()}


def choose(scores, truth, counts, rules=RULES, **options):
    fits = ThresholdFits(count_cuts(scores, truth, counts), resamples=5)
    decisions = {"half": scores >= 0.5}
    decisions |= cross_fitted_decisions(fits, scores, rules, at)
    return simplest_rule(decisions, truth, **options)


def test_one_half_stays_where_it_is_nearly_the_best():
    many, many_truth, _ = made(documents=20_000)
    best = logit(fit_global_threshold(many, many_truth))
    scores, truth, counts = made(documents=300, shift=-best)
    rule, report = choose(scores, truth, counts, rules=("global", "sloped"))
    assert rule == "half"
    assert report["half"]["better"] is None
    assert all(0 <= report[name]["better"] < 0.95 for name in ("global", "sloped"))


def test_one_half_gives_way_where_the_scores_are_shifted():
    scores, truth, counts = made(documents=300, shift=-1.5)
    rule, report = choose(scores, truth, counts, rules=("global", "sloped"))
    assert rule == "global"
    assert report["global"]["better"] >= 0.95
    assert report["global"]["micro_f1"] > report["half"]["micro_f1"] + 0.05


def test_every_document_is_decided_by_thresholds_of_other_documents():
    scores, truth, counts = made(documents=47)
    fits = ThresholdFits(count_cuts(scores, truth, counts), resamples=3)
    seen = []

    def decide(probabilities, thresholds):
        seen.append(len(probabilities))
        return at(probabilities, thresholds)

    found = cross_fitted_decisions(fits, scores, ["global"], decide)["global"]
    assert len(seen) == 10
    assert sum(seen) == 47
    block = fits.counts.block
    for fold in range(10):
        keep = np.arange(20) % 10 != fold
        held_out = block % 10 == fold
        thresholds = fits.fit(["global"], keep=keep)["global"]
        np.testing.assert_array_equal(
            found[held_out], scores[held_out] >= thresholds.astype(np.float32)
        )


def test_a_fold_that_leaves_no_positive_is_decided_at_one_half():
    scores = np.float32([[0.9], [0.2], [0.6]])
    truth = np.array([[True], [False], [False]])
    fits = ThresholdFits(count_cuts(scores, truth, np.ones(1)))
    found = cross_fitted_decisions(fits, scores, ["label"], at)["label"]
    assert found[0, 0]  # the document with the positive: 0.5, from no other document


def test_the_metric_may_ask_for_rare_labels_too():
    """Hits on a rare label against a few misses on a frequent one."""
    rng = np.random.default_rng(0)
    truth = np.stack([rng.random(400) < 0.5, rng.random(400) < 0.05], axis=1)
    frequent, rare = truth.T
    careful = np.stack([frequent, np.zeros(400, bool)], axis=1)
    bold = np.stack([frequent ^ (rng.random(400) < 0.06), rare], axis=1)
    rules = {"half": careful, "label": bold}
    assert f1(careful, truth) > f1(bold, truth)
    assert simplest_rule(rules, truth)[0] == "half"
    chosen, report = simplest_rule(rules, truth, metric="mean_f1")
    assert chosen == "label"
    assert report["label"]["macro_f1"] > 0.9 > report["half"]["macro_f1"]


def test_a_tie_goes_to_the_simpler_rule():
    truth = np.eye(5) > 0
    chosen, report = simplest_rule({"half": truth, "label": truth.copy()}, truth)
    assert chosen == "half"
    assert report["label"]["better"] == 0.0


def test_cells_that_are_not_annotated_do_not_choose():
    truth = np.eye(40, 4) > 0
    mask = np.zeros(truth.shape, bool)
    mask[:, 0] = True
    wrong = truth.copy()
    wrong[:, 1:] = ~truth[:, 1:]
    for rules in ({"half": wrong, "label": truth}, {"half": truth, "label": wrong}):
        chosen, report = simplest_rule(rules, truth, target_mask=mask)
        assert chosen == "half"
        assert report["label"]["micro_f1"] == 1.0


def test_confidence_is_the_share_of_resamples_that_a_rule_must_win():
    truth = np.ones((60, 1), bool)
    place = np.arange(60)[:, None]
    rules = {"half": place < 40, "global": place >= 17}  # 40 are right, and 43
    better = simplest_rule(rules, truth)[1]["global"]["better"]
    assert 0.5 < better < 0.95
    for confidence, rule in ((0.5, "global"), (better, "global"), (0.95, "half")):
        assert simplest_rule(rules, truth, confidence=confidence)[0] == rule


def test_positives_without_a_column_count_for_micro_f1():
    truth = np.eye(4) > 0
    missed = np.array([0, 2, 0, 1])
    for beyond, f1_of_all in ((None, 1.0), (missed, 8 / 11)):
        _, report = simplest_rule({"half": truth}, truth, missed=beyond)
        assert report["half"]["micro_f1"] == pytest.approx(f1_of_all)


@pytest.mark.parametrize("metric", ["micro_f1", "mean_f1"])
def test_more_documents_than_groups_are_all_counted(metric, monkeypatch):
    monkeypatch.setattr("labelgraph_jax.functional.decisions.selection.MOST_GROUPS", 7)
    scores, truth, counts = made(documents=100, shift=-2.0)
    rule, _ = choose(scores, truth, counts, metric=metric)
    assert rule != "half"


@pytest.mark.parametrize("metric", ["micro_f1", "mean_f1"])
def test_documents_without_any_positive_choose_the_simplest(metric):
    nothing = np.zeros((4, 3), bool)
    rules = {"half": nothing, "label": ~nothing}
    assert simplest_rule(rules, nothing, metric=metric)[0] == "half"
