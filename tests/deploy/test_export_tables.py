"""A run over a table as a directory: file, frame, rows and export predict the same."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.deploy.export.program import ExportError
from labelgraph_jax.deploy.export.source import self_contained
from labelgraph_jax.deploy.export.tables import largest_difference, table_program
from labelgraph_jax.predictors.tables.inputs import as_table
from labelgraph_jax.predictors.tables.model import TableModel
from tests.deploy.test_export import WITHOUT_US
from tests.tiny_table import made_rows, write_rows
from tests.zoo import Zoo


@pytest.fixture(scope="module")
def exported(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "table"
    assert run(["export", str(zoo("table")), str(out), "--quiet"]) == 0
    return out


def same(ours: Any, theirs: Any) -> bool:
    """Whether two predictions are equal, numbers to six digits."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(
            same(ours[n], theirs[n]) for n in ours
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float):
        return bool(np.isclose(ours, theirs, rtol=2e-6, atol=1e-6))
    return bool(ours == theirs)


def test_file_frame_rows_and_export_predict_the_same(
    exported: Path, zoo: Zoo, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    model = lg.load(zoo("table"))
    rows = made_rows(40, 7)
    rows[3]["job"], rows[4]["age"] = "sailor", None
    path = write_rows(tmp_path / "rows.csv", rows)
    script = runpy.run_path(str(exported / "load_example.py"))
    expected = model.predict(str(path))
    assert same(expected, model.predict(rows))
    assert same(expected, model.predict(pandas.DataFrame(rows)))
    assert same(expected, script["predict"](rows))
    assert same(expected, script["predict"](script["load"](str(path))))
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert same(expected, script["predict"](script["load"](str(lines))))
    for row in rows[:3]:
        assert same(model.predict([row]), script["predict"]([row]))


@pytest.mark.process
def test_the_script_predicts_without_this_package(
    exported: Path, tmp_path: Path
) -> None:
    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = str(exported / "load_example.py")
        command = [sys.executable, "-c", WITHOUT_US, script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    path = write_rows(tmp_path / "rows.csv", made_rows(3, 1))
    lines = said(str(path)).stdout.splitlines()
    assert [set(json.loads(line)) for line in lines] == [
        {"click", "rating", "genre", "tags", "never"}
    ] * 3
    wrong = said('{"job": "clerk", "age": "old"}')
    assert wrong.returncode == 1
    assert "error: rows:1: column 'age' must hold numbers; got 'old'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_the_manifest_says_what_goes_in_and_comes_out(exported: Path) -> None:
    manifest = json.loads((exported / "export.json").read_text("utf-8"))
    assert manifest["inputs"]["categories"]["shape"] == ["batch", 1]
    assert manifest["outputs"]["predictions"]["shape"] == ["batch", 8]
    assert manifest["check"]["rows"] == 48
    assert manifest["check"]["largest_difference"] <= 1e-6
    assert manifest["platforms"] == ["cpu", "cuda", "tpu"]
    # A script of another test that was imported from there may have been compiled.
    others = {"export.json", "__pycache__"}
    named = {path.name for path in exported.iterdir()} - others
    assert set(manifest["files"]) == named
    assert {"table.json", "table_reading.py", "thresholds.json"} <= named
    card = (exported / "README.md").read_text("utf-8")
    assert "| click | AUC | " in card and "Compared with `predict` on 48 rows" in card


def test_thresholds_and_calibration_leave_with_the_model(
    zoo: Zoo, tmp_path: Path
) -> None:
    place = zoo.copy("table", tmp_path / "run")
    path = place / "thresholds.json"
    stored = json.loads(path.read_text("utf-8"))
    stored["tasks"]["click"]["calibration"] = {"scale": 0.5, "shift": -1, "gain": 0.1}
    stored["tasks"]["click"]["thresholds"] = {"1": 0.05}
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert run(["doctor", str(place), "--accept"]) == 0
    assert run(["export", str(place), str(tmp_path / "out"), "--check", "9"]) == 0
    script = runpy.run_path(str(tmp_path / "out" / "load_example.py"))
    rows = made_rows(30, 4)
    expected = lg.load(place).predict(rows)
    assert same(expected, script["predict"](rows))
    assert any(
        r["click"]["value"] == 1 and r["click"]["probability"] < 0.5 for r in expected
    )


def test_a_run_without_thresholds_is_exported_at_half(zoo: Zoo, tmp_path: Path) -> None:
    place = zoo.copy("table", tmp_path / "run")
    (place / "thresholds.json").unlink()
    assert run(["doctor", str(place), "--accept"]) == 0
    assert run(["export", str(place), str(tmp_path / "out"), "--quiet"]) == 0
    script = runpy.run_path(str(tmp_path / "out" / "load_example.py"))
    rows = made_rows(20, 4)
    assert same(lg.load(place).predict(rows), script["predict"](rows))


def test_a_program_that_differs_is_refused(zoo: Zoo) -> None:
    model = lg.load(zoo("table"))
    assert isinstance(model, TableModel)
    assert table_program(model).outputs.keys() == {"predictions"}
    rows = model.encode(made_rows(5, 0), labelled=False)
    wrong = np.zeros((5, 8), np.float32)
    assert len(rows.examples) == 5
    with pytest.raises(ExportError, match=r"differs from predict by .* on 5 rows"):
        largest_difference(
            model, lambda _: {"predictions": wrong}, as_table(made_rows(5, 0))
        )


def test_source_that_leaves_holds_all_that_it_uses_and_nothing_of_the_package() -> None:
    text = self_contained([("labelgraph_jax.data.tables.values", "category_name")])
    assert (
        "def parse_number(" in text and "labelgraph_jax" not in text.split("\n", 1)[1]
    )
    space: dict[str, Any] = {}
    exec(compile(text, "copy", "exec"), space)
    assert space["category_name"]("3.0") == "3"
    with pytest.raises(ExportError, match="both define Table, which one file cannot"):
        self_contained(
            [
                ("labelgraph_jax.data.tables.files", "Table"),
                ("labelgraph_jax.data.corpora.slashdot.arff", "Table"),
            ]
        )
