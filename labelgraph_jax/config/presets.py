"""Named configurations; each says what it is for, and what it costs."""

import dataclasses

from labelgraph_jax.config.graph import GraphConfig
from labelgraph_jax.config.schema import Config
from labelgraph_jax.config.settings import ConfigError
from labelgraph_jax.config.text import DataConfig, TextConfig
from labelgraph_jax.config.training import TrainingConfig
from labelgraph_jax.config.wording import nearest_names

_MINILM_FINETUNE = Config(
    data=DataConfig(corpus="reuters21578", validation_fraction=0.06),
    text=TextConfig(
        encoder="transformer",
        vectors="pretrained",
        trained_layers=3,
        max_length=96,
        dropout=0.1,
    ),
    graph=GraphConfig(hidden=64),
    training=TrainingConfig(
        epochs=4,
        batch_size=32,
        micro_batches=4,
        learning_rate=3e-3,
        body_learning_rate=2e-4,
        weight_decay=0.01,
        selection_metric="micro_f1",
    ),
)

_FAST = dataclasses.replace(_MINILM_FINETUNE, data=DataConfig())
_BEST = dataclasses.replace(
    _FAST,
    text=dataclasses.replace(_FAST.text, trained_layers=None, max_length=128),
    training=dataclasses.replace(_FAST.training, epochs=8),
)

_GOEMOTIONS = dataclasses.replace(
    _MINILM_FINETUNE,
    data=DataConfig(corpus="goemotions"),
    text=dataclasses.replace(_MINILM_FINETUNE.text, max_length=64),
    training=dataclasses.replace(
        _MINILM_FINETUNE.training, epochs=3, selection_metric="macro_f1"
    ),
)

_REUTERS_BAG = Config(
    data=_MINILM_FINETUNE.data, training=TrainingConfig(epochs=12, batch_size=64)
)

_MINILM_BILSTM = Config(
    data=DataConfig(corpus="reuters21578", validation_fraction=0.06),
    text=TextConfig(
        encoder="bilstm",
        vectors="pretrained",
        trainable=False,
        max_length=128,
        hidden=250,
        pooling="max",
        dropout=0.3,
    ),
    graph=GraphConfig(hidden=64),
    training=TrainingConfig(epochs=12, batch_size=32, learning_rate=2e-3),
)

_MAGNET_PAPER = Config(
    data=DataConfig(corpus="reuters21578", protocol="random80"),
    text=dataclasses.replace(_MINILM_BILSTM.text, dropout=0.5, pooling="last"),
    graph=GraphConfig(
        hidden=250, residual=False, initialisation="random", negative_slope=0.01
    ),
    training=TrainingConfig(
        epochs=30, batch_size=250, learning_rate=1e-3, schedule="constant"
    ),
)

_FAST_CONTEXTUAL = Config(
    text=TextConfig(
        vectors="static",
        trainable=False,
        max_length=512,
        dropout=0.1,
        token_dropout=0.0,
    ),
    training=TrainingConfig(epochs=30, batch_size=64, learning_rate=3e-2),
)

_EURLEX57K = Config(
    data=DataConfig(corpus="eurlex57k"),
    text=TextConfig(ngrams=False, vocabulary_size=50_000, dim=384, max_length=320),
    graph=GraphConfig(role="none"),
    training=TrainingConfig(epochs=6, batch_size=128),
)

_TABLE = Config(
    training=TrainingConfig(
        epochs=10, batch_size=512, patience=3, evaluation_batch_size=4096
    )
)

PRESETS: dict[str, tuple[str, Config]] = {
    "default": (
        "Bag of word vectors + label graph on stdlib_docs; 2 CPU cores, < 3 minutes.",
        Config(),
    ),
    "fast": (
        "MiniLM, the last 3 of 6 layers fine-tuned, 96 tokens, 4 epochs; on Reuters "
        "R90 24 minutes of one CPU core, micro / macro-F1 .889 / .561.",
        _FAST,
    ),
    "best": (
        "MiniLM, all layers, 128 tokens, 8 epochs; on Reuters R90 version 0.1 took 65 "
        "minutes of 2 CPU cores, .897 / .626 at 0.5 (one seed; not yet run again).",
        _BEST,
    ),
    "minilm-finetune": (
        "MiniLM, the last 3 of 6 layers fine-tuned, + label graph on Reuters ModApte "
        "R90, 96 tokens; 24 minutes on one CPU core.",
        _MINILM_FINETUNE,
    ),
    "reuters-bag": (
        "The default's bag of words on Reuters ModApte R90; 7 minutes on one CPU core. "
        "`labelgraph ensemble` joins it to minilm-finetune.",
        _REUTERS_BAG,
    ),
    "goemotions": (
        "As minilm-finetune, on GoEmotions' 28 labels, 64 tokens.",
        _GOEMOTIONS,
    ),
    "fast-contextual": (
        "MiniLM distilled into a table of token vectors with the training texts, + "
        "label graph: encodes by lookup, needs no transformer once it is trained.",
        _FAST_CONTEXTUAL,
    ),
    "minilm-bilstm": (
        "Frozen, cached MiniLM vectors + BiLSTM + label graph on Reuters ModApte R90; "
        "under 40 minutes on 2 CPU cores.",
        _MINILM_BILSTM,
    ),
    "magnet-paper": (
        "The paper's form: BiLSTM, label vectors from attention alone, learned random "
        "adjacency, on its random 80/20 split of Reuters.",
        _MAGNET_PAPER,
    ),
    "eurlex57k": (
        "A bag of words and a complete label graph on EURLEX57K: 4,108 labels, 45,000 "
        "laws; 10 minutes of training on 2 CPU cores. `--memory.kind pretrained` adds "
        "the 163 labels without training documents.",
        _EURLEX57K,
    ),
    "table": (
        "What `--task COLUMN=KIND` starts from: a mixture of experts over the columns "
        "of a table, larger batches, stopped where validation gains no more.",
        _TABLE,
    ),
}


def preset(name: str) -> Config:
    """A named configuration.

    Raises:
        ConfigError: no preset has that name; the nearest is given.
    """
    if name not in PRESETS:
        near = nearest_names(name, PRESETS, cutoff=0.0)
        raise ConfigError(
            f"unknown preset '{name}'; the nearest is '{near[0]}' "
            f"(all: {', '.join(PRESETS)})"
        )
    return PRESETS[name][1]
