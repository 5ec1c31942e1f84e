"""Settings of data and text: documents to read, and their encoding as vectors."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from labelgraph_jax.config.settings import (
    ConfigError,
    check_choices,
    require,
    require_file,
    require_numbers,
)

OWN = "auto"
"""In place of a taxonomy file: the corpus's own."""
JOIN = "+"
"""Between the names of corpora that are read as one."""
POOLINGS: dict[str, tuple[str, ...]] = {
    "bag": (),
    "bag+static": (),
    "cnn": ("max",),
    "bilstm": ("last", "mean", "max"),
    "blocks": (),
    "transformer": ("mean", "max", "cls"),
}
"""Ways to turn token vectors into one, by kind of encoder."""


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """The layout of own files, where they do not say it themselves."""

    format: str = ""
    """jsonl, json, tsv, csv, parquet, fasttext, svm or (to predict) txt, where the name
    of a file does not tell."""
    encoding: str = ""
    """Encoding of text files: UTF-8, or that of the byte order mark, when empty;
    cp1252 for many files of Windows."""
    column_delimiter: str = ""
    """Separator of the columns of a CSV; that of its header when empty."""
    text_column: str = ""
    """Name of the text column or key; found by name when empty. Of a TSV without a
    header its number, from 1. `title,body` joins several, a blank line between them."""
    label_columns: tuple[str, ...] = ()
    """0/1 columns, columns of one name each, or one column of delimited labels."""
    label_delimiter: str = ""
    """Separator of labels in a delimited column, `none` where a field is one label;
    what the whole training file says when empty."""
    max_line: int = 64
    """MiB that a line may have; a longer one is refused."""
    max_unpacked: int = 2_048
    """MiB that a packed file (.gz, .bz2, .xz, .zip, parquet) may unpack to, with 500
    bytes counted for each line beside its own."""

    def __post_init__(self) -> None:
        for name in ("max_line", "max_unpacked"):
            value = getattr(self, name)
            must = f"data.{name} must lie in 1..1048576 MiB, got {value}"
            require(1 <= value <= 2**20, must)


@dataclass(frozen=True, kw_only=True)
class DataConfig(ReadingConfig):
    """Documents to read, and their splits."""

    corpus: str = "stdlib_docs"
    """A named corpus (`labelgraph data list`); ignored where `data` is given.
    `reuters21578+goemotions` learns two together, each as a task of its own."""
    data: str = ""
    """Own training file: JSON, TSV, CSV, parquet, fastText or LIBSVM, plain or packed;
    several as `train-*.parquet`; a folder of such files, of texts by class, or as the
    Extreme Classification Repository or Hugging Face datasets write it; hf:NAME."""
    validation: str = ""
    """Own validation file; cut off the training documents when empty."""
    test: str = ""
    """Own test file; cut off the training documents when empty."""
    unlabelled: str = ""
    """Own file of texts without labels, in any format of `predict`; a line of the
    training file with "labels": null is one of them too. See semi.kind."""
    target: str = ""
    """Own file of texts like those that the model will read, where they are others than
    the training documents; without labels, or they are not read. See adapt.kind."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    protocol: str = ""
    """Split protocol of a named corpus (reuters21578: modapte, random80)."""
    task: str = ""
    """Label set to learn where the documents carry several (Reuters: topics, ...);
    `topics,places` or `all` learn several at once. Of a table COLUMN=KIND, as often as
    there are tasks; see table.tasks."""
    taxonomy: str = ""
    """Own label taxonomy, a line `parent<TAB>child<TAB>child...` per parent; auto is
    that of the corpus, which must have one."""
    taxonomy_shape: Literal["dag", "tree"] = "dag"
    """tree: a label with two parents is an error."""
    taxonomy_targets: Literal["as-given", "closed"] = "as-given"
    """closed: a document also carries whatever lies above its labels, in all splits,
    nodes without a document of their own among it. That is another task: its numbers
    compare with none of the labels as given."""
    validation_fraction: float = 0.1
    """Share of the training documents cut off where no validation split is given."""
    test_fraction: float = 0.2
    """Share of all documents cut off where no test split is given."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, "data")
        require_numbers(self, "data", not_negative=("split_seed",))
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0.0 < value < 0.9, f"data.{name} must lie in (0, 0.9), got {value}")


def require_sources(data: DataConfig) -> None:
    """Refuse settings of own files beside a named corpus, and the other way round.

    Raises:
        ConfigError: names the setting.
    """
    if data.data:
        require(
            not data.protocol,
            f"data.protocol={data.protocol!r} belongs to a named corpus, not to an own "
            "file",
        )
        return
    require(
        not (data.validation or data.test),
        "data.validation and data.test name files beside an own training file: give "
        "data.data too",
    )
    for field in dataclasses.fields(ReadingConfig):
        value = getattr(data, field.name)
        if value != field.default and not isinstance(value, int):
            got = value if isinstance(value, str) else ", ".join(value)
            raise ConfigError(
                f"data.{field.name} says how an own file is read: give data.data too; "
                f"got {got} and the corpus {data.corpus}"
            )
    for name in ("task", "protocol") if JOIN in data.corpus else ():
        value = getattr(data, name)
        require(
            not value,
            f"data.corpus={data.corpus!r} joins corpora, and each of them is a task of "
            f"its own: leave data.{name} out, got {value!r}",
        )


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text side: token ids -> one vector per document."""

    encoder: Literal["bag", "bag+static", "cnn", "bilstm", "blocks", "transformer"] = (
        "bag"
    )
    """bag+static: n-grams, and beside them a table that imitates `pretrained`; blocks:
    self-attention in both directions, within blocks of tokens and among them."""
    vectors: Literal["random", "file", "pretrained", "static"] = "random"
    """Token vectors: learned from nothing, from a word-vector file, contextual, or from
    a table that imitates a pretrained encoder (a bag's; no transformer is left)."""
    pretrained: str = "minilm"
    """Pretrained encoder: local folder, installed package, or hub id. Of static vectors
    a folder of `labelgraph distil`, or the encoder to distil with the training texts.
    """
    prompt: str = "default"
    """Text that a pretrained encoder reads before each document; default: what its
    config_sentence_transformers.json says; none: nothing."""
    vectors_file: str = ""
    """GloVe or word2vec file, text or binary, plain or .gz."""
    trainable: bool = True
    """Fine-tune the token vectors; false freezes them (contextual ones are cached)."""
    trained_layers: int | None = None
    """Fine-tune only so many of a pretrained encoder's last layers; what lies below is
    computed once and cached. All of them by default."""
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
    """Units per direction of bilstm and blocks, or CNN channels per width."""
    layers: int = 2
    """Layers of a transformer that is not pretrained."""
    pooling: Literal["default", "mean", "max", "cls", "last"] = "default"
    """Way to turn token vectors into one. By default: of a pretrained transformer as
    its folder says (1_Pooling/config.json), else the mean; of a BiLSTM the last
    states."""
    window_pooling: Literal["mean", "max"] = "mean"
    """Way to turn the vectors of a long document's windows into one."""
    dropout: float | None = None
    """Dropout on vectors; what suits the encoder where none is given."""
    token_dropout: float | None = None
    """Share of the tokens hidden at each training step; what suits the encoder."""
    attention_dropout: float = 0.0
    """Dropout on a transformer's attention weights."""

    def __post_init__(self) -> None:
        # Choices and numbers, each by itself.
        check_choices(self, "text")
        require_numbers(
            self,
            "text",
            shares=("dropout", "token_dropout", "attention_dropout"),
            at_least_one=(
                "max_length",
                "max_windows",
                "vocabulary_size",
                "min_count",
                "dim",
                "layers",
                "hidden",
                "trained_layers",
            ),
        )
        # n-grams, and the static vectors that may stand beside a bag.
        bag = self.encoder in ("bag", "bag+static")
        require(
            not self.ngrams or (bag and self.vectors == "random"),
            "text.ngrams needs text.encoder='bag' and text.vectors='random'",
        )
        fused = {"vectors": "random", "long_documents": "head"}
        for name, must in fused.items() if self.encoder == "bag+static" else ():
            value = getattr(self, name)
            require(
                value == must,
                f"text.encoder='bag+static' has vectors of its own and reads the head "
                f"of a text: text.{name} must be '{must}', got '{value}'",
            )
        require(
            self.encoder != "bag+static" or self.ngrams is not False,
            "text.encoder='bag+static' reads n-grams: text.no-ngrams has no effect",
        )
        # Vectors from elsewhere: a file, a static table or a pretrained encoder.
        require_file(self, "text", "vectors", "file", "vectors_file")
        require(
            self.prompt == "default" or self.vectors == "pretrained",
            f"text.prompt needs text.vectors='pretrained', got '{self.prompt}' and "
            f"'{self.vectors}'",
        )
        require(
            self.prompt != "", "text.prompt must be a text, default or none, got ''"
        )
        require(
            self.vectors != "static" or self.encoder == "bag",
            "text.vectors='static' are averaged over a document: text.encoder must be "
            f"'bag', got '{self.encoder}'",
        )
        require(
            self.trained_layers is None
            or (self.vectors == "pretrained" and self.trainable),
            "text.trained_layers needs text.vectors='pretrained' and text.trainable",
        )
        # A pooling that the encoder can take.
        allowed = ("default", *POOLINGS[self.encoder])
        require(
            self.pooling in allowed,
            f"text.pooling of a {self.encoder} must be one of {list(allowed)}, "
            f"got '{self.pooling}'",
        )

    @property
    def reads_ngrams(self) -> bool:
        """True if the tokens are n-grams."""
        if self.ngrams is None:
            bag = self.encoder in ("bag", "bag+static")
            return bag and self.vectors == "random"
        return self.ngrams

    @property
    def reads_static(self) -> bool:
        """True if the tokens, or some of them, are those of a static encoder."""
        return self.vectors == "static" or self.encoder == "bag+static"
