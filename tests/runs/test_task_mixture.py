"""Several label sets through a mixture: trained, measured, looked at."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import Config, ConfigError, DataConfig, MixtureConfig
from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.task_network import task_objective
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import label_objective, prepare
from labelgraph_jax.runs.steps import optimizer_and_step
from labelgraph_jax.training.step import init_train_state
from tests.tiny import tiny_config, write_jsonl
from tests.zoo import MMOE, Zoo


@pytest.fixture(scope="module")
def sets(zoo: Zoo) -> DataConfig:
    return zoo.both_sets


def config_of(data: DataConfig, mixture: MixtureConfig = MMOE, **training) -> Config:
    return dataclasses.replace(tiny_config(data, training=training), mixture=mixture)


def initial(prepared: Any, batch: Any) -> Any:
    key = jax.random.key(0)
    return prepared.classifier.init(key, batch, **prepared.initial_values)


@pytest.fixture(scope="module")
def trained(zoo: Zoo) -> Path:
    return zoo("mixture")


def test_a_run_is_evaluated_restored_and_its_gates_are_in_the_results(
    trained: Path,
) -> None:
    results = json.loads((trained / "results.json").read_text())
    assert results["test"]["metrics"]["micro_f1"] > 0.5
    assert set(results["test"]["tasks"]) == {"crops", "trade"}
    gates = results["gates"]
    assert gates["tasks"] == ["crops", "trade"]
    np.testing.assert_allclose(np.sum(gates["mean_weights"], axis=1), 1, atol=1e-4)
    model = load(trained)
    assert model.predict_proba(["flour and bread"]).shape == (1, 5)
    logged = [
        json.loads(x) for x in (trained / "metrics.jsonl").read_text().split("\n") if x
    ]
    assert any("polarisation/crops" in key for line in logged for key in line)


def test_gates_are_printed_drawn_and_written(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure, out = tmp_path / "gates.png", tmp_path / "gates.json"
    options = ["--figure", str(figure), "--out", str(out)]
    assert run(["gates", str(trained), *options]) == 0
    said = capsys.readouterr().out
    assert "crops" in said
    assert "even use would be 0.333" in said
    assert "1.00" in said
    assert figure.read_bytes().startswith(b"\x89PNG")
    report = json.loads(out.read_text())
    assert report["rows"] == 24
    assert np.shape(report["mean_weights"]) == (2, 3)
    texts = write_jsonl(
        tmp_path / "one.jsonl",
        [{"id": "a", "text": "crude oil", "tasks": {"crops": []}}],
    )
    assert run(["gates", str(trained), "--data", str(texts), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1


@pytest.mark.slow
def test_a_run_without_gates_says_which_have_them(
    sets: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = MixtureConfig(kind="shared_bottom", hidden=(6,))
    results = fit(config_of(sets, shared, epochs=1), tmp_path / "run", progress=False)
    assert results["gates"] is None
    assert run(["gates", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "mixture.kind='shared_bottom' has no gates" in said
    assert said.count("\n") == 1


def test_labels_of_one_set_do_not_depend_on_the_graph_of_the_other(
    sets: DataConfig,
) -> None:
    prepared = prepare(config_of(sets).resolved(), lambda line: None)
    batch = evaluation_batches(prepared.train, batch_size=4)[0]
    params = prepared.classifier.init(
        jax.random.key(0), batch, **prepared.initial_values
    )
    crops, trade = (np.asarray(c) for c in prepared.labels.task_columns.values())

    def crops_logits(params: Any) -> jax.Array:
        return jnp.sum(prepared.classifier.apply(params, batch)[:, crops] ** 2)

    gradient = jax.grad(crops_logits)(params)
    first, second = (
        sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(gradient[name]))
        for name in ("label_graphs_0", "label_graphs_1")
    )
    assert first > 0
    assert second == 0
    assert (np.asarray(gradient["label_bias"])[trade] == 0).all()


def test_the_loss_is_the_sum_of_the_sets_mean_losses(sets: DataConfig) -> None:
    weighted = dataclasses.replace(MMOE, task_weights=(2.0, 0.5))
    config = config_of(sets, weighted).resolved()
    prepared = prepare(config, lambda line: None)
    classifier = prepared.classifier
    batch = evaluation_batches(prepared.train, batch_size=8)[0]
    params = initial(prepared, batch)
    objective = task_objective(
        config, classifier.module, classifier.graph, classifier.apply
    )
    total, rows = objective(params, batch, jax.random.key(1))
    logits = classifier.apply(params, batch)
    expected = 0.0
    for weight, columns in zip((2.0, 0.5), classifier.module.columns, strict=True):
        part = np.asarray(columns)
        loss, _ = binary_cross_entropy(
            logits[:, part],
            batch["targets"][:, part],
            target_mask=batch["target_mask"][:, part],
            example_mask=batch["example_mask"],
        )
        expected += weight * float(loss) / len(part)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert rows == batch["example_mask"].sum()


@pytest.mark.parametrize(
    "mixture",
    [
        MixtureConfig(kind="l2_constrained", hidden=(6,)),
        MixtureConfig(kind="mmoe", experts=2, weighting="uncertainty", towers=(4,)),
    ],
)
def test_constrained_networks_and_learned_weights_take_a_step(
    sets: DataConfig, mixture: MixtureConfig
) -> None:
    config = config_of(sets, mixture).resolved()
    prepared = prepare(config, lambda line: None)
    optimizer, step = optimizer_and_step(
        config,
        label_objective(config, prepared.classifier),
        jax.random.key(0),
        total_steps=5,
    )
    batch = evaluation_batches(prepared.train, batch_size=8)[0]
    params = prepared.classifier.init(
        jax.random.key(0), batch, **prepared.initial_values
    )
    state = init_train_state(params, optimizer)
    after, metrics = jax.jit(step)(*jax.jit(step)(state, batch)[:1], batch)
    assert np.isfinite(metrics["loss"])
    if mixture.weighting == "uncertainty":
        assert (np.asarray(after.params["task_log_variance"]) != 0).all()


@pytest.mark.parametrize(
    ("mixture", "task", "message"),
    [
        (MMOE, "crops", "shares an encoder between label sets: name several"),
        (
            dataclasses.replace(MMOE, task_weights=(1.0,)),
            "all",
            "one weight for each of the 2 tasks .crops, trade., got 1",
        ),
    ],
)
def test_label_sets_that_a_mixture_cannot_serve_are_refused(
    sets: DataConfig, mixture: MixtureConfig, task: str, message: str
) -> None:
    config = config_of(dataclasses.replace(sets, task=task), mixture).resolved()
    with pytest.raises(ConfigError, match=message):
        prepare(config, lambda line: None)


def test_a_label_set_without_a_training_label_is_refused(sets: DataConfig) -> None:
    prepared = prepare(config_of(sets).resolved(), lambda line: None)
    tasks = {"crops": np.arange(5), "trade": np.arange(0)}
    with pytest.raises(ConfigError, match="task trade: no training document carries"):
        build_classifier(
            config_of(sets), prepared.graph, vocabulary_size=9, tasks=tasks
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "soft"}, "mixture.kind"),
        ({"kind": "mmoe", "hidden": (0,)}, "mixture.hidden must hold numbers of units"),
        ({"kind": "shared_bottom", "gate_dropout": 0.1}, "needs gates"),
        ({"task_weights": (-1.0,)}, "must not be negative or infinite"),
        ({"task_weights": (0.0, 0.0)}, "must not all be 0"),
        ({"weighting": "uncertainty", "task_weights": (1.0,)}, "choose one"),
        ({"weighting": "gradnorm", "task_weights": (1.0,)}, "'gradnorm' learns them"),
        ({"kind": "l2_constrained", "weighting": "project"}, "choose one"),
        ({"weighting": "pcgrad"}, "mixture.weighting"),
        ({"kind": "mmoe", "levels": 0}, "mixture.levels must be at least 1, got 0"),
        ({"kind": "omoe", "levels": 2}, r"one of \['mmoe', 'ple'\], got 'omoe'"),
        ({"kind": "mmoe", "own_experts": 2}, "with mixture.kind='ple' alone"),
        ({"kind": "ple", "own_experts": 0}, "own_experts must be at least 1"),
        ({"kind": "cross_stitch", "expert_norm": True}, "expert_norm needs gates"),
        ({"kind": "ple", "expert_norm": True, "hidden": (1,)}, "at least 2 units"),
    ],
)
def test_settings_of_a_mixture_that_contradict_each_other_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        MixtureConfig(**fields)


def test_two_corpora_are_read_as_one_with_a_task_each(data_root: Path) -> None:
    config = DataConfig(corpus="reuters21578+goemotions", data_dir=str(data_root))
    corpus = read_corpus(config)
    assert corpus.learned_tasks == ("reuters21578", "goemotions")
    assert len(corpus.train) == 6990 + 43410
    assert corpus.train[0].unannotated == ("goemotions/",)


@pytest.mark.parametrize("setting", ["task", "protocol"])
def test_joined_corpora_take_no_task_or_protocol(setting: str) -> None:
    config = DataConfig(corpus="stdlib_docs+goemotions", **{setting: "x"})
    with pytest.raises(ConfigError, match=f"leave data.{setting} out, got 'x'"):
        read_corpus(config)
