"""Folders of splits, of shards and of classes."""

import zipfile
from pathlib import Path

import pytest

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.runs.corpus import read_corpus

TABLE = "text,labels\n{0} words,a\n{0} more,b\n"
LINES = '{{"text": "{0}", "labels": ["a"]}}\n'


def folder(place: Path, *names: str) -> Path:
    for name in names:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        form = {".csv": TABLE, ".jsonl": LINES}.get(path.suffix, "text {0}")
        path.write_text(form.format(name), encoding="utf-8")
    return place


def corpus(path: Path) -> Corpus:
    return read_corpus(DataConfig(data=str(path)), split=False)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("data.csv", "test.csv"), (2, 0, 2)),
        (("reviews.jsonl", "reviews_test.jsonl", "reviews_dev.jsonl"), (1, 1, 1)),
        (("test.csv",), (2, 0, 0)),
        (("test/1.csv", "a/1.csv", "b/1.csv"), (4, 0, 2)),
        (("train.csv", "test.jsonl"), (2, 0, 1)),
    ],
)
def test_a_file_of_another_split_is_not_for_training(
    tmp_path: Path, names: tuple[str, ...], sizes: tuple[int, int, int]
) -> None:
    read = corpus(folder(tmp_path, *names))
    assert (len(read.train), len(read.validation), len(read.test)) == sizes


@pytest.mark.parametrize(
    "classes",
    [("bug", "test-report"), ("test", "exam"), ("valid", "invalid", "train set")],
)
def test_the_folder_of_a_text_is_a_class_and_no_split(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    read = corpus(folder(tmp_path, *(f"{name}/1.txt" for name in classes)))
    assert {label for d in read.train for label in d.labels} == set(classes)
    assert not read.test


def test_shards_of_a_split_have_one_format(tmp_path: Path) -> None:
    names = ("train.csv", "train.jsonl", "test.csv")
    with pytest.raises(DataError, match=r"one format; train has train.csv, train.json"):
        corpus(folder(tmp_path, *names))


@pytest.mark.parametrize("place", ["../data", "."])
def test_a_folder_below_a_dotted_one_is_read(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder(tmp_path / ".hidden" / "data", "train.csv", ".git/x.csv")
    monkeypatch.chdir(made)
    assert len(corpus(Path(place)).train) == 2
    assert len(corpus(made).train) == 2


def test_pictures_and_texts_of_no_class_are_passed_over(tmp_path: Path) -> None:
    texts = [f"train/{name}/1.txt" for name in ("pos", "neg", "unsup")]
    for place, names in ((tmp_path / "a", texts), (tmp_path / "b", ["pos/1", "neg/1"])):
        folder(place, *names)
        for name in ("pic.jpg", "doc.pdf"):
            path = (place / names[0]).parent / name
            path.write_bytes(b"%PDF\xff\xfe\0\0")
        read = corpus(place)
        assert {d.labels for d in read.train} == {("pos",), ("neg",)}
        assert len(read.train) == 2


def test_what_a_mac_adds_to_a_zip_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/a.jsonl", LINES.format("x"))
        for name in ("__MACOSX/in/._a.jsonl", ".DS_Store", "in/.DS_Store"):
            archive.writestr(name, b"\0")
    assert [d.text for d in corpus(path).train] == ["x"]


def test_texts_in_the_folders_of_splits_have_no_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"as train/class/1.txt; they stand in test, t"):
        corpus(folder(tmp_path, "train/1.txt", "test/1.txt"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train.csv", "extra.csv"), "1 file not read, whose names say neither train,"),
        (("train/1.csv", "test/1.csv", "more/a.csv", "b.csv"), "2 files not read, "),
        (("train/a/1.txt", "train/b/1.txt", "old/c/1.txt"), "test: old/c/1.txt"),
    ],
)
def test_files_of_no_split_beside_those_for_training_are_told(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    (note,) = corpus(folder(tmp_path, *names)).notes
    assert said in note


def test_nothing_is_told_where_every_file_is_read(tmp_path: Path) -> None:
    assert not corpus(folder(tmp_path, "train.csv", "test.csv")).notes
