import numpy as np
import pytest

from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.runs.baseline import CONSTANT_SCORE, PARTS, tfidf_svm_baseline
from labelgraph_jax.runs.baseline import WORDS as WORDS_ALONE

WORDS = ("wheat", "crude", "silver")


def corpus(documents, seed=0):
    """Texts in which a label's own word says that the document carries the label."""
    rng = np.random.default_rng(seed)
    targets = rng.random((documents, len(WORDS))) < 0.4
    texts = []
    for row in targets:
        filler = rng.choice(["market", "price", "today", "trade", "week"], 5)
        own = [word for word, is_there in zip(WORDS, row, strict=True) if is_there]
        texts.append(" ".join(rng.permutation([*filler, *own])))
    return texts, targets.astype(np.float32)


def fitted(**options):
    train, validation, test = corpus(80), corpus(40, 1), corpus(30, 2)
    result = tfidf_svm_baseline(
        *train,
        test[0],
        validation_texts=validation[0],
        validation_targets=validation[1],
        **options,
    )
    return result, test[1]


def test_labels_that_a_word_gives_away_are_found_by_both_rows():
    result, truth = fitted()
    for row in (result.at_zero, result.tuned):
        metrics = evaluate_scores(row.test_scores, truth, row.thresholds)
        assert metrics["micro_f1"] > 0.95
        assert row.test_scores.shape == (30, 3)
        assert row.validation_scores.shape == (40, 3)
        assert row.test_scores.dtype == row.thresholds.dtype == np.float32
    np.testing.assert_array_equal(result.at_zero.thresholds, 0)
    assert result.seconds > 0
    assert result.features > 5


def test_each_row_has_the_first_of_the_best_c_of_its_own_rule():
    result, _ = fitted(c_choices=(1e-4, 1.0, 1.000001))
    assert list(result.tried) == [
        (reads, c) for reads in (WORDS_ALONE, PARTS) for c in (1e-4, 1.0, 1.000001)
    ]
    weak, first, second, *_ = result.tried.values()
    assert weak[0] < first[0] == second[0]
    assert result.at_zero.c == 1.0
    best = max(tuned for _, tuned in result.tried.values())
    chosen = result.tuned.reads, result.tuned.c
    assert result.tried[chosen][1] == best >= first[0]


def test_parts_of_words_are_read_where_validation_says_so():
    stems = ("wheat", "silver", "banking")
    endings = {"train": ("d", "s"), "validation": ("r",), "test": ("rs",)}
    rng = np.random.default_rng(0)
    parts = {}
    for name, own in endings.items():
        targets = rng.random((60, 3)) < 0.5
        parts[name] = (
            targets,
            [
                " ".join(
                    [
                        "the",
                        "file",
                        *(
                            s + rng.choice(own)
                            for s, y in zip(stems, row, strict=True)
                            if y
                        ),
                    ]
                )
                for row in targets
            ],
        )
    result = tfidf_svm_baseline(
        *parts["train"][::-1],
        parts["test"][1],
        validation_texts=parts["validation"][1],
        validation_targets=parts["validation"][0],
    )
    tuned = result.tuned
    assert tuned.reads == result.at_zero.reads == PARTS
    found = evaluate_scores(tuned.test_scores, parts["test"][0], tuned.thresholds)
    assert found["micro_f1"] > 0.95
    alone = [f for (reads, _), (_, f) in result.tried.items() if reads == WORDS_ALONE]
    assert max(alone) < 0.8


def test_texts_of_scripts_without_blanks_and_of_signs_are_read():
    texts = ["小麦价格上涨", "石油价格上涨", "小麦出口", "石油出口"] * 4
    signs = ["C 🌾", "C++ ⛽", "C 🌾🌾", "C++ ⛽⛽"] * 4
    targets = np.tile(np.eye(2, dtype=np.float32), (8, 1))
    for train, test in ((texts, ["小麦", "石油"]), (signs, ["C", "C++"])):
        scores = tfidf_svm_baseline(train, targets, test).at_zero.test_scores
        np.testing.assert_array_equal(scores > 0, np.eye(2, dtype=bool))
    assert (
        tfidf_svm_baseline(["小", "油"], np.eye(2), ["小"]).tuned.reads == WORDS_ALONE
    )


def test_the_same_seed_gives_the_same_scores():
    first, second = fitted()[0], fitted()[0]
    np.testing.assert_array_equal(first.tuned.test_scores, second.tuned.test_scores)


def test_scores_are_those_of_scikit_learns_own_one_vs_rest():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    (texts, targets), (test, _) = corpus(60), corpus(20, 3)
    result = tfidf_svm_baseline(texts, targets, test, c_choices=(1.0,))
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    svm = OneVsRestClassifier(LinearSVC(C=1.0, random_state=0))
    svm.fit(vectorizer.fit_transform(texts), targets)
    expected = svm.decision_function(vectorizer.transform(test))
    np.testing.assert_allclose(result.at_zero.test_scores, expected, atol=1e-3)


def test_a_label_of_no_or_every_training_document_gets_a_constant_score():
    texts, targets = corpus(40)
    targets[:, 0], targets[:, 1] = 0, 1
    scores = tfidf_svm_baseline(texts, targets, texts).at_zero.test_scores
    np.testing.assert_array_equal(scores[:, 0], -CONSTANT_SCORE)
    np.testing.assert_array_equal(scores[:, 1], CONSTANT_SCORE)
    assert (scores[:, 2] != scores[0, 2]).any()


def test_without_validation_the_first_c_is_taken_and_decisions_are_at_zero():
    texts, targets = corpus(40)
    result = tfidf_svm_baseline(texts, targets, texts[:7], c_choices=(2.0, 1.0))
    assert result.tried == {}
    assert result.tuned is result.at_zero
    assert result.tuned.c == 2.0
    assert result.tuned.validation_scores.shape == (0, 3)
    np.testing.assert_array_equal(result.tuned.thresholds, 0)


def test_a_refit_sees_the_validation_documents_but_the_thresholds_do_not_change():
    alone, again = fitted()[0].tuned, fitted(refit_with_validation=True)[0].tuned
    assert (alone.test_scores != again.test_scores).any()
    np.testing.assert_array_equal(alone.thresholds, again.thresholds)
    np.testing.assert_array_equal(alone.validation_scores, again.validation_scores)


def test_an_unknown_or_empty_test_document_is_scored_all_the_same():
    texts, targets = corpus(40)
    scores = tfidf_svm_baseline(texts, targets, ["", "zzz unheard"]).tuned.test_scores
    np.testing.assert_array_equal(*scores)
    assert np.isfinite(scores).all()
    nothing = tfidf_svm_baseline(texts, targets, [])
    assert nothing.tuned.test_scores.shape == (0, 3)


def test_texts_that_share_no_word_still_train():
    result = tfidf_svm_baseline(["alpha", "beta"], np.eye(2), ["alpha"])
    alpha, beta = result.tuned.test_scores[0]
    assert alpha > beta


def test_bad_input_is_refused_in_one_sentence():
    texts, targets = corpus(5)
    with pytest.raises(ValueError, match="at least one training text"):
        tfidf_svm_baseline([], np.zeros((0, 3)), texts)
    with pytest.raises(ValueError, match=r"train targets .* \(5, 3\), got \(4, 3\)"):
        tfidf_svm_baseline(texts, targets[:4], texts)
    with pytest.raises(ValueError, match=r"validation targets .* \(5, 3\), got \(0, 3"):
        tfidf_svm_baseline(texts, targets, texts, validation_texts=texts)
    with pytest.raises(ValueError, match=r"c_choices must be .* above 0, got \[0\]"):
        tfidf_svm_baseline(texts, targets, texts, c_choices=(0,))
    with pytest.raises(ValueError, match="no training text holds a word"):
        tfidf_svm_baseline(["", "?"], np.eye(2), texts)


def test_what_is_not_annotated_never_matters_to_the_baseline():
    texts, targets = corpus(80)
    validation, truth = corpus(40, 1)
    mask, validation_mask = (
        np.random.default_rng(seed).random(y.shape) < 0.6
        for seed, y in enumerate((targets, truth))
    )
    # Of the documents that are annotated for silver, all carry it.
    mask[:, 2] = targets[:, 2] > 0

    def rows(what, refit):
        result = tfidf_svm_baseline(
            texts,
            np.where(mask, targets, what),
            validation,
            validation_texts=validation,
            validation_targets=np.where(validation_mask, truth, what),
            train_target_mask=mask,
            validation_target_mask=validation_mask,
            refit_with_validation=refit,
        )
        return result.at_zero, result.tuned

    for refit in (False, True):
        known = rows(0.0, refit)
        for what in (1.0, np.nan):
            for one, other in zip(known, rows(what, refit), strict=True):
                assert one.c == other.c
                np.testing.assert_array_equal(one.thresholds, other.thresholds)
                np.testing.assert_array_equal(one.test_scores, other.test_scores)
    plain = rows(0.0, False)[0]
    assert (plain.test_scores[:, 2] == CONSTANT_SCORE).all()
    wheat = evaluate_scores(
        plain.test_scores[:, :1], truth[:, :1], plain.thresholds[:1]
    )
    assert wheat["micro_f1"] > 0.9


def test_masks_that_are_true_everywhere_change_nothing_in_the_baseline():
    given = fitted(
        train_target_mask=np.ones((80, 3), bool),
        validation_target_mask=np.ones((40, 3), bool),
    )[0]
    plain = fitted()[0]
    np.testing.assert_array_equal(given.tuned.test_scores, plain.tuned.test_scores)
    np.testing.assert_array_equal(given.tuned.thresholds, plain.tuned.thresholds)
