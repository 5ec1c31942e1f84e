"""A static encoder from a pretrained one: a token table fitted to one's own texts."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import ConfigError
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.text.static_table import RIDGE_STEPS, ridge_token_table
from labelgraph_jax.modules.encoder_settings import (
    read_pooling,
    read_prompt,
    read_shape,
)
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.static_encoder import (
    StaticEncoder,
    is_static,
    of_length_one,
    token_shares,
)
from labelgraph_jax.runs.problem import Say

LEAST_TEXTS = 20
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Held to their start so much; chosen on texts held out."""
TRIAL_STEPS = 10
"""Steps of conjugate gradients while strengths are compared."""
MOST_HELD_OUT = 2_000
RARITY = 1e-3
"""a of the weight a / (a + p) of a token whose share of the texts is p, see `start`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """Settings for making a static encoder.

    Attributes:
        max_length: tokens that the pretrained encoder reads of a text.
        dim: numbers in a vector at most; fewer than the encoder's are the first
            principal ones.
        validation_share: share of the texts that are held out to choose by.
        seed: of which texts.
    """

    max_length: int = 128
    dim: int = 256
    validation_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("max_length", 8), ("dim", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} must be at least {least}, got {getattr(self, name)}"
                )
        if not 0 < self.validation_share < 0.9:
            raise ConfigError(
                f"validation_share must lie in (0, 0.9), got {self.validation_share}"
            )


def distil(
    name: str,
    texts: Sequence[str],
    how: Distillation | None = None,
    *,
    say: Say = lambda line: None,
) -> StaticEncoder:
    """Make a static encoder that imitates a pretrained one on one's own texts.

    First every token alone through the encoder gives a table, its rows weighed by
    a / (a + p) for a token whose share of the texts is p. Then the table is fitted to
    the vectors that the encoder gives the texts (pooled and after a prompt as its
    folder says), see `functional.ridge_token_table`; how far it may go from its start
    is chosen by the cosine to the encoder's vectors on texts held out, and the table
    then fitted to all.

    Args:
        name: of the encoder, see `find_pretrained`.
        texts: any number of them, no labels.
        how: see `Distillation`.
        say: takes a line about what is going on.

    Raises:
        PretrainedError, TokenizerError: there is no such encoder, or it lacks a part.
        DataError: too few texts with a token.
        ConfigError: the encoder is static already.

    Reference: the start, model2vec (Tulkens and van Dongen, 2024), with the weights of
    Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR
    2017.
    """
    # A transformer, and texts enough.
    how = how or Distillation()
    folder = find_pretrained(name)
    if is_static(folder):
        raise ConfigError(f"{name} must be a transformer; it is distilled already")
    tokenizer = Tokenizer.from_pretrained(folder)
    texts = [text for text in texts if text.strip()]
    if (different := len(set(texts))) < LEAST_TEXTS:
        raise DataError(
            f"to distil an encoder there must be at least {LEAST_TEXTS} different "
            f"texts, got {different}"
        )
    pooling = read_pooling(folder, read_shape(folder).features) or "mean"
    cache = cache_folder("encodings")
    encoder = FrozenEncoder.load(folder, cache=cache, pooling=pooling)
    longest = min(how.max_length, encoder.shape.max_positions // 8 * 8)

    def cut(before: str) -> list[np.ndarray]:
        own = [before + text for text in texts] if before else texts
        encoded = tokenizer.encode(own, max_length=longest)
        return [windows[0] for windows in encoded.windows]

    # The encoder's vectors of texts, and of every token alone.
    say(f"reading {counted(len(texts), 'text')} with {name}")
    sequences, prompt = cut(""), read_prompt(folder)
    targets = encoder.sequence_vectors(cut(prompt) if prompt else sequences)
    size = tokenizer.vocabulary_size
    say(f"reading each of the {size:,} tokens alone")
    single = tokens_alone(tokenizer)
    short = dataclasses.replace(encoder, rows=(256,), lengths=(len(single[0]),))
    alone = short.sequence_vectors(single)
    whole = targets  # what is left of the encoder's own vectors, of length 1 or less
    # Fewer dimensions: the principal axes of the texts' vectors.
    if how.dim < encoder.shape.features:
        axes = np.linalg.eigh(targets.T @ targets)[1][:, : -how.dim - 1 : -1]
        whole, alone = targets @ axes, alone @ axes
        targets = of_length_one(whole)
    # The table to start from: tokens alone, weighed by the texts.
    shares = token_shares(sequences, size)
    start = weighed(alone, shares, targets)

    # The strength of the ridge regression, by cosine on texts held out.
    held = np.zeros(len(texts), bool)
    count = min(MOST_HELD_OUT, max(1, round(how.validation_share * len(texts))))
    held[np.random.default_rng(how.seed).permutation(len(texts))[:count]] = True
    say(f"fitting the table, its freedom chosen on {counted(count, 'text')} held out")

    def cosine(table: np.ndarray) -> float:
        made = of_length_one(shares[held] @ table)
        return float((made * whole[held]).sum(axis=1).mean())

    def fitted(
        rows: np.ndarray | slice, strength: float, steps: int = RIDGE_STEPS
    ) -> np.ndarray:
        table: np.ndarray = ridge_token_table(
            shares[rows], targets[rows], start, strength=strength, steps=steps
        )
        return table

    tried = {s: cosine(fitted(~held, s, steps=TRIAL_STEPS)) for s in STRENGTHS}
    strength = max(tried, key=lambda s: tried[s])
    cosines = {"start": cosine(start), "fitted": tried[strength]}
    # The table, fitted on all texts.
    table = fitted(slice(None), strength).astype(np.float16)
    say(
        f"cosine to {name} on texts held out: {cosines['start']:.3f} at the start, "
        f"{cosines['fitted']:.3f} fitted"
    )
    about = {
        "encoder": name,
        "encoder_fingerprint": encoder.fingerprint,
        "pooling": pooling,
        "prompt": prompt,
        "texts": len(texts),
        "texts_fingerprint": texts_fingerprint(texts),
        "strength": strength,
        "cosine": {key: round(value, 4) for key, value in cosines.items()},
        "held_out_texts": count,
        "vocabulary_size": size,
        **dataclasses.asdict(how),
        "dim": table.shape[1],
    }
    return StaticEncoder(table, tokenizer, about)


def tokens_alone(tokenizer: Tokenizer) -> list[np.ndarray]:
    """Every token of a vocabulary, in the frame of a text, such as [CLS] and [SEP]."""
    empty, one = (
        tokenizer.encode([text], max_length=512).windows[0][0] for text in ("", "a")
    )
    count = tokenizer.special_tokens
    frame = empty if count and len(empty) == count else empty[:0]
    first = 0
    while first < len(frame) and frame[first] == one[first]:
        first += 1
    ids = np.arange(tokenizer.vocabulary_size, dtype=np.int32)
    return [np.concatenate([frame[:first], [i], frame[first:]]) for i in ids]


def weighed(alone: np.ndarray, shares: csr_array, targets: np.ndarray) -> np.ndarray:
    """Rows weighed by how rare their tokens are, on the scale of the targets."""
    counts = shares.sum(axis=0)
    rows = alone * (RARITY / (RARITY + counts / counts.sum()))[:, None]
    made = shares @ rows
    scale = (made * targets).sum() / max((made * made).sum(), 1e-12)
    return (rows * scale).astype(np.float32)


def texts_fingerprint(texts: Sequence[str]) -> str:
    """Return the SHA-256 of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()


def distil_to(
    name: str,
    texts: Sequence[str],
    folder: Path,
    how: Distillation | None = None,
    *,
    say: Say = lambda line: None,
) -> StaticEncoder:
    """Make a static encoder and save it in a folder that is not there yet.

    Raises:
        ConfigError: as `require_free`; and what `distil` raises.
    """
    require_free(folder)
    encoder = distil(name, texts, how, say=say)
    encoder.save(folder)
    return encoder


def require_free(folder: Path) -> None:
    """Refuse a folder that something lies in.

    Raises:
        ConfigError: it exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} must be absent or an empty folder")
