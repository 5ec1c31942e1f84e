"""Words, word pairs and character n-grams as the tokens of a bag."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.tokenizers.lookup import Lookup
from labelgraph_jax.data.tokenizers.saved import SavedTokenizer
from labelgraph_jax.data.tokenizers.units import (
    HANGUL,
    UNITS_VERSION,
    character_runs,
    folded,
    is_character,
    is_part,
    ngrams,
    parts_of,
    windows_of,
    word_pattern,
    words_of,
)
from labelgraph_jax.data.tokenizers.words import (
    PAD,
    UNKNOWN,
    EncodedTexts,
    TokenizerError,
)

FAR_MORE = 4
"""Times as often as by chance, and this often beside, see `_holds_together`. Chance
is reckoned by the character; words meet by chance that much more often."""
FAR_MORE_RUN = 1.5
"""The same of three characters and more, of which the inner ones are given."""
_HANGUL = re.compile(f"[{HANGUL}]")


class NgramTokenizer(SavedTokenizer):
    """Cuts a text into words, pairs of neighbouring words, and parts of words.

    A part of a word is a run of 3 to 5 characters, the word's beginning and end
    marked, so that "encode" and "encoding" have tokens in common; see `units` for
    other scripts than Latin. The order of the tokens means nothing: they are read by
    a bag alone. Row 0 is padding, row 1 a text none of whose parts is known.

    Args:
        vocabulary: the token of every row.
        version: of the rule that cuts a text, see `units.UNITS_VERSION`.

    Reference: the units of Bojanowski et al., "Enriching Word Vectors with Subword
    Information", TACL 2017; here each has a row of its own instead of a hashed one.
    """

    FILE = "ngrams.json"

    pad_id = 0

    def __init__(self, vocabulary: Sequence[str], version: int = UNITS_VERSION) -> None:
        self.vocabulary = list(vocabulary)
        self.version = version
        self._ids = {token: i for i, token in enumerate(self.vocabulary)}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 30_000,
        min_count: int = 2,
        character_min_count: int = 5,
    ) -> "NgramTokenizer":
        """Keep the tokens that stand in enough of the texts, most frequent first.

        Args:
            texts: of the training documents; read once.
            vocabulary_size: rows of the vocabulary, padding and unknown included.
            min_count: texts that must hold a word or a pair of words.
            character_min_count: texts that must hold a part of a word.

        Raises:
            TokenizerError: a size that leaves no token, or texts without one.
        """
        if vocabulary_size < 3 or min_count < 1 or character_min_count < 1:
            raise TokenizerError(
                "vocabulary_size must be at least 3 and the counts at least 1, got "
                f"{vocabulary_size}, {min_count} and {character_min_count}"
            )
        counts: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for text in texts:
            tokens = list(ngrams(words_of(text)))
            counts.update(set(tokens))
            if not text.isascii():
                seen.update(token for token in tokens if not token.isascii())
        characters = sum(n for token, n in seen.items() if _is_single(token))
        kept = [
            (token, count)
            for token, count in counts.items()
            if count >= (character_min_count if is_part(token) else min_count)
            and _holds_together(token, seen, characters)
        ]
        if not kept:
            verb = "hold" if min_count == 1 else "share"
            raise TokenizerError(f"the training texts {verb} no word or part of a word")
        kept.sort(key=lambda pair: (-pair[1], pair[0]))
        return cls([PAD, UNKNOWN, *(t for t, _ in kept[: vocabulary_size - 2])])

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table of these ids needs."""
        return len(self.vocabulary)

    @property
    def is_character_part(self) -> np.ndarray:
        """Mask of the tokens that are parts of words, bool `[V]`."""
        return np.asarray([is_part(token) for token in self.vocabulary])

    def encode(
        self, texts: Sequence[str], *, max_length: int, max_windows: int = 1
    ) -> EncodedTexts:
        """Turn texts into ids, in windows of at most `max_length` words each.

        Raises:
            TokenizerError: a setting below 1, or a text that is not a string.
        """
        if max_length < 1 or max_windows < 1:
            raise TokenizerError(
                "max_length and max_windows must be at least 1, got "
                f"{max_length} and {max_windows}"
            )
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise TokenizerError(
                    f"text {place} must be a string, got {type(text).__name__}"
                )
        windows, truncated = [], 0
        for own, has_more in self._lookup.windows(texts, max_length, max_windows):
            windows.append(own)
            truncated += has_more
        return EncodedTexts(windows, truncated)

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self._ids, self.version, self._ids[UNKNOWN])

    def __reduce__(self) -> tuple[type["NgramTokenizer"], tuple[list[str], int]]:
        # What was remembered of texts stays behind.
        return type(self), (self.vocabulary, self.version)

    def sources(
        self, text: str, *, max_length: int, max_windows: int = 1
    ) -> tuple[list[tuple[int, int]], list[list[tuple[int, ...]]]]:
        """The words of a text, and which of them each token of `encode` came from.

        Returns:
            First and last + 1 character of every word that is read; per window, per
            token the places of its words, none where no token is known.
        """
        version = self.version
        cut = windows_of(words_of(text, version), max_length, version)[:max_windows]
        windows, start = [], 0
        for words in cut:
            places = zip(
                ngrams(words, version), _ngram_words(words, version), strict=True
            )
            known = [
                tuple(start + place for place in origin)
                for token, origin in places
                if token in self._ids
            ]
            windows.append(known or [()])
            start += len(words)
        return _word_spans(text, version)[:start], windows

    @classmethod
    def load(cls, folder: str | Path) -> "NgramTokenizer":
        """Read what `save` wrote.

        Raises:
            TokenizerError: the file is missing or malformed.
        """
        path = Path(folder) / cls.FILE
        try:
            tokens = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TokenizerError(f"{path} is not a tokenizer: {error}") from error
        version: Any = 1  # up to 0.6.0 the file was the list itself
        if isinstance(tokens, dict):
            version, tokens = tokens.get("version"), tokens.get("tokens")
        if not isinstance(tokens, list) or tokens[:2] != [PAD, UNKNOWN]:
            raise TokenizerError(f"{path} must hold a list of tokens")
        if version not in range(1, UNITS_VERSION + 1):
            raise TokenizerError(
                f"{path}: its rule of cutting a text must be of version 1 to "
                f"{UNITS_VERSION}, got {version!r}: a newer labelgraph_jax wrote it"
            )
        return cls(tokens, version)

    def _to_json(self) -> str:
        tokens: list[str] | dict[str, Any] = self.vocabulary
        if self.version > 1:
            tokens = {"version": self.version, "tokens": self.vocabulary}
        return json.dumps(tokens, ensure_ascii=False)


def _holds_together(token: str, seen: Mapping[str, int], characters: int) -> bool:
    """Decide whether neighbouring characters may be a word, where no blank says so.

    Most neighbours in scripts without blanks, and in Korean a noun and its particle,
    are the end of one word and the beginning of another. What is kept occurs far more
    often than its first and its last character would meet around the others by chance,
    or is what both stand in mostly, being kept themselves.

    Args:
        token: a word, a pair or a part.
        seen: how often tokens beyond ASCII occur.
        characters: how many single ones occur in all.
    """
    if token.isascii():
        return True
    words = token.removeprefix("#").split(" ")
    if all(map(is_character, words)):
        units = words_of("".join(words))
    elif is_part(token) and _HANGUL.search(token):
        units = list(words[0])
    else:
        korean = [word for word in words if _HANGUL.match(word) and not is_part(token)]
        runs = ("#" + a + b for word in korean for a, b in pairwise(word))
        return all(_holds_together(run, seen, characters) for run in runs)
    first, middle, last = (_run(part) for part in (units[:-1], units[1:-1], units[1:]))
    if len(units) < 2 or first not in seen or last not in seen:  # the end of a word
        return True
    chance = seen[first] * seen[last] / (seen[middle] if middle else characters)
    if seen[token] >= (FAR_MORE_RUN if middle else FAR_MORE) * (chance + 1):
        return True
    return seen[token] >= 0.5 * max(seen[first], seen[last]) and all(
        _holds_together(part, seen, characters) for part in (first, last)
    )


def _is_single(token: str) -> bool:
    """Return whether a token is one character of a script without blanks."""
    if token.startswith("#"):
        return len(token) == 2 and _HANGUL.match(token, 1) is not None
    return " " not in token and is_character(token)


def _run(characters: Sequence[str]) -> str:
    """The token of neighbouring characters."""
    if not characters:
        return ""
    if len(characters) < 3 and is_character(characters[0]):
        return " ".join(characters)
    return "#" + "".join(characters)


def _word_spans(text: str, version: int) -> list[tuple[int, int]]:
    """Return the spans in the text of the words of `words_of`."""
    origin: list[tuple[int, int]] = []
    starts = [i for i, c in enumerate(text) if not i or not _goes_on(c, version)]
    for start, end in pairwise([*starts, len(text)]):
        piece = text[start:end]
        length = len(piece.lower() if version == 1 else folded(piece))
        origin += [(start, end)] * length
    pattern, searched = word_pattern(text, version)
    found = (match.span() for match in pattern.finditer(searched))
    return [(origin[start][0], origin[end - 1][1]) for start, end in found]


def _goes_on(character: str, version: int) -> bool:
    """Return whether a character is compared together with the one before it."""
    if version == 1:
        return False
    normal = unicodedata.normalize("NFKC", character)[:1] or character
    kind = unicodedata.category(normal)
    return kind.startswith("M") or kind == "Cf" or "\u1160" <= normal <= "\u11ff"


def _ngram_words(words: Sequence[str], version: int) -> Iterator[tuple[int, ...]]:
    """The places of the words that each of `ngrams` came from."""
    yield from ((place,) for place in range(len(words)))
    yield from pairwise(range(len(words)))
    for place, word in enumerate(words):
        yield from [(place,)] * len(parts_of(word, version))
    yield from (tuple(range(*run)) for run in character_runs(words, version))
