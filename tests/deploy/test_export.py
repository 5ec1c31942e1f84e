"""What leaves the package: a directory that jax alone loads, and that says the same."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.deploy.export.check import (
    check_program,
    f1_intervals,
    largest_difference,
)
from labelgraph_jax.deploy.export.example import example
from labelgraph_jax.deploy.export.export import loaded, text_rule, write_model
from labelgraph_jax.deploy.export.model_card import model_card
from labelgraph_jax.deploy.export.program import PLATFORMS, ExportError, export_program
from labelgraph_jax.deploy.export.templates import plain
from labelgraph_jax.functional.metrics.bootstrap import resampled_f1
from labelgraph_jax.predictors.decision import Decision, at_half
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.labels import prepare
from tests.tiny import LABELS, tiny_config, write_tiny_bert

TEXTS = [
    "maize cob today",
    "",
    "crude barrel of the port cargo",
    "ξένος flour " * 9,
    "C++ हिन्दी, 我们用小麦 e\u0301t\u00e9 학교에서 👍🏽 " * 3,
]
WITHOUT_US = """
import runpy, sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("labelgraph_jax", "flax", "orbax", "transformers"):
            raise ImportError(name + " is out of reach")
sys.meta_path.insert(0, Refuse())
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "model"
    assert run(["export", str(trained), str(out)]) == 0
    return out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["export", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def run_example(folder: Path, texts: list[str]) -> list[list[tuple[str, float]]]:
    """What the script beside a model prints where this package cannot be imported."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, str(folder / "load_example.py"), *texts],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def require_the_same(model: Model, folder: Path, texts: list[str]) -> None:
    found = run_example(folder, texts)
    assert [[name for name, _ in row] for row in found] == model.predict(texts)
    top = model.predict_top(texts, len(found[0]) or 1)
    first = [score for _, score in found[0]]
    np.testing.assert_allclose(
        first, [score for _, score in top[0]][: len(first)], atol=1e-5
    )


@pytest.mark.process
def test_the_script_beside_the_model_predicts_the_same_without_this_package(
    trained: Path, exported: Path
) -> None:
    require_the_same(load(trained), exported, TEXTS)


def test_the_manifest_says_what_goes_in_and_what_comes_out(exported: Path) -> None:
    manifest = json.loads((exported / "export.json").read_text("utf-8"))
    assert manifest["platforms"] == list(PLATFORMS)
    assert manifest["inputs"]["token_ids"]["shape"] == ["batch", "length"]
    assert manifest["outputs"]["probabilities"]["shape"] == ["batch", len(LABELS)]
    check = manifest["check"]
    assert check["documents"] == check["of"] == 24
    assert check["largest_difference"] <= check["tolerance"] == 1e-5
    assert set(check["intervals"]) == {"micro_f1", "macro_f1"}
    written = {path.name for path in exported.iterdir()} - {"export.json"}
    assert written == manifest["files"].keys()
    for name, file in manifest["files"].items():
        content = (exported / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_the_card_tells_data_metrics_limits_and_how_to_load(
    trained: Path, exported: Path
) -> None:
    card = (exported / "README.md").read_text("utf-8")
    for heading in ("## Data", "## Metrics", "## Limits", "## Loading"):
        assert heading in card
    assert "| train | 48 |" in card
    results = json.loads((trained / "results.json").read_text("utf-8"))
    micro = results["test"]["metrics"]["micro_f1"]
    assert f"| micro_f1 | {micro:.4f} |" in card
    assert (exported / "load_example.py").read_text("utf-8").strip() in card
    assert str(trained) not in card and str(exported) not in card


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 33)])
def test_any_number_of_documents_of_any_length_is_taken(
    exported: Path, shape: tuple[int, int]
) -> None:
    call = loaded(exported)
    ids = np.ones(shape, np.int32)
    found = call({"token_ids": ids, "token_mask": np.ones(shape, bool)})
    assert found["probabilities"].shape == (shape[0], len(LABELS))


def test_a_directory_that_holds_something_is_left_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    said = refused([str(trained), str(tmp_path)], capsys)
    assert "must be absent or an empty directory" in said
    said = refused([str(trained), str(tmp_path / "mine" / "out")], capsys)
    assert "must lie in a folder that can be written to" in said
    assert "no such work directory" in refused(
        [str(tmp_path / "w"), str(tmp_path / "out")], capsys
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_program_that_differs_is_not_left(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = {"probabilities": np.full((24, len(LABELS)), 0.5, np.float32)}
    monkeypatch.setattr(
        "labelgraph_jax.deploy.export.check.exported_outputs", lambda *_: wrong
    )
    assert run(["export", str(trained), str(tmp_path / "out")]) == 2
    assert "differs from predict by" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def untrained(data: DataConfig, settings: dict[str, Any], **parts: Any) -> Model:
    """A model as it is before its first step."""
    config = tiny_config(data, **settings)
    for name, values in parts.items():
        part = type(getattr(config, name))(**values)
        config = type(config)(**{**vars(config), name: part})
    prepared = prepare(config)
    encoder = None
    if config.text.vectors == "pretrained" and not config.text.trainable:
        encoder = FrozenEncoder.load(Path(config.text.pretrained))
    examples = prepared.train
    batch = {"token_mask": np.ones((2, 8), bool)}
    if encoder is None:
        batch["token_ids"] = np.ones((2, 8), np.int32)
    else:
        width = encoder.shape.features
        batch["token_vectors"] = np.zeros((2, 8, width), np.float32)
    assert len(examples)
    params = prepared.classifier.init(
        jax.random.key(0), batch, **prepared.initial_values
    )
    return LabelModel(
        Workdir(Path("none")),
        config,
        prepared.labels,
        prepared.tokenizer,
        prepared.classifier,
        params,
        at_half(len(prepared.labels)),
        encoder,
    )


WINDOWS = {"long_documents": "windows", "max_windows": 3, "max_length": 4}
MODELS: dict[str, dict[str, Any]] = {
    "bilstm, windows": {"settings": {"text": {"encoder": "bilstm", **WINDOWS}}},
    "transformer": {"settings": {"text": {"encoder": "transformer"}}},
    "blocks": {"settings": {"text": {"encoder": "blocks"}}},
    "cnn, recurrent head": {
        "settings": {"text": {"encoder": "cnn"}},
        "head": {"kind": "recurrent"},
    },
    "cnn, label attention": {
        "settings": {"text": {"encoder": "cnn"}},
        "head": {"kind": "label_attention"},
    },
    "n-grams, labels in chunks": {
        "settings": {"text": {"ngrams": True}},
        "head": {"label_chunk": 2, "kept_labels": 3},
    },
}


def documents() -> list[Document]:
    return [Document(str(i), text, ()) for i, text in enumerate(TEXTS)]


@pytest.mark.process
@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_says_what_predict_says(
    name: str, tiny_data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To the checks of shapes a symbolic axis is no integer, where shapes broadcast.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    model = untrained(tiny_data, **MODELS[name])
    program = export_program(model)
    assert program.platforms == PLATFORMS and not program.refused
    write_model(tmp_path, model, program)
    check = check_program(model, loaded(tmp_path), documents(), where="texts")
    assert check.difference <= 1e-5
    assert (check.documents, check.intervals) == (len(TEXTS), {})
    if "chunks" in name:
        require_the_same(model, tmp_path, TEXTS)


def test_a_frozen_encoder_leaves_with_its_model(
    tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": "bilstm", "vectors": "pretrained", "trainable": False}
    model = untrained(tiny_data, {"text": {**text, "pretrained": str(folder)}})
    program = export_program(model)
    assert program.constraints and set(program.inputs) == {"token_ids", "token_mask"}
    write_model(tmp_path, model, program)
    check = check_program(model, loaded(tmp_path), documents(), where="texts")
    assert check.difference <= 1e-5


def test_lists_that_differ_in_a_label_of_the_same_score_are_equal() -> None:
    scores = np.float32([[0.9, 0.5]])
    one = {"label_ids": np.array([[3, 1]]), "probabilities": scores}
    two = Predictions(np.array([[3, 2]]), scores, 4)
    other = Predictions(np.array([[1, 3]]), scores, 4)
    assert largest_difference(one, two) == 0
    assert largest_difference(one, other) == pytest.approx(0.4)


def test_every_rule_is_written_as_python(tiny_data: DataConfig, trained: Path) -> None:
    model = load(trained)
    rules = [
        Decision(kind="top_k", k=2, thresholds=np.full(5, 0.5)),
        Decision(
            kind="label",
            thresholds=np.linspace(0.1, 0.5, 5),
            at_least_one=True,
            consistent=True,
            ancestors=np.zeros((5, 5), bool),
        ),
    ]
    for rule in rules:
        for ranked in (False, True):
            compile(example(text_rule(model), rule, ranked=ranked), "x.py", "exec")


@pytest.mark.process
def test_the_script_cuts_texts_by_the_rule_that_the_model_learned_with(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    model = untrained(tiny_data, {"text": {"ngrams": True, "min_count": 1}})
    words = NgramTokenizer.train(TEXTS, min_count=1, character_min_count=1).vocabulary
    for version in (1, 2):
        tokenizer = NgramTokenizer(words[: model.tokenizer.vocabulary_size], version)
        read = replace(model, tokenizer=tokenizer)
        folder = tmp_path / str(version)
        folder.mkdir()
        write_model(folder, read, export_program(read))
        require_the_same(read, folder, TEXTS)


@pytest.mark.process
@pytest.mark.parametrize(
    ("rule", "ranked"), [("top_k", False), ("top_k", True), ("consistent", False)]
)
def test_the_script_decides_as_the_model_does_by_every_rule(
    rule: str, ranked: bool, tiny_data: DataConfig, tmp_path: Path
) -> None:
    chunk = {"label_chunk": 2, "kept_labels": 5} if ranked else {}
    model = untrained(tiny_data, {"text": {"ngrams": True}}, head=chunk)
    above = np.zeros((5, 5), bool)
    above[0, 1] = above[2, 3] = above[2, 4] = True
    decision = Decision(kind="top_k", k=2, thresholds=np.full(5, 0.5))
    if rule == "consistent":
        scores = model.predict_proba(TEXTS)
        decision = Decision(
            kind="label",
            # Not a score itself, of which the last digit may differ.
            thresholds=np.median(scores, axis=0).astype(np.float64) - 1e-5,
            at_least_one=True,
            consistent=True,
            ancestors=above,
        )
    model = model.with_decision(decision)
    write_model(tmp_path, model, export_program(model))
    if rule == "consistent":
        rows = [np.flatnonzero(row).tolist() for row in above]
        text = json.dumps({"ancestors": rows})
        (tmp_path / "taxonomy.json").write_text(text, "utf-8")
    found = run_example(tmp_path, TEXTS)
    assert [{name for name, _ in row} for row in found] == [
        set(row) for row in model.predict(TEXTS)
    ]
    if rule == "top_k":
        assert {len(row) for row in found} == {2}


def test_intervals_from_lists_of_labels_are_those_from_all_probabilities(
    tiny_data: DataConfig,
) -> None:
    model = untrained(tiny_data, {"text": {"ngrams": True}})
    labelled = [
        Document(str(i), text, (LABELS[i % 5], LABELS[(i * i + 1) % 5]))
        for i, text in enumerate(TEXTS)
    ]
    thresholds = np.linspace(0.4, 0.55, 5)
    decision = Decision(kind="label", thresholds=thresholds)
    encoded, predictions = model.predict_documents(labelled)
    every = predictions.with_truth(encoded.examples.targets)
    truth = np.asarray(encoded.examples.multi_hot) > 0
    decided = decision.decide(predictions.probabilities)
    plain = resampled_f1(decided, truth, np.ones((1, len(truth)), np.int64))
    expected = f1_intervals(every.decide(decision))
    found = f1_intervals(every.top(5).decide(decision))
    for name, values in plain.items():
        np.testing.assert_allclose(expected[name][0], values[0], atol=1e-6)
    assert found.keys() == expected.keys() == {"micro_f1", "macro_f1"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)
        assert values[1] <= values[0] <= values[2]


def test_the_card_of_an_older_run_and_of_one_without_a_test_split_is_written(
    trained: Path, exported: Path
) -> None:
    manifest = json.loads((exported / "export.json").read_text("utf-8"))
    results = json.loads((trained / "results.json").read_text("utf-8"))
    results["test"].pop("decision")  # as version 0.1 left it
    card = model_card(manifest, results, counts=[1, 2], script="")
    assert f"(rule: {manifest['decision']['kind']})" in card
    card = model_card(manifest, {**results, "test": None}, counts=[1], script="")
    assert "The run had no test split" in card


def test_a_model_that_is_more_than_one_program_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    from types import SimpleNamespace

    from labelgraph_jax.deploy.export.export import require_exportable

    memory = SimpleNamespace(choice=SimpleNamespace(weight=0.3), unseen=[])
    place = SimpleNamespace(path="w")
    model: Any = SimpleNamespace(memory=memory, workdir=place)
    with pytest.raises(ExportError, match=r"its memory has a say .*weight 0\.3"):
        require_exportable(model)
    memory.choice.weight = 0
    require_exportable(model)


def test_the_card_shows_a_name_as_it_stands() -> None:
    assert plain("data_1.jsonl") == "data_1.jsonl"
    assert plain("[a](b)\n|`c` *d* _e_ <i>") == (r"\[a\](b) \|\`c\` \*d\* \_e\_ \<i\>")
    assert plain("a\x1b[31mb") == r"a\\x1b\[31mb"
