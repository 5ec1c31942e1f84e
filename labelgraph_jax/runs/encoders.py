"""Encoders of a run's documents: a pretrained encoder, or a static one."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.files import cache_folder, make_folder
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.encoder_settings import read_pooling, read_prompt
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.building import (
    first_trained_layer,
    own_pooling,
    padded_length,
)
from labelgraph_jax.predictors.documents import AnyTokenizer, require_bag
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.network import token_table
from labelgraph_jax.predictors.static_encoder import StaticEncoder, is_static
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.distil import Distillation, distil, texts_fingerprint
from labelgraph_jax.runs.problem import Say
from labelgraph_jax.runs.restore import restore_network


def pretrained_encoders(
    config: Config,
) -> tuple[FrozenEncoder | None, FrozenEncoder | None, int]:
    """The pretrained encoder, its layers that stay frozen, and the first trained one.

    Raises:
        ConfigError: the encoder reads fewer tokens than it is to, or has fewer layers.
        PretrainedError: there is no such encoder.
    """
    text = config.text
    if text.vectors != "pretrained":
        return None, None, 0
    folder, cache = find_pretrained(text.pretrained), cache_folder("encodings")
    pooling = own_pooling(config, folder)
    encoder = FrozenEncoder.load(folder, cache=cache, pooling=pooling)
    positions = encoder.shape.max_positions
    if padded_length(text.max_length) > positions:
        raise ConfigError(
            f"text.max_length must be at most {positions // 8 * 8} for an encoder "
            f"of {positions} positions, got {text.max_length}"
        )
    first_layer = first_trained_layer(text, encoder.shape)
    if first_layer:
        frozen = FrozenEncoder.load(folder, layers=first_layer, cache=cache)
        return encoder, frozen, first_layer
    return encoder, None if text.trainable else encoder, 0


def static_encoder(
    text: TextConfig,
    documents: Sequence[Document],
    origin: Workdir | None = None,
    say: Say = lambda line: None,
) -> StaticEncoder | None:
    """The static encoder that a run starts from; None where its vectors are others.

    That of the run it is begun from; else a folder of `labelgraph distil` as it is; or,
    where a transformer is named, one that is distilled with the training texts, and
    kept in the cache for other runs over the same texts.

    Args:
        text: the run's settings.
        documents: to train on, and those without labels.
        origin: the run that it is begun from.
        say: takes a line about what is going on.

    Raises:
        ConfigError: the documents are features.
        DataError, PretrainedError, TokenizerError: as `distil`.
    """
    if not text.reads_static:
        return None
    if reads_features(documents, "training documents"):
        require_bag(text)
    # Of another run: the rows of its table that are of pieces.
    if origin is not None:
        model = restore_network(origin)
        table = token_table(model.params)
        tokenizer: AnyTokenizer = model.tokenizer
        first = 0
        if isinstance(tokenizer, FusedTokenizer):
            first = tokenizer.words.vocabulary_size
            tokenizer = tokenizer.pieces
        assert table is not None and isinstance(tokenizer, Tokenizer)
        return StaticEncoder(table[first:], tokenizer, {})
    # A static encoder as it is.
    source = find_pretrained(text.pretrained)
    if is_static(source):
        return StaticEncoder.load(source)
    # Else one is distilled on these texts, and kept for the next run on them.
    texts = [document.text for document in documents]
    how = Distillation(max_length=min(Distillation.max_length, text.max_length))
    encoder, cut = FrozenEncoder.load(source), Tokenizer.from_pretrained(source)
    parts = [
        *(encoder.fingerprint, cut.fingerprint, read_prompt(source)),
        *(read_pooling(source, encoder.shape.features), texts_fingerprint(texts)),
        dataclasses.asdict(how),
    ]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    kept = cache_folder("static") / key
    if not is_static(kept):
        make_folder(kept.parent)
        made = Path(tempfile.mkdtemp(prefix=".", dir=kept.parent))
        try:
            distil(text.pretrained, texts, how, say=say).save(made)
            shutil.rmtree(kept, ignore_errors=True)
            made.rename(kept)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return StaticEncoder.load(kept)
