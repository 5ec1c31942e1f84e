"""A run with target documents: what it learns of them, keeps, and says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run as command
from labelgraph_jax.config import AdaptConfig, Config, ConfigError, DataConfig
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.parameters import read_parameters
from labelgraph_jax.predictors.workdir import RunDataChangedError, Workdir, WorkdirError
from labelgraph_jax.runs.adapt import sentence, with_target
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.restore import load_model
from labelgraph_jax.training.domains import DOMAIN
from labelgraph_jax.training.signals import StoppedError
from tests.tiny import made_documents, tiny_config, write_corpus, write_jsonl


def write_target(folder: Path, *, labels: bool = False) -> str:
    """Documents of the same labels, which a word of their own tells apart."""
    documents = made_documents(40, 9)
    for document in documents:
        document["text"] += " elsewhere"
        if not labels:
            del document["labels"]
    return str(write_jsonl(folder / "target.jsonl", documents))


def adapting(folder: Path, kind: Any, **options: Any) -> Config:
    data = dataclasses.replace(write_corpus(folder), target=write_target(folder))
    return dataclasses.replace(
        tiny_config(data), adapt=AdaptConfig(kind=kind, **options)
    )


def parameters(run: Path) -> dict[str, np.ndarray]:
    params, _ = read_parameters(Workdir(run).checkpoints, "best")
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.slow
def test_with_weight_0_a_run_is_that_without_target_bit_for_bit(tmp_path: Path) -> None:
    config = adapting(tmp_path, "adversarial", weight=0.0)
    results = fit(config, tmp_path / "zero", progress=False)
    data = dataclasses.replace(config.data, target="")
    plain = dataclasses.replace(config, data=data, adapt=AdaptConfig())
    other = fit(plain, tmp_path / "plain", progress=False)
    assert results["adaptation"]["kind"] == "none"
    assert results["adaptation"]["reason"] == "adapt.weight is 0"
    assert results["test"]["metrics"] == other["test"]["metrics"]
    assert "adaptation" not in other
    ours, theirs = parameters(tmp_path / "zero"), parameters(tmp_path / "plain")
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adversarial", "coral", "self"])
def test_training_reads_target_documents_and_goes_on_bit_for_bit(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"conditional": True} if kind == "adversarial" else {}
    config = adapting(tmp_path, kind, **options)
    whole = fit(config, tmp_path / "whole", progress=False)
    assert whole["adaptation"]["kind"] == kind
    assert whole["adaptation"]["selection"] == "no target label was used"
    assert 0 <= whole["adaptation"]["domain_accuracy"]["words"] <= 1
    assert "document_vectors" in whole["adaptation"]["domain_accuracy"]
    # Stopped after four steps of six, and gone on with.
    from labelgraph_jax.training.run import Run

    step, often = Run.train_one_step, RunConfig(checkpoint_every=1)

    def stopped(self: Run) -> None:
        if self.at.step == 4:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "train_one_step", stopped)
        with pytest.raises((KeyboardInterrupt, StoppedError)):
            fit(config, tmp_path / "parts", progress=False, run=often)
    parts = fit(config, tmp_path / "parts", progress=False, run=often)
    ours, theirs = parameters(tmp_path / "whole"), parameters(tmp_path / "parts")
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])
    assert parts["test"]["metrics"] == whole["test"]["metrics"]
    # What only training reads is no part of the model.
    assert any(DOMAIN in name for name in ours) == (kind == "adversarial")
    assert DOMAIN not in lg.load(tmp_path / "whole").params
    plain = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, target=""),
        adapt=AdaptConfig(),
    )
    fit(plain, tmp_path / "plain", progress=False)
    moved = parameters(tmp_path / "plain")
    assert any(not np.array_equal(moved[name], ours[name]) for name in moved)


@pytest.mark.slow
def test_corrected_priors_are_kept_in_the_work_directory(tmp_path: Path) -> None:
    config = adapting(tmp_path, "prior")
    results = fit(config, tmp_path / "run", progress=False)
    shift = json.loads((tmp_path / "run/prior_shift.json").read_text())
    bias = next(v for k, v in parameters(tmp_path / "run").items() if "label_bias" in k)
    model = load_model(tmp_path / "run")
    assert set(shift) == set(model.labels)
    odds = np.array([shift[name] for name in model.labels], np.float32)
    np.testing.assert_allclose(model.params["label_bias"], bias + odds, rtol=1e-6)
    test = read_corpus(config.data).test
    again = model.evaluate(test)
    assert again["metrics"] == results["test"]["metrics"]
    # It decides an answer: no one changes it unseen, and a damaged one is named.
    (tmp_path / "run/prior_shift.json").write_text(json.dumps({"corn": "much"}))
    with pytest.raises(WorkdirError, match=r"prior_shift\.json: must hold one finite"):
        lg.load(tmp_path / "run")
    (tmp_path / "run/prior_shift.json").unlink()
    with pytest.raises(WorkdirError, match=r"prior_shift\.json: must be as the run"):
        lg.load(tmp_path / "run")


@pytest.mark.slow
def test_auto_says_what_it_chose_and_target_documents_are_those_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = adapting(tmp_path, "auto")
    said: list[str] = []
    results = fit(config, tmp_path / "run", progress=False, say=said.append)
    about = results["adaptation"]
    assert about["asked"] == "auto" and about["reason"]
    assert any("without a label of the target" in line for line in said)
    assert any("no target label was used" in line for line in said)
    assert sentence(about).startswith(f"adaptation {about['kind']} (auto was asked for")
    assert command(["report", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "no target label was used" in page
    # A run is not begun with some target documents and finished with others.
    write_jsonl(Path(config.data.target), made_documents(30, 4))
    with pytest.raises(RunDataChangedError, match="target documents are not those"):
        fit(config, tmp_path / "run", progress=False)


def test_labels_of_target_documents_are_not_read_and_that_is_said(
    tmp_path: Path,
) -> None:
    data = write_corpus(tmp_path)
    given = dataclasses.replace(data, target=write_target(tmp_path, labels=True))
    corpus = with_target(read_corpus(given), given)
    assert not any(document.labels for document in corpus.target)
    assert "40 target documents have labels, which are not read" in corpus.notes[-1]
    same = dataclasses.replace(data, target=data.data)
    notes = with_target(read_corpus(same), same).notes
    assert "source and target are the same" in notes[-1]


def test_too_few_target_documents_are_refused(tmp_path: Path) -> None:
    data = write_corpus(tmp_path)
    path = write_jsonl(tmp_path / "few.jsonl", [{"text": "one"}] * 30)
    given = dataclasses.replace(data, target=str(path))
    with pytest.raises(DataError, match="at least 20 different target texts, got 1"):
        with_target(read_corpus(given), given)
    gone = dataclasses.replace(data, target=str(tmp_path / "gone.jsonl"))
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        with_target(read_corpus(gone), gone)


def test_settings_that_do_nothing_are_refused() -> None:
    target = DataConfig(target="new.jsonl")
    for settings, why in (
        (
            {"adapt": AdaptConfig(kind="coral")},
            "only with target documents, data.target",
        ),
        (
            {
                "data": target,
                "adapt": AdaptConfig(kind="adversarial"),
                "text": lg.config.TextConfig(
                    vectors="pretrained", encoder="transformer", trainable=False
                ),
            },
            "adapt.kind='adversarial' moves the document vectors: those of .* stay",
        ),
        (
            {
                "data": target,
                "adapt": AdaptConfig(kind="prior"),
                "head": lg.config.HeadConfig(kind="recurrent"),
            },
            "moves the bias of every label",
        ),
    ):
        with pytest.raises(ConfigError, match=why):
            Config(**settings)
    with pytest.raises(ConfigError, match=r"read only with adapt\.kind='adversarial'"):
        AdaptConfig(conditional=True)
    with pytest.raises(ConfigError, match=r"adapt\.weight must not be negative"):
        AdaptConfig(weight=-1.0)
    with pytest.raises(ConfigError, match=r"adapt\.weight must be finite"):
        AdaptConfig(weight=float("inf"))
