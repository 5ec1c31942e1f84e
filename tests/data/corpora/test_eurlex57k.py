"""EURLEX57K: JSONL and the published archives, concepts and their parents."""

import json
import zipfile

import pytest

from labelgraph_jax.data.corpora import eurlex57k, load_corpus
from labelgraph_jax.data.corpora.builder import check_sizes
from labelgraph_jax.data.corpora.sources import files_in
from labelgraph_jax.data.documents import DataError

CONCEPTS = {
    "1": {"label": "fishery", "alt_labels": ["fishing"], "parents": ["9"]},
    "2": {"label": "trade", "alt_labels": [], "parents": []},
    "9": {"label": "primary sector", "alt_labels": [], "parents": []},
}
LAW = {"celex_id": "3A", "title": "A law", "eurovoc_concepts": ["1", "2"]}
BODY = {"header": "THE COUNCIL", "recitals": ",\nWhereas", "main_body": ["1.", "2."]}
TEXT = "A law\n\nTHE COUNCIL\n\n,\nWhereas\n\n1.\n\n2."


def _read(folder):
    files = files_in(eurlex57k.SOURCE, "published", folder)
    return eurlex57k.read(files, "published")


def _write_concepts(folder, concepts=CONCEPTS):
    (folder / "eurovoc_concepts.json").write_text(json.dumps(concepts))


def _write_jsonl(folder, **changes):
    law = {"id": "3A", "labels": ["1"], "title": "A law", "text": "Text."} | changes
    for split in eurlex57k.SPLITS:
        (folder / f"{split}.jsonl").write_text(json.dumps(law) + "\n")


def test_jsonl_gives_title_and_text_with_described_labels(tmp_path):
    _write_jsonl(tmp_path)
    _write_concepts(tmp_path)
    corpus = _read(tmp_path)
    assert corpus.train[0].text == "A law\n\nText."
    assert corpus.test[0].labels == ("1",)
    assert corpus.label_descriptions["1"] == "fishery; fishing"
    assert corpus.parents == {"1": ("9",)}


@pytest.mark.parametrize("layout", ["lines", "files"])
def test_the_published_archives_are_read(tmp_path, layout):
    name = {"lines": "dataset.zip", "files": "datasets.zip"}[layout]
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for split in eurlex57k.SPLITS:
            member = f"{split}.jsonl" if layout == "lines" else f"d/{split}/3A.json"
            archive.writestr(member, json.dumps(LAW | BODY) + "\n")
    corpus = _read(tmp_path)
    for documents in corpus.splits.values():
        (document,) = documents
        assert document.text == TEXT
        assert document.labels == ("1", "2")
    assert "no concepts file" in corpus.notes[1]


def test_bad_laws_and_concepts_are_errors_that_name_the_place(tmp_path):
    _write_jsonl(tmp_path, labels="1")
    with pytest.raises(DataError, match=r'train.jsonl:1: "labels" must be a list'):
        _read(tmp_path)
    _write_jsonl(tmp_path)
    _write_concepts(tmp_path, {"1": {"label": "fishery"}})
    with pytest.raises(DataError, match=r"concepts.json: must be an object of conc"):
        _read(tmp_path)
    (tmp_path / "eurovoc_concepts.json").write_text("{")
    with pytest.raises(DataError, match=r"concepts.json: the archive must be whole"):
        _read(tmp_path)
    (tmp_path / "dataset.zip").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"dataset.zip: the archive must be whole"):
        _read(tmp_path)


def test_candidate_labels_are_the_published_list_where_it_is_there(tmp_path):
    _write_jsonl(tmp_path)
    assert _read(tmp_path).candidate_labels == ("1",)
    (tmp_path / "labels.txt").write_text("1\n2\n")
    assert _read(tmp_path).candidate_labels == ("1", "2")
    (tmp_path / "labels.txt").write_text("2\n")
    with pytest.raises(DataError, match=r"labels.txt: must list every .* such as '1'"):
        _read(tmp_path)


def test_descriptions_and_parents_survive_preparation(tmp_path, change_source):
    change_source("eurlex57k", sizes={})
    folder = tmp_path / "eurlex57k"
    folder.mkdir()
    _write_jsonl(folder)
    _write_concepts(folder)
    corpus = load_corpus("eurlex57k", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert corpus.parents == {"1": ("9",)}
    assert corpus.label_descriptions["9"] == "primary sector"
    assert corpus.candidate_labels == ("1",)
    assert corpus.notes == ("text is title, header, recitals and main body",)


def test_the_real_corpus_has_the_published_counts(data_root):
    corpus = _read(data_root / "eurlex57k")
    check_sizes(eurlex57k.SOURCE, "published", corpus)
    every = {n for split in corpus.splits.values() for d in split for n in d.labels}
    assert len(every) == 4_271
    assert len({n for d in corpus.train for n in d.labels}) == 4_108
    assert len(corpus.label_descriptions) == 7_201
    assert len(corpus.parents) == 6_612
    assert every <= set(corpus.label_descriptions)
    assert set(corpus.candidate_labels) == every
