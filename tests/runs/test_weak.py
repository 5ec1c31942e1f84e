"""Labels from votes: what is written trains, what functions do is told."""

import json
from pathlib import Path

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.labels.labelling_functions import Votes
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.readers.writers import write_jsonl
from labelgraph_jax.runs.weak import label_by_votes, mix_labels
from tests.tiny import made_documents
from tests.tiny import write_jsonl as write_lines

RULES = [
    {"label": "wheat", "any": ["flour", "bread"], "else": "against"},
    {"label": "corn", "any": ["maize"], "name": "maize"},
    {"label": "corn", "regex": r"\bcob\b", "name": "cob"},
    {"label": "corn", "not": ["silo"], "vote": "against", "name": "no silo"},
]


def planted(count=10_000):
    """Three functions of known precision for one label, and one for another."""
    rng = np.random.default_rng(0)
    truth = rng.random(count) < 0.3
    votes = np.zeros((count, 4), np.int8)
    for f, accuracy in enumerate((0.9, 0.8, 0.7)):
        votes[:, f] = np.where((rng.random(count) < accuracy) == truth, 1, -1)
    votes[::2, 3] = 1
    documents = [
        Document(str(i), f"text {i}", ("a",) if is_true else ())
        for i, is_true in enumerate(truth)
    ]
    names = ("one", "two", "three", "four")
    return documents, lambda _: Votes(names, ("a", "a", "a", "b"), votes)


def test_functions_are_judged_and_em_beats_the_majority_on_planted_votes():
    documents, cast = planted()
    written, report = label_by_votes(cast, documents, method="em", labelled=documents)
    assert report.documents == (10_000, 10_000)
    for function, accuracy in zip(report.functions, (0.9, 0.8, 0.7), strict=False):
        assert function.accuracy == pytest.approx(accuracy, abs=0.03)
        assert function.coverage == function.overlap == 1
        share = function.precision
        assert share.low < share.value < share.high
    assert report.functions[0].precision.value > report.functions[2].precision.value
    label = report.labels[0]
    assert label.method == "em"
    assert label.f1 > label.majority_f1
    assert label.given + label.denied == 10_000
    alone = report.labels[1]
    assert (alone.method, alone.given, alone.denied) == ("majority", 5_000, 0)
    assert written[1].unannotated == ("b",)
    assert "b" in written[0].labels


def test_no_vote_is_masked_a_probability_is_the_target_and_the_file_keeps_both(
    tmp_path,
):
    votes = np.array([[1, 0], [0, -1], [0, 0]], np.int8)
    cast = lambda _: Votes(("f", "g"), ("a", "b"), votes)  # noqa: E731
    documents = [Document(str(i), f"text {i}", ()) for i in range(3)]
    written, _ = label_by_votes(cast, documents)
    assert [d.id for d in written] == ["0", "1"]
    write_jsonl(written, tmp_path / "weak.jsonl")
    read = read_documents(tmp_path / "weak.jsonl")
    space = LabelSpace(("a", "b"))
    targets, _ = space.soft_sets(read)
    np.testing.assert_allclose(
        targets.toarray(), [[(1 + 0.25 / 3) / 1.25, 0], [0, 0]], 1e-4
    )
    np.testing.assert_array_equal(
        space.target_mask(read), [[True, False], [False, True]]
    )
    hard, _ = space.label_sets(read)
    assert hard.toarray()[0, 0] == 1


def test_without_any_vote_there_is_nothing_to_write():
    nobody = lambda _: Votes(("f",), ("a",), np.zeros((2, 1), np.int8))  # noqa: E731
    documents = [Document(str(i), f"text {i}", ()) for i in range(2)]
    with pytest.raises(DataError, match="must vote on one of the 2 documents"):
        label_by_votes(nobody, documents)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("rules.jsonl"), RULES)
    raw = [{"id": d["id"], "text": d["text"]} for d in made_documents(60, 9)]
    write_lines(Path("raw.jsonl"), raw)
    write_lines(Path("gold.jsonl"), made_documents(40, 4))
    return tmp_path


def test_the_command_labels_tells_and_writes_what_is_read(files, capsys):
    arguments = ["weak", "rules.jsonl", "raw.jsonl", "--out", "weak.jsonl"]
    assert command([*arguments, "--labelled", "gold.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "no silo" in shown
    assert "macro-F1 on the labelled documents" in shown
    assert command([*arguments, "--json", "--votes", "em"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"][0]["name"] == "wheat"
    read = read_documents("weak.jsonl")
    assert {name for d in read for name in d.labels} == {"corn", "wheat"}
    assert all(d.probabilities for d in read if d.labels)


def test_a_model_labels_anew(files, capsys, zoo):
    run = str(zoo("bag"))
    assert command(["weak", run, "raw.jsonl", "--out", "new.jsonl"]) == 0
    assert "60 documents labelled by" in capsys.readouterr().out
    read = read_documents("new.jsonl")
    assert len(read) == 60
    assert all(set(d.labels) <= set(d.probabilities) for d in read)
    assert command(["weak", run, "raw.jsonl", "--out", "n.jsonl", "--votes", "em"]) == 2
    assert "are of rules" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rules.jsonl", "raw.jsonl", "--out", "weak.csv"], "--out must end in .jsonl"),
        (["absent.jsonl", "raw.jsonl", "--out", "weak.jsonl"], "no such file"),
        (["rules.jsonl", "absent.jsonl", "--out", "weak.jsonl"], "no such file"),
        (["rules.py", "raw.jsonl", "--out", "weak.jsonl"], "--allow-python"),
        (["rules.jsonl", "raw.jsonl", "--out", "./raw.jsonl"], "must be another file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(files, capsys, arguments, message):
    Path("rules.py").write_text("raise AssertionError\n")
    assert command(["weak", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(files.glob("weak.*"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "must be {label: 0 to 1}"),
        ({"a": 2}, "must be {label: 0 to 1}"),
        ({"a": True}, "must be {label: 0 to 1}"),
        ({"a": 0}, "with the probability 0; got 'a'"),
    ],
)
def test_probabilities_of_a_file_are_checked(tmp_path, value, message):
    path = tmp_path / "weak.jsonl"
    write_lines(path, [{"text": "t", "labels": ["a"], "probabilities": value}])
    with pytest.raises(DataError, match=rf"weak\.jsonl:1: .*{message}"):
        read_documents(path)


def test_labels_mixed_with_a_models_are_targets_that_train(files, capsys, zoo):
    run, mine = str(zoo("bag")), files / "mine.jsonl"
    documents = made_documents(24, 5)
    write_lines(mine, documents)
    out = files / "soft.jsonl"
    words = ["weak", run, str(mine), "--mix", "0.25", "--out", str(out)]
    assert command(words) == 0, capsys.readouterr().err
    model = lg.load(run)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    given = [json.loads(line) for line in mine.read_text("utf-8").splitlines()]
    scores = model.predict_proba([line["text"] for line in given])
    for line, old, row in zip(lines, given, scores, strict=True):
        for name, p in zip(model.labels, row, strict=True):
            target = 0.75 * (name in old["labels"]) + 0.25 * float(p)
            if name in old["labels"] or target >= 0.0501:
                assert line["probabilities"][name] == pytest.approx(target, abs=2e-4)
            elif target < 0.0499:
                assert name not in line["labels"]
    assert (
        command(
            [
                "train",
                "--data",
                str(out),
                "--workdir",
                str(files / "run"),
                "--training.epochs",
                "1",
                "--quiet",
            ]
        )
        == 0
    ), capsys.readouterr().err


def test_all_of_the_labels_or_all_of_the_model(files, zoo):
    model = lg.load(zoo("bag"))
    (mine,) = [Document("1", "wheat bread", ("wheat", "new"), unannotated=("corn",))]
    (same,) = mix_labels(model, [mine], 0.0)
    assert same.labels == mine.labels and set(same.probabilities.values()) == {1.0}
    (other,) = mix_labels(model, [mine], 1.0)
    p = dict(zip(model.labels, model.predict_proba(["wheat bread"])[0], strict=True))
    assert other.probabilities["wheat"] == pytest.approx(p["wheat"], abs=1e-3)
    assert other.probabilities["new"] == 1.0 and "corn" not in other.labels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "mine.jsonl", "--mix", "2"], "--mix must lie in 0..1, got 2"),
        (["rules.jsonl", "mine.jsonl", "--mix", "0.5"], "RULES must be a run, got"),
        (["RUN", "raw.jsonl", "--mix", "0.5"], "labels"),
        (["RUN", "null.jsonl", "--mix", "0.5"], "n1: --mix needs labels, or []"),
    ],
)
def test_what_cannot_be_mixed_is_told(files, capsys, zoo, monkeypatch, words, message):
    monkeypatch.chdir(files)
    write_lines(files / "mine.jsonl", made_documents(4, 5))
    lines = [{"id": f"n{i}", "text": "a", "labels": v} for i, v in ((0, []), (1, None))]
    write_lines(files / "null.jsonl", lines)
    run = [str(zoo("bag")) if word == "RUN" else word for word in words]
    assert command(["weak", *run, "--out", "out.jsonl"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
