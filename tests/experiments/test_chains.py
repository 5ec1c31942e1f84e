"""Classifier chains over TF-IDF: scikit-learn's, chosen and thresholded as the SVMs."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multioutput import ClassifierChain
from sklearn.svm import LinearSVC

from experiments.tables.chains import label_orders, tfidf_chain_baseline
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.runs.baseline import CONSTANT_SCORE, PARTS, tfidf_svm_baseline

WORDS = ("wheat", "crude", "silver")


def corpus(documents, seed=0):
    """Each label has its word; the last one always comes with the first, wordless."""
    rng = np.random.default_rng(seed)
    targets = rng.random((documents, 4)) < [0.3, 0.5, 0.2, 0.0]
    targets[:, 3] = targets[:, 0]
    texts = []
    for row in targets:
        filler = rng.choice(["market", "price", "today", "trade", "week"], 5)
        own = [word for word, is_there in zip(WORDS, row[:3], strict=True) if is_there]
        texts.append(" ".join(rng.permutation([*filler, *own])))
    return texts, targets.astype(np.float32)


def fitted(baseline=tfidf_chain_baseline, **options):
    train, validation, test = corpus(80), corpus(40, 1), corpus(30, 2)
    result = baseline(
        *train,
        test[0],
        validation_texts=validation[0],
        validation_targets=validation[1],
        **options,
    )
    return result, test[1]


@pytest.mark.parametrize("chains", [1, 3])
def test_labels_that_a_word_or_a_label_gives_away_are_found_by_both_rows(chains):
    result, truth = fitted(chains=chains)
    for row in (result.at_zero, result.tuned):
        metrics = evaluate_scores(row.test_scores, truth, row.thresholds)
        assert metrics["micro_f1"] > 0.95
        assert row.test_scores.shape == (30, 4)
        assert row.validation_scores.shape == (40, 4)
        assert row.test_scores.dtype == row.thresholds.dtype == np.float32
    np.testing.assert_array_equal(result.at_zero.thresholds, 0)
    assert {c for _, c in result.tried} == {1.0, 2.0, 4.0, 8.0}
    assert PARTS in {reads for reads, _ in result.tried}
    assert result.seconds > 0


def test_scores_are_those_of_scikit_learns_chain_and_decide_as_it_predicts():
    (texts, targets), (test, _) = corpus(60), corpus(20, 3)
    result = tfidf_chain_baseline(texts, targets, test, c_choices=(1.0,))
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    order = np.argsort(-targets.sum(axis=0), kind="stable")
    chain = ClassifierChain(LinearSVC(C=1.0, random_state=0), order=order)
    chain.fit(vectorizer.fit_transform(texts), targets)
    expected = chain.decision_function(vectorizer.transform(test))
    scores = result.at_zero.test_scores
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    clear = np.abs(expected) > 1e-2
    predicted = chain.predict(vectorizer.transform(test)) > 0
    np.testing.assert_array_equal((scores >= 0)[clear], predicted[clear])
    assert clear.mean() > 0.9


def test_a_chain_differs_from_independent_svms_only_after_its_first_label():
    (texts, targets), (test, _) = corpus(60), corpus(20, 3)
    options = {"c_choices": (1.0,)}
    chain = tfidf_chain_baseline(texts, targets, test, **options).at_zero.test_scores
    alone = tfidf_svm_baseline(texts, targets, test, **options).at_zero.test_scores
    first, *later = np.argsort(-targets.sum(axis=0), kind="stable")
    np.testing.assert_allclose(chain[:, first], alone[:, first], atol=1e-3)
    assert np.abs(chain[:, later] - alone[:, later]).max() > 0.1


def test_an_ensemble_is_the_mean_of_its_chains_and_repeats_with_its_seed():
    (texts, targets), (test, _) = corpus(40), corpus(10, 3)

    def scores(chains, seed=0):
        result = tfidf_chain_baseline(
            texts, targets, test, chains=chains, c_choices=(1.0,), seed=seed
        )
        return result.at_zero.test_scores

    np.testing.assert_array_equal(scores(3), scores(3))
    assert (scores(3) != scores(1)).any()
    orders = label_orders(targets, 3, seed=0)
    np.testing.assert_array_equal(orders[0], label_orders(targets, 1, seed=5)[0])
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders[0].tolist() == np.argsort(-targets.sum(0), kind="stable").tolist()


def test_a_label_of_no_or_every_training_document_stands_outside_the_chain():
    texts, targets = corpus(40)
    targets[:, 0], targets[:, 1] = 0, 1
    scores = tfidf_chain_baseline(texts, targets, texts).at_zero.test_scores
    np.testing.assert_array_equal(scores[:, 0], -CONSTANT_SCORE)
    np.testing.assert_array_equal(scores[:, 1], CONSTANT_SCORE)
    assert (scores[:, 2] != scores[0, 2]).any()
    targets[:] = 0
    scores = tfidf_chain_baseline(texts, targets, texts).at_zero.test_scores
    np.testing.assert_array_equal(scores, -CONSTANT_SCORE)


def test_no_test_document_at_all_is_scored_too():
    texts, targets = corpus(40)
    nothing = tfidf_chain_baseline(texts, targets, [])
    assert nothing.tuned.test_scores.shape == (0, 4)


def test_bad_input_is_refused_in_one_sentence():
    texts, targets = corpus(5)
    with pytest.raises(ValueError, match="chains must be at least 1, got 0"):
        tfidf_chain_baseline(texts, targets, texts, chains=0)
    with pytest.raises(ValueError, match=r"train targets .* \(5, 4\), got \(4, 4\)"):
        tfidf_chain_baseline(texts, targets[:4], texts)
    mask = np.ones((5, 4), bool)
    mask[0, :2] = False
    with pytest.raises(ValueError, match=r"reads every label .* 2 of them are not"):
        tfidf_chain_baseline(texts, targets, texts, train_target_mask=mask)
    with pytest.raises(ValueError, match=r"c_choices must be .* above 0, got \[0\]"):
        tfidf_chain_baseline(texts, targets, texts, c_choices=(0,))


def test_a_chain_needs_every_annotation_of_its_training_documents():
    mask = np.array([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"every label .* 1 of them are not annotated"):
        tfidf_chain_baseline(
            ["alpha", "beta"], np.eye(2), ["alpha"], train_target_mask=mask
        )
