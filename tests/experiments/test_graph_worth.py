"""What a label graph is worth: from a file to its page."""

import json
from pathlib import Path

import pytest

from experiments.document_rows import ATTENTION, GRAPH, words_read
from experiments.graph_worth import main
from tests.tiny import made_documents, write_jsonl


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    documents = made_documents(120, 1)
    for document in documents[::3]:  # names that stand in texts
        document["text"] += " " + " ".join(document["labels"])
    data = write_jsonl(tmp_path / "mine.jsonl", documents)
    return [
        *("--corpus", str(data), "--quick", "--shares", "0.5", "--resamples", "20"),
        *("--out", str(tmp_path), "--work", str(tmp_path / "w")),
    ]


@pytest.mark.slow
def test_every_form_is_measured_on_the_same_draws_and_kept(
    options, tmp_path, capsys
) -> None:
    assert main([*options, "--document"]) == 0
    assert "0.5 labelled, draw 1" in capsys.readouterr().err
    record = json.loads((tmp_path / "graph-worth-mine-quick.json").read_text())
    (share,) = record["shares"]
    rows = {row["row"]: row for row in share["rows"]}
    assert len(rows) == 15 and share["draws"] == 2
    assert set(rows[GRAPH]["messages"]) and "messages" not in rows[ATTENTION]
    assert rows[ATTENTION]["micro_f1"] > 0.3
    for draw, about in enumerate(share["about"]):
        if about["auto"] != "none":
            own = rows[about["auto"]]["over none"]["macro_f1"]["gains"][draw]
            assert rows["auto"]["over none"]["macro_f1"]["gains"][draw] == own
    messages = rows["features + message, names"]["messages"]["macro_f1"]
    low, high = messages["interval"]
    assert low <= high
    assert "auto chose:" in (tmp_path / "graph-worth-mine-quick.md").read_text()
    assert main([*options, "--document"]) == 0
    assert "draw 1:" not in capsys.readouterr().err  # read again, not learned


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--draws", "0"], "--draws must be at least 1, got 0"),
        (["--shares", "1.5"], "--shares must lie in (0, 1], got (1.5,)"),
    ],
)
def test_bad_options_get_one_sentence(options, more, said, capsys) -> None:
    assert main([*options, *more]) == 2
    assert f"graph_worth: error: {said}" in capsys.readouterr().err


def test_words_are_read_once_each_and_unknown_ones_left_out() -> None:
    texts = ["wheat maize wheat", "maize barley", "barley wheat"]
    read = words_read(texts, ["silver maize", ""])
    assert len(read.vectors) == 4 and not read.vectors[0].any()
    assert (read.ids > 0).sum(axis=1).tolist() == [2, 2, 2, 1, 0]
    assert read.ids[3, 0] == read.ids[0, 1] == read.ids[1, 0]
