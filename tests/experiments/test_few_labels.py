"""What unlabelled documents are worth: from a file to its page."""

import json
from pathlib import Path

import pytest

from experiments.few_labels import ROWS, main
from labelgraph_jax.predictors.few_labels import KINDS
from tests.tiny import made_documents, write_jsonl


@pytest.fixture
def options(zoo, tmp_path: Path, encodings_folder: Path) -> list[str]:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(160, 1))
    return [
        *("--corpus", str(data), "--pretrained", str(zoo.bert), "--quick"),
        *("--out", str(tmp_path), "--work", str(tmp_path / "w")),
        *("--shares", "0.3", "--resamples", "20"),
    ]


@pytest.mark.slow
def test_every_row_is_measured_on_the_same_draws_and_kept(
    options, tmp_path, capsys
) -> None:
    assert main(options) == 0
    assert "0.3 labelled, draw 1" in capsys.readouterr().err
    record = json.loads((tmp_path / "few-labels-mine-quick.json").read_text())
    (share,) = record["shares"]
    assert share["labelled"] == 29
    assert share["unlabelled"] == 67
    rows = {row["row"]: row for row in share["rows"]}
    assert list(rows) == ["supervised", *KINDS, "auto"]
    assert len(ROWS) == len(rows)
    assert rows["supervised"]["micro_f1"]["gain"] == 0
    for name, row in rows.items():
        assert 0 <= row["micro_f1"]["mean"] <= 1
        if name != "supervised":
            low, high = row["macro_f1"]["interval"]
            assert low <= high
    for draw, about in enumerate(share["about"]):
        own = rows[about["auto"].replace("none", "supervised")]["micro_f1"]
        assert rows["auto"]["micro_f1"]["gains"][draw] == own["gains"][draw]
    page = (tmp_path / "few-labels-mine-quick.md").read_text()
    assert "auto chose:" in page
    assert main(options) == 0
    assert "draw 1:" not in capsys.readouterr().err  # read again, not learned


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--arm", "test"], "--arm must be of rest, raw, half, double; got 'test'"),
        (["--draws", "0"], "--draws must be at least 1, got 0"),
        (["--shares", "1.5"], "--shares must lie between 0 and 1, got (1.5,)"),
        (["--pretrained", "none-such"], "no pretrained encoder 'none-such'"),
    ],
)
def test_bad_options_get_one_sentence(options, more, said, capsys) -> None:
    assert main([*options, *more]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
