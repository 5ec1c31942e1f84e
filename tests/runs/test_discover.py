"""Labels that a model lacks are proposed: planted groups are found and named."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels.new_labels import read_new_labels
from labelgraph_jax.runs.discover import propose_labels
from tests.tiny import made_documents, write_jsonl

GROUPS = {
    "whaling": ("whale", "harpoon", "blubber"),
    "opera": ("aria", "soprano", "libretto"),
    "chess": ("knight", "bishop", "gambit"),
}


def planted(count=240):
    """Texts of three groups and of a known label, with words that all share."""
    generator = np.random.default_rng(0)
    documents, truth = [], []
    for i in range(count):
        name = ("known", *GROUPS)[i % 4]
        own = GROUPS.get(name, ("barrel", "crude", "refinery"))
        words = [*generator.choice(own, 4), *generator.choice(list("abcdefgh"), 3)]
        words += list(generator.choice(["market", "today", "report"], 3))
        documents.append(Document(f"d{i}", " ".join(generator.permutation(words)), ()))
        truth.append(name)
    sure = np.array([[0.9 if name == "known" else 0.1, 0.05] for name in truth])
    return documents, np.array(truth), sure


def test_planted_groups_are_found_named_and_described():
    documents, truth, sure = planted()
    found, looked = propose_labels(documents, sure, ("oil", "gold"), 3)
    assert looked == 180
    assert len(found) == 3
    for proposal in found:
        names = set(truth[list(proposal.rows)])
        assert len(names) == 1
        words = GROUPS[names.pop()]
        assert proposal.name in words
        assert proposal.description.startswith("Texts that say ")
        assert 40 <= proposal.documents == len(proposal.rows) <= 60
        assert all(proposal.name in documents[i].text.split() for i in proposal.rows)
        assert len(proposal.examples) == 5
        assert proposal.nearest == "oil"
        assert proposal.nearest_probability == pytest.approx(0.1)
    again, _ = propose_labels(documents, sure, ("oil", "gold"), 3)
    assert again == found


def test_a_name_that_the_model_has_is_not_proposed():
    documents, _, sure = planted()
    free, _ = propose_labels(documents, sure, ("oil", "gold"), 3)
    found, _ = propose_labels(documents, sure, (free[0].name, "gold"), 3)
    assert free[0].name not in {proposal.name for proposal in found}


def test_few_documents_without_a_label_are_refused():
    documents, _, sure = planted(40)
    with pytest.raises(DataError, match=r"at least 30 documents must be .*; 29 of 40"):
        propose_labels(
            documents,
            np.where(np.arange(40)[:, None] < 11, 0.9, sure * 0),
            ("oil", "gold"),
            30,
        )
    with pytest.raises(DataError, match="one word must stand in two"):
        alone = [Document(str(i), f"word{'x' * i}", ()) for i in range(12)]
        propose_labels(alone, np.zeros((12, 1)), ("oil",), 2)


def test_the_command_writes_what_labels_add_takes(tmp_path, zoo, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents, _, _ = planted(120)
    rows = [{"id": d.id, "text": d.text} for d in documents]
    write_jsonl(Path("raw.jsonl"), rows)
    run = str(zoo("memory"))
    arguments = ["discover", run, "raw.jsonl", "--labels", "4", "--out", "new.jsonl"]
    code = command(arguments)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "have no probable label" in told.out
    names = [label.name for label in read_new_labels("new.jsonl")]
    assert names
    assert command([*arguments, "--json"]) == 0
    assert [p["name"] for p in json.loads(capsys.readouterr().out)] == names
    copied = zoo.copy("memory", tmp_path / "run")
    assert command(["labels", "add", str(copied), "new.jsonl"]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--labels", "0", "--out", "n.jsonl"], "--labels must be at least 1"),
        (["--out", "n.csv"], "--out must end in .jsonl"),
        (["--labels", "40", "--out", "n.jsonl"], "at least 40 documents must be"),
    ],
)
def test_bad_input_is_one_line(tmp_path, zoo, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("raw.jsonl"), made_documents(12, 1))
    assert command(["discover", str(zoo("bag")), "raw.jsonl", *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
