"""Words, pairs and parts of many texts looked up at once, each distinct one but once.

A text is cut at its blanks. What stands between two of them is read in the same way
wherever it stands, so its words, their parts and the ids of these are remembered.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from labelgraph_jax.data.tokenizers.units import (
    CHARACTER_COST,
    character_runs,
    is_character,
    is_part,
    parts_of,
    words_of,
)

TEXTS = 256
"""Texts that are looked up at a time."""
REMEMBERED = 1 << 22
"""Characters, words and parts that are remembered; where they are more, all is
forgotten after the texts that are being looked up."""
NONE = -1
"""In place of the id of what the vocabulary does not have."""


class Found(NamedTuple):
    """Words of some texts, end to end, and what is known of each.

    Attributes:
        counts: words of each text.
        words: the words.
        ids: token id of each word, or `NONE`.
        pairs: number of each word among those that stand in pairs, or `NONE`.
        characters: whether a word is one character of a script without blanks.
        part_counts: how many known parts each word has.
        parts: ids of these, end to end.
    """

    counts: Int[np.ndarray, " M"]
    words: list[str]
    ids: Int[np.ndarray, " W"]
    pairs: Int[np.ndarray, " W"]
    characters: Bool[np.ndarray, " W"]
    part_counts: Int[np.ndarray, " W"]
    parts: Int[np.ndarray, " P"]


class Lookup:
    """Ids of the tokens of texts, as `units.ngrams` orders them.

    Safe to use from several threads; what is remembered is bounded by `REMEMBERED` and
    the texts that are looked up together.

    Args:
        ids: the row of every token.
        version: of the rule that cuts a text, see `units.UNITS_VERSION`.
        unknown: the row of a window without a known token.
    """

    def __init__(self, ids: Mapping[str, int], version: int, unknown: int) -> None:
        self._ids, self._version = ids, version
        self._unknown = np.asarray([unknown], np.int32)
        pairs = {
            token: row
            for token, row in ids.items()
            if token.count(" ") == 1 and not is_part(token)
        }
        words = [token.split(" ") for token in pairs]
        names = dict.fromkeys(chain.from_iterable(words))
        self._pair_words = numbers = {word: i for i, word in enumerate(names)}
        keys = [numbers[a] * len(numbers) + numbers[b] for a, b in words]
        order = np.argsort(np.asarray(keys, np.int64))
        # One more, which no pair has, so that every place of a search is one of theirs.
        self._pair_keys = np.append(np.asarray(keys, np.int64)[order], -1)
        rows = np.fromiter(pairs.values(), np.int32)
        self._pair_rows = np.append(rows[order], NONE)
        self._lock = threading.Lock()
        self._pieces = self._no_pieces()

    def windows(
        self, texts: Sequence[str], max_length: int, max_windows: int
    ) -> Iterator[tuple[list[np.ndarray], bool]]:
        """Ids of every window of each text, and whether it has windows beyond these."""
        for start in range(0, len(texts), TEXTS):
            found = self._found(texts[start : start + TEXTS])
            yield from self._cut(found, max_length, max_windows)

    def _found(self, texts: Sequence[str]) -> Found:
        cut = [text.split() for text in texts]
        with self._lock:
            whole = False
            try:
                found = self._pieces.find(cut)
                whole = self._pieces.size <= REMEMBERED
            finally:
                # Too much, or what a Ctrl-C has left half remembered.
                if not whole:
                    self._pieces = self._no_pieces()
        return found

    def _no_pieces(self) -> "_Pieces":
        return _Pieces(self._ids, self._version, self._pair_words)

    def _cut(
        self, found: Found, max_length: int, max_windows: int
    ) -> Iterator[tuple[list[np.ndarray], bool]]:
        ends = np.cumsum(found.counts)
        bounds: list[list[tuple[int, int]]] = [
            [(end - count, end)]
            if count <= max_length
            else self._bounds(found.characters, end - count, end, max_length)
            for end, count in zip(ends.tolist(), found.counts.tolist(), strict=True)
        ]
        word_ids, words = _known(found.ids)
        pair_ids, pairs = _known(self._pairs(found))
        parts = np.append(0, np.cumsum(found.part_counts))
        has_runs = found.characters.any()
        for own in bounds:
            windows = []
            for first, last in own[:max_windows]:
                segments = [
                    word_ids[words[first] : words[last]],
                    # The pair of a window's last word is in no window.
                    pair_ids[pairs[first] : pairs[max(last - 1, first)]],
                    found.parts[parts[first] : parts[last]],
                ]
                if has_runs and found.characters[first:last].any():
                    segments.append(self._runs(found.words[first:last]))
                ids = np.concatenate(segments)
                windows.append(ids if len(ids) else self._unknown)
            yield windows, len(own) > max_windows

    def _bounds(
        self, characters: np.ndarray, first: int, last: int, max_length: int
    ) -> list[tuple[int, int]]:
        """First word and last + 1 of each window; see `units.windows_of`."""
        if self._version == 1 or not characters[first:last].any():
            starts = range(first, last, max_length)
            return [(start, min(start + max_length, last)) for start in starts]
        cuts, room = [first], float(max_length)
        for place, character in enumerate(characters[first:last].tolist(), first):
            cost = CHARACTER_COST if character else 1
            if cost > room:
                cuts.append(place)
                room = max_length
            room -= cost
        return list(zip(cuts, [*cuts[1:], last], strict=True))

    def _pairs(self, found: Found) -> np.ndarray:
        """The id of each word and the next one, `NONE` of the last `[W]`."""
        rows = np.full(len(found.pairs), NONE, np.int32)
        both = np.flatnonzero((found.pairs[:-1] >= 0) & (found.pairs[1:] >= 0))
        numbers = found.pairs.astype(np.int64)
        keys = numbers[both] * len(self._pair_words) + numbers[both + 1]
        places = np.searchsorted(self._pair_keys[:-1], keys)
        known = self._pair_keys[places] == keys
        rows[both[known]] = self._pair_rows[places[known]]
        return rows

    def _runs(self, words: Sequence[str]) -> np.ndarray:
        """Ids of neighbouring characters that are words each."""
        runs = character_runs(words, self._version)
        tokens = ("#" + "".join(words[start:end]) for start, end in runs)
        known = (self._ids[token] for token in tokens if token in self._ids)
        return np.fromiter(known, np.int32)


def _known(ids: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The known ones of some ids, and how many there are before each place."""
    known = ids >= 0
    return ids[known], np.append(0, np.cumsum(known)).tolist()


class _Pieces(dict[str, int]):
    """Numbered pieces of text between blanks; a new one is read on first use.

    Attributes:
        size: characters, words and parts that are remembered.
    """

    def __init__(
        self, ids: Mapping[str, int], version: int, pairs: Mapping[str, int]
    ) -> None:
        self._ids, self._version, self._pairs = ids, version, pairs
        self._words: dict[str, int] = {}
        self._names: list[str] = []
        self._piece_ends, self._piece_words = _Column(), _Column()
        self._rows, self._places, self._flags = _Column(), _Column(), _Column()
        self._part_ends, self._parts = _Column(), _Column()
        self._ends = [0, 0]
        self.size = 0

    def __missing__(self, piece: str) -> int:
        # In place, for speed: most pieces are one word as it stands.
        is_word = piece.isalnum() and piece.isascii()
        words = [piece.lower()] if is_word else words_of(piece, self._version)
        for word in words:
            if word not in self._words:
                self._learn(word)
            self._piece_words.new.append(self._words[word])
        self._ends[0] += len(words)
        self._piece_ends.new.append(self._ends[0])
        self.size += len(piece) + len(words)
        self[piece] = number = len(self)
        return number

    def _learn(self, word: str) -> None:
        self._words[word] = len(self._words)
        self._names.append(word)
        ids = self._ids
        parts = [ids[p] for p in parts_of(word, self._version) if p in ids]
        self._rows.new.append(ids.get(word, NONE))
        self._places.new.append(self._pairs.get(word, NONE))
        self._flags.new.append(self._version > 1 and is_character(word))
        self._parts.new.extend(parts)
        self._ends[1] += len(parts)
        self._part_ends.new.append(self._ends[1])
        self.size += len(word) + len(parts)

    def find(self, texts: Sequence[Sequence[str]]) -> Found:
        """The words of texts that are cut at their blanks."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        every = map(self.__getitem__, chain.from_iterable(texts))
        pieces = np.fromiter(every, np.int64, int(lengths.sum()))
        words, word_counts = _gather(
            self._piece_words.values(), self._piece_ends.values(), pieces
        )
        parts, part_counts = _gather(
            self._parts.values(), self._part_ends.values(), words
        )
        flags = self._flags.values()[words] > 0
        before = np.append(0, np.cumsum(word_counts))
        ends = np.cumsum(lengths)
        return Found(
            counts=before[ends] - before[ends - lengths],
            words=[self._names[w] for w in words.tolist()] if flags.any() else [],
            ids=self._rows.values()[words],
            pairs=self._places.values()[words],
            characters=flags,
            part_counts=part_counts,
            parts=parts,
        )


class _Column:
    """Whole numbers, of which there will be more."""

    def __init__(self) -> None:
        self._held, self._size = np.zeros(1024, np.int32), 0
        self.new: list[int] = []

    def values(self) -> np.ndarray:
        """All of them, the new ones too; what was given out before stays as it was."""
        if self.new:
            size = self._size + len(self.new)
            if size > len(self._held):
                grown = np.zeros(max(size, 2 * len(self._held)), np.int32)
                grown[: self._size] = self._held[: self._size]
                self._held = grown
            self._held[self._size : size] = self.new
            self._size, self.new = size, []
        return self._held[: self._size]


def _gather(
    values: np.ndarray, ends: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values of some groups, end to end, and how many each has.

    Args:
        values: of all groups, end to end.
        ends: where each group's end.
        numbers: of the groups that are wanted.
    """
    last = ends[numbers].astype(np.int64)
    counts = last - np.where(numbers > 0, ends[numbers - 1], 0)
    own = np.cumsum(counts)
    total = int(own[-1]) if len(own) else 0
    return values[np.arange(total) + np.repeat(last - own, counts)], counts
