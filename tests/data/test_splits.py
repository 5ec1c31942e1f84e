"""Splits: no document twice, exact sizes, every label in proportion."""

import time

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.splits import complete_splits, iterative_stratification
from tests.reference import stratification as reference


def skewed_targets(count: int, labels: int, seed: int = 0) -> np.ndarray:
    """Few frequent labels and many rare ones; documents without any, too."""
    chances = 0.5 / (np.arange(labels) + 1.0)
    return np.random.default_rng(seed).random((count, labels)) < chances


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    labels=st.integers(1, 8),
    fractions=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4),
    seed=st.integers(0, 100),
)
def test_subsets_are_all_rows_each_once_in_exact_sizes(
    count: int, labels: int, fractions: list[float], seed: int
) -> None:
    targets = skewed_targets(count, labels, seed)
    subsets = iterative_stratification(targets, fractions, seed)
    assert sorted(np.concatenate(subsets)) == list(range(count))
    for subset, fraction in zip(subsets, fractions, strict=True):
        assert abs(len(subset) - fraction / sum(fractions) * count) < 1
        assert list(subset) == sorted(subset)


def test_round_fractions_give_round_sizes() -> None:
    subsets = iterative_stratification(skewed_targets(1000, 5), [0.7, 0.1, 0.2], 0)
    assert [len(subset) for subset in subsets] == [700, 100, 200]


def test_the_same_seed_gives_the_same_subsets_and_another_seed_others() -> None:
    targets = skewed_targets(300, 10)
    one, same, other = (
        iterative_stratification(targets, [0.8, 0.2], seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one[1], same[1])
    assert one[1].tolist() != other[1].tolist()


def test_sparse_and_dense_targets_give_the_same_subsets() -> None:
    targets = skewed_targets(200, 10)
    sparse = scipy.sparse.csr_array(targets)
    for one, other in zip(
        iterative_stratification(targets, [0.8, 0.2], 1),
        iterative_stratification(sparse, [0.8, 0.2], 1),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_labels_are_shared_out_as_well_as_by_the_papers_loop() -> None:
    targets = skewed_targets(400, 20)
    label_sets = [set(np.flatnonzero(row)) for row in targets]
    fractions = [0.7, 0.1, 0.2]

    def error(subsets: list[list[int]]) -> float:
        return reference.label_distribution_error(label_sets, subsets)

    ours = np.mean(
        [
            error([s.tolist() for s in iterative_stratification(targets, fractions, i)])
            for i in range(5)
        ]
    )
    papers = np.mean(
        [
            error(reference.iterative_stratification(label_sets, fractions, i))
            for i in range(5)
        ]
    )
    chance = np.random.default_rng(0)
    random = np.mean(
        [
            error(np.split(chance.permutation(400), [280, 320]))  # type: ignore[arg-type]
            for _ in range(5)
        ]
    )
    assert ours < 1.1 * papers
    assert ours < 0.5 * random


def test_documents_without_labels_are_spread_too() -> None:
    targets = np.zeros((100, 2), bool)
    targets[:50, 0] = True
    for subset in iterative_stratification(targets, [0.6, 0.4], 0):
        assert abs(int((subset < 50).sum()) - len(subset) / 2) <= 1


def test_a_label_with_a_single_document_goes_to_the_first_subset() -> None:
    targets = np.zeros((40, 11), bool)
    targets[np.arange(10), np.arange(10)] = True
    targets[:, 10] = True
    for seed in range(5):
        first, _ = iterative_stratification(targets, [0.5, 0.5], seed)
        assert set(range(10)) <= set(first.tolist())


def test_more_single_documents_than_room_still_give_exact_sizes() -> None:
    subsets = iterative_stratification(np.eye(10, dtype=bool), [0.5, 0.5], 0)
    assert [len(subset) for subset in subsets] == [5, 5]


def test_no_label_at_all_is_a_random_split() -> None:
    subsets = iterative_stratification(np.zeros((10, 0)), [0.5, 0.5], 0)
    assert [len(subset) for subset in subsets] == [5, 5]
    assert subsets[0].tolist() != list(range(5))


def test_a_hundred_thousand_documents_take_seconds() -> None:
    targets = skewed_targets(100_000, 100)
    start = time.perf_counter()
    iterative_stratification(targets, [0.7, 0.1, 0.2], 0)
    # 0.3 s on an idle machine; the plain loop takes minutes.
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("fractions", [[], [0.5, 0.0], [0.5, -1.0], [float("nan")]])
def test_impossible_fractions_are_told(fractions: list[float]) -> None:
    with pytest.raises(DataError, match="must be positive numbers; got "):
        iterative_stratification(np.ones((3, 1)), fractions, 0)


def corpus_of(count: int, **splits: tuple[Document, ...]) -> Corpus:
    targets = skewed_targets(count, 6)
    train = tuple(
        Document(str(i), f"text {i}", tuple(f"l{j}" for j in np.flatnonzero(row)))
        for i, row in enumerate(targets)
    )
    return Corpus("mine", train, **splits)


def complete(corpus: Corpus, validation: float = 0.1, test: float = 0.2) -> Corpus:
    return complete_splits(
        corpus, validation_fraction=validation, test_fraction=test, seed=3
    )


def test_missing_splits_are_cut_off_training_and_the_notes_say_so() -> None:
    corpus = corpus_of(100)
    cut = complete(corpus)
    assert [len(documents) for documents in cut.splits.values()] == [70, 10, 20]
    every = [d.id for documents in cut.splits.values() for d in documents]
    assert sorted(every) == sorted(d.id for d in corpus.train)
    assert cut.notes == (
        "no validation split was given: 10 of the 100 training documents were cut off "
        "for it (iterative stratification, seed 3)",
        "no test split was given: 20 of the 100 training documents were cut off "
        "for it (iterative stratification, seed 3)",
    )
    assert complete(corpus) == cut


def test_a_given_split_is_left_alone() -> None:
    given = (Document("t", "held out", ("l0",)),)
    corpus = corpus_of(50, test=given)
    cut = complete(corpus)
    assert cut.test == given
    assert (len(cut.train), len(cut.validation)) == (45, 5)
    assert len(cut.notes) == 1
    assert complete(cut) is cut


def test_a_fraction_of_zero_leaves_the_split_empty() -> None:
    cut = complete(corpus_of(50), validation=0.0)
    assert (len(cut.train), len(cut.validation), len(cut.test)) == (40, 0, 10)


def test_identical_texts_stay_together() -> None:
    train = tuple(
        Document(str(i), f"text {i // 3}", ("a",) if i % 3 else ("b",))
        for i in range(150)
    )
    cut = complete(Corpus("mine", train))
    texts = [{d.text for d in documents} for documents in cut.splits.values()]
    assert sum(len(t) for t in texts) == len(set.union(*texts)) == 50
    assert sum(len(documents) for documents in cut.splits.values()) == 150


def test_labels_of_tasks_are_stratified() -> None:
    train = tuple(
        Document(str(i), f"text {i}", (), {"t": ("a",) if i < 40 else None})
        for i in range(200)
    )
    cut = complete(Corpus("mine", train))
    counts = [sum(int(d.id) < 40 for d in s) for s in cut.splits.values()]
    assert counts == [28, 4, 8]


def test_a_label_given_twice_to_a_document_counts_once() -> None:
    train = tuple(Document(str(i), f"text {i}", ("a", "a", "b")) for i in range(10))
    cut = complete(Corpus("mine", train))
    assert [len(documents) for documents in cut.splits.values()] == [7, 1, 2]


def test_a_tiny_corpus_gets_one_document_for_each_split() -> None:
    cut = complete(corpus_of(3))
    assert [len(documents) for documents in cut.splits.values()] == [1, 1, 1]


def test_impossible_cuts_are_told() -> None:
    with pytest.raises(
        DataError,
        match="mine: cutting off the validation and test split needs at least 3 "
        "documents of different text; got 2",
    ):
        complete(corpus_of(2))
    with pytest.raises(
        DataError, match=r"must leave something to train on; got 0\.5 and"
    ):
        complete(corpus_of(9), validation=0.5, test=0.5)
    with pytest.raises(DataError, match="test_fraction must be at least 0 and below 1"):
        complete(corpus_of(9), test=1.5)
