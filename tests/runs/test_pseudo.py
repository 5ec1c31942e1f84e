"""Prompts and answers of a language model elsewhere, with every socket closed."""

import json
import socket
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.labels.new_labels import NewLabel, read_new_labels
from labelgraph_jax.data.labels.prompts import ask_labels, propose, review, update
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.runs.pseudo import read_pseudo_labels, read_taxonomy
from tests.tiny import WORDS, made_documents, write_jsonl

LABELS = [
    NewLabel(name, f"Texts that say {' or '.join(WORDS[name])}") for name in WORDS
]
DOCUMENTS = [Document(d["id"], d["text"], ()) for d in made_documents(20, 3)]
KEYS = [prompt.id for prompt in ask_labels(LABELS, DOCUMENTS)]


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def taxonomy(*labels: object, **more: object) -> str:
    return json.dumps({"labels": list(labels)} | more)


def said(name: str, description: str = "Texts about it") -> dict[str, str]:
    return {"name": name, "description": description}


def answered(text: object, name: str = "propose-0001") -> dict[str, object]:
    return {"custom_id": name, "answer": text}


def service(content: object, **choice: object) -> dict[str, object]:
    made = {"message": {"content": content}, **choice}
    body = {"choices": [made]}
    return {"custom_id": "propose-0001", "response": {"body": body}}


GOOD = taxonomy(said("grain"))
MALFORMED = {
    # A line that is no answer.
    "{": "must be one JSON object; ",
    "[1]": "must be one JSON object; got [1]",
    "": "must be one JSON object; got a blank line",
    '{"answer": "x"}': 'must have a "custom_id"; got None',
    '{"custom_id": 7, "answer": "x"}': 'must have a "custom_id"; got 7',
    '{"custom_id": ""}': 'must have a "custom_id"',
    '{"custom_id": "propose-0001"}': 'must have an "answer", or a "response"',
    '{"custom_id": "propose-0001", "response": {"body": {}}}': "as batch services",
    '{"custom_id": "propose-0001", "response": null}': "as batch services",
    '{"custom_id": "propose-0001", "error": {"code": 429}}': "the request failed; ",
}
ANSWERS = [
    (service(GOOD, finish_reason="length"), "the answer was cut off"),
    (service(None), "the answer must be a text; got None"),
    (answered(""), "the answer must be a text"),
    (answered(3), "the answer must be a text; got 3"),
    (answered("Here are the labels: grain"), "the answer must be one JSON object; "),
    (answered(f"Sure!\n```json\n{GOOD}\n```"), "the answer must be one JSON object; "),
    (answered(GOOD[:-3]), "the answer must be one JSON object; "),
    (answered('["grain"]'), "the answer must be one JSON object; got "),
    (answered('{"labels": {"grain": 1}}'), 'must be {"labels": [...]}'),
    (answered(taxonomy(said("grain"), note="x")), 'must be {"labels": [...]}'),
    (answered('{"categories": []}'), 'must be {"labels": [...]}'),
    (answered(taxonomy()), "must name at least one label"),
    (answered(taxonomy("grain")), "must be a name and a description; got 'grain'"),
    (answered(taxonomy({"name": "grain"})), "must be a name and a description"),
    (answered(taxonomy(said("grain") | {"id": 1})), "a name and a description"),
    (answered(taxonomy(said(""))), "a label must not be empty"),
    (answered(taxonomy(said(" grain"))), "have no spaces around it"),
    (answered(taxonomy(said("grain") | {"name": 3})), '"name" must be a string; got 3'),
    (answered(taxonomy(said("grain", " "))), "'grain' must have a description"),
    (answered(taxonomy(said("grain"), said("grain"))), "'grain' stands there twice"),
    (answered(taxonomy(said("grain"), said("Grain"))), "are one label"),
    (answered(GOOD, "text-000001-abcdef01"), "answers no prompt about labels"),
]
PSEUDO = [
    ('{"labels": ["rye"]}', KEYS[0], "'rye' is no label of the list"),
    ('{"labels": ["Grain"]}', KEYS[0], "which is spelled 'grain'"),
    ('{"labels": ["oil", "oil"]}', KEYS[0], "a label stands there twice"),
    ('{"labels": ["oil"], "labels": []}', KEYS[0], "'labels' stands twice in one"),
    ('{"labels": [1]}', KEYS[0], "it holds 1"),
    ('{"labels": "oil"}', KEYS[0], 'must be {"labels": [...]}'),
    ('{"labels": []}', KEYS[0][:-1] + "_", "is about another text"),
    ('{"labels": []}', "text-000999-00000000", "is about no text of the file"),
]


def test_thirty_malformed_answers_are_thirty_named_problems(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    lines = [*MALFORMED, *(json.dumps(answer) for answer, _ in ANSWERS)]
    # One id each, so that none is a second answer.
    lines = [
        line.replace('"propose-0001"', f'"propose-{1000 + i}"')
        for i, line in enumerate(lines)
    ]
    path.write_text("\n".join(lines) + "\n")
    labels, _, problems = read_taxonomy(str(path))
    assert len(problems) == len(lines) >= 30
    assert labels == []
    messages = [*MALFORMED.values(), *(message for _, message in ANSWERS)]
    for number, (problem, message) in enumerate(
        zip(problems, messages, strict=True), 1
    ):
        assert str(problem).startswith(f"{path}:{number}: "), problem
        assert message in str(problem)
        assert "\n" not in str(problem)


@pytest.mark.parametrize(("content", "key", "message"), PSEUDO)
def test_a_label_that_is_not_of_the_list_is_named_and_never_guessed(
    tmp_path, content, key, message
):
    path = write_jsonl(tmp_path / "a.jsonl", [answered(content, key)])
    written, _, problems = read_pseudo_labels([str(path)], DOCUMENTS, LABELS)
    assert written == []
    assert len(problems) == 1
    assert message in str(problems[0])


def test_an_id_that_is_answered_twice_is_named(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [answered(GOOD), answered(GOOD)])
    _, report, problems = read_taxonomy(str(path))
    assert "'propose-0001' is answered in line 1 already" in str(problems[0])
    assert report.labels == {"grain": 1}


def test_labels_of_several_answers_are_counted_and_compared_with_those_before(tmp_path):
    answers = [
        answered(taxonomy(said("grain"), said("Fossil oil", "Oil of any kind"))),
        service(f"```json\n{taxonomy(said('grain', 'Other words'), said('ship'))}\n```")
        | {"custom_id": "update-0002"},
        answered(taxonomy(said("Ship")), "review-0001"),
    ]
    path = write_jsonl(tmp_path / "a.jsonl", answers)
    before = [NewLabel("grain"), NewLabel("oil", "Oil of any kind"), NewLabel("gold")]
    labels, report, problems = read_taxonomy(str(path), before)
    assert [label.name for label in labels] == ["grain", "Fossil oil", "ship"]
    assert labels[0].description == "Texts about it"
    assert report.labels["grain"] == 2
    assert report.added == ("ship",)
    assert report.removed == ("gold",)
    assert report.renamed == (("oil", "Fossil oil"),)
    assert "'Ship' is spelled 'ship' elsewhere" in str(problems[0])


def test_prompts_hold_their_texts_and_labels_and_have_ids_of_their_own():
    first = propose(DOCUMENTS, most=7, batch=8)
    assert [p.id for p in first] == ["propose-0001", "propose-0002", "propose-0003"]
    assert "at most 7 labels" in first[0].user
    assert json.dumps(DOCUMENTS[8].text) in first[1].user
    later = update(LABELS, DOCUMENTS, most=7, batch=20)
    assert "- corn: Texts that say maize or cob" in later[0].user
    assert review([NewLabel("x")], most=3)[0].user.count("- x") == 1
    assert len(set(KEYS)) == len(DOCUMENTS)
    assert DOCUMENTS[0].text in ask_labels(LABELS, DOCUMENTS)[0].user


def test_runs_become_probabilities_and_a_tie_is_not_annotated(tmp_path):
    runs = [
        [["oil"], ["grain", "corn"], []],
        [["oil", "ship"], ["grain"], []],
    ]
    paths = [
        str(
            write_jsonl(
                tmp_path / f"run-{number}.jsonl",
                [
                    answered(json.dumps({"labels": names}), key)
                    for key, names in zip(KEYS, run, strict=False)
                ],
            )
        )
        for number, run in enumerate(runs)
    ]
    written, report, problems = read_pseudo_labels(paths, DOCUMENTS, LABELS)
    assert problems == []
    assert [d.labels for d in written] == [("oil",), ("grain",), ()]
    assert [d.unannotated for d in written] == [("ship",), ("corn",), ()]
    assert written[0].probabilities == {"oil": 1.0, "ship": 0.5}
    assert report.documents == (20, 3)
    assert report.coverage == pytest.approx(2 / 3)
    assert report.agreed == pytest.approx(2 / 4)
    assert set(report.unused) == {"corn", "ship", "wheat"}


def test_labels_that_stand_together_or_say_the_same_are_named(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [
            answered(json.dumps({"labels": ["grain", "corn"]}), KEYS[0]),
            answered(json.dumps({"labels": ["grain", "corn"]}), KEYS[1]),
        ],
    )
    labels = [*LABELS, NewLabel("maize", "Texts that say corn or cob")]
    _, report, _ = read_pseudo_labels([str(path)], DOCUMENTS, labels)
    assert report.together == (("corn", "grain", 1.0),)
    assert ("corn", "maize") in {pair[:2] for pair in report.alike}


def test_the_commands_go_from_texts_to_a_file_that_trains(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("raw.jsonl"), [{"id": d.id, "text": d.text} for d in DOCUMENTS])
    assert command(["taxonomy", "propose", "raw.jsonl", "--out", "p"]) == 0
    requests = Path("p/prompts-001.jsonl").read_text().splitlines()
    assert set(json.loads(requests[0])) == {"custom_id", "method", "url", "body"}
    listed = taxonomy(*(said(la.name, la.description) for la in LABELS))
    write_jsonl(Path("answers.jsonl"), [answered(listed)])
    read = ["taxonomy", "read", "answers.jsonl", "--out", "labels.jsonl"]
    assert command(read) == 0
    assert "5 labels written to labels.jsonl" in capsys.readouterr().out
    assert read_new_labels("labels.jsonl") == LABELS
    for verb, out in (
        (["update", "labels.jsonl", "raw.jsonl"], "q"),
        (["review", "labels.jsonl"], "r"),
    ):
        assert command(["taxonomy", *verb, "--out", out, "--model", "any"]) == 0
        request = json.loads(Path(out, "prompts-001.jsonl").read_text().splitlines()[0])
        assert request["body"]["model"] == "any"
    asked = ["pseudo", "write", "raw.jsonl", "labels.jsonl", "--out", "asked"]
    assert command(asked) == 0
    answers = []
    for line in Path("asked/prompts-001.jsonl").read_text().splitlines():
        request = json.loads(line)
        text = request["body"]["messages"][1]["content"].rpartition("\n\n")[2]
        names = [n for n, words in WORDS.items() if set(words) & set(text.split())]
        answers.append(answered(json.dumps({"labels": names}), request["custom_id"]))
    write_jsonl(Path("run.jsonl"), answers)
    capsys.readouterr()
    read = ["pseudo", "read", "raw.jsonl", "labels.jsonl", "run.jsonl"]
    assert command([*read, "--out", "pseudo.jsonl"]) == 0
    assert "20 of 20 documents answered in 1 run" in capsys.readouterr().out
    found = read_documents("pseudo.jsonl")
    assert found[0].labels
    write_jsonl(Path("run.jsonl"), [*answers[1:], answered("no", KEYS[0])])
    assert command([*read, "--out", "other.jsonl"]) == 2
    told = capsys.readouterr().err
    assert "run.jsonl:20: the answer must be one JSON object" in told
    assert "1 problem, nothing is written" in told
    assert not Path("other.jsonl").exists()
    assert command([*read, "--out", "other.jsonl", "--good-alone"]) == 0
    assert len(read_documents("other.jsonl")) == 19


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["taxonomy", "propose", "raw.jsonl", "--out", "p", "--batch", "0"],
            "at least",
        ),
        (["taxonomy", "propose", "absent.jsonl", "--out", "p"], "no such file"),
        (["taxonomy", "propose", "raw.jsonl", "--out", "full"], "no prompts yet"),
        (["taxonomy", "propose", "raw.jsonl", "--out", "raw.jsonl"], "cannot be made"),
        (["taxonomy", "review", "absent.jsonl", "--out", "p"], "no such file"),
        (["taxonomy", "update", "absent.tsv", "raw.jsonl", "--out", "p"], "no such"),
        (["taxonomy", "read", "raw.jsonl", "--out", "labels.csv"], "end in .jsonl"),
        (["pseudo", "write", "raw.jsonl", "absent.jsonl", "--out", "p"], "no such"),
        (
            [
                "pseudo",
                "read",
                "raw.jsonl",
                "names.tsv",
                "none.jsonl",
                "--out",
                "o.csv",
            ],
            "--out must end in",
        ),
        (
            [
                "pseudo",
                "read",
                "raw.jsonl",
                "names.tsv",
                "none.jsonl",
                "--out",
                "o.jsonl",
            ],
            "none.jsonl: no such file",
        ),
        (
            ["pseudo", "read", "raw.jsonl", "names.tsv", "empty", "--out", "o.jsonl"],
            "empty: must hold at least one answer",
        ),
        (["taxonomy", "read", "empty", "--out", "o.jsonl"], "at least one answer"),
        (
            [*("pseudo", "read", "raw.jsonl", "names.tsv", "none"), "--out=raw.jsonl"],
            "--out must be another file than those read, got 'raw.jsonl'",
        ),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("raw.jsonl"), [{"id": d.id, "text": d.text} for d in DOCUMENTS])
    Path("names.tsv").write_text("oil\n")
    Path("empty").write_text("")
    Path("full").mkdir()
    Path("full/prompts-001.jsonl").write_text("")
    assert command(arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
