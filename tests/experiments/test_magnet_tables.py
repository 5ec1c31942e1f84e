"""The tables: declared cells, exact commands, seeds as `labelgraph train` runs them."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import magnet_tables
from experiments.study import student_interval
from experiments.tables import cells, evaluating, running
from experiments.tables.cells import TABLES, Cell, TableSpec
from experiments.tables.corpus import can_train_together
from experiments.tables.settings import command, configuration
from experiments.tables.statistics import paired_columns
from experiments.tables.store import RunStore, SeedRun, run_key
from experiments.tables.word_vectors import ppmi_vectors
from labelgraph_jax.cli.app import _parse  # the command line's own reading
from labelgraph_jax.config import Config, ConfigError, DataConfig, to_dict
from tests.tiny import tiny_config

WORDS = "words.txt"


def test_every_cell_is_a_valid_configuration_with_a_name_of_its_own() -> None:
    for name in TABLES:
        spec = cells.table(name, full=True, vectors_file=WORDS)
        names = [cell.name for cell in spec.cells]
        assert len(set(names)) == len(names) and spec.reference in names
        for cell in spec.cells:
            configuration(spec.base, cell.settings, cells.CORPORA["reuters21578"])


@pytest.mark.parametrize("name", TABLES)
def test_the_printed_command_gives_the_configuration_that_was_run(name: str) -> None:
    spec = cells.table(name, vectors_file=WORDS)
    for cell in spec.cells[:3] + spec.cells[-2:]:
        config = configuration(
            spec.base, cell.settings, cells.CORPORA["reuters21578"]
        ).resolved()
        words = command(running.with_seed(config, 3)).split()
        assert words[0] == "labelgraph"
        verb = _parse(Config(), words[1:])
        given = dataclasses.replace(
            config,
            **{f.name: getattr(verb, f.name) for f in dataclasses.fields(Config)},
        )
        assert to_dict(given) == to_dict(running.with_seed(config, 3))


def test_every_cell_has_the_rate_that_suits_its_first_seed(monkeypatch) -> None:
    spec = cells.table("words")
    settings = {"data.corpus": "reuters21578"}
    best = {"cnn": 1e-2, "bilstm": 3e-3}
    asked: list[list[int]] = []

    class Laboratory:
        def corpus(self, config: Config) -> None:
            return None

        def say(self, line: str) -> None:
            assert "rate" in line

    def found(laboratory, corpus, config, seeds):
        asked.append(seeds)
        wanted = best[config.text.encoder]
        return [
            SimpleNamespace(best_validation=config.training.learning_rate == wanted)
        ]

    monkeypatch.setattr(evaluating, "find_or_train", found)
    for cell in spec.choose(["cnn"]):
        config, _ = evaluating.cell_runs(Laboratory(), spec, cell, settings, [0, 1])
        assert config.training.learning_rate == best[config.text.encoder]
    assert asked == [[0], [0], [0, 1]] * 2


def test_runs_that_differ_in_their_thresholds_alone_are_one_run() -> None:
    plain = configuration({"graph.layers": 0})
    ruled = configuration({"graph.layers": 0, "threshold.kind": "half"})
    moved = configuration({"graph.layers": 0, "data.data_dir": "elsewhere"})
    other = configuration({"graph.layers": 1})
    key = run_key(plain, {"test": "a"})
    assert key == run_key(ruled, {"test": "a"}) == run_key(moved, {"test": "a"})
    assert key != run_key(other, {"test": "a"})
    assert key != run_key(plain, {"test": "b"})
    assert key != run_key(running.with_seed(plain, 1), {"test": "a"})


def test_seeds_together_are_what_labelgraph_train_gives_each(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    config = tiny_config(
        tiny_data,
        text={"dropout": 0.3},
        graph={"initialisation": "random", "features": "random", "layers": 1},
        training={"epochs": 2, "batch_size": 32},
    ).resolved()
    assert can_train_together(config)
    laboratory = running.Laboratory(tmp_path, lambda line: None)
    corpus = laboratory.corpus(config)
    together = running.train_together(corpus, config, [0, 3])
    alone = running.train_alone(laboratory, running.with_seed(config, 3))
    np.testing.assert_allclose(together[1].test, alone.test, atol=1e-5)
    np.testing.assert_allclose(together[1].validation, alone.validation, atol=1e-5)
    assert together[1].best_epoch == alone.best_epoch
    assert together[1].parameters == alone.parameters
    assert np.abs(together[0].test - together[1].test).max() > 1e-3


def small_table() -> TableSpec:
    base = {
        "text.ngrams": False,
        "text.dim": 4,
        "text.min_count": 1,
        "text.max_length": 8,
        "text.token_dropout": 0.0,
        "training.epochs": 2,
        "training.batch_size": 24,
        "training.learning_rate": 0.1,
        "graph.layers": 0,
    }
    return TableSpec(
        "small",
        "A small table",
        base,
        (
            Cell("plain", "no graph"),
            Cell("half", "no graph, at 0.5", {"threshold.kind": "half"}),
            Cell("svm", "SVM", runner="svm"),
        ),
        "plain",
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tiny_data: DataConfig) -> None:
    """A table of two trained cells, one run for both, and an SVM, on a made corpus."""
    data = {
        f"data.{name}": getattr(tiny_data, name)
        for name in ("data", "validation", "test")
    }
    monkeypatch.setattr(magnet_tables, "TABLES", ("small",))
    monkeypatch.setattr(magnet_tables, "table", lambda *_, **__: small_table())
    monkeypatch.setattr(magnet_tables, "corpus_settings", lambda name: data)


def options(tmp_path: Path, *more: str) -> list[str]:
    out, work = str(tmp_path / "out"), str(tmp_path / "work")
    fixed = ["--table", "small", "--seeds", "2", "--resamples", "50", "--quiet"]
    return [*fixed, "--out", out, "--work", work, *more]


def test_a_table_is_written_and_a_second_call_trains_nothing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert magnet_tables.main(options(tmp_path)) == 0
    record = json.loads((tmp_path / "out" / "small-data.jsonl.json").read_text())
    assert [row["cell"] for row in record["rows"][::14]] == ["plain", "half", "svm"]
    row = record["rows"][0]
    assert row["seeds"] == [0, 1] and len(row["values"]) == 2 and row["sd"] is not None
    assert row["mean"] == pytest.approx(np.mean(row["values"]))
    assert "--training.batch-size 24" in row["command"]
    found = {(d["cell"], d["rule"], d["metric"]): d for d in record["differences"]}
    assert len(found) == 2 * 2 * 3
    same = found["half", "at 0.5", "macro_f1"]
    assert same["difference"] == 0 and same["interval"] == [0, 0]
    assert found["svm", "fitted", "mAP"]["interval"] is None
    low, high = found["svm", "fitted", "macro_f1"]["interval"]
    assert low <= high
    text = (tmp_path / "out" / "small-data.jsonl.md").read_text()
    assert "| no graph, fitted |" in text and "`labelgraph train" in text
    assert (tmp_path / "out" / "small-data.jsonl.png").stat().st_size > 5000

    def refuse(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(evaluating, "train_runs", refuse)
    monkeypatch.setattr(evaluating, "baseline_run", refuse)
    assert magnet_tables.main(options(tmp_path)) == 0
    again = json.loads((tmp_path / "out" / "small-data.jsonl.json").read_text())
    assert again["rows"] == record["rows"]
    assert again["differences"] == record["differences"]


def test_a_stopped_table_trains_the_missing_seeds_alone(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[list[int]] = []

    def made(laboratory: Any, config: Config, seeds: list[int]) -> list[SeedRun]:
        trained.append(list(seeds))
        scores = np.random.default_rng(len(trained)).random((24, 5), np.float32)
        run = SeedRun(0, scores[:16], scores, 7, 1, 0.5, 0.1, 1, [])
        return [dataclasses.replace(run, seed=seed) for seed in seeds]

    monkeypatch.setattr(evaluating, "train_runs", made)
    assert magnet_tables.main(options(tmp_path, "--cells", "half", "--seeds", "1")) == 0
    assert magnet_tables.main(options(tmp_path, "--cells", "half", "--seeds", "3")) == 0
    assert trained == [[0], [1, 2]]


def test_rows_of_a_taxonomy_are_left_out_where_there_is_none(
    small: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = small_table()
    below = Cell("below", "SVMs down the taxonomy", runner="topdown", taxonomy=True)
    spec = dataclasses.replace(spec, cells=(*spec.cells, below))
    monkeypatch.setattr(magnet_tables, "table", lambda *_, **__: spec)
    given = [word for word in options(tmp_path, "--seeds", "1") if word != "--quiet"]
    assert magnet_tables.main(given) == 0
    assert "no taxonomy of the labels: below are left out" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "small-data.jsonl.json").read_text())
    assert "below" not in {row["cell"] for row in record["rows"]}


def test_labels_that_a_run_learned_beside_those_of_the_table_are_not_scored(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    taxonomy = tmp_path / "taxonomy.tsv"
    laboratory = running.Laboratory(tmp_path / "work", lambda line: None)
    config = tiny_config(tiny_data, training={"epochs": 1}).resolved()
    names = laboratory.corpus(config).prepared.labels.names
    taxonomy.write_text(f"a group\t{names[0]}\t{names[1]}\n", encoding="utf-8")
    closed = dataclasses.replace(
        config.data, taxonomy=str(taxonomy), taxonomy_targets="closed"
    )
    run = running.train_alone(laboratory, dataclasses.replace(config, data=closed))
    corpus = laboratory.corpus(dataclasses.replace(config, data=closed))
    assert corpus is laboratory.corpus(config)
    assert run.test.shape == corpus.arrays["test"]["targets"].shape


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--table", "grpah"], "there is no table 'grpah' (did you mean 'graph'?)"),
        (["--table", "graph", "--corpus", "imdb"], "there is no corpus 'imdb'; known"),
        (
            ["--table", "graph", "--cells", "ours,gats"],
            "there is no cell 'gats' of 'graph'",
        ),
        (["--table", "graph", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--table", "losses", "--full"], "--full is read only with --table graph"),
        (["--table", "graph", "--epochs", "-1"], "--epochs must not be negative"),
    ],
)
def test_a_wrong_argument_ends_in_one_line_and_code_two(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert magnet_tables.main(given) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_unknown_setting_of_a_cell_is_told() -> None:
    with pytest.raises(ConfigError, match=r"there is no setting 'graph.colour'"):
        configuration({"graph.colour": 1})


def test_runs_pair_by_seed_and_a_single_run_stands_beside_all() -> None:
    def run(seed: int) -> SeedRun:
        return SeedRun(seed, np.zeros((1, 1)), np.zeros((1, 1)), 0, 1, 0.0, 0.0, 1, [])

    assert paired_columns([run(2), run(0)], [run(0), run(1), run(2)]) == (
        [0, 1],
        [2, 0],
    )
    assert paired_columns([run(0)], [run(0), run(1)]) == ([0, 0], [0, 1])
    with pytest.raises(ValueError, match="only where they share a seed"):
        paired_columns([run(0), run(1)], [run(2), run(3)])


def test_students_interval_is_that_of_the_book() -> None:
    # Four differences of mean 2 and standard deviation 1.290994; t_3 = 3.182446.
    low, high = student_interval(np.array([0.5, 1.5, 2.5, 3.5])) or (0, 0)
    assert (low, high) == pytest.approx((2 - 2.054260, 2 + 2.054260), abs=1e-5)
    assert student_interval(np.array([1.0])) is None


def test_a_kept_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    scores = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    run = SeedRun(1, scores[:2], scores, 9, 2, 0.25, 1.5, 5, [0.1, 0.25])
    assert store.find(Config(), {"test": "a"}) is None
    store.save(run, Config(), {"test": "a"})
    assert store.find(Config(), {"test": "b"}) is None
    assert store.find(configuration({"graph.layers": 1}), {"test": "a"}) is None
    found = store.find(Config(), {"test": "a"})
    assert found is not None
    np.testing.assert_array_equal(found.test, scores)
    assert dataclasses.replace(found, validation=0, test=0) == dataclasses.replace(
        run, validation=0, test=0
    )


def test_words_that_stand_among_the_same_words_get_similar_vectors() -> None:
    generator = np.random.default_rng(0)
    subjects = (
        ("maize", "wheat", "harvest silo field flour"),
        ("tanker", "ferry", "port cargo crew dock"),
    )
    texts = []
    for _ in range(200):
        one, other, around = subjects[generator.integers(2)]
        near = [str(word) for word in generator.permutation(around.split())]
        texts.append(" ".join([*near[:2], str(generator.choice([one, other])), *near]))
    words, vectors = ppmi_vectors(texts, features=4, window=3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = {
        (one, other): float(unit[i] @ unit[j])
        for i, one in enumerate(words)
        for j, other in enumerate(words)
    }
    assert likeness["maize", "wheat"] > 0.8 > 0.2 > likeness["maize", "ferry"]
    assert likeness["tanker", "ferry"] > 0.8 > 0.2 > likeness["wheat", "tanker"]


def test_too_few_words_for_vectors_are_told() -> None:
    with pytest.raises(ValueError, match="need more than 50 words that occur 5 times"):
        ppmi_vectors(["some words"] * 9, features=50)


def test_a_kept_run_is_found_after_a_new_setting_came_and_not_after_a_default_changed(
    tmp_path: Path,
) -> None:
    store = RunStore(tmp_path)
    scores = np.zeros((4, 3), np.float32)
    run = SeedRun(0, scores[:2], scores, 9, 2, 0.25, 1.5, 5, [])
    store.save(run, Config(), {})
    record = next(tmp_path.glob("*.json"))
    values = json.loads(record.read_text())
    del values["config"]["graph"]["negative_slope"]
    record.write_text(json.dumps(values))
    assert store.find(Config(), {}) is not None
    values["config"]["graph"]["heads"] += 1
    record.write_text(json.dumps(values))
    assert store.find(Config(), {}) is None
