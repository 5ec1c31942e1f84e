"""The worth of a label graph: found where it is planted, none where it is shuffled."""

import numpy as np
import pytest

from labelgraph_jax.predictors.graph_choice import (
    NONE,
    Way,
    choose_graph,
    graph_ways,
    messages_of,
)

D, GROUPS, EACH = 60, 8, 6
LABELS = GROUPS * EACH
DOCUMENTS = 100


def planted(documents: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Labels of one group have nearly one vector; each label has few documents."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(GROUPS, D))
    truth = np.repeat(centres, EACH, axis=0) + 0.3 * rng.normal(size=(LABELS, D))
    group = rng.integers(0, GROUPS, documents)
    vectors = centres[group] + 1.2 * rng.normal(size=(documents, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = vectors @ truth.T / np.linalg.norm(truth, axis=1)
    targets = (scores > 0.5) & (rng.random(scores.shape) < 0.8)
    pairs = [(g * EACH + i, g * EACH) for g in range(GROUPS) for i in range(1, EACH)]
    return vectors.astype(np.float32), targets, np.asarray(pairs)


WAYS = [Way("free"), Way("free + message", "taxonomy")]


def test_a_graph_that_must_help_is_chosen() -> None:
    vectors, targets, pairs = planted(DOCUMENTS)
    silent = np.zeros((LABELS, D), np.float32)
    choice = choose_graph(vectors, targets, silent, parents=pairs, ways=WAYS)
    assert choice.kind == "free + message, taxonomy"
    assert choice.gains[choice.kind]["macro_f1"].low > 0
    assert "free + message, taxonomy: macro-F1 +" in choice.said


def test_where_the_graph_is_shuffled_the_answer_is_none() -> None:
    vectors, targets, pairs = planted(DOCUMENTS)
    shuffled = np.random.default_rng(3).permutation(LABELS)[pairs]
    silent = np.zeros((LABELS, D), np.float32)
    choice = choose_graph(vectors, targets, silent, parents=shuffled, ways=WAYS)
    assert choice.kind == NONE
    assert choice.said.startswith("none")


def test_names_are_told_apart_from_messages() -> None:
    """Vectors of names help; messages over a shuffled graph add nothing to them."""
    vectors, targets, pairs = planted(DOCUMENTS)
    names = np.stack([vectors[row].mean(axis=0) for row in targets.T])
    ways = [Way("free"), Way("features"), Way("features + message", "taxonomy")]
    shuffled = np.random.default_rng(3).permutation(LABELS)[pairs]
    choice = choose_graph(vectors, targets, names, parents=shuffled, ways=ways)
    assert choice.gains["features"]["macro_f1"].low > 0
    message = choice.message_gains["features + message, taxonomy"]["macro_f1"]
    assert message.low < 0
    assert choice.strengths["features"] == choice.strengths[ways[2].name]


def test_messages_are_shares_and_count_only_the_documents_given() -> None:
    targets = np.array([[1, 1, 0], [1, 0, 0]], float)
    found = messages_of(targets, np.zeros((3, 2)), np.array([[1, 0]]))
    assert list(found) == ["co-occurrence", "taxonomy", "names"]
    for message in found.values():
        np.testing.assert_allclose(message.sum(axis=1), 1)
    np.testing.assert_allclose(found["co-occurrence"][0], [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(found["taxonomy"][2], [0, 0, 1])


def test_the_ways_are_those_that_names_and_taxonomy_allow() -> None:
    names = [way.name for way in graph_ways(names=False, taxonomy=False)]
    assert names == [NONE, "free + message, co-occurrence"]
    every = [way.name for way in graph_ways(names=True, taxonomy=True)]
    assert len(every) == 15 and "features + message, all of them" in every


@pytest.mark.parametrize(
    ("documents", "labels", "message"),
    [(19, 1, "at least 20 labelled documents, got 19"), (30, 0, "must carry a label")],
)
def test_too_little_is_refused(documents: int, labels: int, message: str) -> None:
    targets = np.full((documents, 2), labels)
    vectors = np.ones((documents, 3))
    with pytest.raises(ValueError, match=message):
        choose_graph(vectors, targets, np.zeros((2, 3)))
