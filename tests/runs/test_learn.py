"""`labelgraph learn`: a run that goes on learning from a stream."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.learned import STATE, current_version, learned_folder
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs import learning
from labelgraph_jax.runs.learn import learn
from labelgraph_jax.runs.learning import Learning, f1_scores
from tests.tiny import made_documents, write_jsonl
from tests.zoo import Zoo

SUGAR = "silo silo cargo cargo"
"""Words that the run knows: its vectors stay as they are."""
SMALL = Learning(memory_mib=0.25, block=20, save_every=2)


@pytest.fixture
def run(zoo: Zoo, tmp_path: Path) -> Path:
    return zoo.copy("bag", tmp_path / "run")


def documents(count: int, seed: int = 5) -> list[dict[str, Any]]:
    """Half of them with a label that training never saw."""
    found = made_documents(count, seed)
    for number, document in enumerate(found):
        if number % 2:
            document["text"] = f"{SUGAR} {document['text']}"
            document["labels"] = [*document["labels"], "sugar"]
    return found


def stream(folder: Path, count: int = 100, name: str = "stream.jsonl") -> Path:
    return write_jsonl(folder / name, documents(count))


def learned(run: Path, source: Path | str, how: Learning = SMALL) -> list[Any]:
    lines: list[str] = []
    learn(run, str(source), how, write=lines.append)
    return [json.loads(line) for line in lines]


def state(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "learned" / STATE, allow_pickle=False) as kept:
        return dict(kept)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_new_label_is_learned_and_predicted_by_a_run_like_any_other(run, tmp_path):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    lines = learned(run, stream(tmp_path, 200))
    assert [line["total"] for line in lines][-1] == 200
    assert lines[0]["new"] == ["sugar"]
    assert [line["compilations"] for line in lines] == [1] + [0] * 9
    assert lines[0]["known_micro_f1"] > lines[0]["micro_f1"]
    assert lines[-1]["micro_f1"] > 0.8
    model = lg.load(run / "learned" / "current")
    assert "sugar" in model.labels
    found = model.predict([d["text"] for d in documents(200)[1::2]])
    assert np.mean(["sugar" in labels for labels in found]) > 0.5
    assert all(path.read_bytes() == content for path, content in before.items())


def test_what_was_learned_is_evaluated_and_explained_by_the_command_line(
    run, tmp_path, capsys
):
    source = stream(tmp_path)
    assert command(["learn", str(run), str(source), "--block", "20", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and json.loads(lines[-1])["total"] == 100
    current = str(run / "learned" / "current")
    assert command(["evaluate", current, "--data", str(source), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["metrics"]["micro_f1"] > 0.7
    assert command(["evaluate", current, "--json"]) == 0  # the run's own test split
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["metrics"]["micro_f1"] > 0
    assert found["stream"]["documents"] == 100
    assert command(["evaluate", current]) == 0  # results.json has nothing of it
    assert "results.json" not in capsys.readouterr().out
    assert command(["labels", "list", current, "--json"]) == 0
    assert "sugar" in capsys.readouterr().out


def test_the_same_file_is_learned_once_and_what_is_added_to_it_later(run, tmp_path):
    source = stream(tmp_path)
    learned(run, source)
    assert learned(run, source) == []
    with source.open("a") as file:
        file.write(json.dumps(documents(1, 9)[0]) + "\n")
    assert [line["total"] for line in learned(run, source)] == [101]
    other = stream(tmp_path, 40, "other.jsonl")
    other.write_text(other.read_text().replace("the", "a"))
    assert [line["total"] for line in learned(run, other)] == [121, 141]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_whose_last_line_had_no_end_is_learned_once(run, tmp_path, end):
    source = stream(tmp_path, 20)
    whole = source.read_bytes().rstrip(b"\n")
    source.write_bytes(whole + end.encode())
    learned(run, source)
    assert learned(run, source) == []
    more = json.dumps(documents(1, 9)[0]).encode()
    source.write_bytes(whole + (end or "\n").encode() + more + b"\nno JSON")
    with pytest.raises(DataError, match=r"stream\.jsonl:22: must be one JSON object"):
        learned(run, source)
    assert current_version(Workdir(run)).name == "v21"


def test_a_beginning_that_is_another_is_said_to_be_new(run, tmp_path):
    source = stream(tmp_path, 20)
    learned(run, source)
    said: list[str] = []
    source.write_text("\n" + source.read_text())
    learn(run, str(source), SMALL, write=said.append, say=said.append)
    assert f"{source}: does not begin with what was learned last" in said[1]


@pytest.mark.parametrize("forget", ["--start-over", "no state"])
def test_learning_that_is_started_over_never_shows_what_was_learned_before(
    run, tmp_path, forget
):
    learned(run, stream(tmp_path, 40))
    before = current_version(Workdir(run))
    other = write_jsonl(tmp_path / "other.jsonl", made_documents(40, 11))
    if forget == "no state":
        (run / "learned" / STATE).unlink()
    again = Learning(memory_mib=0.25, block=20, start_over=forget != "no state")
    learned(run, other, again)
    found = current_version(Workdir(run))
    assert (before.name, found.name) == ("v40", "v40.1")
    assert "sugar" not in lg.load(found).labels
    learned(run, stream(tmp_path, 20))
    assert current_version(Workdir(run)).name == "v60.1"


def test_the_state_holds_the_end_of_the_log_alone_and_the_log_is_whole_after_a_kill(
    run, tmp_path
):
    def entries(start: int) -> list[Any]:
        numbers = range(start, start + 40)
        return [{"text": f"word{n}", "labels": [f"label{n}"]} for n in numbers]

    def about() -> dict[str, Any]:
        return json.loads(state(run)["about"].tobytes())

    source = write_jsonl(tmp_path / "stream.jsonl", entries(0))
    often = Learning(memory_mib=0.25, block=20, save_every=1)
    learned(run, source, often)
    log = run / "learned" / "labels.jsonl"
    whole = log.read_bytes()
    assert whole.count(b"\n") == 40
    assert [event["label"] for event in about()["log"]] == [
        f"label{n}" for n in range(20, 40)
    ]
    more = write_jsonl(tmp_path / "more.jsonl", entries(40))
    # Killed before the end of the log was written, and while it was.
    for left in (whole[: about()["logged"]], whole[:-9], whole + b'{"docu'):
        log.write_bytes(left)
        learned(run, source, often)
        assert log.read_bytes() == whole
    learned(run, more, often)
    assert log.read_bytes().startswith(whole)
    assert log.read_bytes().count(b"\n") == 80
    log.unlink()  # whoever does not want it
    learned(run, write_jsonl(tmp_path / "last.jsonl", entries(80)), often)
    assert log.read_bytes().count(b"\n") == 60
    learned(run, source, Learning(memory_mib=0.25, block=20, start_over=True))
    assert log.read_bytes().count(b"\n") == 40


def test_where_no_labels_are_known_no_version_is_promised(run, tmp_path, capsys):
    source = write_jsonl(tmp_path / "raw.jsonl", [{"text": "a"}, {"text": "b"}])
    assert command(["learn", str(run), str(source)]) == 0
    assert "0 documents learned; no version yet" in capsys.readouterr().err
    assert not (run / "learned").exists()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_never_saved(run, tmp_path, monkeypatch, wrong):
    learned(run, stream(tmp_path, 20))
    before, read = state(run), learning.document_vectors

    def broken(model: Any, texts: Any) -> np.ndarray:
        return np.full_like(read(model, texts), wrong)

    monkeypatch.setattr(learning, "document_vectors", broken)
    with pytest.raises(WorkdirError, match="finite numbers, and is not after"):
        learned(run, stream(tmp_path, 80))
    assert_same(before, state(run))
    assert current_version(Workdir(run)).name == "v20"


def test_a_state_that_cannot_be_read_says_what_to_do(run, tmp_path):
    learned(run, stream(tmp_path, 20))
    (run / "learned" / STATE).write_bytes(b"half")
    with pytest.raises(WorkdirError, match="--start-over begins anew"):
        learned(run, stream(tmp_path, 20))


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(run, zoo, tmp_path):
    source = stream(tmp_path, 240)
    learned(run, source)
    killed = zoo.copy("bag", tmp_path / "killed")

    class KilledError(Exception):
        pass

    def die(self: Any, entries: Any) -> Any:
        if self.documents >= 140:
            raise KilledError
        return block(self, entries)

    block = learning.Session._block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning.Session, "_block", die)
        with pytest.raises(KilledError):
            learned(killed, source)
    lines = learned(killed, source)
    assert lines[0]["total"] == 140  # after the 120 that were saved
    assert_same(state(run), state(killed))
    one, other = (lg.load(r / "learned" / "current") for r in (run, killed))
    np.testing.assert_array_equal(one.label_side[0], other.label_side[0])


@pytest.mark.process
@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_whole_version(run, zoo, tmp_path):
    source = stream(tmp_path, 600)
    options = ["--block", "20", "--save-every", "1", "--memory-mib", "0.25"]
    learned(run, source, Learning(memory_mib=0.25, block=20, save_every=1))
    killed = zoo.copy("bag", tmp_path / "killed")
    words = [sys.executable, "-m", "labelgraph_jax", "learn", str(killed), str(source)]
    for patience in (3, 5, 9):
        process = subprocess.Popen(
            [*words, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout
        for _ in range(patience):
            process.stdout.readline()
        time.sleep(0.01 * patience)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if current_version(Workdir(killed)) is not None:
            lg.load(killed / "learned" / "current")
    subprocess.run([*words, *options], check=True, capture_output=True)
    assert_same(state(run), state(killed))
    left = [path.name for path in (killed / "learned").iterdir()]
    assert not [name for name in left if name.startswith(".")]


@pytest.mark.process
def test_ctrl_c_saves_what_a_slow_stream_has_brought(run, tmp_path):
    words = [sys.executable, "-m", "labelgraph_jax", "learn", str(run), "-"]
    process = subprocess.Popen(
        [*words, "--block", "10", "--memory-mib", "0.25"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    killer = threading.Timer(240, process.kill)
    killer.start()
    for document in documents(15):
        process.stdin.write(json.dumps(document) + "\n")
        process.stdin.flush()
    assert json.loads(process.stdout.readline())["total"] == 10
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    killer.cancel()
    assert process.returncode == 130, errors
    assert json.loads(output)["total"] == 15
    assert "stopped by Ctrl-C after 15 documents, which are saved" in errors
    assert current_version(Workdir(run)).name == "v15"


def test_what_stood_before_a_line_that_cannot_be_read_is_kept(run, tmp_path, capsys):
    source = tmp_path / "stream.jsonl"
    lines = [json.dumps(document) for document in documents(30)]
    lines[25:25] = ["", '{"text": "corn", "labels": "corn"}']
    source.write_text("\n".join(lines) + "\n")
    words = ["learn", str(run), str(source), "--block", "20", "--quiet"]
    assert command(words) == 2
    captured = capsys.readouterr()
    assert [json.loads(line)["total"] for line in captured.out.splitlines()] == [20, 25]
    assert f'{source}:27: "labels" must be a list of strings' in captured.err
    source.write_text("\n".join([*lines[:26], *lines[27:]]) + "\n")
    assert command(words) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 30


def test_documents_without_labels_and_of_unknown_labels(run, tmp_path):
    source = tmp_path / "stream.jsonl"
    write_jsonl(
        source,
        [
            {"text": "maize cob"},
            {"text": "maize cob", "labels": None},
            {"text": "nothing at all", "labels": []},
            {"text": "maize cob", "labels": ["corn"]},
        ],
    )
    (line,) = learned(run, source)
    assert (line["documents"], line["labelled"]) == (4, 2)
    assert (
        json.loads((run / "learned/v4/results.json").read_text())["stream"][
            "unlabelled"
        ]
        == 2
    )


def test_more_labels_than_places_compile_as_often_as_these_double(run, tmp_path):
    entries = [
        {"text": f"word{n} word{n}", "labels": [f"label{n}"]} for n in range(120)
    ]
    lines = learned(run, write_jsonl(tmp_path / "stream.jsonl", entries))
    assert [line["places"] for line in lines] == [32, 64, 128, 128, 128, 128]
    assert sum(line["compilations"] for line in lines) == 3
    assert lines[-1]["labels"] == 125


def test_labels_are_renamed_merged_split_and_removed_by_lines(run, tmp_path):
    text = documents(60)
    changes = [
        {"control": "rename", "label": "sugar", "to": "sweets"},
        {"control": "merge", "labels": ["corn", "wheat"], "to": "cereals"},
        {"control": "split", "label": "oil", "to": ["crude", "vegetable oil"]},
        {"control": "remove", "label": "ship"},
    ]
    source = write_jsonl(tmp_path / "stream.jsonl", [*text, *changes])
    learned(run, source)
    model = lg.load(run / "learned" / "current")
    expected = {"sweets", "cereals", "crude", "vegetable oil", "grain"}
    assert set(model.labels) == expected
    assert current_version(Workdir(run)).name == "v60-4"
    assert "sweets" in model.predict([SUGAR])[0]
    assert "cereals" in model.predict(["flour bread flour bread"])[0]
    assert "crude" in model.predict(["barrel crude barrel crude"])[0]
    log = [
        json.loads(x)
        for x in (run / "learned/labels.jsonl").read_text().split("\n")
        if x
    ]
    assert [entry["event"] for entry in log] == [
        *("new", "rename", "merge", "merge", "split", "remove")
    ]
    # A label that is gone comes back as a new one.
    with source.open("a") as file:
        file.write(json.dumps({"text": "port cargo", "labels": ["ship"]}) + "\n")
    assert learned(run, source)[0]["new"] == ["ship"]


@pytest.mark.parametrize(
    "line, said",
    [
        (
            '{"control": "burn"}',
            '"control" must be one of remove, rename, merge, split',
        ),
        ('{"control": ["remove"]}', '"control" must be one of remove, rename'),
        ('{"control": {}}', '"control" must be one of remove, rename, merge, split'),
        ('{"control": null}', '"control" must be one of remove, rename, merge, split'),
        ('{"control": "rename", "label": "corn"}', 'rename needs "to", the name of a'),
        ('{"control": "remove", "label": "x"}', "no label 'x' is known"),
        (
            '{"control": "rename", "label": "corn", "to": "oil"}',
            "there is a label 'oil' already",
        ),
        ('{"control": "merge", "labels": ["corn"], "to": "b"}', "must name two labels"),
        ('{"labels": ["corn"]}', 'must have "text" or "control"; the keys are: labels'),
        ("[1]", "must be one JSON object"),
        ("{", "must be one JSON object"),
        ('{"text": "corn', "must be one JSON object; Unterminated string"),
    ],
)
def test_a_line_that_says_nothing_is_named(run, tmp_path, line, said):
    source = stream(tmp_path, 3)
    with source.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"stream\.jsonl:4: ") as raised:
        learned(run, source)
    assert said in str(raised.value)
    assert current_version(Workdir(run)).name == "v3"


@pytest.mark.parametrize(
    "options, said",
    [
        ({"block": 0}, "--block must be at least 1, got 0"),
        ({"save_every": 0}, "--save-every must be at least 1, got 0"),
        ({"memory_mib": -1.0}, "--memory-mib must be at least 0 and finite, got -1"),
        ({"rate": 0.0}, "--rate must be above 0 and finite, got 0"),
        ({"memory_mib": float("inf")}, "--memory-mib must be at least 0 and finite"),
        ({"distil": float("nan")}, "--distil must be at least 0 and finite, got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        Learning(**options)


def test_a_memory_of_nearly_nothing_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="--memory-mib must be 0, or hold 100 docum"):
        learned(run, stream(tmp_path, 3), Learning(memory_mib=0.001))


def test_learning_that_began_otherwise_is_not_gone_on_with(run, tmp_path):
    source = stream(tmp_path, 20)
    learned(run, source)
    other = Learning(memory_mib=1.0, block=20)
    with pytest.raises(ConfigError, match=r"must be what learning began with, 0\.25"):
        learned(run, source, other)
    over = Learning(memory_mib=1.0, block=20, start_over=True)
    assert learned(run, source, over)[0]["total"] == 20


@pytest.mark.parametrize("name", ["table", "ensemble", "chunks", "mixture"])
def test_runs_that_cannot_learn_say_why(zoo, tmp_path, name):
    source = stream(tmp_path, 3)
    with pytest.raises((WorkdirError, ConfigError)) as raised:
        learned(zoo.copy(name, tmp_path / name), source)
    assert str(tmp_path / name) in str(raised.value)


def test_a_version_is_no_run_to_learn_with(run, tmp_path):
    learned(run, stream(tmp_path, 20))
    with pytest.raises(WorkdirError, match="name its run, "):
        learned(run / "learned" / "current", stream(tmp_path, 20))


def test_a_stream_that_is_not_there_is_named(run, tmp_path, capsys):
    assert command(["learn", str(run), str(tmp_path / "no.jsonl")]) == 2
    assert "no.jsonl: no such file" in capsys.readouterr().err
    assert command(["learn", str(run), str(tmp_path)]) == 2
    assert f"{tmp_path}: must be a file; it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_stream_of_nothing_is_refused_but_where_more_was_learned_before(
    run, tmp_path, content
):
    empty = tmp_path / "empty.jsonl"
    empty.write_text(content)
    with pytest.raises(DataError, match=r"empty\.jsonl: must hold at least one docum"):
        learned(run, empty)
    assert not (run / "learned").exists()
    learned(run, stream(tmp_path, 20))
    assert learned(run, empty) == []


def test_a_pipe_is_read_once_and_is_always_new(run, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = stream(tmp_path, 20).read_bytes()
    for total in (20, 40):
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert learned(run, pipe)[0]["total"] == total
        writer.join()


def test_memory_is_bounded(run, tmp_path):
    small = Learning(memory_mib=0.1, block=50)
    lines = learned(run, stream(tmp_path, 1_000), small)
    assert len({line["bytes"] for line in lines}) == 1
    assert lines[-1]["remembered"] < 1_000


def test_old_versions_go_but_the_one_before_stays(run, tmp_path):
    learned(run, stream(tmp_path, 200))
    versions = sorted(p.name for p in learned_folder(Workdir(run)).glob("v*"))
    assert versions == ["v160", "v200"]


def test_f1_leaves_out_what_nobody_could_know():
    counts = np.array([[2, 0], [0, 0], [1, 1], [0, 1]])
    found = f1_scores(counts)
    assert found["micro_f1"] == pytest.approx(4 / 6, abs=1e-5)
    assert found["known_micro_f1"] == pytest.approx(4 / 5, abs=1e-5)
    assert found["macro_f1"] == pytest.approx(0.4)
    assert found["known_macro_f1"] == pytest.approx(0.8)


def test_a_packed_stream_is_read(run, tmp_path):
    import gzip

    packed = tmp_path / "stream.jsonl.gz"
    packed.write_bytes(gzip.compress(stream(tmp_path, 20).read_bytes()))
    assert learned(run, packed)[0]["total"] == 20
    assert learned(run, packed) == []
