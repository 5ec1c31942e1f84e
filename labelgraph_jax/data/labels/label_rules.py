"""Rules over label names: a file of them, and what can be mined from documents.

A line is a rule; what stands behind a `#` after a space, and blank lines, are passed
over:

    wheat -> grain              who has wheat has grain
    corn & exports -> trade     both together
    !(acquisitions & crude)     never together
    one-of(earn, acq, other)    one of them, and no two
    0.94: wheat -> grain        a weight in front: the rule is soft

A name in which `&`, `,`, `#`, `->` or a parenthesis stands is written in double quotes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config.wording import counted, nearest_names
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.lines import read_lines
from labelgraph_jax.functional.structure.rules import (
    Clauses,
    make_clauses,
    unsatisfiable_rules,
)

_FORM = "label -> label, a & b -> c, !(a & b) or one-of(a, b)"
_TOKEN = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|->|!\(|one-of\(|[&,()]|(?:(?!->)[^"&,()\s])+)'
)
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*:\s+(.*)")
_MARKS = ("->", "!(", "one-of(", "&", ",", "(", ")")
Z = 1.96
"""Standard errors of the 95 % interval that a mined rule's weight is the end of."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of names.

    Attributes:
        kind: implies, never or one-of.
        body: of `implies` what stands before the arrow, else all labels.
        head: of `implies` the label behind the arrow.
        weight: None for a hard rule; otherwise how sure it is, or how much it counts.
        where: file and line.
    """

    kind: str
    body: tuple[str, ...]
    head: str = ""
    weight: float | None = None
    where: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that it names."""
        return (*self.body, *([self.head] if self.head else []))

    @property
    def text(self) -> str:
        """The rule as a file has it, without its weight."""
        names = [_written(name) for name in self.body]
        if self.kind == "implies":
            return f"{' & '.join(names)} -> {_written(self.head)}"
        if self.kind == "never":
            return f"!({' & '.join(names)})"
        return f"one-of({', '.join(names)})"

    @property
    def line(self) -> str:
        """The rule as a file has it."""
        return self.text if self.weight is None else f"{self.weight:.4g}: {self.text}"


def parse_rule(line: str, where: str) -> Rule:
    """Read one rule.

    Example:
        >>> parse_rule("0.9: wheat & exports -> grain", "rules.txt:1").labels
        ('wheat', 'exports', 'grain')

    Raises:
        DataError: it has another form; `where` is named.
    """
    # A weight, which makes a rule soft.
    weight, rest = None, line
    if match := _WEIGHT.fullmatch(line):
        weight, rest = float(match[1]), match[2]
        if not weight > 0:
            raise DataError(f"{where}: a weight must be above 0, got {match[1]}")

    def wrong(got: str) -> DataError:
        return DataError(f"{where}: must be {_FORM}; got {got}")

    # Names, of one word or several, between marks.
    parts: list[str] = []
    names: list[bool] = []
    place = 0
    while rest[place:].strip():
        token = _TOKEN.match(rest, place)
        if token is None:
            raise wrong(repr(rest))
        place, word = token.end(), token[1]
        is_name = word not in _MARKS
        if word.startswith('"'):
            word = json.loads(word)
        elif is_name and names and names[-1]:
            parts[-1] += f" {word}"
            continue
        parts.append(word)
        names.append(is_name)
    # The kind, by the order of names and marks.
    shape = "".join(
        "n" if own else f" {p} " for p, own in zip(parts, names, strict=True)
    )
    found = tuple(p for p, own in zip(parts, names, strict=True) if own)
    if re.fullmatch(r"n( & n)* -> n", shape):
        kind, body, head = "implies", found[:-1], found[-1]
    elif re.fullmatch(r" !\( n( & n)+ \) ", shape):
        kind, body, head = "never", found, ""
    elif re.fullmatch(r" one-of\( n( , n)+ \) ", shape):
        kind, body, head = "one-of", found, ""
    else:
        raise wrong(repr(rest.strip()))
    if not all(found) or len(set(found)) < len(found):
        raise DataError(
            f"{where}: a rule must name each of its labels once; got {rest.strip()!r}"
        )
    return Rule(kind, body, head, weight, where)


def read_rules(path: str | Path, labels: Collection[str] | None) -> tuple[Rule, ...]:
    """Read a file of rules.

    Args:
        path: plain or packed, UTF-8.
        labels: that rules may name; None for any.

    Raises:
        DataError: a line is no rule, or names a label that is none, with the nearest
            that is; there is no rule; hard rules that no set of labels obeys, which are
            named.
    """
    rules = []
    for number, line in read_lines(Path(path)):
        line = re.sub(r'(^|\s)#[^"]*$', "", line)
        if not line.strip():
            continue
        rule = parse_rule(line, f"{path}:{number}")
        if labels is not None:
            require_known(rule, labels)
        rules.append(rule)
    if not rules:
        raise DataError(f"{path}: must hold at least one rule, {_FORM}")
    require_obeyable(rules)
    return tuple(rules)


def require_known(rule: Rule, labels: Collection[str]) -> None:
    """Refuse a rule over a label that is none (DataError)."""
    for name in rule.labels:
        if name not in labels:
            near = nearest_names(name, sorted(labels))
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{rule.where}: {name!r} is none of the "
                f"{counted(len(labels), 'label')}{meant}"
            )


def require_obeyable(rules: Sequence[Rule]) -> None:
    """Refuse hard rules that no set of labels obeys (DataError); they are named."""
    hard = [rule for rule in rules if rule.weight is None]
    compiled = LabelRules(
        tuple(hard), tuple(sorted({n for r in hard for n in r.labels}))
    )
    against = unsatisfiable_rules(compiled.clauses)
    if against is not None:
        owners = sorted({int(compiled.owners[clause]) for clause in against})
        lines = ", ".join(
            f"{hard[i].text} (line {hard[i].where.rpartition(':')[2]})" for i in owners
        )
        path = hard[owners[0]].where.rpartition(":")[0]
        raise DataError(f"{path}: no set of labels obeys these rules together: {lines}")


@dataclasses.dataclass(frozen=True)
class LabelRules:
    """Rules over the labels of a model.

    Attributes:
        rules: R of them.
        names: the labels, in the order of their columns.
    """

    rules: tuple[Rule, ...]
    names: tuple[str, ...] = dataclasses.field(repr=False)

    @functools.cached_property
    def _compiled(self) -> tuple[Clauses, np.ndarray]:
        index = {name: column for column, name in enumerate(self.names)}
        clauses: list[tuple[list[int], list[int]]] = []
        owners = []
        for place, rule in enumerate(self.rules):
            ids = [index[name] for name in rule.body]
            if rule.kind == "implies":
                own = [(ids, [index[rule.head]])]
            elif rule.kind == "never":
                own = [(ids, [])]
            else:
                pairs = itertools.combinations(ids, 2)
                own = [*((list(pair), []) for pair in pairs), ([], ids)]
            clauses += own
            owners += [place] * len(own)
        return make_clauses(clauses), np.array(owners, np.int64)

    @property
    def clauses(self) -> Clauses:
        """The rules as clauses of columns; one-of is several."""
        return self._compiled[0]

    @property
    def owners(self) -> np.ndarray:
        """The rule of each clause."""
        return self._compiled[1]

    @property
    def weights(self) -> np.ndarray:
        """The weight of each clause, 1 for a hard one, float32."""
        own = [1.0 if rule.weight is None else rule.weight for rule in self.rules]
        return np.array(own, np.float32)[self.owners]

    def chosen(self, *, hard: bool) -> LabelRules:
        """The hard rules, or the soft ones."""
        kept = tuple(r for r in self.rules if (r.weight is None) == hard)
        return LabelRules(kept, self.names)


@dataclasses.dataclass(frozen=True)
class Mined:
    """A rule that documents suggest.

    Attributes:
        rule: with the lower confidence bound as its weight.
        support: documents that carry its first label (of an exclusion: how many would
            carry both by chance).
        lift: documents that carry both, against those by chance.
        held: held-out documents where the rule was tried and held.
        tried: held-out documents where it was tried.
    """

    rule: Rule
    support: float
    lift: float
    held: int
    tried: int


def mine_rules(
    sets: csr_array,
    held_out: csr_array,
    names: Sequence[str],
    *,
    least_support: int = 20,
    least_bound: float = 0.9,
    least_expected: float = 10.0,
) -> list[Mined]:
    """Find implications and exclusions that documents suggest, the surest first.

    `a -> b` where the lower end of Wilson's 95 % interval of P(b | a) is
    `least_bound` at least, and b is more frequent beside a than elsewhere; `!(a & b)`
    where no document carries both though `least_expected` would by chance. Every rule
    has its bound as weight, so none is hard. A rule that held-out documents contradict
    in more than twice as many cases as its bound allows is dropped.

    Args:
        sets: labels of the documents that are mined `[M, N]`.
        held_out: of other documents.
        names: of the labels.
        least_support: documents that carry the first label of an implication.
        least_bound: of an implication.
        least_expected: documents that would carry both labels of an exclusion.
    """
    # How many documents have each label, and each pair of labels.
    count, together = sets.shape[0], (sets.T @ sets).tocsr()
    other = (held_out.T @ held_out).tocsr()
    own, own_other = together.diagonal(), other.diagonal()
    found: list[Mined] = []
    # Implications: most documents of one label have the other, here and held out.
    pairs = together.tocoo()
    for a, b, both in zip(pairs.row, pairs.col, pairs.data, strict=True):
        if a == b or own[a] < least_support:
            continue
        bound, lift = wilson_bound(both, own[a]), both * count / (own[a] * own[b])
        if bound < least_bound or lift <= 1:
            continue
        held, tried = int(other[a, b]), int(own_other[a])
        if tried - held <= max(1.0, 2 * (1 - bound) * tried):
            rule = Rule("implies", (names[a],), names[b], float(bound))
            found.append(Mined(rule, float(own[a]), float(lift), held, tried))
    # Exclusions: pairs that chance would bring together, and that no document has.
    order = np.argsort(-own, kind="stable")
    order = order[own[order] * own.max(initial=0) >= least_expected * count]
    for place, a in enumerate(order):
        later = order[place + 1 :]
        expected = own[a] * own[later] / max(count, 1)
        later, expected = (x[expected >= least_expected] for x in (later, expected))
        beside = together[[a]].toarray()[0]
        for b, chance in zip(later, expected, strict=True):
            if beside[b]:
                continue
            rarer = min(own[a], own[b])
            tried = int(min(own_other[a], own_other[b]))
            held = tried - int(other[a, b])
            bound = wilson_bound(rarer, rarer)
            if tried - held <= max(1.0, 2 * (1 - bound) * tried):
                pair = (names[a], names[b])
                rule = Rule("never", pair, weight=float(bound))
                found.append(Mined(rule, float(chance), 0.0, held, tried))
    return sorted(found, key=lambda mined: -(mined.rule.weight or 0))


def wilson_bound(hits: float, trials: float) -> float:
    """Return the lower end of Wilson's 95 % interval of a share.

    Example:
        >>> round(wilson_bound(95, 100), 3), round(wilson_bound(20, 20), 3)
        (0.888, 0.839)
    """
    share, z2 = hits / trials, Z * Z / trials
    middle = share + z2 / 2
    width = Z * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    return float((middle - width) / (1 + z2))


def rule_lines(mined: Iterable[Mined]) -> list[str]:
    """Mined rules as a file has them, with what speaks for each behind it."""
    return [
        f"{m.rule.line}  # support {m.support:,.0f}, lift {m.lift:.2f}, "
        f"held out {m.held:,} of {m.tried:,}"
        for m in mined
    ]


def _written(name: str) -> str:
    plain = re.fullmatch(r'[^"&,()#]+', name) and "->" not in name
    odd = name != " ".join(name.split()) or _WEIGHT.fullmatch(name)
    return name if plain and not odd else json.dumps(name, ensure_ascii=False)
