"""Labels in one text: between delimiters, as a written list, or as markup.

    grain|crude oil          between delimiters; which, the whole column says
    ['grain', 'crude oil']   a list, tuple, set or array as Python, numpy or JSON writes
    <python><pandas>         markup

Nothing is evaluated. Where the column does not say which reading is meant, a
`DataError` names both.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.readers.fields import shown

DELIMITERS = ("|", ";", ",")
WHOLE = "none"
"""Delimiter that leaves a field whole: it is one label."""
BLANK = " "
FEW_BOUND = 1 / 3
"""Largest share, of the parts of a column that occur in several rows, that may occur in
one and the same field only; in names that were cut apart most do."""

_CLOSING = {"[": "]", "(": ")", "{": "}"}
_ITEM = re.compile(
    r"""\s*(?:u?'((?:[^'\\]|\\.)*)'|u?"((?:[^"\\]|\\.)*)"|([^\s,'"\[\](){}:][^,'"\[\](){}]*))
    \s*(?:,|$|(?=['"]))""",
    re.VERBOSE,
)
_MARKUP = re.compile(r"(?:\s*<[^<>]+>)+\s*")
_ABSENT_ITEMS = {"nan", "NaN", "None", "null"}
"""In a list without quotes around them these stand for no item."""
ABSENT_CELLS = {"nan", "NaN", "NA", "<NA>", "NULL"}
_BITS = {"0", "1", "0.", "1.", "0.0", "1.0", "True", "False"}
_ONES = {"1", "1.0", "true"}
_WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?|")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e-?\d+)?\s*%?|", re.IGNORECASE)
_ENTITY = re.compile(r"&(#\d+|#x[\da-f]+|\w+);", re.IGNORECASE)
_IN_NAMES = {"of", "and", "or", "the", "in", "for", "with", "not", "no", "&"}


def written_list(cell: str) -> list[str] | None:
    """The items of a list, tuple or set that a text is; None of any other text.

    Example:
        >>> written_list("('a', 'b')"), written_list("['a' 'b']"), written_list("a|b")
        (['a', 'b'], ['a', 'b'], None)
    """
    text = cell.strip().removeprefix("frozenset(").removeprefix("set(")
    if text != cell.strip():
        text = text.removesuffix(")") or "{}"
    if len(text) < 2 or _CLOSING.get(text[0]) != text[-1]:
        return None
    try:
        items = parse_json(text) if text[0] == "[" else None
    except ValueError:
        items = None
    if isinstance(items, list) and all(isinstance(item, (str, int)) for item in items):
        return [str(item) for item in items]
    inner, found = text[1:-1].strip(), []
    if re.fullmatch(r"\d+(\s+\d+)+", inner):
        return inner.split()  # an array of numpy
    at = 0
    while at < len(inner):
        match = _ITEM.match(inner, at)
        if match is None:
            return None
        quoted = match[1] if match[1] is not None else match[2]
        if quoted is not None:
            found.append(re.sub(r"\\(.)", r"\1", quoted))
        elif (item := match[3].strip()) not in _ABSENT_ITEMS:
            found.append(item)
        at = match.end()
    return found


def markup_list(cell: str) -> list[str] | None:
    """The names in `<a><b>`; None of any other text."""
    return re.findall(r"<([^<>]+)>", cell) if _MARKUP.fullmatch(cell) else None


def column_style(cells: Mapping[str, int], name: str) -> str:
    """Return how a column of texts holds labels: `literals`, `markup` or `delimited`.

    Args:
        cells: its texts that are not blank, and on which line each stands first.
        name: of the file, for the error.

    Raises:
        DataError: some are written lists and some are not.
    """
    if cells and all(_MARKUP.fullmatch(cell) for cell in cells):
        return "markup"
    closed = [cell for cell in cells if _CLOSING.get(cell[0]) == cell[-1]]
    sure = closed
    if len(closed) < len(cells):
        sure = [c for c in closed if c[0] == "[" or re.search("['\",]", c[1:-1])]
    if not sure:
        return "delimited"
    if all(written_list(cell) is not None for cell in cells):
        return "literals"
    raise DataError(
        f"{name}:{cells[sure[0]]}: labels in a column must stand between delimiters, "
        f"as a|b; got {shown(sure[0])}, and not every field is a list"
    )


def check_no_bits(fields: Iterable[tuple[int, Any]], name: str) -> None:
    """Refuse lists that say 0 or 1 for each label in place of names.

    Args:
        fields: their lines, and texts or lists.
        name: of the file, for the error.

    Raises:
        DataError: all items are 0 or 1, and all lists have one length above 1.
    """
    first: tuple[int, Any, int] | None = None
    for line, field in fields:
        items = field
        if isinstance(field, str):
            items = re.split(r"[\s,;|]+", field.strip("[]() "))
        first = first or (line, field, len(items))
        if len(items) != first[2] or not {str(item) for item in items} <= _BITS:
            return
    if first and first[2] > 1:
        line, field, count = first
        raise DataError(
            f"{name}:{line}: labels must be names; got {shown(field)}, a 0 or 1 for "
            f"each of {count} labels: write a column of 0 and 1 for each label, called "
            "after it, or lists of the names of those that are 1"
        )


def check_given(cells: Mapping[str, int], name: str, known: Collection[str]) -> None:
    """Refuse fields that say in the words of pandas, R or SQL that nothing is known."""
    for cell in ABSENT_CELLS & cells.keys() - set(known):
        raise DataError(
            f"{name}:{cells[cell]}: {cell!r} may be a label, or say that nothing is "
            "known: leave the field empty for no label, or say label_delimiter to "
            "read it as a label"
        )


def check_pieces(
    cells: Mapping[str, int], delimiter: str, name: str, known: Collection[str]
) -> None:
    """Refuse fields that only another delimiter divides into trained labels."""
    for cell, line in cells.items():
        unknown = [p for p in parts(cell, delimiter) if p and p not in known]
        for other in (WHOLE, *DELIMITERS, BLANK) if unknown else ():
            pieces = parts(cell, other)
            if all(piece in known for piece in pieces):
                raise DataError(
                    f"{name}:{line}: the training file has {delimiter!r} between "
                    f"labels, and so {unknown[0]!r} is none of them; {other!r} would "
                    f"read {shown(cell)} as trained labels: write them as the training "
                    "file does"
                )


def check_no_shares(texts: Collection[str], name: str) -> None:
    """Refuse columns of labels that hold probabilities or percentages.

    Raises:
        DataError: every field is a number, and some are no whole ones.
    """
    share = next((t for t in texts if not _WHOLE_NUMBER.fullmatch(t.strip())), "")
    if share and all(map(_NUMBER.fullmatch, map(str.strip, texts))):
        raise DataError(
            f"{name}: label columns must hold 0 or 1, or a name each; got "
            f"{shown(share)}: decide above which probability a document has the label"
        )


def check_some_zero(fields: Collection[object], name: str) -> None:
    """Refuse 0/1 columns that never say 0, in which nothing can be learned.

    Raises:
        DataError: every field says 1, or that nothing is known, and some do.
    """
    said = {str(field).strip().lower() for field in fields}
    unknown = sorted(said & {"", "-1", "-1.0"})
    if unknown and said & _ONES and said <= {*_ONES, *unknown}:
        got = " and ".join(f"{u or 'an empty field'!s}" for u in unknown)
        raise DataError(
            f"{name}: label columns must say 0 where a document does not have the "
            f"label; got 1 and {got} alone, which stands for not annotated"
        )


def find_delimiter(
    cells: Mapping[str, int],
    counts: Counter[str],
    where: str,
    *,
    known: Collection[str] = (),
    blanks: bool = True,
    ask: bool = True,
) -> str:
    """Find what stands between the labels of a column, from all of its fields.

    Parts that are labels of their own stand in several fields that differ, or alone;
    the parts of a name such as "Paris, France" stand together alone.

    Args:
        cells: the texts that are not blank, and on which line each stands first.
        counts: how many rows each stands in.
        where: the file, for the error.
        known: labels that were trained, where these are of a later file.
        blanks: labels may stand between blanks.
        ask: refuse what is not clear; without, whatever could be a delimiter is one.

    Returns:
        A delimiter; `WHOLE` where each text is one label; empty where no text has
        anything that could be a delimiter.

    Raises:
        DataError: several readings are possible.
    """
    # Marks that stand in the column, or blanks where there are none.
    marks = [mark for mark in DELIMITERS if any(mark in cell for cell in cells)]
    if not marks and blanks and any(len(cell.split()) > 1 for cell in cells):
        marks = [BLANK]
    if not marks:
        return ""
    # By known labels: the mark whose parts are known most often.
    if known:
        scores = {
            mark: sum(
                n * sum(part in known for part in parts(cell, mark))
                for cell, n in counts.items()
            )
            / sum(n * len(parts(cell, mark)) for cell, n in counts.items())
            for mark in (WHOLE, *marks, *([BLANK] if blanks else []))
        }
        best = max(scores, key=lambda mark: scores[mark])
        if scores[best] > 0:
            return best
    # The ";" of an HTML entity may divide labels or not.
    coded = next((c for c in cells if _ENTITY.search(c)), "") if ask else ""
    if ";" in marks and coded:
        raise DataError(
            f"{where}:{cells[coded]}: {shown(coded)} holds a character as HTML writes "
            "it, whose ';' may divide labels or not: write the character itself, or "
            "say label_delimiter"
        )
    # Of several marks the one whose names hold the others, where that is clear.
    if len(marks) > 1:
        in_names = {mark: _others_in_names(counts, mark, marks) for mark in marks}
        outer, second, *_ = sorted(marks, key=lambda mark: -in_names[mark])
        if in_names[outer] < max(FEW_BOUND, 1.5 * in_names[second]):
            seen = {
                m: min(line for cell, line in cells.items() if m in cell) for m in marks
            }
            (one, _), (other, line) = sorted(seen.items(), key=lambda item: item[1])[:2]
            raise DataError(
                f"{where}:{line}: labels stand between {one!r} or "
                f"{other!r}; say which with label_delimiter"
            )
        return outer
    # One mark: refuse it where its fields may just as well be whole names.
    mark = marks[0]
    tight = mark in "|;" or (mark == "," and any(re.search(r",\S", c) for c in cells))
    bound = _bound(counts, mark)
    pairs = mark == "," and _in_pairs(cells)
    tight = tight or (mark == "," and _change_places(cells) and not pairs)
    mixed = _combine(counts) if mark == BLANK else _swap(cells) and not pairs
    if bound is None and mark == ",":  # nothing to go by; names have capitals
        mixed = mixed or not any(cell != cell.lower() for cell in cells if mark in cell)
    if not ask or tight or ((bound or 0.0) < FEW_BOUND and mixed):
        return mark
    cell = max((c for c in cells if len(parts(c, mark)) > 1), key=lambda c: counts[c])
    pieces = ", ".join(repr(part) for part in parts(cell, mark))
    between = "blanks" if mark == BLANK else repr(mark)
    raise DataError(
        f"{where}:{cells[cell]}: {shown(cell)} may be one label, or labels between "
        f"{between} ({pieces}, which stand in few other fields and orders); say "
        f"which with label_delimiter: {WHOLE!r} or {mark!r}"
    )


def parts(cell: str, delimiter: str) -> list[str]:
    """The pieces of a text between delimiters, without spaces around them."""
    if delimiter in ("", WHOLE):
        return [cell.strip()]
    if not delimiter.strip(" "):
        return cell.split()
    return [part.strip() for part in cell.split(delimiter)]


def _bound(counts: Mapping[str, int], mark: str) -> float | None:
    """Return the share of the repeated parts that stand in one and the same text only.

    None where no part stands in several rows.
    """
    rows: Counter[str] = Counter()
    company: dict[str, set[frozenset[str]]] = defaultdict(set)
    divided: set[str] = set()
    for cell, count in counts.items():
        pieces = frozenset(parts(cell, mark))
        rows.update(dict.fromkeys(pieces, count))
        for piece in pieces:
            company[piece].add(pieces)
        if len(pieces) > 1:
            divided |= pieces
    repeated = [piece for piece in divided if rows[piece] > 1]
    if not repeated:
        return None
    return sum(len(company[piece]) == 1 for piece in repeated) / len(repeated)


def _combine(counts: Mapping[str, int]) -> bool:
    """Say that the words of a column are labels and not parts of names.

    They are where they are written as no word of a name is, or where each stands in
    several fields and many both begin a field and do not; an adjective always begins
    one. Names, moreover, stand in several rows each, or begin with capitals.
    """
    divided = {cell: cell.split() for cell in counts if len(cell.split()) > 1}
    words = {word for pieces in divided.values() for word in pieces}
    if {word.lower() for word in words} & _IN_NAMES:
        return False
    if any("_" in word for word in words) or all(
        any(map(str.isdigit, word)) for word in words
    ):
        return True
    every = [word for cell in counts for word in set(cell.split())]
    first = {pieces[0] for pieces in divided.values()}
    later = {word for pieces in divided.values() for word in pieces[1:]}
    if len(every) >= 3 * len(set(every)) and 3 * len(first & later) >= len(words):
        return True
    rare = sum(counts[cell] for cell in divided) < 2 * len(divided)
    return rare and not any(word[0].isupper() for word in words)


def _swap(cells: Collection[str]) -> bool:
    """Say that a part stands first before a comma and, elsewhere, after one.

    The places in a name ("Paris, France", "Lyon, France") never do.
    """
    divided = [pieces for cell in cells if len(pieces := parts(cell, ",")) > 1]
    later = {part for pieces in divided for part in pieces[1:]}
    return any(pieces[0] in later for pieces in divided)


def _in_pairs(cells: Collection[str]) -> bool:
    """Say that what stands between commas comes in pairs.

    Each first part has the same second one wherever it stands, as in "Paris, France,
    Rome, Italy".
    """
    second: dict[str, str] = {}
    for pieces in (parts(cell, ",") for cell in cells):
        pairs = list(zip(pieces[::2], pieces[1::2], strict=False))
        if len(pieces) % 2 or any(second.setdefault(a, b) != b for a, b in pairs):
            return False
    return second.keys().isdisjoint(second.values())


def _change_places(cells: Collection[str]) -> bool:
    """Say that words between commas are labels.

    No name is "corn, grain" where "grain" also stands first or alone, unless it has
    capitals or several words ("Paris, France", "France"; "shoes, men" has no "men").
    """
    divided = [parts(cell, ",") for cell in cells]
    if any(part != part.lower() or " " in part for each in divided for part in each):
        return False
    first = {each[0] for each in divided}
    later = {part for each in divided for part in each[1:]}
    return 2 * len(later & first) >= len(later) > 0


def _others_in_names(
    counts: Mapping[str, int], mark: str, marks: Collection[str]
) -> float:
    """Return how clearly other marks stand in the names that `mark` divides.

    It is the smallest share of `_bound`.
    """
    names: Counter[str] = Counter()
    for cell, count in counts.items():
        names.update(dict.fromkeys(parts(cell, mark), count))
    return min(_bound(names, other) or 0.0 for other in marks if other != mark)
