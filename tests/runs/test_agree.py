"""Annotators compared: planted agreement, missing annotators, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.runs.agree import agree
from tests.tiny import write_jsonl

LABELS = ("grain", "oil", "ship")


def annotator(seed: int, count: int = 300, *, flipped: float = 0.1):
    """What one of them says of documents whose truth all share."""
    truth = np.random.default_rng(0).random((count, 3)) < [0.5, 0.3, 0.1]
    said = truth ^ (np.random.default_rng(seed).random(truth.shape) < flipped)
    return [
        Document(f"d{i}", f"text {i}", tuple(np.compress(row, LABELS).tolist()))
        for i, row in enumerate(said)
    ]


def test_three_annotators_agree_as_they_were_planted():
    found = agree([annotator(1), annotator(2), annotator(3)], names=["a", "b", "c"])
    assert found.documents == 300
    assert [label.name for label in found.labels] == ["grain", "oil", "ship"]
    # Two coins of 0.1 fall alike in 0.82 of the cases.
    for label in found.labels:
        assert label.pabak == pytest.approx(2 * 0.82 - 1, abs=0.08)
        assert label.kappa.low < label.kappa.value < label.kappa.high
        assert label.fleiss.value == pytest.approx(label.kappa.value, abs=0.03)
    assert found.labels[0].kappa.value > found.labels[2].kappa.value + 0.1
    assert [pair.names for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.alpha.low < found.alpha.value < found.alpha.high


def test_f1_of_a_pair_is_that_of_the_metrics_either_way():
    one, other = annotator(1), annotator(2)
    pair = agree([one, other], names=["a", "b"]).pairs[0]
    targets = [
        np.array([[name in d.labels for name in LABELS] for d in side])
        for side in (one, other)
    ]
    counts = lg.functional.label_counts(targets[0], targets[1])
    wanted = lg.functional.summarise_label_counts(counts)
    assert pair.micro_f1.value == pytest.approx(wanted["micro_f1"])
    assert pair.macro_f1.value == pytest.approx(wanted["macro_f1"])
    assert agree([other, one], names=["b", "a"]).pairs[0].micro_f1 == pair.micro_f1


def test_a_missing_annotator_and_an_open_label_are_left_out_and_not_denied():
    one, other = annotator(1), annotator(1)
    some = [
        Document(d.id, d.text, tuple(n for n in d.labels if n != "oil"), None, "", ())
        if i >= 40
        else Document(
            d.id,
            d.text,
            tuple(n for n in d.labels if n != "oil"),
            unannotated=("oil",),
        )
        for i, d in enumerate(other)
    ][:40]
    found = agree([one, some], names=["a", "b"])
    assert found.documents == 40
    by_name = {label.name: label for label in found.labels}
    assert by_name["grain"].kappa.value == 1
    assert by_name["oil"].kappa.value is None
    assert by_name["oil"].pabak is None
    assert found.alpha.value is None  # no document has two whole sets


def test_perfect_agreement_is_one_throughout():
    found = agree([annotator(1), annotator(1)], names=["a", "b"])
    assert found.alpha.value == found.fleiss.value == 1
    assert found.pairs[0].micro_f1.low == 1


def test_what_cannot_be_matched_is_refused_with_its_place():
    one = annotator(1, 20)
    moved = [Document("d3", "another text", ("oil",), source="b.jsonl:4")]
    with pytest.raises(DataError, match=r"b\.jsonl:4: the document 'd3' must have"):
        agree([one, moved], names=["a", "b"])
    apart = [Document("x", "text", ("oil",))]
    with pytest.raises(DataError, match=r"at least 2 documents in common .* got 0"):
        agree([one, apart], names=["a", "b"])


def test_the_command_tells_people_and_machines_and_refuses_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seed in {"anna": 1, "ben": 2}.items():
        rows = [
            {"id": d.id, "text": d.text, "labels": list(d.labels)}
            for d in annotator(seed, 40)
        ]
        write_jsonl(Path(f"{name}.jsonl"), rows)
    assert command(["agree", "anna.jsonl", "ben.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "2 annotators, 40 documents that at least two annotated" in shown
    assert "anna and ben" in shown
    assert command(["agree", "anna.jsonl", "ben.jsonl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"][0]["name"] == "grain"
    for arguments, message in (
        (["anna.jsonl"], "at least two annotators, got anna.jsonl"),
        (["anna.jsonl", "absent.jsonl"], "absent.jsonl"),
    ):
        assert command(["agree", *arguments]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
