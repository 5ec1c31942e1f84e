"""The table of a static encoder beside its transformer: from a file to its page."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.static_encoder import WEIGHTS, main
from tests.tiny import made_documents, write_jsonl


@pytest.fixture
def options(zoo, tmp_path: Path, encodings_folder: Path) -> list[str]:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(120, 1))
    return [
        *("--corpus", str(data), "--pretrained", str(zoo.bert), "--quick"),
        *("--out", str(tmp_path), "--work", str(tmp_path / "w")),
        *("--seeds", "2", "--resamples", "20"),
    ]


@pytest.mark.slow
def test_every_row_is_measured_and_kept(options, tmp_path, capsys) -> None:
    assert main(options) == 0
    said = capsys.readouterr().err
    assert "static, rate 0.003, dropout 0.1" in said
    record = json.loads((tmp_path / "static-encoder-mine-quick.json").read_text())
    rows = {row["row"]: row for row in record["rows"]}
    assert list(rows) == [
        "minilm",
        "static",
        "static-long",
        "alone",
        "bag",
        "bag+static",
    ]
    for row in rows.values():
        assert {one["metric"] for one in row["f1"]} == {"micro_f1", "macro_f1"}
        assert all(len(one["values"]) == 2 for one in row["f1"])
    best = np.maximum(rows["bag"]["validation"], rows["static"]["validation"])
    assert (np.asarray(rows["bag+static"]["validation"]) >= best - 1e-6).all()
    assert {0.0, 1.0} < set(WEIGHTS)
    assert len(record["differences"]) == 10
    assert record["speed"]["ratio"] > 1
    page = (tmp_path / "static-encoder-mine-quick.md").read_text()
    assert "static, fitted to the training texts" in page
    assert main([*options, "--rows", "static"]) == 0
    assert "rate 0.003" not in capsys.readouterr().err  # read again, not trained


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "word2vec"], "--rows must be of minilm, static"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--resamples", "0"], "--resamples must be at least 1, got 0"),
        (["--pretrained", "none-such"], "no pretrained encoder 'none-such'"),
    ],
)
def test_bad_options_get_one_sentence(options, more, said, capsys) -> None:
    assert main([*options, *more]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
