"""What decides an answer does not change silently."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.predictors.manifest import FILE, changes, seal
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from tests.zoo import Zoo


def edited(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        values = json.loads((run / name).read_text("utf-8"))
        change(values)
        (run / name).write_text(json.dumps(values), "utf-8")

    return edit


def swapped(values: Any) -> None:
    names = values["names"]
    names[0], names[1] = names[1], names[0]


def thresholds(value: float) -> Callable[[Path], None]:
    def change(values: Any) -> None:
        values["thresholds"][next(iter(values["thresholds"]))] = value

    return edited("thresholds.json", change)


def flipped(name: str) -> Callable[[Path], None]:
    def flip(run: Path) -> None:
        (path,) = run.glob(name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return flip


def removed(name: str) -> Callable[[Path], None]:
    return lambda run: next(run.glob(name)).unlink()


CHANGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "two names swapped": ("bag", edited("labels.json", swapped), r"labels\.json: must"),
    "no best": ("bag", removed("checkpoints/best.json"), r"best\.json: must .*missing"),
    "another best": (
        "bag",
        edited("checkpoints/best.json", lambda v: v.update(value=0.1)),
        r"best\.json: must be as the run left it, and has changed",
    ),
    "no thresholds": (
        "bag",
        removed("thresholds.json"),
        r"thresholds\.json: .*missing",
    ),
    "a threshold above one": (
        "bag",
        thresholds(1.5),
        r"thresholds\.json: .*from 0 to 1",
    ),
    "a negative threshold": ("bag", thresholds(-0.1), r"thresholds\.json: .*from 0 to"),
    "a threshold that is none": (
        "bag",
        thresholds(float("nan")),
        r"thresholds\.json: .*NaN is no JSON number",
    ),
    "another threshold": ("bag", thresholds(0.123), r"thresholds\.json: .*has changed"),
    "another tokenizer": (
        "bag",
        flipped("tokenizer/*.json"),
        r"tokenizer/\w+\.json|damaged|tokenizer",
    ),
    "parameters": ("bag", flipped("checkpoints/*/params/d/*"), "not as it was written"),
    "parameters and their checksums": (
        "bag",
        lambda run: edited(
            next(run.glob("checkpoints/*/checksums.json")).relative_to(run).as_posix(),
            lambda v: v.update({"params/more": 1}),
        )(run),
        r"params/more|params: must",
    ),
    "settings": (
        "bag",
        edited("config.json", lambda v: v["training"].update(seed=7)),
        r"config\.json: must be as the run left it",
    ),
    "a file more": (
        "bag",
        lambda run: (run / "tokenizer" / "features.json").write_text("{}"),
        r"features\.json",
    ),
    "one bit of the encoder": (
        "memory",
        flipped("memory/encoder/model.safetensors"),
        r"memory/encoder/model\.safetensors: must be as the run left it",
    ),
    "the memory": (
        "memory",
        edited("memory/memory.json", lambda v: v["choice"].update(weight=0.9)),
        r"memory/memory\.json: must be as the run left it",
    ),
    "a table's columns": (
        "table",
        edited("table.json", lambda v: v["tasks"].reverse()),
        r"table\.json: must be|fit this model",
    ),
    "no columns": (
        "table",
        edited("table.json", lambda v: v.update(columns=[])),
        r"table\.json: must hold a column that is read",
    ),
    "a member": (
        "ensemble",
        edited("members/1/labels.json", swapped),
        r"members/1/labels\.json: must|labels",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_refused_by_name(zoo: Zoo, tmp_path: Path, case: str) -> None:
    name, change, message = CHANGES[case]
    copy = zoo.copy(name, tmp_path / "run")
    change(copy)
    with pytest.raises(ValueError, match=message) as caught:
        lg.load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", ["evaluate", "predict", "report", "export", "graph"])
def test_every_verb_refuses_what_has_changed(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    edited("labels.json", swapped)(copy)
    (tmp_path / "texts.txt").write_text("wheat\n")
    more = {"predict": [str(tmp_path / "texts.txt")]}
    more["export"] = [str(tmp_path / "out")]
    assert command([verb, str(copy), *more.get(verb, [])]) == 2
    said = capsys.readouterr().err
    assert "labels.json: must be as the run left it" in said
    assert f"labelgraph doctor {copy} --accept" in said


def test_a_run_of_an_earlier_version_loads_without_a_manifest(
    zoo: Zoo, tmp_path: Path
) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    (copy / FILE).unlink()
    edited("labels.json", swapped)(copy)
    assert changes(Workdir(copy)) is None
    assert len(lg.load(copy).labels) == 5


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 9, "sha256": {}}']
)
def test_a_damaged_manifest_is_told(zoo: Zoo, tmp_path: Path, content: str) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    (copy / FILE).write_text(content)
    with pytest.raises(WorkdirError, match=r"manifest\.json: "):
        lg.load(copy)
    assert command(["doctor", str(copy)]) == 2
    assert command(["doctor", str(copy), "--accept"]) == 0
    lg.load(copy)


def test_doctor_names_what_changed_and_accepts_it(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    assert command(["doctor", str(copy)]) == 0
    assert "files as the run left them" in capsys.readouterr().out
    edited("labels.json", swapped)(copy)
    thresholds(0.25)(copy)
    assert command(["doctor", str(copy)]) == 2
    said = capsys.readouterr().out
    assert f"{copy}/labels.json: has changed since" in said
    assert f"{copy}/thresholds.json: has changed since" in said
    assert f"labelgraph doctor {copy} --accept" in said
    assert command(["doctor", str(copy), "--accept"]) == 0
    assert "accepted as they are now" in capsys.readouterr().out
    assert command(["doctor", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == {}
    lg.load(copy)


def test_doctor_does_not_accept_damaged_parameters(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    flipped("checkpoints/*/params/d/*")(copy)
    assert command(["doctor", str(copy), "--accept"]) == 2
    assert "a damaged checkpoint cannot be accepted" in capsys.readouterr().out


def test_doctor_of_a_run_says_what_must_stand_there(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["doctor", str(tmp_path / "no")]) == 2
    assert "no such work directory" in capsys.readouterr().err
    assert command(["doctor", "--accept"]) == 2
    assert "--accept needs the WORKDIR" in capsys.readouterr().err
    copy = zoo.copy("bag", tmp_path / "run")
    (copy / "results.json").unlink()
    assert command(["doctor", str(copy)]) == 2
    assert "its training has not finished" in capsys.readouterr().err
    (copy / FILE).unlink()
    shutil.copy(zoo("bag") / "results.json", copy)
    assert command(["doctor", str(copy)]) == 0
    assert "has no manifest.json" in capsys.readouterr().out


def test_verbs_that_change_a_run_on_purpose_seal_it_anew(
    zoo: Zoo, tmp_path: Path
) -> None:
    copy = zoo.copy("memory", tmp_path / "run")
    before = json.loads((copy / FILE).read_text())["sha256"]
    add = ["labels", "add", str(copy), "--label", "rice"]
    assert command(add) == 0
    after = json.loads((copy / FILE).read_text())["sha256"]
    assert after.keys() - before.keys() == {"memory/added.npz"}
    assert "rice" in lg.load(copy).labels
    edited("labels.json", swapped)(copy)
    assert command([*add[:-1], "oats"]) == 2
    assert json.loads((copy / FILE).read_text())["sha256"] == after


def test_what_is_being_written_is_no_change(zoo: Zoo, tmp_path: Path) -> None:
    copy = zoo.copy("bag", tmp_path / "run")
    (copy / "tokenizer" / ".ngrams.json.0123").write_text("half")
    assert changes(Workdir(copy)) == {}
    seal(Workdir(copy))
    assert changes(Workdir(copy)) == {}
