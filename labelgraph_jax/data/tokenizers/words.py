"""Text to token ids: a vocabulary of one's own words, or a published tokenizer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.tokenizers.saved import SavedTokenizer
from labelgraph_jax.data.tokenizers.units import IGNORED, letter_joiner, word_regex

PAD, UNKNOWN = "[PAD]", "[UNK]"
_PAD_NAMES = (PAD, "<pad>", "<PAD>")


class TokenizerError(ValueError):
    """Raised where a tokenizer cannot be read, trained or used as asked."""


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Token ids of many texts.

    Attributes:
        windows: for each text its windows, for each window one or more int32 ids.
        truncated: how many texts lost tokens, being longer than all their windows.
    """

    windows: list[list[np.ndarray]]
    truncated: int

    def __len__(self) -> int:
        return len(self.windows)


class Tokenizer(SavedTokenizer):
    """A vocabulary and the rule that cuts text into its tokens."""

    FILE = "tokenizer.json"

    def __init__(self, inner: tokenizers.Tokenizer, *, pad_token: str = PAD) -> None:
        pad_id = inner.token_to_id(pad_token)
        if pad_id is None:
            raise TokenizerError(f"the tokenizer has no padding token {pad_token!r}")
        self._inner = inner
        self._pad_token = pad_token
        self.pad_id: int = pad_id
        inner.no_padding()
        inner.no_truncation()

    @classmethod
    def train_words(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 30_000,
        min_count: int = 2,
        lowercase: bool = True,
        punctuation: bool = False,
    ) -> "Tokenizer":
        """Count the words of `texts` and keep the most frequent as the vocabulary.

        The words are those of `units.words_of`. Row 0 is padding, row 1 every word
        that is not kept.

        Args:
            texts: of the training documents; read once.
            vocabulary_size: rows of the vocabulary, padding and unknown included.
            min_count: a word seen less often is unknown.
            lowercase: tell no capitals from small letters.
            punctuation: keep runs of punctuation as tokens of their own.

        Raises:
            TokenizerError: a size that leaves no words, or texts without a word.
        """
        if vocabulary_size < 3:
            raise TokenizerError(
                f"vocabulary_size must be at least 3, got {vocabulary_size}"
            )
        if min_count < 1:
            raise TokenizerError(f"min_count must be at least 1, got {min_count}")
        inner = tokenizers.Tokenizer(models.WordLevel({}, unk_token=UNKNOWN))
        steps: list[Any] = [normalizers.NFKC()]
        steps += [normalizers.Lowercase()] if lowercase else []
        for unread in (IGNORED, letter_joiner()):
            steps.append(normalizers.Replace(tokenizers.Regex(unread.pattern), ""))
        inner.normalizer = normalizers.Sequence(steps)
        pattern = word_regex(False, True).pattern
        if punctuation:
            pattern += r"|[^\w\s]+"
        inner.pre_tokenizer = pre_tokenizers.Split(
            tokenizers.Regex(pattern), behavior="removed", invert=True
        )
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocabulary_size,
            min_frequency=min_count,
            special_tokens=[PAD, UNKNOWN],
            show_progress=False,
        )
        inner.train_from_iterator(texts, trainer)
        if inner.get_vocab_size() < 3:
            raise TokenizerError(
                f"no word occurs {min_count} times or more in the texts"
            )
        return cls(inner)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, prompt: str = "") -> "Tokenizer":
        """Read a published encoder's tokenizer from its folder.

        `tokenizer.json` first, then `vocab.txt` (WordPiece), then `vocab.json` with
        `merges.txt` (byte-level BPE), then whatever transformers can make of it
        without running code that came with it.

        Args:
            folder: of the encoder.
            prompt: stands before every text that is encoded, and is saved.

        Raises:
            TokenizerError: none of these is there, or one is malformed.
        """
        folder = Path(folder)
        settings = _read_settings(folder / "tokenizer_config.json")
        try:
            if (folder / "tokenizer.json").is_file():
                inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            elif (folder / "vocab.txt").is_file():
                inner = _word_pieces(folder, settings)
            elif (folder / "merges.txt").is_file():
                inner = _byte_pairs(folder)
            else:
                inner = _through_transformers(folder)
        except TokenizerError:
            raise
        except Exception as error:  # the Rust library raises bare Exception
            raise TokenizerError(f"{folder}: no usable tokenizer: {error}") from error
        if prompt:
            steps = [normalizers.Prepend(prompt)]
            steps += [inner.normalizer] if inner.normalizer is not None else []
            inner.normalizer = normalizers.Sequence(steps)
        named = settings.get("pad_token")
        if isinstance(named, dict):
            named = named.get("content")
        for pad_token in (named, *_PAD_NAMES):
            if pad_token and inner.token_to_id(pad_token) is not None:
                return cls(inner, pad_token=pad_token)
        raise TokenizerError(f"{folder}: the tokenizer has no padding token")

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            TokenizerError: the file is missing or malformed.
        """
        path = Path(folder) / cls.FILE
        if not path.is_file():
            raise TokenizerError(f"no tokenizer at {path}")
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise TokenizerError(f"{path} is not a tokenizer: {error}") from error
        padding = inner.padding or {}
        return cls(inner, pad_token=padding.get("pad_token", PAD))

    def _to_json(self) -> str:
        self._inner.no_truncation()
        self._inner.enable_padding(pad_id=self.pad_id, pad_token=self._pad_token)
        text = self._inner.to_str()
        self._inner.no_padding()
        return text

    @property
    def vocabulary(self) -> list[str]:
        """Every token, at the index that is its id."""
        ids = self._inner.get_vocab()
        tokens = [""] * self.vocabulary_size
        for token, index in ids.items():
            tokens[index] = token
        return tokens

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table of these ids needs."""
        return max(self._inner.get_vocab().values()) + 1

    @property
    def special_tokens(self) -> int:
        """Number of special tokens in every window, such as [CLS] and [SEP]."""
        return self._inner.num_special_tokens_to_add(False)

    def encode(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        max_windows: int = 1,
        stride: int = 0,
    ) -> EncodedTexts:
        """Turn texts into ids, each in at most `max_windows` of `max_length` tokens.

        A text without a token becomes one unknown (or padding) token.

        Args:
            texts: to be encoded.
            max_length: tokens in a window, the special ones included.
            max_windows: 1 keeps the head of a text.
            stride: tokens that a window shares with the one before it.

        Raises:
            TokenizerError: a setting that leaves no room for text, or a text that is
                not a string; the error names its place.
        """
        room = max_length - self.special_tokens
        if room < 1 or max_windows < 1 or not 0 <= stride < room:
            raise TokenizerError(
                f"max_length must exceed the {self.special_tokens} special tokens, "
                f"max_windows be at least 1, and stride be from 0 to {room - 1}; got "
                f"max_length {max_length}, max_windows {max_windows}, stride {stride}"
            )
        texts = list(texts)
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise TokenizerError(
                    f"text {place} must be a string, got {type(text).__name__}"
                )
        self._inner.enable_truncation(max_length, stride=stride)
        windows, truncated = [], 0
        for encoding in self._inner.encode_batch_fast(texts):
            rest = encoding.overflowing
            truncated += len(rest) >= max_windows
            kept = [encoding, *rest[: max_windows - 1]]
            windows.append(
                [np.asarray(e.ids or [self.empty_id], np.int32) for e in kept]
            )
        self._inner.no_truncation()
        return EncodedTexts(windows, truncated)

    def sources(
        self, text: str, *, max_length: int, max_windows: int = 1
    ) -> tuple[list[tuple[int, int]], list[list[tuple[int, ...]]]]:
        """The words of a text, and which of them each token of `encode` came from.

        Returns:
            First and last + 1 character of every word that is read; per window, per
            token the place of its word, none for a token that frames the text.
        """
        self._inner.enable_truncation(max_length)
        first = self._inner.encode(text)
        self._inner.no_truncation()
        kept = [first, *first.overflowing[: max_windows - 1]]
        spans: dict[int, tuple[int, int]] = {}
        begin = self._prompt_words()
        for encoding in kept:
            for word, span in zip(encoding.word_ids, encoding.offsets, strict=True):
                if word is not None and word >= begin and span[0] < span[1]:
                    start, end = spans.get(word, span)
                    spans[word] = min(start, span[0]), max(end, span[1])
        place = {word: number for number, word in enumerate(sorted(spans))}
        windows: list[list[tuple[int, ...]]] = [
            [(place[word],) if word in place else () for word in encoding.word_ids]
            or [()]
            for encoding in kept
        ]
        return [spans[word] for word in sorted(spans)], windows

    def _prompt_words(self) -> int:
        """Count the first words of every text that are the prompt's."""
        steps, cut = self._inner.normalizer, self._inner.pre_tokenizer
        first = steps[0] if isinstance(steps, normalizers.Sequence) else steps
        # Some published tokenizers begin every text with this sign for a space.
        if not isinstance(first, normalizers.Prepend) or first.prepend == "\u2581":
            return 0
        prompt = steps.normalize_str(" ").rstrip()
        return 1 if cut is None else len(cut.pre_tokenize_str(prompt))

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token of a published encoder; None without one."""
        ids = (self._inner.token_to_id(token) for token in ("[MASK]", "<mask>"))
        return next((found for found in ids if found is not None), None)

    @property
    def empty_id(self) -> int:
        """Id that stands for a text without tokens."""
        unknown = self._inner.token_to_id(UNKNOWN)
        return self.pad_id if unknown is None else unknown


def inverse_document_frequency(
    windows: Sequence[Sequence[np.ndarray]], vocabulary_size: int, *, pad_id: int = 0
) -> np.ndarray:
    """Weigh each token of a vocabulary by how few of the documents hold it.

    `log((1 + M) / (1 + m_v)) + 1` for M documents of which m_v hold token v, as
    scikit-learn's TfidfVectorizer has it; 0 for padding.

    Returns:
        float32 [V].
    """
    holding = np.zeros(vocabulary_size, np.int64)
    for document in windows:
        holding[np.unique(np.concatenate(document))] += 1
    weights = np.log((1 + len(windows)) / (1 + holding)) + 1
    weights[pad_id] = 0
    return weights.astype(np.float32)


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        settings = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON: {error}") from error
    return settings if isinstance(settings, dict) else {}


def _word_pieces(folder: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    lowercase = bool(settings.get("do_lower_case", True))
    vocabulary = models.WordPiece.read_file(str(folder / "vocab.txt"))
    inner = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    inner.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = (_required(inner, folder, token) for token in ("[CLS]", "[SEP]"))
    inner.post_processor = processors.BertProcessing(last, first)
    inner.add_special_tokens(
        [t for t in (PAD, UNKNOWN, "[CLS]", "[SEP]", "[MASK]") if t in vocabulary]
    )
    return inner


def _byte_pairs(folder: Path) -> tokenizers.Tokenizer:
    vocabulary, merges = models.BPE.read_file(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    inner = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    first, last = (_required(inner, folder, token) for token in ("<s>", "</s>"))
    inner.post_processor = processors.RobertaProcessing(
        last, first, add_prefix_space=False
    )
    return inner


def _required(inner: tokenizers.Tokenizer, folder: Path, token: str) -> tuple[str, int]:
    index = inner.token_to_id(token)
    if index is None:
        raise TokenizerError(f"{folder}: the vocabulary lacks {token}")
    return token, index


def _through_transformers(folder: Path) -> tokenizers.Tokenizer:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(
        folder, use_fast=True, trust_remote_code=False, local_files_only=True
    )
    inner = getattr(loaded, "backend_tokenizer", None)
    if inner is None:
        raise TokenizerError(f"{folder}: only fast tokenizers can be read")
    if set(inner.get_vocab()) <= set(loaded.all_special_tokens):
        # What transformers makes of a folder without a vocabulary.
        raise TokenizerError(
            f"{folder} must hold tokenizer.json, vocab.txt, or vocab.json and "
            "merges.txt; it holds no tokenizer"
        )
    return inner
