"""The classifier as a scikit-learn estimator: texts in, labels out.

    classifier = lg.LabelGraphClassifier(epochs=10)
    classifier.fit(texts, [["grain", "wheat"], ["oil"], ...])
    classifier.predict(["The harvest of maize and barley ..."])

It trains as `labelgraph train` does; importing this module imports scikit-learn.
"""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from labelgraph_jax.config import Config, ConfigError, ReadingConfig, from_dict, to_dict
from labelgraph_jax.config.files import Start, starting_point
from labelgraph_jax.config.settings import plain, short, whole_number
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.estimator_targets import LabelsOf, Targets, read_truth
from labelgraph_jax.data.files import read_json, write_json
from labelgraph_jax.data.readers.row_documents import read_frame
from labelgraph_jax.predictors.documents import Texts, as_texts
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.tables.inputs import frame_columns
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.corpus import FEW, IN_MEMORY, corpus_in_memory
from labelgraph_jax.runs.fit import fit as fit_run
from labelgraph_jax.runs.packed import load_packed, pack, unpack
from labelgraph_jax.runs.restore import load_model

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.utils import Tags

RandomState = int | np.integer | np.random.RandomState | np.random.Generator
Weights = Sequence[float] | np.ndarray | None
COLUMNS = "columns.json"
"""File in the work directory with the names of all classes, learned or not."""

SETTINGS = {
    "encoder": ("text", "encoder"),
    "max_length": ("text", "max_length"),
    "graph_layers": ("graph", "layers"),
    "graph_initialisation": ("graph", "initialisation"),
    "loss": ("loss", "kind"),
    "threshold": ("threshold", "kind"),
    "epochs": ("training", "epochs"),
    "batch_size": ("training", "batch_size"),
    "learning_rate": ("training", "learning_rate"),
    "validation_fraction": ("data", "validation_fraction"),
}
"""Setting of the configuration that each parameter of the estimator stands for."""


class LabelGraphClassifier(ClassifierMixin, BaseEstimator):
    """Multi-label text classifier in which the labels form a graph.

    Parameters that are None keep what `config` says, or its default (see `Config`). One
    that has no effect with the others is refused, as `labelgraph train` does.

    Args:
        encoder: bag, cnn, bilstm, blocks or transformer.
        max_length: tokens read of a text.
        graph_layers: of the label graph; 0 trains without one.
        graph_initialisation: where the adjacency starts, as `cooccurrence`.
        loss: kind of loss, as `binary_cross_entropy`.
        threshold: how probabilities become labels: auto, half, global, sloped, label
            or top_k.
        epochs: passes over the training texts.
        batch_size: texts a step.
        learning_rate: its peak.
        validation_fraction: share of the texts that is kept back to choose the
            checkpoint and the thresholds; none below 20 different texts.
        label_names: what the columns of an indicator matrix are called; label features
            are made of these names.
        random_state: seed of split, parameters and batches. None keeps the seed of
            `config`, 0 by default, so that a fit can be repeated.
        config: a `Config`, its nested dictionaries, or the path of its JSON: all other
            settings. Its `data` section is not read but for `validation_fraction`.
        workdir: absent or empty folder in which the run is kept; None leaves nothing.
            One that holds a run of the same texts, y and parameters gives its model,
            or goes on with it; of others it is refused. A clone, as cross-validation
            and grid search make them, has none, so that no two share a folder.
        verbose: 1 shows the progress of training.

    Attributes:
        classes_: label names; or the columns of the matrix that y was: 0..N-1, the
            names of a frame's columns, or `label_names`.
        model_: the trained `Model`.
    """

    def __init__(
        self,
        *,
        encoder: str | None = None,
        max_length: int | None = None,
        graph_layers: int | None = None,
        graph_initialisation: str | None = None,
        loss: str | None = None,
        threshold: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        validation_fraction: float | None = None,
        label_names: Sequence[str] | None = None,
        random_state: RandomState | None = None,
        config: Config | Mapping[str, object] | str | Path | None = None,
        workdir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.encoder = encoder
        self.max_length = max_length
        self.graph_layers = graph_layers
        self.graph_initialisation = graph_initialisation
        self.loss = loss
        self.threshold = threshold
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.label_names = label_names
        self.random_state = random_state
        self.config = config
        self.workdir = workdir
        self.verbose = verbose

    def fit(self, X: Texts, y: LabelsOf, sample_weight: Weights = None) -> Self:  # noqa: N803
        """Train on labelled texts.

        Args:
            X: texts, as a list, array or pandas Series.
            y: of each text a list or set of label names, or a dictionary of 0 and 1 by
                name; or an indicator matrix of 0 and 1 `[M, N]`: an array, a scipy
                sparse matrix or a pandas frame. NaN in place of 0 and 1 says that
                nothing is known; such cells are not learned from.
            sample_weight: how much each text counts, `[M]`, in the loss and on
                validation; a text of weight 2 as if it stood there twice, one of 0 not
                at all.

        Raises:
            ValueError: a text is not a string, lengths differ, there is no text or no
                label, or a parameter is wrong.
            WorkdirError: `workdir` holds a run of other data or parameters.
        """
        texts = as_texts(X)
        targets = Targets.read(y, self.label_names)
        _same_length(len(texts), len(targets.names))
        weights = _weights(sample_weight, len(texts))
        used = {text.strip() for text, w in zip(texts, weights, strict=True) if w}
        config = self._config(few=len(used) < FEW)
        corpus = corpus_in_memory(
            texts,
            targets.names,
            targets.unannotated,
            config.data,
            None if (weights == 1.0).all() else weights.tolist(),
        )
        with tempfile.TemporaryDirectory(prefix="labelgraph-") as folder:
            workdir = Path(folder) / "run" if self.workdir is None else self.workdir
            if not isinstance(workdir, (str, Path)) or not str(workdir):
                raise WorkdirError(f"workdir must be a path, got {short(workdir)}")
            place = Path(workdir).absolute()
            _require_columns(place, targets.columns)
            fit_run(config, place, progress=bool(self.verbose), corpus=corpus)
            write_json(place / COLUMNS, list(targets.columns))
            self.classes_ = targets.classes
            self._columns = targets.columns
            self._matrix, self._sparse = targets.matrix, targets.sparse
            self.model_ = load_model(place)
            self._files = pack(place, self.model_.step)
        return self

    def predict(self, X: Texts) -> "list[list[str]] | np.ndarray | sparse.csr_array":  # noqa: N803
        """The labels of texts in the form that y had in `fit`.

        Returns:
            An indicator matrix of int64 `[M, N]`, sparse where y was; or of each text a
            list of names, the most probable first.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: a text is not a string.
        """
        check_is_fitted(self, "model_")
        found = self.model_.predict(as_texts(X))
        if not self._matrix:
            return found
        place = {name: number for number, name in enumerate(self._columns)}
        matrix = np.zeros((len(found), len(self._columns)), np.int64)
        for row, names in enumerate(found):
            matrix[row, [place[name] for name in names]] = 1
        return sparse.csr_array(matrix) if self._sparse else matrix

    def predict_proba(self, X: Texts) -> np.ndarray:  # noqa: N803
        """Probability of every class for every text, float32 `[M, N]`.

        A column of the matrix that held no 1 in `fit` has probability 0.

        Raises:
            NotFittedError, ValueError: as `predict`.
        """
        check_is_fitted(self, "model_")
        found = self.model_.predict_proba(as_texts(X))
        place = {name: number for number, name in enumerate(self._columns)}
        every = np.zeros((len(found), len(self._columns)), np.float32)
        every[:, [place[name] for name in self.model_.labels]] = found
        return every

    def score(self, X: Texts, y: LabelsOf, sample_weight: Weights = None) -> float:  # noqa: N803
        """Share of the texts of which exactly the right labels are predicted.

        This is subset accuracy, as `sklearn.metrics.accuracy_score` of an indicator
        matrix: every label of a text must be right. `scoring="f1_micro"` asks less.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: lengths differ, there is no text, or y names a label that
                training did not have.
        """
        check_is_fitted(self, "model_")
        texts = as_texts(X)
        truth = read_truth(y, self._columns)
        _same_length(len(texts), len(truth))
        right = [
            set(names) - unknown == own
            for names, (own, unknown) in zip(
                self.model_.predict(texts), truth, strict=True
            )
        ]
        return float(np.average(right, weights=sample_weight))

    def save(self, workdir: str | Path) -> None:
        """Write the model as a work directory.

        `lg.load`, `labelgraph predict` and `labelgraph export` read it.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: the folder exists and is not empty.
        """
        check_is_fitted(self, "model_")
        path = Path(workdir)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{workdir}: must be absent or an empty directory")
        unpack(self._files, path)

    def __sklearn_tags__(self) -> "Tags":
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags

    def __sklearn_clone__(self) -> "LabelGraphClassifier":
        """The same parameters, unfitted, but for `workdir`: a folder is of one run."""
        values = self.get_params(deep=False) | {"workdir": None}
        copied = {name: clone(value, safe=False) for name, value in values.items()}
        other = type(self)(**copied)
        if (requests := vars(self).get("_metadata_request")) is not None:
            other._metadata_request = copy.deepcopy(requests)
        return other

    def __getstate__(self) -> dict[str, object]:
        """The parameters, and the files of the model in place of the model."""
        state: dict[str, object] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "model_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_files" in state:
            self.model_ = load_packed(state["_files"])

    def _config(self, *, few: bool) -> Config:
        """The settings of a fit; `few`: there are few texts."""
        if isinstance(self.config, (str, Path)):
            start = starting_point("", str(Path(self.config)))
        elif isinstance(self.config, Config):
            start = Start(self.config)
        elif self.config is None or isinstance(self.config, Mapping):
            start = Start(from_dict(dict(self.config or {})))
        else:
            raise ConfigError(
                "config must be a `Config`, a mapping or the path of a JSON file, got "
                f"{short(self.config)}"
            )
        values = to_dict(start.config)
        share = values["data"]["validation_fraction"]
        values["data"] = {"corpus": IN_MEMORY, "validation_fraction": share}
        for name, (section, key) in SETTINGS.items():
            if (value := getattr(self, name)) is not None:
                values[section][key] = plain(value)
        start.refuse_idle(from_dict(values))
        if few:
            values["text"]["min_count"] = 1
        if self.random_state is not None:
            seed = self.random_state
            if isinstance(seed, np.random.RandomState):
                seed = seed.randint(2**31 - 1)
            elif isinstance(seed, np.random.Generator):
                seed = seed.integers(2**31 - 1)
            seed = whole_number(seed, "random_state", 0)
            values["training"]["seed"] = values["data"]["split_seed"] = seed
        return from_dict(values)


def fit(
    texts: "Texts | DataFrame",
    labels: LabelsOf | None = None,
    *,
    workdir: str | Path | None = None,
    reading: ReadingConfig | None = None,
    **parameters: Any,
) -> Model:
    """Train on labelled texts in memory; the short form of `LabelGraphClassifier`.

        model = lg.fit(["Wheat rose", "Gold fell", ...], [["grain"], ["metal"], ...])
        model = lg.fit(frame, epochs=10)      # with columns text and labels, or 0/1
        model.predict("Corn rose again")

    Args:
        texts: as X of `LabelGraphClassifier.fit`; or a data frame that has the labels
            too, in any form that a parquet file may have.
        labels: as y of `LabelGraphClassifier.fit`; None with a data frame.
        workdir: absent or empty folder in which the run is kept; None leaves nothing.
        reading: names the columns of a data frame, where they are called otherwise.
        **parameters: of `LabelGraphClassifier`.

    Returns:
        What `lg.load` gives of such a run.

    Raises:
        ValueError: as `LabelGraphClassifier.fit`; a data frame without such columns.
    """
    if labels is None:
        if not hasattr(texts, "columns"):
            raise ValueError("labels must be given, unless texts is a data frame")
        texts, labels = read_frame(frame_columns(texts), reading or ReadingConfig())
    classifier = LabelGraphClassifier(workdir=workdir, **parameters)
    return classifier.fit(texts, labels).model_


def _same_length(texts: int, labels: int) -> None:
    if texts != labels:
        raise ValueError(
            f"X and y must be as many, got {counted(texts, 'text')} and labels of "
            f"{labels:,}"
        )
    if not texts:
        raise ValueError("X must hold at least one text, got 0")


def _weights(sample_weight: Weights, count: int) -> np.ndarray:
    """Weights of texts, float64 `[M]`.

    Raises:
        ValueError: they are not as many, not numbers of at least 0, or all 0.
    """
    if sample_weight is None:
        return np.ones(count)
    try:
        weights = np.asarray(sample_weight, np.float64)
    except (TypeError, ValueError):
        weights = np.full(1, np.nan)
    if weights.shape == (count,) and (np.isfinite(weights) & (weights >= 0)).all():
        if weights.any():
            return weights
        raise ValueError("sample_weight must not be 0 for every text")
    raise ValueError(
        f"sample_weight must be {count:,} finite numbers of at least 0, one for each "
        f"text, got {short(sample_weight)}"
    )


def _require_columns(place: Path, columns: tuple[str, ...]) -> None:
    """Refuse a work directory of a y with other columns.

    Raises:
        WorkdirError: it says both numbers.
    """
    if not (place / COLUMNS).is_file():
        return
    before = read_json(place / COLUMNS, error=WorkdirError)
    if before != list(columns):
        same = len(before) == len(columns)
        pair = (before, list(columns)) if same else (len(before), len(columns))
        raise WorkdirError(
            f"{place}: holds a run of a y with other columns "
            f"({short(pair[0])}; now {short(pair[1])}); choose another workdir"
        )
