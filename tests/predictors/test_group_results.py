"""Frequent, rare and unseen labels, measured and shown apart."""

import numpy as np
import pytest

from labelgraph_jax.cli.results import print_results
from labelgraph_jax.predictors.groups import measure_groups
from labelgraph_jax.predictors.predictions import Predictions

COUNTS = np.array([90, 50, 49, 1, 0, 0])


def scored() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.random((40, 6)).astype(np.float32)
    return scores, (generator.random((40, 6)) < 0.3).astype(np.float32)


def test_each_group_is_ranked_by_itself_over_the_documents_that_carry_one() -> None:
    scores, truth = scored()
    found = measure_groups(Predictions.of_all(scores, truth), COUNTS)
    assert list(found) == ["frequent", "few", "zero"]
    for name, columns in (("frequent", [0, 1]), ("few", [2, 3]), ("zero", [4, 5])):
        own, right = scores[:, columns], truth[:, columns]
        carrying = right.any(axis=1)
        best = own.argmax(axis=1)
        hits = right[np.arange(40), best][carrying]
        assert found[name]["documents"] == carrying.sum()
        assert found[name]["labels"] == 2
        assert found[name]["RP@1"] == pytest.approx(hits.mean())


def test_groups_from_complete_lists_are_those_from_all_scores() -> None:
    scores, truth = scored()
    every = Predictions.of_all(scores, truth)
    ranked = measure_groups(every.top(6), COUNTS)
    for name, whole in measure_groups(every, COUNTS).items():
        assert ranked[name]["complete@5"] == 1.0
        for metric, value in whole.items():
            assert ranked[name][metric] == pytest.approx(value, abs=1e-6)


def test_a_group_that_no_document_carries_has_no_mean() -> None:
    scores, truth = scored()
    truth[:, 4:] = 0.0
    found = measure_groups(Predictions.of_all(scores, truth), COUNTS)
    assert found["zero"]["documents"] == 0
    assert found["zero"]["RP@5"] is None
    assert "zero" not in measure_groups(
        Predictions.of_all(scores[:, :4], truth[:, :4]), COUNTS[:4]
    )


def test_a_thousand_labels_are_shown_by_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = dict.fromkeys(
        ("micro_f1", "macro_f1", "samples_f1", "hamming_loss", "subset_accuracy"), 0.5
    ) | dict.fromkeys(("P@1", "R@5", "RP@5", "nDCG@5", "macro_f1_present"), 0.25)
    scores, truth = scored()
    truth[:, 4:] = 0.0
    test = {
        "documents": 40,
        "threshold": "half",
        "metrics": metrics,
        "metrics_at_half": metrics,
        "unseen_labels": {},
        "truncated_documents": 0,
        "groups": measure_groups(Predictions.of_all(scores, truth), COUNTS),
    }
    for labels in (1000, 999):
        results = {"corpus": "c", "labels": labels, "split": "file", "test": test}
        print_results(results, workdir="w")
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        assert ("zero-shot, none" in shown) == (labels == 1000)
        assert ("few, 1 to 49" in shown) == (labels == 1000)
