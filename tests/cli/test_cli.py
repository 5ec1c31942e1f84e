"""The command line: what it prints, and what bad input gets.

Everything goes through `run`, which is the command but for `sys.exit`.
"""

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.cli.app import forget_half_written_programs, run
from labelgraph_jax.config import DataConfig, to_dict
from labelgraph_jax.data.corpora import corpus_names
from labelgraph_jax.runs.adjacency_file import read_adjacency
from tests.tiny import made_documents, tiny_config, write_jsonl

GOOD = [{"id": str(i), "text": f"text number {i}", "labels": ["a"]} for i in range(9)]


def refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], *parts: str
) -> str:
    """Runs a command that must be refused; returns its only line on standard error."""
    code = run(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("labelgraph: error: ")
    for part in parts:
        assert part in lines[0]
    return lines[0]


def document(**fields: Any) -> str:
    return json.dumps({"id": "x", "text": "some text", "labels": ["a"]} | fields)


BAD_LINES = {
    "malformed JSON": ('{"text": "a", ', "must be one JSON object"),
    "no object": ("[1]", "must be one JSON object"),
    "missing text": ('{"id": "x", "labels": []}', 'must have "text"'),
    "text that is no string": (document(text=3), '"text" must be a string; got 3'),
    "empty text": (document(text="  "), '"text" must not be empty'),
    "labels that are no list": (document(labels="a"), '"labels" must be a list'),
    "a label that is no string": (document(labels=[1]), '"labels" must be a list'),
    "no labels": ('{"id": "x", "text": "a"}', 'must have "labels"'),
    "an id that another has": (document(id="1"), "ids must differ; line 2 has '1'"),
}


@pytest.mark.parametrize("verb", ["train", "validate", "evaluate"])
@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_written(
    case: str,
    verb: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad, message = BAD_LINES[case]
    file = write_jsonl(tmp_path / "bad.jsonl", GOOD)
    file.write_text(file.read_text() + bad + "\n")
    workdir = tmp_path / "w"
    if verb == "train":
        arguments = ["train", "--data", str(file), "--workdir", str(workdir)]
    elif verb == "validate":
        arguments = ["data", "validate", str(file)]
    else:
        trained = request.getfixturevalue("trained")
        arguments = ["evaluate", str(trained), "--data", str(file)]
    refused(arguments, capsys, f"{file}:10:", message)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": must hold at least one document; got none"),
        (b"\n\n", ": must hold at least one document; got none"),
        (b'{"text": "caf\xe9", "labels": []}\n', ":1: must be UTF-8 text"),
        (b"\xff\xfe{\x00}", ":1: must be UTF-16"),
    ],
)
def test_an_empty_file_or_one_of_another_encoding_is_refused(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(content)
    workdir = tmp_path / "w"
    arguments = ["train", "--data", str(file), "--workdir", str(workdir)]
    refused(arguments, capsys, f"{file}{message}")
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["--data", "absent.doc"], "absent.doc: the name must end in one of .jsonl"),
        (["--corpus", "reuters"], "reuters21578"),
        (["--preset", "minilm"], "unknown preset 'minilm'; the nearest is 'minilm-"),
        (["--config", "absent.json"], "absent.json: cannot be read"),
        (["--preset", "default", "--config", "c.json"], "give one"),
        (
            ["--validation", "v.jsonl"],
            "--validation and --test name files beside an own",
        ),
        (["--data", "x.jsonl", "--protocol", "modapte"], "belongs to a named corpus"),
    ],
)
def test_what_does_not_exist_is_named(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(["train", "--workdir", "w", *arguments], capsys, message)
    assert not list(tmp_path.iterdir())


def test_an_unknown_setting_in_a_file_is_told_the_nearest_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"learning_rate": 1}')
    refused(
        ["train", "--config", str(path), "--workdir", str(tmp_path / "w")],
        capsys,
        f"{path}:1: unknown setting 'learning_rate'; the nearest is "
        "'training.learning_rate'",
    )


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--training.learning-rat", "1", "--training.learning-rate"),
        ("--training.epochs", "many", "--training.epochs"),
        ("--text.encoder", "rnn", "bilstm"),
        ("--training.epochs", "0", "training.epochs must be at least 1, got 0"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_by_name(
    option: str,
    value: str,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / "w"
    assert run(["train", "--workdir", str(workdir), option, value]) == 2
    assert told in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not workdir.exists()


def test_a_work_directory_of_another_configuration_is_refused_with_the_differences(
    trained: Path, tiny_data: DataConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    config = str(trained / "config.json")
    changes = ["--training.epochs", "9", "--graph.role", "mask"]
    refused(
        ["train", "--config", config, "--workdir", str(trained), *changes],
        capsys,
        "belongs to a run of another configuration",
        "training.epochs: 6 -> 9",
        'graph.role: "additive" -> "mask"',
    )
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_a_directory_of_other_files_is_left_alone(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    refused(
        ["train", "--data", tiny_data.data, "--workdir", str(tmp_path)],
        capsys,
        "must be empty or a work directory",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("verb", ["evaluate", "predict", "report"])
def test_what_is_no_work_directory_is_refused(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([verb, str(tmp_path / "absent")], capsys, "no such work directory")
    refused([verb, str(tmp_path)], capsys, "it has no config.json")


def test_a_diverging_run_is_one_line_and_exit_code_2(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tiny_data, training={"learning_rate": 1e38, "epochs": 4})
    (tmp_path / "c.json").write_text(json.dumps(to_dict(config)))
    arguments = ["train", "--quiet", "--config", str(tmp_path / "c.json")]
    code = run([*arguments, "--workdir", str(tmp_path / "w")])
    err = capsys.readouterr().err
    assert code == 2
    assert "not finite" in err
    assert len(err.splitlines()) == 1


def test_training_says_what_it_does_and_prints_a_table(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tiny_data, training={"epochs": 1})
    (tmp_path / "c.json").write_text(json.dumps(to_dict(config)))
    workdir = str(tmp_path / "w")
    arguments = ["train", "--config", str(tmp_path / "c.json"), "--workdir", workdir]
    arguments.append("--no-report")
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert "bag + label graph" in out
    assert "24 test documents, 5 labels" in out
    assert "48 documents to train on" in err
    assert max(map(len, out.splitlines())) <= max(80, len(workdir) + 40)

    assert run([*arguments, "--json"]) == 0
    again, err = capsys.readouterr()
    assert json.loads(again) == json.loads((tmp_path / "w/results.json").read_text())
    assert "training has finished" in err


def test_evaluation_prints_json_that_is_the_run_s_own(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(trained), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["test"] == json.loads((trained / "results.json").read_text())["test"]


def test_labels_unseen_in_training_are_reported_at_evaluation(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = made_documents(8, seed=5)
    documents[0]["labels"].append("tin")
    file = write_jsonl(tmp_path / "new.jsonl", documents)
    assert run(["evaluate", str(trained), "--data", str(file)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 occurrence of 1 label that training never saw" in told
    assert "tin (1)" in told


def test_prediction_reads_a_file_and_standard_input(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "new.txt").write_text("crude barrel crude barrel\n")
    assert run(["predict", str(trained), str(tmp_path / "new.txt")]) == 0
    from_file = capsys.readouterr().out
    assert json.loads(from_file)["labels"][0] == "oil"
    stream = io.TextIOWrapper(io.BytesIO(b"crude barrel crude barrel\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run(["predict", str(trained)]) == 0
    assert capsys.readouterr().out == from_file
    refused(["predict", str(trained), "--top-k", "-1"], capsys, "--top-k must not be")


@pytest.mark.filterwarnings("always")
def test_an_unfinished_run_predicts_with_a_warning(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "w")
    (tmp_path / "w" / "thresholds.json").unlink()
    (tmp_path / "w" / "manifest.json").unlink()
    (tmp_path / "new.txt").write_text("crude\n")
    assert run(["predict", str(tmp_path / "w"), str(tmp_path / "new.txt")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["id"] == "line-1"
    assert err.startswith("labelgraph: warning: ")
    assert "training has not finished" in err
    assert len(err.splitlines()) == 1


def test_validation_notes_what_is_allowed_and_refuses_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = {"id": "bare", "text": "a text of its own", "labels": []}
    file = write_jsonl(tmp_path / "f.jsonl", [*made_documents(9, seed=0), bare])
    assert run(["data", "validate", str(file)]) == 0
    assert "1 document of 10 without label" in capsys.readouterr().out
    test = write_jsonl(
        tmp_path / "t.jsonl", [{"id": "t", "text": "ore", "labels": ["tin"]}]
    )
    assert run(["data", "validate", str(file), "--test", str(test)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 label without training document" in told
    assert "'tin'" in told
    write_jsonl(file, [bare])
    assert run(["data", "validate", str(file), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert problem["severity"] == "error"


def test_statistics_are_a_table_or_json(
    tiny_data: DataConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "stats", tiny_data.data]) == 0
    said = capsys.readouterr().out
    assert "48 documents, 5 labels" in said
    assert "scripts: Latin 100.0%" in said
    assert "as the default reads it: " in said
    assert run(["data", "stats", tiny_data.data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 48


def test_an_exported_split_can_be_read_again(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    export = ["data", "export", tiny_data.data, "--out", str(out)]
    assert run([*export, "--split", "train", "--test-fraction", "0.25"]) == 0
    assert "documents written to" in capsys.readouterr().out
    assert run(["data", "validate", str(out)]) == 0
    capsys.readouterr()
    refused([*export, "--split", "dev"], capsys, "--split must be one of")


def test_a_graph_is_built_saved_and_looked_at_again(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "g.npz"
    build = ["graph", tiny_data.data, "--initialisation", "thresholded", "--tau", "0.5"]
    assert run([*build, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert any("grain" in line and "corn" in line for line in lines)
    assert "0.5 *" in told
    assert f"--graph.adjacency-file {out}" in told
    assert max(len(line) for line in lines if str(out) not in line) <= 80

    assert run(["graph", str(out), "--edges", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["about"]["tau"] == 0.5
    assert len(report["strongest"]) == 2
    found = read_adjacency(out, report["isolated"])
    np.testing.assert_array_equal(found, np.eye(len(found)))


def test_the_graph_of_a_run_shows_what_training_changed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "learned.npz"
    assert run(["graph", str(trained), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "strengthened most" in told
    assert "weakened most" in told
    assert (read_adjacency(out, ["grain", "wheat"]) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such"], "the corpora are stdlib_docs, reuters21578"),
        (["absent.npz"], "no adjacency file at absent.npz"),
        (["."], "it has no config.json"),
        (["absent.npz", "--tau", "0.3"], "absent.npz: has its graph already; --init"),
        (["no-such", "--out", "graph.txt"], "--out must end in .npz, got 'graph.txt'"),
        (["no-such", "--edges", "-1"], "--edges must not be negative, got -1"),
        (["stdlib_docs", "--tau", "0"], "graph.tau must lie in (0, 1], got 0.0"),
        (["stdlib_docs", "--taxonomy", "absent.tsv"], "absent.tsv: no such file"),
    ],
)
def test_a_graph_that_cannot_be_had_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(["graph", *arguments], capsys, message)
    assert not list(tmp_path.iterdir())


def test_training_refuses_a_wrong_taxonomy_and_the_lack_of_one(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taxonomy = tmp_path / "t.tsv"
    taxonomy.write_text("grain\tcorn\twheat\nwheat\tgrain\n")
    train = ["train", "--quiet", "--data", tiny_data.data]
    train += ["--workdir", str(tmp_path / "w")]
    refused([*train, "--taxonomy", str(taxonomy)], capsys, f"{taxonomy}:2:", "no cycle")
    refused(
        [*train, "--threshold.consistent"],
        capsys,
        "threshold.consistent needs labels of which one lies above another",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["t.tsv"]


def test_the_corpora_and_the_presets_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["data", "list"]) == 0
    assert capsys.readouterr().out.split() == list(corpus_names())
    assert run(["config", "list"]) == 0
    assert "minilm-finetune" in capsys.readouterr().out
    refused(["data", "stats", "no-such"], capsys, "neither a file nor a corpus")


def test_a_printed_configuration_starts_a_run(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "show", str(trained), "--all", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((trained / "config.json").read_text())
    assert run(["config", "show", "magnet-paper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["graph"]["residual"] is False


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["data", "export", "--help"]]
)
def test_help_is_no_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert "usage: labelgraph" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"labelgraph 0\.\d+\.\d+, jax \d[\d.]+, cpu:cpu\n", said)


def test_ctrl_c_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelgraph_jax.cli.app._dispatch", stop)
    assert run(["train", "--workdir", "my runs"]) == 130
    said = "labelgraph: stopped; go on with `labelgraph train --workdir 'my runs'`\n"
    assert capsys.readouterr().err == said
    assert run(["predict", "runs/mine"]) == 130
    assert capsys.readouterr().err == "labelgraph: stopped\n"


def test_a_place_that_cannot_be_written_is_one_line(
    tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    workdir = str(tmp_path / "file" / "w")
    refused(
        ["train", "--data", tiny_data.data, "--workdir", workdir, "--quiet"], capsys
    )


def test_a_program_that_a_killed_process_kept_by_half_is_forgotten(
    tmp_path: Path,
) -> None:
    for name in ("whole-cache", "whole-atime", "half-cache", "lone-atime", "other"):
        (tmp_path / name).write_bytes(b"")
    forget_half_written_programs(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"whole-cache", "whole-atime", "lone-atime", "other"}
    forget_half_written_programs(tmp_path / "absent")
