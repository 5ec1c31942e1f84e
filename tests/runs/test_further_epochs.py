"""A finished run that goes on for more epochs, and one that begins from another."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.config import Config, ConfigError, DataConfig
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.predictors.workdir import (
    RunDataChangedError,
    Workdir,
    WorkdirError,
)
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.start import warm_start
from labelgraph_jax.training.optimizer import at_step, make_optimizer
from tests.tiny import made_documents, tiny_config, write_corpus, write_jsonl
from tests.zoo import Zoo


def with_epochs(config: Config, epochs: int) -> Config:
    training = dataclasses.replace(config.training, epochs=epochs)
    return dataclasses.replace(config, training=training)


def logged(run: Path) -> list[int]:
    """The steps of the lines of the log that say how a validation went."""
    lines = Workdir(run).history()
    return [line["step"] for line in lines if "epoch" in line]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_a_finished_run_goes_on_for_more_epochs(
    tmp_path: Path, keep: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    config, run = tiny_config(write_corpus(tmp_path)), tmp_path / "run"
    options = RunConfig(keep_optimizer=keep)
    before = fit(config, run, progress=False, run=options)
    (run / "report.html").write_text("of two epochs", encoding="utf-8")
    after = fit(with_epochs(config, 4), run, progress=True, run=options)
    assert (before["training"]["steps"], after["training"]["steps"]) == (6, 12)
    assert logged(run) == [3, 6, 9, 12]
    assert Workdir(run).config().training.epochs == 4
    assert lg.load(run).config.training.epochs == 4
    assert not (run / "report.html").exists()
    best = before["training"]["best_step"]
    said = "".join(capfd.readouterr())
    if keep:
        assert "going on after step 6 of 12\n" in said
    else:
        anew = f"going on after step {best} of 12; the optimizer's averages begin anew"
        assert anew in said
    # Now it is a finished run of four epochs.
    assert fit(with_epochs(config, 4), run, progress=False) == after
    with pytest.raises(WorkdirError, match="a finished run takes more epochs alone"):
        fit(config, run, progress=False)


@pytest.mark.slow
def test_more_epochs_are_of_the_same_data_and_settings(tmp_path: Path) -> None:
    data = write_corpus(tmp_path)
    config, run = tiny_config(data, training={"epochs": 1}), tmp_path / "run"
    before = fit(config, run, progress=False)
    other = dataclasses.replace(with_epochs(config, 2), graph=config.graph)
    rate = dataclasses.replace(other.training, learning_rate=0.1)
    with pytest.raises(WorkdirError, match="another configuration"):
        fit(dataclasses.replace(other, training=rate), run, progress=False)
    write_jsonl(Path(data.data), made_documents(40, 9))
    with pytest.raises(RunDataChangedError, match="train documents are not those"):
        fit(other, run, progress=False)
    assert Workdir(run).results() == before and Workdir(run).config() != other


@pytest.mark.slow
def test_a_finished_run_over_a_table_goes_on(zoo: Zoo, tmp_path: Path) -> None:
    run = zoo.copy("table", tmp_path / "run")
    config, before = Workdir(run).config(), Workdir(run).results()
    epochs = config.training.epochs + 2
    after = fit(with_epochs(config, epochs), run, progress=False)
    steps = before["training"]["steps"] // config.training.epochs
    assert after["training"]["steps"] == steps * epochs
    assert lg.load(run).config.training.epochs == epochs


def test_learning_rates_of_a_fresh_optimizer_stand_where_a_step_finds_them() -> None:
    params = {"kernel": np.ones((2, 2), np.float32)}
    optimizer = make_optimizer(learning_rate=1.0, total_steps=10, clip_norm=None)
    late = at_step(optimizer.init(params), 9)
    gradient = {"kernel": np.ones((2, 2), np.float32)}
    first, _ = optimizer.update(gradient, optimizer.init(params), params)
    last, _ = optimizer.update(gradient, late, params)
    share = np.abs(last["kernel"]).max() / np.abs(first["kernel"]).max()
    assert share == pytest.approx((1 + np.cos(0.9 * np.pi)) / 2, rel=1e-3)


# From another run. --------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_documents() -> list[dict[str, Any]]:
    """Documents with four of the known labels and a new one in place of oil."""
    return [
        {**d, "labels": [name.replace("oil", "gold") for name in d["labels"]]}
        for d in made_documents(60, 7)
    ]


def started_config(tmp_path: Path, documents: Any, **training: Any) -> Config:
    data = DataConfig(data=str(write_jsonl(tmp_path / "new.jsonl", documents)))
    return tiny_config(data, training={"epochs": 1, **training})


@pytest.mark.slow
def test_a_run_begins_with_the_parameters_of_another(
    zoo: Zoo, tmp_path: Path, other_documents: Any
) -> None:
    bag = zoo("bag")
    # So small a rate that what was taken is still there after an epoch.
    config = started_config(tmp_path, other_documents, learning_rate=1e-9)
    said: list[str] = []
    run = tmp_path / "run"
    fit(config, run, progress=False, say=said.append, start=bag)
    assert "arrays of parameters taken, with 4 of 5 labels" in said[-1]
    old, new = lg.load(bag), lg.load(run)
    assert isinstance(old, lg.Model) and isinstance(new, lg.Model)
    assert old.tokenizer.fingerprint == new.tokenizer.fingerprint
    for name in ("corn", "ship"):
        at, to = old.labels.index(name), new.labels.index(name)
        for leaf in ("label_bias",):
            np.testing.assert_allclose(
                new.params[leaf][to], old.params[leaf][at], atol=1e-6
            )
        np.testing.assert_allclose(
            new.params["label_graph"]["free_vectors"][to],
            old.params["label_graph"]["free_vectors"][at],
            atol=1e-6,
        )
    encoders = (model.params["text_encoder"] for model in (old, new))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *encoders)
    # The same command, with and without --from, gives its results; another is refused.
    results = Workdir(run).results()
    for start in (bag, None):
        assert fit(config, run, progress=False, start=start) == results
    with pytest.raises(WorkdirError, match=r"begun from .*; choose another --workdir"):
        fit(config, run, progress=False, start=zoo("plain"))
    with pytest.raises(WorkdirError, match="begun from no other run"):
        fit(Workdir(bag).config(), bag, progress=False, start=run)


@pytest.mark.slow
def test_what_does_not_fit_is_begun_anew_and_said(
    zoo: Zoo, tmp_path: Path, other_documents: Any
) -> None:
    config = started_config(tmp_path, other_documents)
    wider = dataclasses.replace(config.graph, feature_dim=7)
    said: list[str] = []
    changed = dataclasses.replace(config, graph=wider)
    fit(changed, tmp_path / "run", progress=False, say=said.append, start=zoo("bag"))
    assert "begun anew: label_graph/features, label_graph/kernel_0" in said[-1]


@pytest.mark.slow
def test_a_run_over_a_table_begins_with_another(zoo: Zoo, tmp_path: Path) -> None:
    table = zoo("table")
    config = with_epochs(Workdir(table).config(), 1)
    rate = dataclasses.replace(config.training, learning_rate=1e-9)
    tasks = dataclasses.replace(config.table, tasks=config.table.tasks[:2])
    fewer = dataclasses.replace(config, table=tasks, training=rate)
    said: list[str] = []
    fit(fewer, tmp_path / "run", progress=False, say=said.append, start=table)
    assert "with 2 of 2 tasks" in said[-1]
    old, new = lg.load(table), lg.load(tmp_path / "run")
    assert isinstance(old, lg.TableModel) and isinstance(new, lg.TableModel)
    assert old.schema == new.schema
    parts = (model.params["encoder"] for model in (old, new))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *parts)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("table", "is a run over a table, and this one is over texts"),
        ("ensemble", "must be a run that was trained and has a checkpoint"),
        ("cnn", "reads texts otherwise"),
        ("nowhere", "no such work directory"),
    ],
)
def test_runs_that_cannot_be_begun_from_are_refused(
    zoo: Zoo, tmp_path: Path, other_documents: Any, start: str, message: str
) -> None:
    config = started_config(tmp_path, other_documents)
    if start == "cnn":
        text = dataclasses.replace(config.text, ngrams=True)
        config, start = dataclasses.replace(config, text=text), "bag"
    place = tmp_path / "nowhere" if start == "nowhere" else zoo(start)
    with pytest.raises((ConfigError, WorkdirError), match=message):
        fit(config, tmp_path / "run", progress=False, start=place)
    assert not (tmp_path / "run").exists()


def test_nothing_that_fits_is_an_error(zoo: Zoo) -> None:
    place = Workdir(zoo("bag"))
    with pytest.raises(ConfigError, match="none of its parameters has the shape"):
        warm_start(place, {"label_bias": np.zeros(3)}, ["a", "b", "c"], ["d", "e"])


@pytest.mark.slow
def test_the_command_line_takes_more_epochs_and_from(
    zoo: Zoo, tmp_path: Path, other_documents: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = started_config(tmp_path, other_documents)
    (tmp_path / "c.json").write_text(
        json.dumps(lg.config.to_dict(config)), encoding="utf-8"
    )
    workdir = str(tmp_path / "run")
    given = ["train", "--config", str(tmp_path / "c.json"), "--workdir", workdir]
    given += ["--no-report", "--from", str(zoo("bag"))]
    assert command(given) == 0
    assert "begun from" in capsys.readouterr().err
    assert command([*given, "--epochs", "2"]) == 0
    assert "the optimizer's averages begin anew" in "".join(capsys.readouterr())
    assert Workdir(Path(workdir)).config().training.epochs == 2


@pytest.mark.slow
def test_more_epochs_make_the_memory_anew(zoo: Zoo, tmp_path: Path) -> None:
    config, run = tiny_config(write_corpus(tmp_path)), tmp_path / "run"
    fit(config, run, progress=False)
    assert command(["memory", str(run), "--memory.kind", "documents"]) == 0
    added = ["--description", "boats and whales"]
    assert command(["labels", "add", str(run), "--label", "whaling", *added]) == 0
    with np.load(run / "memory" / "keys.npz") as stored:
        before = {name: stored[name] for name in stored}
    results = fit(with_epochs(config, 4), run, progress=False)
    assert results["memory"] is not None
    with np.load(run / "memory" / "keys.npz") as stored:
        now = {name: stored[name] for name in stored}
    assert any(
        now[name].shape == before[name].shape
        and not np.array_equal(now[name], before[name])
        for name in now
    )
    model = lg.load(run)
    assert "whaling" in model.labels
    # A memory of this very network: made once more, it is the same.
    assert command(["memory", str(run), "--memory.kind", "documents"]) == 0
    with np.load(run / "memory" / "keys.npz") as stored:
        for name in stored:
            np.testing.assert_allclose(stored[name], now[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_run_that_goes_on_has_no_thresholds_of_fewer_epochs(tmp_path: Path) -> None:
    config, run = tiny_config(write_corpus(tmp_path)), tmp_path / "run"
    fit(config, run, progress=False)
    place = Workdir(run)
    place.claim(Workdir(run).config(), place.data())  # nothing is added: all stays
    assert place.has_thresholds and place.is_finished
    place.claim(with_epochs(place.config(), 9), place.data())
    assert not place.has_thresholds and not place.is_finished
    with pytest.warns(UserWarning, match="has not finished, so every label is decided"):
        lg.load(run)


@pytest.mark.parametrize("name", ["labels.json", "checkpoints/best.json"])
def test_nothing_begins_with_a_run_that_was_changed(
    name: str, zoo: Zoo, tmp_path: Path
) -> None:
    changed = zoo.copy("bag", tmp_path / "changed")
    (changed / name).write_text((changed / name).read_text() + " ")
    config = Workdir(changed).config()
    with pytest.raises(WorkdirError, match=rf"{name}: must be as the run left it"):
        fit(config, tmp_path / "run", progress=False, start=changed)
    with pytest.raises(WorkdirError, match=rf"{name}: must be as the run left it"):
        fit(with_epochs(config, 30), changed, progress=False)


@pytest.mark.parametrize("content", ["[]", "{}", '{"from": 3}', "\xff", "{"])
def test_a_damaged_origin_is_told_by_name(
    content: str, zoo: Zoo, tmp_path: Path
) -> None:
    run = zoo.copy("bag", tmp_path / "run")
    (run / "start.json").write_text(content, encoding="latin-1")
    with pytest.raises(WorkdirError, match=r"start\.json: "):
        fit(Workdir(run).config(), run, progress=False)


@pytest.mark.parametrize("content", ["[]", "{}", "3", "null"])
@pytest.mark.parametrize("verb", ["report", "evaluate", "train"])
def test_results_that_are_none_are_told_by_name(
    content: str,
    verb: str,
    zoo: Zoo,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = zoo.copy("bag", tmp_path / "run")
    (run / "results.json").write_text(content)
    line = [verb, str(run)]
    if verb == "train":
        line = ["train", "--config", str(run / "config.json"), "--workdir", str(run)]
    assert command(line) == 2
    said = capsys.readouterr().err
    assert "results.json: must hold a JSON object" in said
