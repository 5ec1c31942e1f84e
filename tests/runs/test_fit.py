"""Whole runs on a made corpus: every encoder, resuming, and what stops a run."""

import dataclasses
import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.config import ConfigError, DataConfig
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.workdir import RunDataChangedError, WorkdirError
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import prepare
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.loop import NonFiniteLossError
from tests.tiny import (
    LABELS,
    made_documents,
    tiny_config,
    write_corpus,
    write_jsonl,
    write_pooling,
    write_tiny_bert,
    write_word_vectors,
)
from tests.zoo import Zoo

ENCODERS = ("bag", "cnn", "bilstm", "blocks", "transformer")
MODEL_FILES = {
    "config.json",
    "data.json",
    "labels.json",
    "label_graph.npz",
    "thresholds.json",
    "tokenizer",
    "checkpoints",
    "metrics.jsonl",
    "results.json",
}


def flat(params: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def assert_sound(workdir: Path, results: dict[str, Any]) -> None:
    """The run left a model, and numbers that are those of its test split."""
    assert {path.name for path in workdir.iterdir()} >= MODEL_FILES
    assert results == json.loads((workdir / "results.json").read_text())
    test = results["test"]
    assert test["documents"] == 24
    assert all(np.isfinite(value) for value in test["metrics"].values())
    model = load(workdir)
    assert model.labels == LABELS
    assert all(np.isfinite(leaf).all() for leaf in flat(model.params).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "graph"),
    [
        ("bag", {"layers": 0}),
        ("cnn", {"role": "mask"}),
        ("bilstm", {"role": "multiplicative", "initialisation": "xavier"}),
        ("transformer", {"role": "fixed", "initialisation": "thresholded"}),
    ],
)
def test_every_encoder_trains_over_random_vectors(
    encoder: str, graph: dict[str, Any], tiny_data: DataConfig, tmp_path: Path
) -> None:
    # 7 is no length that rows are padded to: a transformer needs one place more.
    config = tiny_config(
        tiny_data, text={"encoder": encoder, "max_length": 7}, graph=graph
    )
    results = fit(config, tmp_path / "w", progress=False)
    assert_sound(tmp_path / "w", results)
    assert encoder == "bag" or results["truncated_training_documents"] == 48


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_starts_from_the_vectors_of_a_file(
    encoder: str, tiny_data: DataConfig, tmp_path: Path
) -> None:
    file = write_word_vectors(tmp_path / "vectors.txt", features=12)
    text = {"encoder": encoder, "vectors": "file", "vectors_file": str(file)}
    config = tiny_config(
        tiny_data,
        text={**text, "trainable": False},
        graph={"role": "none", "residual": False, "features": "random"},
    )
    assert_sound(tmp_path / "w", fit(config, tmp_path / "w", progress=False))
    model = load(tmp_path / "w")
    encoded = model.params["text_encoder"]
    table = encoded.get("transformer", {}).get("token", encoded.get("embedding"))
    row = model.tokenizer.vocabulary.index("maize")
    expected = [float(x) for x in file.read_text().splitlines()[0].split()[1:]]
    np.testing.assert_array_equal(table["embedding"][row], np.float32(expected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "trainable"),
    [
        ("bag", False),
        ("cnn", True),
        ("bilstm", False),
        ("transformer", False),
        ("transformer", True),
    ],
)
def test_every_encoder_reads_a_pretrained_one(
    encoder: str,
    trainable: bool,
    tiny_data: DataConfig,
    tmp_path: Path,
    encodings_folder: Path,
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": encoder, "vectors": "pretrained", "pretrained": str(folder)}
    config = tiny_config(tiny_data, text={**text, "trainable": trainable})
    results = fit(config, tmp_path / "w", progress=False)
    (folder / "model.safetensors").unlink()
    assert_sound(tmp_path / "w", results)
    assert encodings_folder.exists() is not trainable
    params = load(tmp_path / "w").params
    assert ("transformer" in params.get("text_encoder", {})) is trainable


@pytest.mark.slow
def test_the_last_layers_alone_are_fine_tuned_over_cached_vectors(
    tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder), "trained_layers": 1}
    config = tiny_config(tiny_data, text=text, training={"micro_batches": 2})
    untrained = prepare(config).initial_values["transformer"]
    results = fit(config, tmp_path / "w", progress=False)
    shutil.rmtree(folder)
    assert_sound(tmp_path / "w", results)
    assert encodings_folder.exists()
    trained = load(tmp_path / "w").params["text_encoder"]["transformer"]
    assert trained.keys() == untrained.keys() == {"layer_1"}
    before, after = flat(untrained), flat(trained)
    assert all((after[path] != before[path]).any() for path in before if "bias" in path)


@pytest.mark.slow
def test_vectors_of_the_lower_layers_give_what_the_whole_encoder_gives(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder)}
    scores = []
    for extra in ({}, {"trained_layers": 1}):
        prepared = prepare(tiny_config(tiny_data, text={**text, **extra}))
        batch = evaluation_batches(prepared.train, batch_size=8)[0]
        key = jax.random.key(0)
        classifier = prepared.classifier
        params = classifier.init(key, batch, **prepared.initial_values)
        scores.append(classifier.apply(params, batch))
    np.testing.assert_allclose(*scores, rtol=2e-2, atol=2e-3)  # stored as float16


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mpnet", "electra", "modernbert"])
def test_other_families_are_trained_above_their_cached_lower_layers(
    family: str, tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / family, family)
    text = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder)}
    scores = []
    for extra in ({}, {"trained_layers": 1}):
        config = tiny_config(tiny_data, text={**text, **extra})
        prepared = prepare(config)
        batch = evaluation_batches(prepared.train, batch_size=8)[0]
        classifier = prepared.classifier
        start = prepared.initial_values
        params = classifier.init(jax.random.key(0), batch, **start)
        scores.append(classifier.apply(params, batch))
    np.testing.assert_allclose(*scores, rtol=2e-2, atol=4e-3)  # stored as float16
    results = fit(config, tmp_path / "w", progress=False)
    shutil.rmtree(folder)
    assert_sound(tmp_path / "w", results)


def pooled(folder: Path, mode: str, data: DataConfig, **text: Any) -> np.ndarray:
    """The first document's logits before training, by an encoder of that folder."""
    settings = {"encoder": "transformer", "vectors": "pretrained", **text}
    prepared = prepare(tiny_config(data, text={**settings, "pretrained": str(folder)}))
    batch = evaluation_batches(prepared.train, batch_size=8)[0]
    classifier = prepared.classifier
    own = classifier.module.text_encoder.pooling or "mean"
    assert own == mode
    params = classifier.init(jax.random.key(0), batch, **prepared.initial_values)
    return np.asarray(classifier.apply(params, batch))


def test_an_encoder_is_pooled_as_its_folder_says_unless_the_settings_do(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    plain = write_tiny_bert(tmp_path / "plain")
    folder = write_tiny_bert(tmp_path / "cls")
    write_pooling(folder, "cls")
    mean = pooled(plain, "mean", tiny_data)
    first = pooled(folder, "cls", tiny_data)
    assert np.abs(mean - first).max() > 1e-3
    asked = pooled(folder, "mean", tiny_data, pooling="mean")
    np.testing.assert_array_equal(mean, asked)
    (folder / "1_Pooling" / "config.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"1_Pooling.config\.json: the pooling must be"
    ):
        pooled(folder, "cls", tiny_data)
    np.testing.assert_array_equal(
        mean, pooled(folder, "mean", tiny_data, pooling="mean")
    )


@pytest.mark.slow
@pytest.mark.parametrize("trainable", [True, False])
def test_pooling_and_prompt_of_the_folder_stay_with_the_run(
    trainable: bool, tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    write_pooling(folder, "max")
    prompt = {"prompts": {"all": f"{LABELS[0]} "}, "default_prompt_name": "all"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompt))
    text = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder), "trainable": trainable}
    results = fit(tiny_config(tiny_data, text=text), tmp_path / "w", progress=False)
    shutil.rmtree(folder)
    assert_sound(tmp_path / "w", results)
    model = load(tmp_path / "w")
    assert model.classifier.module.text_encoder.pooling == "max"
    ids = model.tokenizer.encode([LABELS[1]], max_length=8).windows[0][0]
    words = [model.tokenizer.vocabulary[i] for i in ids]
    assert words == ["[CLS]", LABELS[0], LABELS[1], "[SEP]"]
    without = tiny_config(tiny_data, text={**text, "prompt": "none"})
    assert without.text.prompt == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            {"prompt": "query: "},
            "text.prompt needs text.vectors='pretrained', got 'query",
        ),
        ({"prompt": "", "vectors": "pretrained"}, "must be a text, default or none"),
    ],
)
def test_a_prompt_that_nothing_reads_is_refused(
    text: dict[str, Any], message: str, tiny_data: DataConfig
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_config(tiny_data, text=text)


def test_more_trained_layers_than_the_encoder_has_are_refused(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder), "trained_layers": 2}
    with pytest.raises(ConfigError, match="less than the encoder's 2 layers, got 2"):
        fit(tiny_config(tiny_data, text=text), tmp_path / "w", progress=False)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
@pytest.mark.pretrained
@pytest.mark.parametrize(
    ("encoder", "trainable"), [("bilstm", False), ("transformer", True)]
)
def test_minilm_is_read_frozen_and_fine_tuned(
    encoder: str,
    trainable: bool,
    minilm: Path,
    tiny_data: DataConfig,
    tmp_path: Path,
    encodings_folder: Path,
) -> None:
    config = tiny_config(
        tiny_data,
        text={"encoder": encoder, "vectors": "pretrained", "trainable": trainable},
        training={"epochs": 1, "batch_size": 48, "evaluation_batch_size": 24},
    )
    assert_sound(tmp_path / "w", fit(config, tmp_path / "w", progress=False))


def test_a_model_learns_a_corpus_whose_words_name_the_labels(trained: Path) -> None:
    results = json.loads((trained / "results.json").read_text())
    assert results["test"]["metrics"]["micro_f1"] > 0.8
    assert results["training"]["best_validation"] > 0.8


@pytest.mark.slow
def test_long_documents_are_read_in_windows(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    text: dict[str, Any] = {"encoder": "cnn", "max_length": 3}
    text["long_documents"] = "windows"
    config = tiny_config(tiny_data, text={**text, "max_windows": 2})
    results = fit(config, tmp_path / "w", progress=False)
    assert_sound(tmp_path / "w", results)
    assert results["truncated_training_documents"] == 48  # 8 words, 6 are read


def test_a_finished_run_is_not_trained_again(trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    said: list[str] = []
    results = fit(load(trained).config, trained, progress=False, say=said.append)
    assert results == json.loads((trained / "results.json").read_text())
    assert any("has finished" in line for line in said)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


@pytest.mark.slow
def test_data_that_changed_after_a_run_are_told(tmp_path: Path) -> None:
    data = write_corpus(tmp_path)
    config, run = tiny_config(data, training={"epochs": 1}), tmp_path / "run"
    results = fit(config, run, progress=False)
    for split, file in {
        "train": data.data,
        "validation": data.validation,
        "test": data.test,
    }.items():
        path = Path(file)
        before = path.read_text(encoding="utf-8")
        path.write_text(before.replace("maize", "rye"), encoding="utf-8")
        for baseline in (False, True):
            with pytest.raises(
                RunDataChangedError,
                match=f"run: the {split} documents are not those of the training run.*"
                "; bring them back, or choose another --workdir",
            ):
                fit(config, run, progress=False, baseline=baseline)
        path.write_text(before, encoding="utf-8")
    assert fit(config, run, progress=False) == results
    # What cannot be read cannot be compared: that is said, and the results are given.
    Path(data.data).unlink()
    said: list[str] = []
    assert fit(config, run, progress=False, say=said.append) == results
    assert said[0].startswith("these may not be the data of the run any longer: ")
    with pytest.raises(DataError):
        fit(config, run, progress=False, baseline=True)


def test_a_finished_run_keeps_its_best_parameters_alone(trained: Path) -> None:
    store = CheckpointStore(trained / "checkpoints")
    results = json.loads((trained / "results.json").read_text())
    assert store.steps() == [results["training"]["best_step"]]
    (folder,) = (path for path in store.folder.iterdir() if path.is_dir())
    assert not {"opt_state", "data"} & {entry.name for entry in folder.iterdir()}
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert size < 4 * results["parameters"] + 100_000


def test_a_finished_run_is_not_trained_further_with_other_settings(
    trained: Path,
) -> None:
    config = load(trained).config
    more = dataclasses.replace(config.training, seed=config.training.seed + 5)
    with pytest.raises(
        WorkdirError,
        match=r"training.seed.*choose another --workdir, or keep its model: a "
        "finished run takes more epochs alone",
    ):
        fit(dataclasses.replace(config, training=more), trained, progress=False)


@dataclasses.dataclass
class Stopped:
    """A run that was never stopped, and one of the same settings that was.

    Attributes:
        whole, stopped: the work directories; the second was resumed to its end.
        warnings: what loading the stopped run said before it was resumed.
        probabilities: of a text, by that unfinished model.
        refusal: what resuming with other documents said.
    """

    whole: Path
    stopped: Path
    warnings: list[str]
    probabilities: np.ndarray
    refusal: str


@pytest.fixture(scope="module")
def terminated(
    tiny_data: DataConfig, tmp_path_factory: pytest.TempPathFactory
) -> Stopped:
    folder = tmp_path_factory.mktemp("terminated")
    lines = Path(tiny_data.data).read_text()
    (folder / "own.jsonl").write_text(lines)
    config = tiny_config(
        dataclasses.replace(tiny_data, data=str(folder / "own.jsonl")),
        text={"dropout": 0.5},
        training={"epochs": 4},
    )
    whole, stopped = folder / "whole", folder / "stopped"
    # The last parameters are compared as well as the best.
    kept = RunConfig(keep_optimizer=True)
    fit(config, whole, progress=False, run=kept)
    with pytest.MonkeyPatch.context() as patch:
        # One SIGTERM, in the middle of the second of four epochs.
        patch.setattr(CompiledStep, "__call__", terminating_step(at_step=5))
        with pytest.raises(KeyboardInterrupt):
            fit(config, stopped, progress=False)
    assert CheckpointStore(stopped / "checkpoints").steps() == [3, 5]
    assert not (stopped / "results.json").exists()
    with pytest.warns(UserWarning) as caught:
        probabilities = load(stopped).predict_proba(["maize"])
    (folder / "own.jsonl").write_text(lines.replace("maize", "other", 1))
    with pytest.raises(WorkdirError) as refusal:
        fit(config, stopped, progress=False)
    (folder / "own.jsonl").write_text(lines)
    fit(config, stopped, progress=False, run=kept)
    warned = [str(warning.message) for warning in caught]
    return Stopped(whole, stopped, warned, probabilities, str(refusal.value))


def terminating_step(*, at_step: int) -> Any:
    """A train step that sends SIGTERM to this process the `at_step`-th time."""
    step, done = CompiledStep.__call__, itertools.count(1)

    def stepping(self: Any, *arguments: Any) -> Any:
        if next(done) == at_step:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    return stepping


@pytest.mark.slow
@pytest.mark.parametrize("which", ["last", "best"])
def test_a_terminated_run_resumes_to_the_same_bits(
    which: str, terminated: Stopped
) -> None:
    whole, resumed = (
        flat(CheckpointStore(workdir / "checkpoints").restore_params(which))
        for workdir in (terminated.whole, terminated.stopped)
    )
    assert whole.keys() == resumed.keys()
    for name, leaf in whole.items():
        np.testing.assert_array_equal(leaf, resumed[name], err_msg=name)


@pytest.mark.slow
def test_a_terminated_run_ends_with_the_numbers_of_an_uninterrupted_one(
    terminated: Stopped,
) -> None:
    whole, resumed = (
        json.loads((workdir / "results.json").read_text())
        for workdir in (terminated.whole, terminated.stopped)
    )
    assert whole["test"] == resumed["test"]
    assert whole["training"]["best_step"] == resumed["training"]["best_step"]


@pytest.mark.slow
def test_an_unfinished_run_can_be_loaded_and_says_that_it_is_unfinished(
    terminated: Stopped,
) -> None:
    assert np.isfinite(terminated.probabilities).all()
    (warning,) = terminated.warnings
    assert "training has not finished, so every label is decided at 0.5" in warning


@pytest.mark.slow
def test_a_run_goes_on_only_with_the_documents_it_began_with(
    terminated: Stopped,
) -> None:
    refusal = terminated.refusal
    assert "the train documents are not those of the training run" in refusal
    assert "bring them back, or choose another --workdir" in refusal


@pytest.mark.slow
def test_a_diverging_run_stops_and_keeps_what_was_good(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    training = {"learning_rate": 1e38, "weight_decay": 1.0, "warmup_fraction": 0.5}
    config = tiny_config(tiny_data, training={**training, "epochs": 6})
    with pytest.raises(NonFiniteLossError, match=r"not finite"):
        fit(config, tmp_path / "w", progress=False)
    assert not (tmp_path / "w" / "results.json").exists()
    store = CheckpointStore(tmp_path / "w" / "checkpoints")
    for step in store.steps():
        params = flat(store.restore_params(step))
        assert all(np.isfinite(leaf).all() for leaf in params.values())


BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"graph": {"initialisation": "taxonomy"}}, "needs labels of which one lies above"),
    (
        {"text": {"vectors": "pretrained", "pretrained": "no-such-encoder"}},
        "no pretrained encoder 'no-such-encoder'",
    ),
    (
        {"text": {"vectors": "file", "vectors_file": "absent.txt"}},
        "no word vectors at absent.txt",
    ),
    ({"text": {"min_count": 1000}}, "no word occurs 1000 times or more"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS)
def test_nothing_is_written_where_a_setting_does_not_fit_the_data(
    settings: dict[str, Any], message: str, tiny_data: DataConfig, tmp_path: Path
) -> None:
    if "text" in settings:
        settings = {"text": {"ngrams": False, **settings["text"]}}
    with pytest.raises(ValueError, match=message):
        fit(tiny_config(tiny_data, **settings), tmp_path / "w", progress=False)
    assert not (tmp_path / "w").exists()


def test_a_window_longer_than_the_pretrained_encoder_reads_is_refused(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"vectors": "pretrained", "pretrained": str(folder), "max_length": 12}
    with pytest.raises(ConfigError, match=r"max_length must be at most 8 .* got 12"):
        fit(tiny_config(tiny_data, text=text), tmp_path / "w", progress=False)
    assert not (tmp_path / "w").exists()


def test_training_documents_without_any_label_are_refused(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    file = write_jsonl(
        tmp_path / "bare.jsonl", [{"text": f"text {i}", "labels": []} for i in range(9)]
    )
    config = tiny_config(DataConfig(data=str(file)))
    with pytest.raises(DataError, match=r"bare.jsonl.*no training document carries"):
        fit(config, tmp_path / "w", progress=False)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_missing_splits_are_cut_off_and_said(tmp_path: Path) -> None:
    documents = made_documents(60, seed=4)
    documents[0]["labels"] = []  # a document without a label is allowed
    file = write_jsonl(tmp_path / "mine.jsonl", documents)
    said: list[str] = []
    config = tiny_config(DataConfig(data=str(file)), training={"epochs": 1})
    results = fit(config, tmp_path / "w", progress=False, say=said.append)
    assert sum(results["documents"].values()) == 60
    assert min(results["documents"].values()) > 0
    assert any("no test split was given" in line for line in said)


@pytest.mark.slow
def test_labels_that_only_validation_has_are_counted_and_said(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    lines = Path(tiny_data.validation).read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    documents[0]["labels"].append("tin")
    file = write_jsonl(tmp_path / "v.jsonl", documents)
    said: list[str] = []
    config = tiny_config(
        dataclasses.replace(tiny_data, validation=str(file)), training={"epochs": 1}
    )
    results = fit(config, tmp_path / "w", progress=False, say=said.append)
    assert results["unseen_validation_labels"] == {"tin": 1}
    assert any("1 label without a training document" in line for line in said)


def test_the_baseline_stands_beside_the_model(zoo: Zoo, tmp_path: Path) -> None:
    zoo.copy("bag", tmp_path / "w")
    config = load(tmp_path / "w").config
    results = fit(config, tmp_path / "w", baseline=True, progress=False)
    baseline = results["baseline"]
    rivals = ["bag, no graph", "SVM, tuned", "SVM, at 0"]
    assert list(baseline["metrics"]) == list(baseline["differences"]) == rivals
    own = results["test"]["metrics"]
    for name, metrics in baseline["metrics"].items():
        for metric, found in baseline["differences"][name].items():
            assert found["difference"] == pytest.approx(own[metric] - metrics[metric])
            assert found["low"] <= found["difference"] <= found["high"]
    assert not (tmp_path / "w" / "without_graph").exists()
    again = fit(config, tmp_path / "w", baseline=True, progress=False)
    assert again == results


@pytest.mark.slow
def test_reuters_trains_for_some_steps(data_root: Path, tmp_path: Path) -> None:
    if not (data_root / "reuters21578").is_dir():
        pytest.skip(f"no local copy of Reuters-21578 in {data_root}")
    config = tiny_config(
        DataConfig(corpus="reuters21578", data_dir=str(data_root)),
        text={"encoder": "bag", "ngrams": False, "max_length": 32, "dim": 32},
        training={"epochs": 1, "batch_size": 256, "evaluation_batch_size": 256},
    )
    results = fit(config, tmp_path / "w", progress=False)
    assert results["labels"] == 90
    assert results["documents"]["test"] == 3019
    assert results["training"]["steps"] == 28
    assert results["test"]["metrics"]["micro_f1"] > 0.3


def test_config_is_saved_as_it_was_resolved(
    trained: Path, tiny_data: DataConfig
) -> None:
    config = tiny_config(tiny_data, training={"epochs": 6, "batch_size": 8})
    assert load(trained).config == config.resolved()
