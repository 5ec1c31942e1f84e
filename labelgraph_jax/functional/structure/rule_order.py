"""Rules in an order of their labels: when each has to be true or false.

Every rule speaks of the last of its labels, given those before. Where rules that raise
a label and rules that lower it could both speak, their resolvent is a further rule, of
a label before.
"""

import functools
import heapq
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from labelgraph_jax.functional.structure.rules import Clauses

MOST = 50_000
"""Rules with their resolvents."""


class Condition(NamedTuple):
    """Labels that are true, and labels that are false, and the rule that says so."""

    true: tuple[int, ...]
    false: tuple[int, ...]
    rule: int


class Step(NamedTuple):
    """A label, and when it has to be true or false, by labels of earlier steps."""

    label: int
    raising: tuple[Condition, ...]
    lowering: tuple[Condition, ...]


_Literal = tuple[int, bool]
"""A label, and True if it is to be true."""
_Clause = dict[_Literal, int]
"""Of some literals one holds; the rule that each is of."""


class Group(NamedTuple):
    """Labels of one level, and their conditions.

    Attributes:
        labels: L of them.
        ids, signs: the labels of every condition, and 1 or -1.
        raising, lowering: conditions of each label `[L, K]`; the last is none.
    """

    labels: Int[np.ndarray, " L"]
    ids: Int[np.ndarray, "C P"]
    signs: Int[np.ndarray, "C P"]
    raising: Int[np.ndarray, "L K"]
    lowering: Int[np.ndarray, "L K"]


def shield_steps(clauses: Clauses, n: int) -> tuple[Step, ...]:
    """Return when each label has to be true or false, in the order of `shield_rules`.

    Raises:
        ValueError: as `shield_rules`.
    """
    body, head = (np.asarray(ids, np.int64) for ids in clauses)
    for ids in (body, head):
        if ids.size and not (ids.min() >= -1 and ids.max() < n):
            raise ValueError(
                f"rules must name labels in 0..{n - 1}, or -1, got "
                f"{ids.min()}..{ids.max()}"
            )
    return _steps(body.tobytes(), body.shape, head.tobytes(), head.shape)


@functools.lru_cache(maxsize=4)
def _steps(
    body: bytes, body_shape: tuple[int, int], head: bytes, head_shape: tuple[int, int]
) -> tuple[Step, ...]:
    # Rules as lists of labels, without padding.
    lists = [
        [[n for n in own if n >= 0] for own in ids.tolist()]
        for ids in (
            np.frombuffer(body, np.int64).reshape(body_shape),
            np.frombuffer(head, np.int64).reshape(head_shape),
        )
    ]
    # Clauses, kept with the label that stands last in them.
    order = _order(list(zip(*lists, strict=True)))
    place = {label: i for i, label in enumerate(order)}
    of: dict[int, dict[frozenset[_Literal], _Clause]] = {n: {} for n in order}

    def add(clause: _Clause) -> None:
        """Keep a clause, unless one that implies it is there.

        Raises:
            ValueError: nothing obeys it.
        """
        if not clause:
            raise ValueError("rules must be such that some set of labels obeys them")
        own = of[max((label for label, _ in clause), key=place.__getitem__)]
        literals = frozenset(clause)
        if not any(other <= literals for other in own):
            own[literals] = clause

    # A rule as a clause: a condition is false, or a conclusion true.
    for rule, (before, after) in enumerate(zip(*lists, strict=True)):
        false, true = dict.fromkeys(before, False), dict.fromkeys(after, True)
        if not false.keys() & true.keys():
            add(dict.fromkeys([*false.items(), *true.items()], rule))
    # From the last label to the first: resolve it away, then note what bounds it.
    steps = []
    for label in reversed(order):
        raising, lowering = (
            [own for own in of[label].values() if (label, sign) in own]
            for sign in (True, False)
        )
        for one in raising:
            for two in lowering:
                both = {**one, **two}
                del both[label, True], both[label, False]
                if not any((n, not sign) in both for n, sign in both):
                    add(both)
        if sum(map(len, of.values())) > MOST:
            raise ValueError(
                f"rules must have at most {MOST:,} resolvents to be a layer; these "
                "meet in too many labels: decode them"
            )
        # A clause moves its label when no other of its literals holds.
        conditions = (
            tuple(
                Condition(
                    tuple(n for n, sign in own if not sign and n != label),
                    tuple(n for n, sign in own if sign and n != label),
                    own[label, up],
                )
                for own in clauses
            )
            for clauses, up in ((raising, True), (lowering, False))
        )
        steps.append(Step(label, *conditions))
    return tuple(step for step in reversed(steps) if step.raising or step.lowering)


def _order(rules: list[tuple[list[int], list[int]]]) -> list[int]:
    """The labels of rules: what implies before what is implied, then as named."""
    named: dict[int, int] = {}
    after: dict[int, set[int]] = {}
    implied: dict[int, int] = {}
    # Edges: from conditions to conclusions, else from each label to the next.
    for body, head in rules:
        for label in (*body, *head):
            named.setdefault(label, len(named))
        pairs = [(n, h) for n in body for h in head]
        implied.update({h: implied.get(h, 0) + 1 for _, h in pairs})
        if not pairs:
            names = body or head
            pairs = list(itertools.pairwise(names))
        for one, two in pairs:
            after.setdefault(one, set()).add(two)
    # How many labels each label waits for.
    waiting = dict.fromkeys(named, 0)
    for others in after.values():
        for label in others:
            waiting[label] += 1
    ready = [(named[n], n) for n, count in waiting.items() if not count]
    heapq.heapify(ready)
    # Take labels that wait for none; break a circle at the least implied one.
    order: list[int] = []
    while waiting:
        if ready:
            label = heapq.heappop(ready)[1]
        else:  # a circle
            label = min(waiting, key=lambda n: (implied.get(n, 0), named[n]))
        if label not in waiting:
            continue
        del waiting[label]
        order.append(label)
        for other in after.get(label, ()):
            if other in waiting:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, (named[other], other))
    return order


def grouped_steps(steps: tuple[Step, ...], n: int) -> Iterable[Group]:
    """The steps of each level, those with many conditions apart."""
    level: dict[int, int] = {}
    parts: dict[tuple[int, int], list[Step]] = {}
    for step in steps:
        both = (*step.raising, *step.lowering)
        before = (level.get(n, 0) for own in both for n in (*own.true, *own.false))
        level[step.label] = 1 + max(before, default=0)
        width = max(len(step.raising), len(step.lowering)).bit_length() // 3
        parts.setdefault((level[step.label], width), []).append(step)
    for key in sorted(parts):
        own = parts[key]
        cells = [c for step in own for c in (*step.raising, *step.lowering)]
        # Beside the labels: one that is always true, and one beyond all others.
        lists = [[*c.true, *c.false] or [n + 1] for c in cells] + [[n]]
        signs = [[1] * len(c.true) + [-1] * len(c.false) or [1] for c in cells] + [[-1]]
        numbers = iter(range(len(cells)))
        columns = [
            [[next(numbers) for _ in conditions] for conditions in step[1:]]
            for step in own
        ]
        yield Group(
            np.array([step.label for step in own]),
            _padded(lists, n),
            _padded(signs, 1),
            *(_padded([c[i] for c in columns], len(cells)) for i in (0, 1)),
        )


def _padded(lists: list[list[int]], last: int) -> Int[np.ndarray, "R K"]:
    width = max(1, *map(len, lists))
    return np.array([[*own, *[last] * (width - len(own))] for own in lists])
