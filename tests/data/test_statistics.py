"""Corpus statistics, problems, and writing JSONL."""

import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.problems import Problem, validate
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.readers.writers import write_jsonl
from labelgraph_jax.data.statistics import corpus_statistics

TRAIN = (
    Document("1", "wheat and corn", ("wheat", "corn")),
    Document("2", "gold", ("gold",)),
    Document("3", "nothing of note here", ()),
    Document("4", "more wheat", ("wheat",)),
    Document("5", " gold", ("gold", "wheat")),
)
TEST = (
    Document("1", "gold", ("gold",)),
    Document("2", "tin and zinc", ("tin", "zinc", "wheat")),
)
CORPUS = Corpus("metals", TRAIN, test=TEST, notes=("made by hand",))


def test_the_numbers_of_a_small_corpus_are_right() -> None:
    statistics = corpus_statistics(CORPUS)
    assert (statistics.name, statistics.documents, statistics.labels) == (
        "metals",
        7,
        5,
    )
    assert list(statistics.splits) == ["train", "test"]
    train = statistics.splits["train"]
    assert (train.documents, train.labels) == (5, 3)
    assert train.labels_per_document_mean == pytest.approx(6 / 5)
    assert train.labels_per_document_max == 2
    assert train.without_label_share == pytest.approx(1 / 5)
    assert (train.words_min, train.words_median, train.words_max) == (1, 2.0, 4)
    assert train.words_p95 == pytest.approx(3.8)
    assert train.repeated_texts == 1
    # wheat-corn, wheat-gold, tin-zinc, tin-wheat, zinc-wheat of 10 pairs
    assert statistics.cooccurrence_density == pytest.approx(0.5)
    assert statistics.rarest_labels[:2] == (("corn", 1), ("tin", 1))
    assert statistics.unseen_labels == {"test": ("tin", "zinc")}
    assert statistics.shared_texts == {"train/test": 1}
    assert statistics.notes == ("made by hand",)


def test_statistics_are_json() -> None:
    fields = corpus_statistics(CORPUS).to_json()
    assert json.loads(json.dumps(fields)) == fields
    assert fields["splits"]["test"]["documents"] == 2
    assert fields["problems"][0] == {
        "severity": "warning",
        "message": "test: 2 labels without training document, which cannot be learned,"
        " on 2 places: 'tin', 'zinc'",
    }


def test_the_problems_of_a_small_corpus_are_told_worst_first() -> None:
    assert [(p.severity, p.message) for p in validate(CORPUS)][1:] == [
        ("warning", "test: 1 text of 2 also in train (leakage): '1'"),
        (
            "warning",
            "train: 1 document with an earlier one's text (1 text under differing "
            "labels): '5'",
        ),
        ("note", "train: 1 document of 5 without label: '3'"),
        ("note", "train: 1 label with a single document: 'corn'"),
    ]


def test_a_clean_corpus_has_no_problem() -> None:
    train = tuple(
        Document(str(i), f"text {i}", pair)
        for i, pair in enumerate([("a", "b"), ("b", "c"), ("a", "c")])
    )
    assert validate(Corpus("clean", train)) == []


@pytest.mark.parametrize(
    ("corpus", "problem"),
    [
        (Corpus("c", ()), Problem("error", "there is no training document")),
        (
            Corpus("c", (Document("1", "one", ()),)),
            Problem("error", "no training document carries a label"),
        ),
        (
            Corpus("c", (Document("1", "one", ("a",)), Document("1", "two", ("a",)))),
            Problem("error", "train: 1 id given more than once: '1'"),
        ),
        (
            Corpus("c", (Document("1", " ", ("a",), source="f:7"),)),
            Problem("error", "train: 1 empty text: 'f:7'"),
        ),
        (
            Corpus("c", TRAIN, label_descriptions={"iron": "a metal", "gold": "too"}),
            Problem("warning", "1 described label without document: 'iron'"),
        ),
        (
            Corpus("c", (Document("1", "one", ("a", "A")), *TRAIN)),
            Problem(
                "warning",
                "1 label spelled in two ways that differ in case alone: 'A = a'",
            ),
        ),
        (
            Corpus("c", (Document("1", "one", ("a",)), Document("2", "two", ("a",)))),
            Problem(
                "note", "train: 1 label on every document, which teaches nothing: 'a'"
            ),
        ),
        (
            Corpus("c", (Document("1", "one", ("a",)), Document("2", "two", ("b",)))),
            Problem(
                "note",
                "train: no document carries two labels, so the label graph has no edge",
            ),
        ),
    ],
)
def test_each_problem_is_found(corpus: Corpus, problem: Problem) -> None:
    assert problem in validate(corpus)


def test_an_inner_node_of_the_taxonomy_needs_no_document() -> None:
    corpus = Corpus(
        "c",
        TRAIN,
        label_descriptions={"metal": "inner"},
        parents={"gold": ("metal",), "metal": ("thing",)},
    )
    assert not any("described" in problem.message for problem in validate(corpus))


def test_cooccurrence_density_equals_the_loop_over_pairs() -> None:
    targets = np.random.default_rng(0).random((60, 30)) < 0.08
    train = tuple(
        Document(str(i), f"text {i}", tuple(f"l{j}" for j in np.flatnonzero(row)))
        for i, row in enumerate(targets)
    )
    pairs = list(itertools.combinations(np.flatnonzero(targets.any(axis=0)), 2))
    together = sum(bool((targets[:, i] & targets[:, j]).any()) for i, j in pairs)
    density = corpus_statistics(Corpus("c", train)).cooccurrence_density
    assert density == pytest.approx(together / len(pairs))


def test_an_empty_corpus_has_statistics_too() -> None:
    statistics = corpus_statistics(Corpus("empty", ()))
    assert (statistics.documents, statistics.labels, statistics.splits) == (0, 0, {})
    assert statistics.cooccurrence_density == 0.0
    assert statistics.problems[0].severity == "error"


WRITTEN = (
    Document("1", 'ein "Wort"\n\u2028 mehr', ("ä", "b c")),
    Document("2", "two", (), {"topics": ("gold",), "places": None}),
)


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "d.jsonl.xz"])
def test_written_documents_read_back_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_jsonl(WRITTEN, path)
    read = read_documents(path)
    assert [(d.id, d.text, d.labels, d.tasks) for d in read] == [
        (d.id, d.text, d.labels, d.tasks) for d in WRITTEN
    ]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_compressed_files_do_not_depend_on_the_time(tmp_path: Path) -> None:
    write_jsonl(WRITTEN, tmp_path / "a.jsonl.gz")
    write_jsonl(WRITTEN, tmp_path / "b.jsonl.gz")
    packed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress(packed).count(b"\n") == 2


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("old")

    def broken() -> Iterator[Document]:
        yield WRITTEN[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_jsonl(broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d\.jsonl: cannot be written; No such file"):
        write_jsonl(WRITTEN, tmp_path / "no" / "d.jsonl")
    with pytest.raises(DataError, match="must be a file to write; it is a folder"):
        write_jsonl(WRITTEN, tmp_path)
