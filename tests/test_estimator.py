"""The scikit-learn estimator: its checks, its forms of y, its place in scikit-learn.

`check_estimator` gives every check that feeds numbers up to an estimator of texts
(`two_d_array=False`) and runs one, that it can be cloned. Of the others those that need
no data are called here one by one; and what the rest ask for is asked here of texts.
"""

import gc
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import jax
import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer
from sklearn.utils import estimator_checks, get_tags

import labelgraph_jax as lg
from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    TrainingConfig,
    from_dict,
    to_dict,
)
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.estimator_targets import Targets, read_matrix
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.scorers import AllLabels
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.corpus import corpus_in_memory
from labelgraph_jax.training.objectives import multi_label_objective
from tests.tiny import LABELS, made_documents

DOCUMENTS = made_documents(48, 1)
TEXTS = [document["text"] for document in DOCUMENTS]
NAMES = [document["labels"] for document in DOCUMENTS]
MATRIX = np.array([[name in own for name in LABELS] for own in NAMES]).astype(int)
SMALL: dict[str, Any] = {
    "text": {"dim": 8, "ngrams": False, "dropout": 0.0, "token_dropout": 0.0},
    "training": {"evaluation_batch_size": 64},
}


def small(**options: Any) -> lg.LabelGraphClassifier:
    """A classifier that trains in a second or two."""
    chosen = {
        "epochs": 12,
        "batch_size": 8,
        "learning_rate": 0.05,
        "max_length": 8,
        "graph_layers": 0,
        "random_state": 0,
        "config": SMALL,
    }
    return lg.LabelGraphClassifier(**{**chosen, **options})


@pytest.fixture(scope="module")
def of_names() -> lg.LabelGraphClassifier:
    return small().fit(TEXTS, NAMES)


@pytest.fixture(scope="module")
def of_matrix() -> lg.LabelGraphClassifier:
    return small(label_names=LABELS).fit(pd.Series(TEXTS), MATRIX)


# The checks of scikit-learn. -----------------------------------------------------

WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_get_tags_default_keys",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
)


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_check_of_scikit_learn_that_needs_no_data_passes(name: str) -> None:
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this version of scikit-learn has no {name}")
    check("LabelGraphClassifier", small())


def test_all_that_check_estimator_does_with_an_estimator_of_texts_passes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = estimator_checks.check_estimator(small(), on_skip=None)
    assert {result["status"] for result in results} == {"passed"}


def test_the_tags_say_what_it_reads_and_predicts() -> None:
    tags = get_tags(small())
    assert is_classifier(small())
    assert tags.input_tags.string and not tags.input_tags.two_d_array
    assert tags.target_tags.required and tags.target_tags.multi_output
    assert tags.classifier_tags is not None
    assert tags.classifier_tags.multi_label and not tags.classifier_tags.multi_class


# What the checks that need numbers ask for, asked of texts. -------------------------


def test_fit_returns_itself_and_leaves_its_parameters_as_they_were() -> None:
    classifier = small(epochs=1)
    before = classifier.get_params()
    assert classifier.fit(TEXTS, NAMES) is classifier
    after = classifier.get_params()
    assert after == before and after["config"] is SMALL
    assert SMALL["training"] == {"evaluation_batch_size": 64}


def test_predicting_changes_no_attribute(of_names: lg.LabelGraphClassifier) -> None:
    before = dict(of_names.__dict__)
    of_names.predict(TEXTS[:2])
    of_names.predict_proba(TEXTS[:2])
    of_names.score(TEXTS[:2], NAMES[:2])
    assert of_names.__dict__ == before


def test_order_and_subset_of_texts_do_not_change_a_prediction(
    of_names: lg.LabelGraphClassifier,
) -> None:
    whole = of_names.predict_proba(TEXTS)
    np.testing.assert_allclose(
        of_names.predict_proba(TEXTS[::-1]), whole[::-1], atol=1e-6
    )
    np.testing.assert_allclose(
        of_names.predict_proba(TEXTS[5:9]), whole[5:9], atol=1e-6
    )


def test_what_is_not_fitted_says_so(tmp_path: Path) -> None:
    classifier = small()
    for call in (
        lambda: classifier.predict(TEXTS),
        lambda: classifier.predict_proba(TEXTS),
        lambda: classifier.score(TEXTS, NAMES),
        lambda: classifier.save(tmp_path / "run"),
    ):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.slow
def test_a_fit_can_be_repeated_and_a_state_of_numpy_is_a_seed(
    of_names: lg.LabelGraphClassifier,
) -> None:
    again = clone(of_names).fit(TEXTS, NAMES)
    np.testing.assert_array_equal(
        again.predict_proba(TEXTS), of_names.predict_proba(TEXTS)
    )
    seeds = [
        small(random_state=np.random.RandomState(3))._config(few=False).training.seed
        for _ in range(2)
    ]
    assert seeds[0] == seeds[1] != 0
    assert small(random_state=None)._config(few=False).training.seed == 0


def test_pickled_it_predicts_the_same(of_names: lg.LabelGraphClassifier) -> None:
    again = pickle.loads(pickle.dumps(of_names))
    assert again.predict(TEXTS) == of_names.predict(TEXTS)
    unfitted = pickle.loads(pickle.dumps(small()))
    assert unfitted.get_params() == small().get_params()
    assert not hasattr(unfitted, "model_")


@pytest.mark.slow
def test_it_says_nothing_warns_of_nothing_and_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    classifier = small(epochs=1).fit(TEXTS, NAMES)
    pickle.loads(pickle.dumps(classifier)).predict(TEXTS[:1])
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


# The forms of y. ------------------------------------------------------------------


def test_lists_of_names_come_back_as_lists_of_names(
    of_names: lg.LabelGraphClassifier,
) -> None:
    assert list(of_names.classes_) == list(LABELS)
    predicted = of_names.predict(TEXTS)
    assert all(isinstance(own, list) for own in predicted)
    exact = np.mean([set(a) == set(b) for a, b in zip(predicted, NAMES, strict=True)])
    assert of_names.score(TEXTS, NAMES) == pytest.approx(exact)
    assert exact > 0.5
    assert of_names.score(TEXTS, [set(own) for own in NAMES]) == pytest.approx(exact)
    assert of_names.predict_proba(TEXTS).shape == (48, 5)
    assert isinstance(of_names.model_, lg.Model)
    assert "from         memory" in repr(of_names.model_)


@pytest.mark.slow
def test_an_indicator_matrix_comes_back_as_one(
    of_matrix: lg.LabelGraphClassifier, of_names: lg.LabelGraphClassifier
) -> None:
    predicted = of_matrix.predict(TEXTS)
    assert predicted.shape == MATRIX.shape and set(predicted.ravel()) <= {0, 1}
    assert list(of_matrix.classes_) == list(LABELS)
    # The same run, whatever form y had.
    np.testing.assert_array_equal(
        of_matrix.predict_proba(TEXTS), of_names.predict_proba(TEXTS)
    )
    exact = (predicted == MATRIX).all(axis=1).mean()
    assert of_matrix.score(TEXTS, MATRIX) == pytest.approx(exact)
    weights = np.arange(48)
    assert of_matrix.score(TEXTS, MATRIX, sample_weight=weights) == pytest.approx(
        np.average((predicted == MATRIX).all(axis=1), weights=weights)
    )


@pytest.mark.slow
def test_a_sparse_matrix_comes_back_sparse_and_empty_columns_stay() -> None:
    wide = np.concatenate([np.zeros((48, 1), int), MATRIX], axis=1)
    classifier = small(epochs=1).fit(np.array(TEXTS), sparse.csr_matrix(wide))
    predicted = classifier.predict(TEXTS)
    assert sparse.issparse(predicted) and predicted.shape == (48, 6)
    assert list(classifier.classes_) == [0, 1, 2, 3, 4, 5]
    assert not classifier.predict_proba(TEXTS)[:, 0].any()


def test_the_columns_of_a_frame_are_the_classes() -> None:
    read = Targets.read(pd.DataFrame(MATRIX, columns=list(LABELS)))
    assert list(read.classes) == list(LABELS) and read.matrix
    assert read.names == tuple(map(tuple, NAMES))
    assert Targets.read(NAMES).names == tuple(map(tuple, NAMES))
    assert Targets.read([{"b", "a"}, []]).names == (("a", "b"), ())


@pytest.mark.parametrize("one", [1, 1.0, True, np.True_, np.float32(1), "1"])
def test_numbers_by_name_are_read_as_numbers(one: Any) -> None:
    zero = "0" if one == "1" else type(one)(0)
    rows = [{"a": one, "b": zero}, {"b": one, "c": zero}, {}]
    for y in (rows, tuple(rows), pd.Series(rows, index=[5, 3, 1])):
        read = Targets.read(y)
        assert read.names == (("a",), ("b",), ())
        assert list(read.classes) == ["a", "b", "c"] and not read.matrix
        assert read.unannotated == ((), (), ())


@pytest.mark.parametrize("nothing", [np.nan, None, pd.NA])
def test_what_is_not_known_is_neither_a_label_nor_none(nothing: Any) -> None:
    expected = (("a",), ()), ((), ("a",))
    by_name = Targets.read([{"a": 1, "b": 0}, {"a": nothing, "b": 0}])
    assert (by_name.names, by_name.unannotated) == expected
    frame = pd.DataFrame({"a": [1, nothing], "b": [0, 0]}, dtype=object)
    for y in (frame, frame.astype("Int64"), frame.astype("boolean")):
        read = Targets.read(y)
        assert (read.names, read.unannotated) == expected
    numbers = np.array([[1, 0], [np.nan, 0]])
    for y in (numbers, sparse.csr_array(numbers), numbers.astype(object)):
        read = Targets.read(y, ["a", "b"])
        assert (read.names, read.unannotated) == expected


@pytest.mark.parametrize(
    "y",
    [
        np.array([["1", "0"], ["0", "1"]]),
        np.array([[True, False], [False, True]]),
        pd.DataFrame([["1", "0"], ["0", "1"]]),
        pd.DataFrame({0: [True, False], 1: [0, 1]}),
        sparse.coo_array(np.eye(2, dtype=bool)),
        sparse.csr_array(([1.0, 0.0, 1.0], ([0, 0, 1], [0, 1, 1]))),
    ],
)
def test_zeros_and_ones_of_every_type_are_a_matrix(y: Any) -> None:
    read = Targets.read(y)
    assert read.names == (("0",), ("1",)) and read.matrix


def test_collections_of_names_of_every_type_are_read() -> None:
    rows = [["b", "a"], ["a"]]
    for kind in (list, tuple, set, frozenset, np.array):
        for y in ([kind(own) for own in rows], pd.Series([kind(own) for own in rows])):
            assert [sorted(own) for own in Targets.read(y).names] == [["a", "b"], ["a"]]
    assert Targets.read([["1"], ["0"], ["1"]]).names == (("1",), ("0",), ("1",))


def test_cells_that_are_not_known_are_not_learned_from_and_not_scored() -> None:
    target = MATRIX.astype(float)
    target[::3, 1] = np.nan
    classifier = small(label_names=LABELS).fit(TEXTS, target)
    predicted = classifier.predict(TEXTS)
    right = (predicted == target) | np.isnan(target)
    assert classifier.score(TEXTS, target) == pytest.approx(right.all(axis=1).mean())
    turned = pd.DataFrame(target, columns=list(LABELS))[list(LABELS)[::-1]]
    assert classifier.score(TEXTS, turned) == classifier.score(TEXTS, target)


# Pipeline, cross-validation and grid search. ----------------------------------------


@pytest.mark.slow
def test_it_works_in_a_pipeline_and_in_cross_validation() -> None:
    pipeline = Pipeline(
        [
            ("clean", FunctionTransformer(lambda texts: [t.lower() for t in texts])),
            ("labels", small(epochs=6)),
        ]
    )
    matrix = MultiLabelBinarizer(classes=list(LABELS)).fit_transform(NAMES)
    found = cross_val_score(pipeline, TEXTS, matrix, scoring="f1_micro", cv=2)
    assert found.shape == (2,) and (found > 0.4).all()


@pytest.mark.slow
def test_grid_search_chooses_a_parameter() -> None:
    search = GridSearchCV(
        small(), {"epochs": [1, 8]}, scoring="f1_micro", cv=KFold(2), refit=False
    )
    search.fit(TEXTS, MATRIX)
    assert search.best_params_ == {"epochs": 8}


# Settings, few texts, saving. -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("texts", [["a b"], ["a b", "a b"], ["a", "b", "a c"]])
def test_a_few_texts_are_enough(texts: list[str]) -> None:
    classifier = small(epochs=2).fit(texts, [["x"]] * len(texts))
    assert classifier.predict(texts) == [["x"]] * len(texts)


def test_parameters_stand_above_the_config_and_its_data_is_not_read(
    tmp_path: Path,
) -> None:
    config = Config(training=TrainingConfig(epochs=7, batch_size=16))
    resolved = lg.LabelGraphClassifier(config=config, batch_size=4)._config(few=False)
    assert resolved.training.epochs == 7 and resolved.training.batch_size == 4
    assert resolved.data.corpus == "documents in memory"
    path = tmp_path / "config.json"
    path.write_text('{"training": {"epochs": 3}}', encoding="utf-8")
    assert lg.LabelGraphClassifier(config=path)._config(few=True).training.epochs == 3
    with pytest.raises(ValueError, match=r"text.encoder must be one of .* got 'nono'"):
        lg.LabelGraphClassifier(encoder="nono").fit(["a"], [["x"]])


def test_a_parameter_without_effect_is_refused_and_says_when_it_is_read(
    tmp_path: Path,
) -> None:
    message = (
        r"graph.initialisation='identity' has no effect in this run: it is read only "
        r"with graph.layers>=1"
    )
    for given in (
        {"graph_initialisation": "identity"},
        {"config": {"graph": {"initialisation": "identity"}}},
        {"config": Config(graph=GraphConfig(initialisation="identity"))},
    ):
        with pytest.raises(ConfigError, match=message):
            small(**given).fit(TEXTS, NAMES)
    with pytest.raises(ConfigError, match=message):
        lg.fit(TEXTS, NAMES, graph_layers=0, graph_initialisation="identity")
    path = tmp_path / "settings.json"
    path.write_text('{"mixture": {"experts": 3}}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mixture.experts=3 has no effect"):
        lg.LabelGraphClassifier(config=path)._config(few=False)
    # Nobody chose what a run's config.json writes out.
    written = from_dict({"graph": {"layers": 0, "initialisation": "identity"}})
    path.write_text(json.dumps(to_dict(written)), encoding="utf-8")
    config = lg.LabelGraphClassifier(config=path, epochs=2)._config(few=True)
    assert config.graph.initialisation == "identity"


def test_a_saved_classifier_is_a_work_directory(
    of_names: lg.LabelGraphClassifier, tmp_path: Path
) -> None:
    of_names.save(tmp_path / "run")
    model = lg.load(tmp_path / "run")
    assert model.predict(TEXTS) == of_names.predict(TEXTS)
    with pytest.raises(ValueError, match="must be absent or an empty directory"):
        of_names.save(tmp_path / "run")


@pytest.mark.slow
def test_a_workdir_keeps_the_run(tmp_path: Path) -> None:
    classifier = small(epochs=1, workdir=tmp_path / "run").fit(TEXTS, NAMES)
    assert classifier.model_.workdir.history()[-1]["epoch"] == 1
    assert lg.load(tmp_path / "run").predict(TEXTS) == classifier.predict(TEXTS)


# A work directory is of one run. ----------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a classifier; to be read only."""
    path = tmp_path_factory.mktemp("kept") / "run"
    small(epochs=1, workdir=path).fit(TEXTS, MATRIX)
    return path


def test_the_same_data_in_the_same_folder_give_the_same_model(kept: Path) -> None:
    again = small(epochs=1, workdir=kept).fit(TEXTS, MATRIX)
    np.testing.assert_array_equal(
        again.predict_proba(TEXTS),
        small(epochs=1).fit(TEXTS, MATRIX).predict_proba(TEXTS),
    )
    # Another form of the same y.
    frame = small(epochs=1, workdir=kept).fit(
        pd.Series(TEXTS), sparse.csr_array(MATRIX)
    )
    assert sparse.issparse(frame.predict(TEXTS))


OTHER = np.roll(MATRIX, 1, axis=0)
UNKNOWN = MATRIX.astype(float)
UNKNOWN[3, 2] = np.nan


@pytest.mark.parametrize(
    ("texts", "y", "message"),
    [
        (TEXTS[:40], MATRIX[:40], "documents are not those of the training run"),
        (TEXTS[::-1], MATRIX[::-1], "documents are not those of the training run"),
        (["a", *TEXTS[1:]], MATRIX, "documents are not those of the training run"),
        (TEXTS, OTHER, "documents are not those of the training run"),
        (TEXTS, UNKNOWN, "documents are not those of the training run"),
        (TEXTS, np.c_[MATRIX, MATRIX[:, 0]], r"other columns \(5; now 6\); choose ano"),
        (TEXTS, np.c_[MATRIX, np.zeros(48)], r"other columns \(5; now 6\); choose ano"),
        (TEXTS, pd.DataFrame(MATRIX, columns=list(LABELS)), "a y with other columns"),
        (TEXTS, NAMES, "a y with other columns"),
    ],
)
def test_other_data_in_a_folder_that_holds_a_run_are_refused(
    kept: Path, texts: Any, y: Any, message: str
) -> None:
    classifier = small(epochs=1, workdir=kept)
    with pytest.raises(WorkdirError, match=message):
        classifier.fit(texts, y)
    assert not hasattr(classifier, "model_")
    parameters = {k: v for k, v in classifier.get_params().items() if k != "workdir"}
    with pytest.raises(WorkdirError, match=message):
        lg.fit(texts, y, workdir=kept, **parameters)


def test_a_clone_has_no_folder(tmp_path: Path) -> None:
    classifier = small(workdir=tmp_path / "run", label_names=list(LABELS))
    copied = clone(classifier)
    assert copied.workdir is None and not tmp_path.joinpath("run").exists()
    assert copied.get_params() == classifier.get_params() | {"workdir": None}
    assert copied.label_names is not classifier.label_names
    inner = clone(Pipeline([("labels", classifier)]))["labels"]
    assert inner.workdir is None


@pytest.mark.slow
@pytest.mark.parametrize("search", ["validation", "grid"])
def test_folds_never_share_a_folder(tmp_path: Path, search: str) -> None:
    options: dict[str, Any] = {"scoring": "f1_micro", "cv": KFold(2)}
    classifiers = small(workdir=tmp_path / "run"), small()
    if search == "validation":
        found = [cross_val_score(c, TEXTS, MATRIX, **options) for c in classifiers]
    else:
        grid = {"epochs": [12]}
        found = [
            GridSearchCV(c, grid, **options).fit(TEXTS, MATRIX).cv_results_[name]
            for c in classifiers
            for name in ("split1_test_score",)
        ]
    np.testing.assert_array_equal(*found)
    assert not (tmp_path / "run").exists()


# Weights of texts. --------------------------------------------------------------------


def test_a_text_of_weight_two_is_two_texts_in_the_loss() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 3)).astype(np.float32)
    batch = {
        "targets": (generator.random((4, 3)) < 0.5).astype(np.float32),
        "target_mask": generator.random((4, 3)) < 0.8,
        "example_mask": np.array([True, True, True, False]),
    }
    loss_fn = multi_label_objective(
        lambda params, batch, **_: batch["logits"], lg.functional.binary_cross_entropy
    )
    key = jax.random.key(0)

    def of(rows: list[int], **more: Any) -> tuple[float, float]:
        taken = {name: array[rows] for name, array in batch.items()}
        sums = loss_fn({}, {**taken, "logits": logits[rows], **more}, key)
        return float(sums[0]), float(sums[1])

    weights = np.array([2.0, 0.0, 1.0, 5.0], np.float32)
    weighted = of([0, 1, 2, 3], example_weight=weights)
    assert weighted == pytest.approx(of([0, 0, 2]), rel=1e-6)
    ones = of([0, 1, 2, 3], example_weight=np.ones(4, np.float32))
    assert ones == pytest.approx(of([0, 1, 2, 3]), rel=1e-6)


def test_validation_texts_stand_there_as_often_as_they_weigh() -> None:
    texts, names, data = ["a", "b", "c"], [("x",), ("y",), ("x",)], DataConfig()
    corpus = corpus_in_memory(texts, names, [()] * 3, data, [2.0, 1.0, 0.0])
    assert [(d.text, d.weight) for d in corpus.train] == [("a", 2.0), ("b", 1.0)]
    assert [d.text for d in corpus.validation] == ["a", "a", "b"]
    assert {d.weight for d in corpus.validation} == {1.0}
    parts = corpus_in_memory(texts, names, [()] * 3, data, [0.5, 1.0, 1.5])
    assert [d.text for d in parts.validation] == list("aabbbbcccccc")


def test_texts_without_weight_are_not_learned_from(tmp_path: Path) -> None:
    weights = np.ones(48)
    weights[[i for i, own in enumerate(NAMES) if "ship" in own]] = 0
    path = tmp_path / "run"
    classifier = small(epochs=2, workdir=path).fit(TEXTS, MATRIX, sample_weight=weights)
    assert len(classifier.model_.labels) == 4
    assert not classifier.predict_proba(TEXTS)[:, LABELS.index("ship")].any()
    with pytest.raises(WorkdirError, match="are not those of the training run"):
        small(epochs=2, workdir=path).fit(TEXTS, MATRIX, sample_weight=2 * weights)


@pytest.mark.slow
def test_weights_decide_between_texts_that_contradict() -> None:
    texts = ["maize"] * 2 + ["ship"] * 2
    y = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    for heavy in (0, 1):
        weights = [1.0 + 8 * (row % 2 == heavy) for row in range(4)]
        found = small(epochs=30).fit(texts, y, sample_weight=weights)
        assert (found.predict_proba(texts).argmax(axis=1) == heavy).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 3, r"must be 48 finite numbers of at least 0.*got \[1.0, 1.0, 1.0\]"),
        (5, "must be 48 finite numbers .* got 5"),
        (["a"] * 48, "must be 48 finite numbers"),
        ([-1.0] + [1.0] * 47, "must be 48 finite numbers"),
        ([np.nan] + [1.0] * 47, "must be 48 finite numbers"),
        (np.ones((48, 1)), "must be 48 finite numbers"),
        (np.zeros(48), "must not be 0 for every text"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(TEXTS, NAMES, sample_weight=weights)


def test_weights_where_the_loss_does_not_read_them_are_refused() -> None:
    for section, values in (
        ("head", {"kind": "recurrent"}),
        ("head", {"label_chunk": 2}),
    ):
        config = {**SMALL, section: values}
        with pytest.raises(ValueError, match="weights of documents are not read with"):
            small(config=config).fit(TEXTS, NAMES, sample_weight=np.arange(48))


# Numbers of NumPy. ------------------------------------------------------------------


def test_numbers_of_numpy_are_parameters() -> None:
    chosen = small(
        epochs=np.int64(3),
        batch_size=np.int32(4),
        learning_rate=np.float32(0.5),
        validation_fraction=np.float64(0.25),
        random_state=np.uint8(7),
        config={"graph": {"layers": np.int16(1)}},
    )._config(few=False)
    assert (chosen.training.epochs, chosen.training.batch_size) == (3, 4)
    assert (chosen.training.learning_rate, chosen.training.seed) == (0.5, 7)
    assert type(chosen.training.epochs) is int
    assert to_dict(TrainingConfig(epochs=np.int64(3)))["epochs"] == 3  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_grid_may_be_a_range_of_numpy() -> None:
    grid = {"epochs": np.arange(1, 9, 7), "learning_rate": np.array([0.05])}
    search = GridSearchCV(small(), grid, scoring="f1_micro", cv=KFold(2))
    assert search.fit(TEXTS, MATRIX).best_params_["epochs"] == 8


# Threads, open files and compiled programs. ------------------------------------------


def held() -> tuple[set[str], int]:
    """The threads of this process, and how many files it has open."""
    gc.collect()
    names = {thread.name for thread in threading.enumerate()}
    return names, len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_fit_leaves_no_thread_and_no_file_open(tmp_path: Path) -> None:
    small(epochs=1).fit(TEXTS, NAMES)
    before = held()
    for number in range(3):
        small(epochs=1, workdir=tmp_path / str(number)).fit(TEXTS, NAMES).predict(TEXTS)
    assert held() == before


FITS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (75, 75))
import labelgraph_jax as lg
texts = ["maize cob", "crude oil", "cargo ship"] * 10
y = [["corn"], ["oil"], ["ship"]] * 10
small = {"text": {"dim": 4, "ngrams": False}}
for _ in range(int(sys.argv[1])):
    classifier = lg.LabelGraphClassifier(epochs=1, graph_layers=0, config=small)
    classifier.fit(texts, y).predict(texts[:2])
print("fitted")
"""


@pytest.mark.slow
@pytest.mark.process
def test_many_fits_in_one_process_that_may_open_75_files() -> None:
    """40, which three files a fit would not survive; LABELGRAPH_FITS=200 tries more."""
    done = subprocess.run(
        [sys.executable, "-c", FITS, os.environ.get("LABELGRAPH_FITS", "40")],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("fitted\n", "")


PARALLEL = """
import numpy as np
from sklearn.model_selection import cross_val_score
import labelgraph_jax as lg
if __name__ == "__main__":
    texts = ["maize cob", "crude oil", "cargo ship"] * 10
    y = np.tile(np.eye(3, dtype=int), (10, 1))
    small = {"text": {"dim": 4, "ngrams": False}}
    classifier = lg.LabelGraphClassifier(
        epochs=1, graph_layers=0, config=small, workdir="run"
    )
    options = {"scoring": "f1_micro", "n_jobs": 2, "cv": 2}
    print(len(cross_val_score(classifier, texts, y, **options)))
"""


@pytest.mark.slow
@pytest.mark.process
def test_folds_in_other_processes_print_nothing(tmp_path: Path) -> None:
    (tmp_path / "fold.py").write_text(PARALLEL, encoding="utf-8")
    path = os.pathsep.join([str(Path(lg.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "fold.py"],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert not (tmp_path / "run").exists()


def test_another_number_of_texts_is_seldom_another_program(
    of_names: lg.LabelGraphClassifier,
) -> None:
    model = of_names.model_
    expected = model.predict_proba(TEXTS)
    compiled = set()
    for count in range(1, 49):
        found = model.predict_proba(TEXTS[:count])
        np.testing.assert_allclose(found, expected[:count], atol=1e-6)
        assert isinstance(model, LabelModel) and isinstance(model._scores, AllLabels)
        compiled.add(model._scores._run.run._cache_size())
    assert max(compiled) <= 6  # of 1, 4, 8, 16, 32 and 64 rows
    for pool in (joblib_again, pickled_again):
        np.testing.assert_array_equal(pool(model).predict_proba(TEXTS), expected)
        again = pool(of_names)
        np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)


def pickled_again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def joblib_again(value: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


# What is refused. -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "y", "message"),
    [
        (["a", "b"], [["x"]], "must be as many, got 2 texts and labels of 1"),
        ([], [], "at least one text, got 0"),
        (["a", 3], [["x"], ["y"]], "text 1 must be a string, got int"),
        (np.zeros((2, 2)), [["x"], ["y"]], "text 0 must be a string, got ndarray"),
        (["a"], [[]], "at least one label, got none"),
        (["a"], ["x"], "must be a list or set of names, got 'x'; a single label"),
        (["a"], [[1]], r"labels of text 0 must be non-empty strings, got \[1\]"),
        (["a"], "x", "or an indicator matrix, got a str"),
        (["a"], np.array([1]), r"got an array of shape \(1,\)"),
        (["a"], np.array([[2, 0]]), "must hold 0 and 1, got 2"),
        (["a"], np.array([["x"]], object), "must hold 0 and 1, got 'x' in row 0, col"),
        (
            ["a"],
            np.array([[0, -1]]),
            "got -1 in row 0, column 1; what is not known",
        ),
        (["a"], sparse.csr_array([[0, 3]]), "must hold 0 and 1, got 3 in row 0"),
        (["a"], sparse.coo_array(([1, 1], ([0, 0], [1, 1]))), "got 2 in row 0"),
        (["a"], pd.DataFrame({"x": [["a"]]}), r"got \['a'\] in row 0.*a list per text"),
        (["a"], pd.DataFrame({"x": [0.4]}), "must hold 0 and 1, got 0.4"),
        (["a"], [{"x": 1, "y": 0.3}], "label 'y' of text 0 must be 0 or 1 .* got 0.3"),
        (["a"], [{"x": -1}], "label 'x' of text 0 must be 0 or 1 .* got -1"),
        (["a"], [{"x": "yes"}], "label 'x' of text 0 must be 0 or 1 .* got 'yes'"),
        (["a"], [{"x": 0.0}], "at least one label, got none"),
        (["a", "b"], [["1", "0"], ["0", "1"]], "an array of numbers, as np.array"),
        (["a", "b"], [[1, 0], [0, 1]], r"an array, as np.array\(y\)"),
        (["a"], pd.Series(["x"]), "must be a list or set of names, got 'x'"),
        (["a"], pd.Series([np.nan]), "must be a list or set of names, got nan"),
        (["a"], {"x": [1]}, "or an indicator matrix, got a dict"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(texts, y)


def test_label_names_are_those_of_the_columns() -> None:
    for names, message in (
        (["a"], "one for each of the 5 columns of y, got 1"),
        (["a"] * 5, "must have different names"),
    ):
        with pytest.raises(ValueError, match=message):
            small(label_names=names).fit(TEXTS, MATRIX)
    with pytest.raises(ValueError, match="of the columns of an indicator matrix"):
        small(label_names=LABELS).fit(TEXTS, NAMES)


def test_labels_that_fit_did_not_see_are_refused_in_score(
    of_names: lg.LabelGraphClassifier, of_matrix: lg.LabelGraphClassifier
) -> None:
    with pytest.raises(ValueError, match="1 label that fit did not see, as 'gold'"):
        of_names.score(["a"], [["gold"]])
    with pytest.raises(ValueError, match="must have 5 columns, as in fit, got 2"):
        of_matrix.score(["a"], np.array([[0, 1]]))
    with pytest.raises(ValueError, match="must be as many, got 1 text and labels of 2"):
        of_names.score(["a"], NAMES[:2])
    with pytest.raises(DataError, match="text 0 must be a string"):
        of_names.predict([None])


def test_a_matrix_is_read_with_its_rows_in_order() -> None:
    matrix = read_matrix(sparse.coo_array(MATRIX))
    np.testing.assert_array_equal(matrix.toarray(), MATRIX)
