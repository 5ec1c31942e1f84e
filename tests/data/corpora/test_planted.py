"""A corpus whose label graph is known."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from labelgraph_jax.data.corpora import corpus_names, is_corpus, load_corpus
from labelgraph_jax.data.corpora.planted import Planted, plant
from labelgraph_jax.data.corpora.planted_settings import PlantedSpec, read_spec
from labelgraph_jax.data.corpora.planted_words import made_texts, made_words
from labelgraph_jax.data.documents import DataError

SMALL = PlantedSpec(labels=60, documents=600, validation=40, test=200, community=10)


@pytest.fixture(scope="module")
def small() -> Planted:
    return plant(SMALL)


def test_the_same_spec_draws_the_same_corpus(small: Planted) -> None:
    again = plant(SMALL)
    assert again.corpus == small.corpus
    assert plant(dataclasses.replace(SMALL, seed=1)).corpus != small.corpus
    assert [len(d) for d in small.corpus.splits.values()] == [600, 40, 200]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 90),
    st.integers(2, 30),
    st.sampled_from([2, 4, 6]),
    st.integers(0, 9),
)
def test_every_label_has_a_neighbour_and_every_edge_stands_once(
    labels: int, community: int, neighbours: int, seed: int
) -> None:
    planted = plant(
        PlantedSpec(
            labels=labels,
            documents=3,
            validation=0,
            test=0,
            community=community,
            neighbours=neighbours,
            seed=seed,
        )
    )
    edges = planted.edges
    assert (edges[:, 0] < edges[:, 1]).all() and edges.max() < labels
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert set(edges.ravel().tolist()) == set(range(labels))
    assert len(edges) <= labels * neighbours / 2 + labels


def test_labels_are_as_frequent_as_the_power_law_says_at_every_step() -> None:
    spec = PlantedSpec(labels=20, documents=40_000, validation=0, test=0, words=1)
    for walk in (0, 3):
        planted = plant(dataclasses.replace(spec, walk=walk))
        share = planted.label_sets.sum(axis=0) / spec.documents
        if walk == 0:
            np.testing.assert_allclose(share, planted.frequencies, atol=0.01)
        else:  # a step changes no frequency, so sets can only add labels up
            assert (share <= (walk + 1) * planted.frequencies + 0.01).all()
            assert (np.diff(planted.frequencies) < 0).all()


def test_labels_that_occur_together_are_near_in_the_graph(small: Planted) -> None:
    count = SMALL.labels
    sets = small.label_sets.astype(np.int64)
    together = (sets.T @ sets).toarray()
    np.fill_diagonal(together, 0)
    edge = np.zeros((count, count), bool)
    edge[small.edges[:, 0], small.edges[:, 1]] = True
    strongest = np.argsort(-np.triu(together), axis=None)[: len(small.edges) // 2]
    precision = edge.ravel()[strongest].mean()
    density = edge.sum() / (count * (count - 1) / 2)
    assert precision > 0.6 > 8 * density


def rare_recall(planted: Planted, edges: np.ndarray) -> tuple[float, float]:
    """Recall within the first five of labels with 1 to 4 training documents.

    They are ranked by the cosine with the labels' means, and with their neighbours'
    mixed in.
    """
    spec = planted.spec
    rows, first = len(planted.word_starts) - 1, spec.documents
    words = sparse.csr_array(
        (np.ones(len(planted.word_numbers)), planted.word_numbers, planted.word_starts),
        shape=(rows, spec.vocabulary),
        copy=True,
    )
    words.sum_duplicates()
    words = unit(words)
    truth = planted.label_sets.astype(float)
    counts = truth[:first].sum(axis=0)
    ends = np.concatenate([edges, edges[:, ::-1]]).T
    graph = sparse.csr_array((np.ones(ends.shape[1]), ends), shape=(spec.labels,) * 2)
    graph = sparse.diags_array(1 / graph.sum(axis=1).clip(1)) @ graph
    alone = unit(truth[:first].T @ words[:first])
    rare = (counts >= 1) & (counts <= 4)
    positive = truth[first + spec.validation :].toarray()[:, rare] > 0
    found = []
    for vectors in (alone, unit(alone + 0.5 * (graph @ alone))):
        scores = (words[first + spec.validation :] @ vectors.T).toarray()
        best = np.argsort(-scores, axis=1)[:, :5]
        hit = np.zeros(scores.shape, bool)
        np.put_along_axis(hit, best, True, axis=1)
        found.append(float((hit[:, rare] & positive).sum() / positive.sum()))
    return found[0], found[1]


def unit(rows):
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    return sparse.diags_array(1 / np.where(lengths == 0, 1, lengths)) @ rows


def test_the_planted_graph_helps_rare_labels_and_a_random_one_does_not() -> None:
    planted = plant(PlantedSpec())
    alone, with_graph = rare_recall(planted, planted.edges)
    shuffled = np.random.default_rng(1).permutation(planted.spec.labels)[planted.edges]
    _, with_other = rare_recall(planted, shuffled)
    # The numbers that the module's text states.
    assert round(alone, 3) == 0.369
    assert round(with_graph, 3) == 0.439
    assert abs(with_other - alone) < 0.02


def test_features_hold_the_counts_of_the_words_of_the_text(small: Planted) -> None:
    corpus = plant(dataclasses.replace(SMALL, form="features")).corpus
    for document, text in zip(corpus.test, small.corpus.test, strict=True):
        assert document.labels == text.labels and document.text == ""
        assert document.features is not None
        words = dict(
            zip(
                made_words(document.features.ids), document.features.values, strict=True
            )
        )
        assert words == {w: text.text.split().count(w) for w in text.text.split()}


def test_made_words_are_as_many_as_their_numbers() -> None:
    words = made_words(np.arange(20_000))
    assert len(set(words)) == 20_000 and {len(word) for word in words} == {8}
    assert made_texts(np.array([3, 4, 3]), np.array([0, 2, 2, 3])) == [
        f"{words[3]} {words[4]}",
        "",
        words[3],
    ]
    with pytest.raises(DataError, match="100,000,000 made words; got number 100,000,0"):
        made_words(np.array([10**8]))


def test_it_is_loaded_by_name_with_its_settings() -> None:
    name = "planted:labels=9,documents=30,validation=4,test=5,shared=0.1,form=features"
    assert is_corpus(name) and "planted" in corpus_names() and not is_corpus("plant")
    corpus = load_corpus(name)
    assert [len(d) for d in corpus.splits.values()] == [30, 4, 5]
    assert corpus.train[0].features is not None
    assert load_corpus("planted", protocol=name.partition(":")[2]) == corpus
    assert len(corpus.candidate_labels) == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label=3", "no setting 'label'; the nearest is 'labels'"),
        ("labels=x", "labels must be a whole number, got 'x'"),
        ("shared=x", "shared must be a number, got 'x'"),
        ("labels=3,labels=4", "labels stands there twice"),
        ("labels=1", "labels must be at least 2, got 1"),
        ("documents=0", "documents must be at least 1, got 0"),
        ("neighbours=3", "neighbours must be even and 2 or more, got 3"),
        ("community=1", "community must be at least 2, got 1"),
        ("exponent=-1", r"exponent must lie in \[0, 10\), got -1.0"),
        ("shared=0.9", "must be shares that leave something to own words"),
        ("shared=nan", "must be shares that leave something to own words"),
        ("labels=9000000", "must be at most 100,000,000, got 180,001,000"),
        ("form=image", "form must be text or features, got 'image'"),
    ],
)
def test_settings_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_spec(text)
