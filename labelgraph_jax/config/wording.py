"""Words in sentences: numbers of things, and the names that somebody meant."""

import difflib
import itertools
from collections.abc import Iterable, Sequence

MOST_LETTERS = 100
"""Letters of a name that are compared."""
MOST_NAMES = 50_000
"""Names that are looked at."""
MOST_COMPARED = 300
"""Names that are compared letter by letter: those that share most parts."""
PARTS = 16
"""Parts of three letters by which the names to be compared are chosen."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and what it counts: "1 label", "1,200 labels".

    Example:
        >>> counted(1, "class", "classes"), counted(0, "training document")
        ('1 class', '0 training documents')

    Args:
        number: how many.
        noun: the word for one of them.
        plural: the word for several, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def of_them(number: int, total: int, noun: str, one: str, several: str) -> str:
    """Return how many of some things, and the verb: "1 of 3 texts is".

    Example:
        >>> of_them(1, 3, "text", "is", "are"), of_them(2, 3, "text", "is", "are")
        ('1 of 3 texts is', '2 of 3 texts are')

    Args:
        number: how many.
        total: of how many.
        noun: the word for one of them.
        one: the verb of one.
        several: the verb of several.
    """
    verb = one if number == 1 else several
    return f"{number:,} of {counted(total, noun)} {verb}"


def spans(numbers: Sequence[int]) -> str:
    """Return rising numbers in short.

    Example:
        >>> spans([0, 1, 2, 3, 7])
        '0-3, 7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def likeness(one: str, other: str) -> float:
    """Return how alike two names are, 0 to 1, by their first letters alone."""
    first, second = one[:MOST_LETTERS], other[:MOST_LETTERS]
    return difflib.SequenceMatcher(None, first, second).ratio()


def nearest_names(
    name: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.6
) -> list[str]:
    """Return the known names most like one that is unknown, the nearest first.

    In a time that is bounded however long names are and however many there are: a few
    hundredths of a second among 20,000.

    Example:
        >>> nearest_names("sprot", ["arts", "sport", "sports"], count=2)
        ['sport', 'sports']

    Args:
        name: as it was given.
        known: what it could have been.
        count: how many names, at most.
        cutoff: the least likeness, from 0 to 1; with 0 there always is a name.
    """
    wanted = name[:MOST_LETTERS]
    names = list(itertools.islice(known, MOST_NAMES))
    if len(names) > MOST_COMPARED:
        last = max(len(wanted) - 3, 0)
        places = {last * k // (PARTS - 1) for k in range(PARTS)}
        parts = [wanted[place : place + 3] for place in places]
        shared = [
            (
                -sum(part in other for part in parts),
                abs(len(other) - len(wanted)),
                place,
            )
            for place, other in enumerate(n[:MOST_LETTERS] for n in names)
        ]
        names = [names[place] for *_, place in sorted(shared)[:MOST_COMPARED]]
    by_start: dict[str, str] = {}
    for other in names:
        by_start.setdefault(other[:MOST_LETTERS], other)
    near = difflib.get_close_matches(wanted, by_start, count, cutoff)
    return [by_start[start] for start in near]
