"""What a label graph is worth for a file: asked for, chosen in training, refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.cli import run
from labelgraph_jax.config import Config, ConfigError, DataConfig, GraphConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors import graph_choice
from labelgraph_jax.runs import graph_worth
from labelgraph_jax.runs.fit import fit
from tests.tiny import made_documents, tiny_config, write_corpus, write_jsonl


@pytest.fixture
def quick(monkeypatch) -> None:
    """One strength in place of three."""
    monkeypatch.setattr(
        graph_choice.choose_graph,
        "__kwdefaults__",
        {**graph_choice.choose_graph.__kwdefaults__, "strengths": (30.0,), "folds": 2},
    )


def named(count: int) -> list[dict[str, Any]]:
    """Documents of which every third says the names of its labels."""
    documents = made_documents(count, 1)
    for document in documents[::3]:
        document["text"] += " " + " ".join(document["labels"])
    return documents


def test_the_verb_prints_a_table_and_writes_the_answer(quick, tmp_path, capsys) -> None:
    data = write_jsonl(tmp_path / "mine.jsonl", named(80))
    taxonomy = tmp_path / "taxonomy.tsv"
    taxonomy.write_text("grain\tcorn\twheat\n")
    asked = ["graph", "worth", "--data", str(data), "--taxonomy", str(taxonomy)]
    out = tmp_path / "worth.json"
    assert run([*asked, "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "free + message, taxonomy" in printed and "\n* " in printed
    found = json.loads(out.read_text())
    assert list(found) == ["kind", "said", "ways"]
    assert len(found["ways"]) == 15
    way = found["ways"]["features + message, names"]
    assert len(way["gain"]["macro_f1"]) == len(way["message_gain"]["macro_f1"]) == 3
    assert run([*asked, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("documents", "more", "said"),
    [
        (15, [], "mine.jsonl: to find out what a label graph is worth there must be"),
        (80, ["--initialisation", "identity"], "graph worth tries all forms"),
        (80, ["--edges", "3"], "graph worth tries all forms"),
        (80, ["--out", "none/worth.json"], "--out: its folder must be there, got none"),
        (80, ["--out", "graph.npz"], "--out of graph worth must end in .json, got"),
    ],
)
def test_bad_input_gets_one_line(documents, more, said, tmp_path, capsys) -> None:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(documents, 1))
    assert run(["graph", "worth", "--data", str(data), *more]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_file_without_its_option_is_told_which(tmp_path, capsys) -> None:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(30, 1))
    assert run(["graph", "worth", str(data)]) == 2
    assert f"graph worth reads --data FILE; got {data}" in capsys.readouterr().err


def test_names_whose_words_no_text_has_are_not_tried(quick, tmp_path) -> None:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(80, 1))
    lines: list[str] = []
    config = Config(data=DataConfig(data=str(data)))
    choice = graph_worth.weigh_graph(config, lines.append)
    assert list(choice.ways) == ["none", "free + message, co-occurrence"]
    assert "mine.jsonl: no word of a label's name stands in two texts" in lines


def test_rows_of_features_and_too_many_labels_are_refused(
    tmp_path, monkeypatch
) -> None:
    features = tmp_path / "rows.svm"
    features.write_text("".join(f"{i % 3} {i % 5}:1.0\n" for i in range(60)))
    config = Config(data=DataConfig(data=str(features)))
    with pytest.raises(DataError, match="got rows of features"):
        graph_worth.weigh_graph(config, print)
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(80, 1))
    monkeypatch.setattr(graph_worth, "MOST_LABELS", 3)
    config = Config(data=DataConfig(data=str(data)))
    with pytest.raises(ConfigError, match="at most 3 labels, got 5"):
        graph_worth.weigh_graph(config, print)


def test_a_run_chooses_its_graph_keeps_it_and_goes_on(quick, tmp_path: Path) -> None:
    config = tiny_config(write_corpus(tmp_path))
    config = dataclasses.replace(config, graph=GraphConfig(kind="auto"))
    lines: list[str] = []
    workdir = tmp_path / "run"
    results = fit(config, workdir, progress=False, say=lines.append)
    assert any(line.startswith("label graph: ") for line in lines)
    stored = json.loads((workdir / "config.json").read_text())["graph"]
    assert stored["kind"] == "static"
    kind = results["graph"]["kind"]
    assert (stored["layers"] == 0) == (kind == "none")
    kept = json.loads((workdir / "graph_choice.json").read_text())
    assert kept == results["graph"]
    assert fit(config, workdir, progress=False)["graph"] == kept


def test_every_form_has_settings() -> None:
    for way in graph_choice.graph_ways(names=True, taxonomy=True):
        if way.adjacency != graph_choice.ALL:
            choice = graph_choice.GraphChoice(way.name, {way.name: way}, *[{}] * 5)
            graph = graph_worth.with_choice(Config(), choice).graph
            assert (graph.layers == 0) == (way.form == "free")
            assert graph.skip == ("features" in way.form)
            assert graph.residual == ("free" in way.form)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "auto", "layers": 1}, "it cannot be given graph.layers"),
        ({"kind": "document", "attention": "gatv2"}, "needs graph.attention='gat'"),
    ],
)
def test_settings_that_a_kind_cannot_take_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphConfig(**settings)


def test_a_graph_of_the_document_needs_label_attention() -> None:
    with pytest.raises(ConfigError, match="and one set of labels"):
        Config(graph=GraphConfig(kind="document"))
