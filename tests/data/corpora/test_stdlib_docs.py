"""The embedded corpus: labels, text that gives nothing away, and determinism."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from labelgraph_jax.data.corpora import load_corpus, stdlib_docs
from labelgraph_jax.data.corpora.docstrings import (
    ONE_SYSTEM_ONLY,
    documented_objects,
)
from labelgraph_jax.data.corpora.stdlib_docs import clean_text, read_subjects
from labelgraph_jax.data.documents import Corpus, DataError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("stdlib_docs")


def _all(corpus: Corpus):
    return [document for split in corpus.splits.values() for document in split]


def test_it_is_big_enough_and_split_about_70_10_20(corpus):
    documents = _all(corpus)
    assert len(documents) > 3_500
    shares = [len(split) / len(documents) for split in corpus.splits.values()]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.03)


def test_every_label_has_ten_training_documents_and_a_description(corpus):
    counts = Counter(label for document in corpus.train for label in document.labels)
    assert min(counts.values()) >= 10
    used = {label for document in _all(corpus) for label in document.labels}
    assert used == set(counts) == set(corpus.label_descriptions)
    assert len(used) > 80


def test_documents_carry_labels_of_several_sorts(corpus):
    documents = _all(corpus)
    assert all(document.labels for document in documents)
    assert sum(len(document.labels) for document in documents) / len(documents) > 2.5
    sorts = {label.partition(":")[0] for d in documents for label in d.labels}
    assert sorts == {"chapter", "subject", "kind"}


def test_no_label_holds_a_delimiter(corpus):
    assert not [n for n in corpus.label_descriptions if re.search(r"[,;|\t]", n)]


def test_a_subject_always_comes_with_its_chapter(corpus):
    for document in _all(corpus):
        for label in document.labels:
            if label.startswith("subject: "):
                assert set(corpus.parents[label]) <= set(document.labels)


def test_parents_are_labels_and_chapters_have_none(corpus):
    for child, parents in corpus.parents.items():
        assert all(parent in corpus.label_descriptions for parent in parents)
        assert not child.startswith("chapter: ")


def test_names_of_the_object_and_its_module_do_not_stand_in_the_text(corpus):
    for document in _all(corpus):
        module, _, name = document.id.partition(":")
        words = set(re.findall(r"\w+", document.text.lower()))
        names = {part.lower() for part in (*module.split("."), *name.split("."))}
        assert not names.intersection(words) - {"_", ""}, document.id


def test_no_text_stands_twice_not_even_nearly(corpus):
    texts = [
        " ".join(re.findall("[a-z]+", document.text.lower()))
        for document in _all(corpus)
    ]
    assert len(set(texts)) == len(texts)


def test_near_identical_texts_are_left_out():
    words = [f"word{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10]}" for i in range(60)]
    texts = [" ".join(words), " ".join([*words[:-1], "other"]), "another text entirely"]
    documents = [stdlib_docs.Document(str(i), t, ("a",)) for i, t in enumerate(texts)]
    kept = stdlib_docs._without_near_identical(documents)
    assert [document.id for document in kept] == ["0", "2"]


def test_ids_are_distinct_and_texts_long_enough(corpus):
    documents = _all(corpus)
    assert len({document.id for document in documents}) == len(documents)
    assert min(len(document.text) for document in documents) >= 40


@pytest.mark.parametrize(
    ("docstring", "module", "name", "text"),
    [
        ("split(x, maxsplit=-1) -> list\n\nCut.", "re", "split", "list\n\nCut."),
        ("Use json.dumps(x) or dumps.", "json", "dumps", "Use _(x) or _."),
        ("The Queue of a queue.", "queue", "Queue", "The _ of a _."),
        ("f(a, g(b, (1, 2)))\n  More.", "os", "f", "More."),
        ("Requeue the queued.", "queue", "Queue.get", "Requeue the queued."),
        ("class Lock(x): has Lock.release.", "threading", "Lock", "has _.release."),
    ],
)
def test_signatures_are_cut_off_and_names_blanked(docstring, module, name, text):
    assert clean_text(docstring, module, name) == text


def test_kinds_are_read_off_the_object(corpus):
    labels = {document.id: document.labels for document in _all(corpus)}
    assert "kind: exception" in labels["configparser:DuplicateSectionError"]
    assert "kind: coroutine" in labels["asyncio.locks:Lock.acquire"]
    assert "kind: module" in labels["shlex"]
    assert "kind: class" in labels["fractions:Fraction"]


def test_the_table_lists_no_module_twice():
    modules = Counter(module for row in read_subjects() for module in row.modules)
    assert max(modules.values()) == 1
    subjects = Counter(row.subject for row in read_subjects())
    assert max(subjects.values()) == 1


def test_what_linux_or_macos_has_alone_is_no_document(corpus):
    ids = {document.id for document in _all(corpus)}
    assert "posix:fork" in ids and "signal:signal" in ids
    alone = {
        f"{m}:{name}" for m, all_ in ONE_SYSTEM_ONLY.items() for name in all_.split()
    }
    assert "select:epoll" in alone and "posix:lchflags" in alone
    assert not [i for i in ids if i in alone or i.startswith("select:epoll.")]


def test_it_is_the_same_whatever_was_imported_and_replaced_before(corpus, monkeypatch):
    import curses.has_key
    import pdb
    import warnings

    assert not callable(curses.has_key)
    monkeypatch.setattr(pdb, "set_trace", lambda: "another docstring of an object")
    monkeypatch.setattr(warnings, "formatwarning", None)
    monkeypatch.setattr(sys, "excepthook", print)
    documented_objects.cache_clear()
    assert load_corpus("stdlib_docs") == corpus
    ids = {document.id for document in _all(corpus)}
    assert ids >= {"curses:has_key", "sys:excepthook", "warnings:formatwarning"}


@pytest.mark.process
def test_another_process_gives_the_same_corpus_and_prints_nothing(corpus, tmp_path):
    (tmp_path / "colorsys.py").write_text("raise SystemExit('imported')")
    (tmp_path / "sitecustomize.py").write_text("import curses.has_key")
    code = (
        "import json, sys\n"
        "from labelgraph_jax.data.corpora import load_corpus\n"
        "c = load_corpus('stdlib_docs')\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "assert 'colorsys' not in sys.modules\n"
        "print(json.dumps([[[d.id, d.text, d.labels] for d in s]"
        " for s in c.splits.values()]))"
    )
    # Not even `-OO`, which drops docstrings, changes what a fresh interpreter has.
    flags = ["-W", "error", "-OO"]
    done = _run(code, path=[tmp_path, ROOT], flags=flags, hash_seed="7")
    here = [
        [[d.id, d.text, list(d.labels)] for d in split]
        for split in corpus.splits.values()
    ]
    assert json.loads(done.stdout) == here
    assert done.stderr == ""


@pytest.mark.parametrize("program", ["absent/python", "/bin/false", "/bin/echo", ""])
def test_an_interpreter_that_cannot_be_started_again_is_an_error(program, monkeypatch):
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(DataError, match=r"a fresh interpreter, .*, which failed: [^ ]"):
        documented_objects.__wrapped__(("json",))


def _run(code, *, path, flags=(), hash_seed="0", check=True):
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True,
        text=True,
        check=check,
        env={
            "PYTHONPATH": ":".join(str(folder) for folder in path),
            "PYTHONHASHSEED": hash_seed,
            "PATH": "",
        },
    )
