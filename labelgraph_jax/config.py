"""Every setting of a run, as frozen and validated dataclasses, to and from JSON.

A configuration is data: reading one executes nothing. An unknown key, a value of the
wrong kind or two settings that contradict each other is a `ConfigError` which names
the key, and for a key that does not exist, the nearest one that does.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

ConfigT = TypeVar("ConfigT")

POOLINGS: dict[str, tuple[str, ...]] = {
    "bag": (),
    "cnn": ("max",),
    "bilstm": ("last", "mean", "max"),
    "transformer": ("mean", "max", "cls"),
}
"""What turns token vectors into one, by kind of encoder."""

SELECTION_METRICS = ("micro_f1", "macro_f1", "samples_f1", "LRAP", "mAP", "nDCG@5")
"""Validation metrics that can choose the best checkpoint."""


class ConfigError(ValueError):
    """A setting that does not exist, has the wrong kind, or contradicts another."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _check_choices(section: Any, name: str) -> None:
    """Refuses a value that is none of those its setting names."""
    for key, hint in typing.get_type_hints(type(section)).items():
        if typing.get_origin(hint) is Literal:
            _coerce(getattr(section, key), hint, f"{name}.{key}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which documents, and how they are split."""

    corpus: str = "stdlib_docs"
    """A named corpus (`labelgraph data list`); ignored where `data` is given."""
    data: str = ""
    """Own training file: JSONL, TSV, CSV or parquet, plain, .gz or .xz."""
    validation: str = ""
    """Own validation file; cut off the training documents when empty."""
    test: str = ""
    """Own test file; cut off the training documents when empty."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    protocol: str = ""
    """Split protocol of a named corpus (reuters21578: modapte, random80)."""
    task: str = ""
    """Label set to learn where the documents carry several (Reuters: topics, ...)."""
    text_column: str = ""
    """Name of the text column of a CSV or parquet file; found by name when empty."""
    label_columns: tuple[str, ...] = ()
    """CSV or parquet: 0/1 columns, or one column of delimited labels."""
    label_delimiter: str = ""
    """What separates labels in a delimited column; guessed when empty."""
    validation_fraction: float = 0.1
    """Share of the training documents cut off where no validation split is given."""
    test_fraction: float = 0.2
    """Share of all documents cut off where no test split is given."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        _require(
            self.split_seed >= 0,
            f"data.split_seed must not be negative, got {self.split_seed}",
        )
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            _require(
                0.0 < value < 0.9, f"data.{name} must lie in (0, 0.9), got {value}"
            )


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text side: token ids -> one vector per document."""

    encoder: Literal["bag", "cnn", "bilstm", "transformer"] = "bag"
    vectors: Literal["random", "file", "pretrained"] = "random"
    """Token vectors: learned from nothing, from a word-vector file, or contextual."""
    pretrained: str = "minilm"
    """Pretrained encoder: local folder, installed package, or hub id."""
    vectors_file: str = ""
    """GloVe or word2vec file, text or binary, plain or .gz."""
    trainable: bool = True
    """Fine-tune the token vectors; false freezes them (contextual ones are cached)."""
    max_length: int = 256
    """Tokens read of one document, or of one window."""
    long_documents: Literal["head", "windows"] = "head"
    """Read the head of a longer document, or windows whose vectors are pooled."""
    max_windows: int = 4
    vocabulary_size: int = 30_000
    ngrams: bool | None = None
    """A bag's tokens: words, word pairs and parts of words, or words alone; by default
    the former where the vectors are learned from nothing."""
    min_count: int = 2
    """Own vocabulary: words in fewer training documents than this are unknown."""
    dim: int = 256
    """Width of learned token vectors."""
    hidden: int = 250
    """BiLSTM units per direction, or CNN channels per width."""
    layers: int = 2
    """Layers of a transformer that is not pretrained."""
    pooling: Literal["default", "mean", "max", "cls", "last"] = "default"
    """How token vectors become one: mean for a transformer, the last states for a
    BiLSTM, unless said otherwise."""
    window_pooling: Literal["mean", "max"] = "mean"
    """How the vectors of a long document's windows become one."""
    dropout: float | None = None
    """Dropout on vectors; what suits the encoder where none is given."""
    token_dropout: float | None = None
    """Share of the tokens hidden at each training step; what suits the encoder."""
    attention_dropout: float = 0.0
    """Dropout on a transformer's attention weights."""

    def __post_init__(self) -> None:
        _check_choices(self, "text")
        for name in ("dropout", "token_dropout", "attention_dropout"):
            value = getattr(self, name) or 0.0
            _require(0.0 <= value < 1.0, f"text.{name} must lie in [0, 1), got {value}")
        for name in (
            "max_length",
            "max_windows",
            "vocabulary_size",
            "min_count",
            "dim",
            "layers",
        ):
            value = getattr(self, name)
            _require(value >= 1, f"text.{name} must be at least 1, got {value}")
        _require(self.hidden >= 1, f"text.hidden must be at least 1, got {self.hidden}")
        _require(
            not self.ngrams or (self.encoder == "bag" and self.vectors == "random"),
            "text.ngrams needs text.encoder='bag' and text.vectors='random'",
        )
        _require(
            self.vectors != "file" or bool(self.vectors_file),
            "text.vectors='file' needs text.vectors_file",
        )
        _require(
            self.vectors == "file" or not self.vectors_file,
            f"text.vectors_file is read only with text.vectors='file', "
            f"got '{self.vectors}'",
        )
        allowed = ("default", *POOLINGS[self.encoder])
        _require(
            self.pooling in allowed,
            f"text.pooling of a {self.encoder} must be one of {list(allowed)}, "
            f"got '{self.pooling}'",
        )

    @property
    def reads_ngrams(self) -> bool:
        """Whether the tokens are n-grams."""
        if self.ngrams is None:
            return self.encoder == "bag" and self.vectors == "random"
        return self.ngrams


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The label side: label features and an adjacency -> one vector per label."""

    layers: int = 2
    """Graph-attention layers; 0 leaves one free vector per label (no graph)."""
    heads: int = 4
    hidden: int = 128
    """Features per head of the first layer."""
    role: Literal["mask", "additive", "multiplicative", "fixed", "none"] = "additive"
    """How the adjacency enters attention (see functional.graph_attention)."""
    initialisation: Literal[
        "cooccurrence", "identity", "random", "xavier", "thresholded", "taxonomy"
    ] = "cooccurrence"
    tau: float = 0.1
    """thresholded: smallest conditional probability that counts as an edge."""
    p: float = 0.25
    """thresholded: share of a label's message that comes from its neighbours."""
    learned: bool | None = None
    """Train the adjacency; by default exactly where the role has a gradient."""
    features: Literal["random", "names"] = "names"
    """Label features: random, or the label's name or description, encoded."""
    feature_dim: int = 128
    """Width of random label features."""
    residual: bool = True
    """Label vector = free vector + message; false is the paper's message alone."""
    negative_slope: float = 0.2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_choices(self, "graph")
        _require(
            self.layers >= 0, f"graph.layers must be at least 0, got {self.layers}"
        )
        for name in ("heads", "hidden", "feature_dim"):
            value = getattr(self, name)
            _require(value >= 1, f"graph.{name} must be at least 1, got {value}")
        _require(
            0.0 <= self.dropout < 1.0,
            f"graph.dropout must lie in [0, 1), got {self.dropout}",
        )
        _require(0.0 < self.tau <= 1.0, f"graph.tau must lie in (0, 1], got {self.tau}")
        _require(0.0 < self.p < 1.0, f"graph.p must lie in (0, 1), got {self.p}")
        _require(
            not (self.learned and self.role in ("mask", "fixed", "none")),
            f"graph.role='{self.role}' passes no gradient to the adjacency, so it "
            "cannot be learned; roles that learn: additive, multiplicative",
        )

    @property
    def is_learned(self) -> bool:
        """Whether the adjacency is a parameter."""
        if self.learned is None:
            return self.role in ("additive", "multiplicative")
        return self.learned


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimisation, selection and thresholds."""

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float | None = None
    """Peak rate; what suits the encoder where none is given."""
    body_learning_rate: float = 2e-4
    """Rate of the pretrained encoder."""
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    positive_weight: float = 1.0
    """Weight of a positive target against a negative one."""
    selection_metric: str = "micro_f1"
    """Validation metric that chooses the best checkpoint (larger is better)."""
    patience: int = 0
    """Epochs without improvement before stopping early; 0 never stops early."""
    threshold: Literal["half", "global", "label"] = "label"
    """0.5, one tuned on validation, or one per label shrunk towards that one."""
    threshold_shrinkage: float = 20.0
    """Positives at which a label's own threshold and the global one weigh equal."""
    evaluation_batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices(self, "training")
        for name in ("epochs", "batch_size", "evaluation_batch_size"):
            value = getattr(self, name)
            _require(value >= 1, f"training.{name} must be at least 1, got {value}")
        for name in (
            "learning_rate",
            "body_learning_rate",
            "clip_norm",
            "positive_weight",
        ):
            value = getattr(self, name)
            _require(
                value is None or 0 < value < math.inf,
                f"training.{name} must be positive and finite, got {value}",
            )
        for name in ("weight_decay", "patience", "threshold_shrinkage"):
            value = getattr(self, name)
            _require(value >= 0, f"training.{name} must not be negative, got {value}")
        for name in ("warmup_fraction", "label_smoothing"):
            value = getattr(self, name)
            _require(
                0.0 <= value < 1.0, f"training.{name} must lie in [0, 1), got {value}"
            )
        _require(
            self.selection_metric in SELECTION_METRICS,
            f"training.selection_metric must be one of {list(SELECTION_METRICS)}, "
            f"got '{self.selection_metric}'",
        )
        _require(self.seed >= 0, f"training.seed must not be negative, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def resolved(self) -> "Config":
        """The same run with every setting that depends on the encoder written out."""
        chosen = ENCODER_SETTINGS[self.text.encoder]
        text: dict[str, Any] = {
            name: chosen[name]
            for name in ("dropout", "token_dropout")
            if getattr(self.text, name) is None
        }
        training = self.training
        if training.learning_rate is None:
            training = dataclasses.replace(
                training, learning_rate=chosen["learning_rate"]
            )
        return dataclasses.replace(
            self, text=dataclasses.replace(self.text, **text), training=training
        )


ENCODER_SETTINGS = {
    "bag": {"dropout": 0.5, "token_dropout": 0.4, "learning_rate": 1e-2},
    "cnn": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "bilstm": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "transformer": {"dropout": 0.1, "token_dropout": 0.0, "learning_rate": 3e-3},
}
"""What a setting that is left open becomes. The bag's were chosen on the validation
documents of stdlib_docs."""


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested dictionaries of JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values: Any, cls: type[ConfigT] = Config, *, where: str = "") -> ConfigT:  # type: ignore[assignment]
    """A configuration from nested dictionaries; what is absent keeps its default.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the
            wrong kind.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where or 'configuration'} must be an object of settings, "
            f"got {type(values).__name__}"
        )
    hints = typing.get_type_hints(cls)
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in hints:
            raise ConfigError(
                f"unknown setting '{path}'; the nearest is {_nearest(path)}"
            )
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            chosen[key] = from_dict(value, typing.cast(type, hint), where=path)
        else:
            chosen[key] = _coerce(value, hint, path)
    return cls(**chosen)


def read_config(path: str | Path) -> Config:
    """Reads a configuration from a JSON file.

    Raises:
        ConfigError: the file is absent or not JSON, or a setting is wrong.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}:{error.lineno}: must be JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: must be JSON: nested too deep") from error
    try:
        return from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def differences(old: Config, new: Config) -> list[str]:
    """One line `section.key: old -> new` for each setting that differs."""
    before, after = _flatten(to_dict(old)), _flatten(to_dict(new))
    return [
        f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _nearest(path: str) -> str:
    """The setting most like `path`, in quotes; the same name elsewhere comes first."""
    section, _, key = path.rpartition(".")
    known = [*_flatten(to_dict(Config())), *typing.get_type_hints(Config)]
    same = [name for name in known if name.rpartition(".")[2] == key]
    if same:
        return " or ".join(f"'{name}'" for name in same)

    def likeness(name: str) -> float:
        there, _, last = name.rpartition(".")
        alike = difflib.SequenceMatcher(None, key, last).ratio()
        return alike + (0.2 if there == section else 0.0)

    return f"'{max(known, key=likeness)}'"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _coerce(value: Any, hint: Any, path: str) -> Any:
    """`value` as the kind `hint` names, or a `ConfigError` that names `path`."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        options = typing.get_args(hint)
        if value not in options:
            raise ConfigError(f"{path} must be one of {list(options)}, got {value!r}")
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        inner = next(a for a in typing.get_args(hint) if a is not type(None))
        return _coerce(value, inner, path)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list, got {value!r}")
        return tuple(_coerce(item, inner, path) for item in value)
    is_bool = isinstance(value, bool)
    if hint is float and isinstance(value, (int, float)) and not is_bool:
        if not math.isfinite(value):
            raise ConfigError(f"{path} must be a finite number, got {value}")
        return float(value)
    if isinstance(value, hint) and (hint is bool or not is_bool):
        return value
    raise ConfigError(f"{path} must be of kind {hint.__name__}, got {value!r}")
