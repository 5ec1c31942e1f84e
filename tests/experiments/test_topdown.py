"""SVMs down a taxonomy: where they are fitted, and how their distances combine."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from experiments.tables.topdown import inner_nodes, tfidf_top_down_baseline
from labelgraph_jax.runs.baseline import CONSTANT_SCORE, tfidf_svm_baseline

NAMES = ("wheat", "maize", "crude", "peace")
PARENTS = {"wheat": ("grain",), "maize": ("grain",), "crude": ("goods",)}
PARENTS |= {"grain": ("goods",)}


def corpus(documents, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((documents, 4)) < [0.3, 0.3, 0.3, 0.2]
    texts = []
    for row in targets:
        filler = rng.choice(["market", "price", "today", "trade", "week"], 5)
        own = [word for word, is_there in zip(NAMES, row, strict=True) if is_there]
        texts.append(" ".join(rng.permutation([*filler, *own])))
    return texts, targets


def test_a_node_is_carried_with_what_lies_below_it_and_stands_behind_its_parents():
    targets = np.eye(4, dtype=bool)
    inner, carried = inner_nodes(NAMES, targets, PARENTS)
    assert inner == ["goods", "grain"]
    assert carried["grain"].tolist() == [True, True, False, False]
    assert carried["goods"].tolist() == [True, True, True, False]
    assert carried["peace"].tolist() == [False, False, False, True]


def test_scores_are_the_least_distances_on_the_way_down():
    (texts, targets), (test, _) = corpus(80), corpus(20, 3)
    found = tfidf_top_down_baseline(
        texts, targets, test, names=NAMES, parents=PARENTS, c_choices=(1.0,)
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    train, asked = vectorizer.fit_transform(texts), vectorizer.transform(test)

    def distances(truth, known):
        svm = LinearSVC(C=1.0, random_state=0).fit(train[known], truth[known])
        return svm.decision_function(asked)

    everyone = np.ones(80, bool)
    grain, goods = targets[:, :2].any(axis=1), targets[:, :3].any(axis=1)
    to_goods = distances(goods, everyone)
    to_grain = np.minimum(to_goods, distances(grain, goods))
    expected = [
        np.minimum(to_grain, distances(targets[:, 0], grain)),
        np.minimum(to_grain, distances(targets[:, 1], grain)),
        np.minimum(to_goods, distances(targets[:, 2], goods)),
        distances(targets[:, 3], everyone),
    ]
    np.testing.assert_allclose(
        found.at_zero.test_scores, np.stack(expected, axis=1), atol=1e-4
    )


def test_a_label_that_is_also_above_others_has_an_svm_of_its_own():
    texts, targets = corpus(60)
    parents = {"maize": ("wheat",)}
    found = tfidf_top_down_baseline(
        texts, targets, texts, names=NAMES, parents=parents, c_choices=(4.0,)
    )
    decided = found.at_zero.test_scores > 0
    alone = targets[:, 1] & ~targets[:, 0]
    assert alone.any() and not decided[alone, 0].any()  # maize is no wheat as given
    assert decided[alone, 1].all()


def test_without_a_taxonomy_it_is_one_svm_per_label():
    (texts, targets), (test, _) = corpus(60), corpus(20, 3)
    found = tfidf_top_down_baseline(
        texts, targets, test, names=NAMES, parents={}, c_choices=(1.0,)
    )
    flat = tfidf_svm_baseline(texts, targets, test, c_choices=(1.0,))
    np.testing.assert_array_equal(found.at_zero.test_scores, flat.at_zero.test_scores)


def test_a_group_without_documents_is_never_passed():
    texts, targets = corpus(40)
    targets = targets.copy()
    targets[:, :2] = False
    found = tfidf_top_down_baseline(
        texts, targets, texts, names=NAMES, parents=PARENTS, c_choices=(1.0,)
    )
    np.testing.assert_array_equal(found.at_zero.test_scores[:, :2], -CONSTANT_SCORE)


def test_what_is_not_annotated_is_refused():
    texts, targets = corpus(20)
    mask = np.ones(targets.shape, bool)
    mask[0, 0] = False
    with pytest.raises(ValueError, match="1 of them are not annotated"):
        tfidf_top_down_baseline(
            texts,
            targets,
            texts,
            names=NAMES,
            parents=PARENTS,
            train_target_mask=mask,
        )
