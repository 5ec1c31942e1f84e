"""Whatever stands in a file: one line, and an exit code that is documented."""

import os
import random
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.readers.texts import read_documents
from tests.data.xmc_files import write_features, write_repository
from tests.mutations import Finding, findings, mutated
from tests.zoo import Zoo

CASES = int(os.environ.get("LABELGRAPH_MUTATIONS", "180"))
"""How many of all commands; those of one seed are always the same."""
UNREAD = ("tensorboard", "report", "metrics.jsonl", ".lock")
RUNS = ("bag", "memory", "table", "taxonomy", "ensemble", "mixture")


def told(found: list[Finding]) -> str:
    return "\n\n".join(f"{f.case}\n{f.code}\n{f.said}" for f in found[:20])


def of_runs(zoo: Zoo, base: Path, count: int) -> Iterator[tuple[str, list[str]]]:
    texts = base / "texts.txt"
    texts.write_text("wheat and corn\nore\n")
    for seed in range(count):
        draw = random.Random(-1 - seed)
        name = draw.choice(RUNS)
        folder = base / "run"
        shutil.rmtree(folder, ignore_errors=True)
        _, case = mutated(zoo(name), folder, seed, keep=UNREAD)
        # Without a manifest every file must stand up for itself.
        if draw.random() < 0.7:
            (folder / "manifest.json").unlink(missing_ok=True)
        run = str(folder)
        data = str(zoo.table) if name == "table" else str(texts)
        yield (
            f"{name} {case}",
            draw.choice(
                [
                    ["predict", run, data],
                    ["predict", run, data],
                    ["predict", run, data],
                    ["evaluate", run],
                    ["graph", run],
                    ["doctor", run],
                    ["labels", "list", run],
                    ["config", "show", run],
                    ["report", run, "--out", str(base / "report")],
                ]
            ),
        )


def written_inputs(zoo: Zoo, base: Path) -> list[tuple[Path, list[str]]]:
    """A folder for each format, and the options that read it."""
    import pandas as pd

    documents = read_documents(Path(zoo.data.data))[:12]
    frame = pd.DataFrame(
        {
            "text": [d.text for d in documents],
            "labels": [d.labels[0] for d in documents],
        }
    )
    made: list[tuple[Path, list[str]]] = []
    for name in ("csv", "tsv", "jsonl", "json", "parquet"):
        folder = base / name
        folder.mkdir()
        path = folder / f"data.{name}"
        if name in ("csv", "tsv"):
            frame.to_csv(path, sep="," if name == "csv" else "\t", index=False)
        elif name == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=name == "jsonl")
        made.append((folder, []))
    (base / "svm").mkdir()
    rows = "".join(f"{i % 3},{i % 2 + 3} {i}:0.5 {i + 7}:1.25\n" for i in range(12))
    (base / "svm" / "data.svm").write_text(rows)
    made.append((base / "svm", []))
    (base / "table").mkdir()
    shutil.copy(zoo.table, base / "table" / "data.csv")
    made.append((base / "table", []))
    (base / "xmc").mkdir()
    write_repository(base / "xmc")
    made.append((base / "xmc", ["folder"]))
    (base / "npz").mkdir()
    write_features(base / "npz", npz=True)
    made.append((base / "npz", ["folder"]))
    return made


def of_inputs(zoo: Zoo, base: Path, count: int) -> Iterator[tuple[str, list[str]]]:
    inputs = written_inputs(zoo, base)
    for seed in range(count):
        source, kind = inputs[seed % len(inputs)]
        draw, folder = random.Random(-1 - seed), base / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        path, case = mutated(source, folder, seed)
        path = folder if kind else path
        model = str(zoo("table" if source.name == "table" else "bag"))
        verbs = [["data", "validate", str(path)], ["data", "stats", str(path)]]
        if not kind:
            verbs += [["predict", model, str(path)], ["evaluate", model, "--data"]]
            verbs[-1].append(str(path))
        yield f"{source.name} {case}", draw.choice(verbs)


@pytest.mark.slow
def test_a_damaged_work_directory_is_told_in_one_line(zoo: Zoo, tmp_path: Path) -> None:
    found = findings(of_runs(zoo, tmp_path, CASES // 3))
    assert not found, told(found)


@pytest.mark.slow
def test_a_damaged_input_is_told_in_one_line(zoo: Zoo, tmp_path: Path) -> None:
    found = findings(of_inputs(zoo, tmp_path, CASES // 3 * 2))
    assert not found, told(found)


def test_a_damaged_export_is_told_in_one_line(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "export"
    assert command(["export", str(zoo("bag")), str(whole), "--quiet"]) == 0
    for seed in range(40):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        keep = ("load_example.py", "README.md")
        _, case = mutated(whole, folder, seed, keep=keep)
        script = folder / "load_example.py"
        monkeypatch.setattr(sys, "argv", [str(script), "wheat"])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            assert end.code is None or "must" in str(end.code), case


def test_what_was_not_foreseen_is_one_line_and_says_how_to_see_more(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("this\nand that")

    monkeypatch.setattr("labelgraph_jax.runs.added_labels.list_labels", fail)
    assert command(["labels", "list", str(zoo("bag"))]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "error: not foreseen: TypeError: this and that (" in said
    assert "with LABELGRAPH_TRACEBACK=1 the same command shows where" in said
    monkeypatch.setenv("LABELGRAPH_TRACEBACK", "1")
    with pytest.raises(TypeError, match="this"):
        command(["labels", "list", str(zoo("bag"))])


DEEP, INFINITE = "[" * 100_000 + "]" * 100_000, '{"step": 1e999}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bag", DEEP),
        ("bag", "9" * 5000),
        ("bag", INFINITE),
        ("bag", '"\\ud800"'),
        ("bag", '{"training": {"learning_rate": 1%s}}' % ("0" * 400)),
        ("bag", '{"training": {"batch_size": 1%s}}' % ("0" * 19)),
        ("table", DEEP),
        ("ensemble", INFINITE),
    ],
    ids=[
        "deep",
        "digits",
        "infinite",
        "surrogate",
        "rate",
        "size",
        "table",
        "ensemble",
    ],
)
def test_no_json_file_of_a_work_directory_may_hold_what_python_cannot_read(
    name: str, text: str, zoo: Zoo, tmp_path: Path
) -> None:
    whole = zoo(name)
    names = sorted(
        str(path.relative_to(whole))
        for path in whole.rglob("*.json")
        if path.name != "manifest.json" and not set(UNREAD) & set(path.parts)
    )
    assert {"config.json", "thresholds.json"} & set(names)

    def cases() -> Iterator[tuple[str, list[str]]]:
        for number, file in enumerate(names):
            folder = tmp_path / "run"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            (folder / file).write_text(text)
            if number % 2:
                (folder / "manifest.json").unlink(missing_ok=True)
            yield file, ["evaluate", str(folder)]

    found = findings(cases())
    assert not found, told(found)
