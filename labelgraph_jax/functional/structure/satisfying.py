"""Sets of labels that obey rules: one that is mended cheaply, or one made anew."""

import heapq
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

Changes = dict[int, int]
"""The rule that changed each label."""


class Solver:
    """Rules of ids, by the labels that they name.

    Args:
        body, head: see `rules.Clauses`.
    """

    def __init__(self, body: np.ndarray, head: np.ndarray) -> None:
        self.bodies = [[n for n in ids if n >= 0] for ids in body.tolist()]
        self.heads = [[n for n in ids if n >= 0] for ids in head.tolist()]
        self.of: dict[int, list[int]] = {}
        for rule, (body_ids, head_ids) in enumerate(
            zip(self.bodies, self.heads, strict=True)
        ):
            for label in {*body_ids, *head_ids}:
                self.of.setdefault(label, []).append(rule)
        self.facts = [rule for rule, ids in enumerate(self.bodies) if not ids]

    def mend(
        self, decided: np.ndarray, scores: np.ndarray, broken: list[int], most: int
    ) -> Changes:
        """Return the cheapest changes after which no rule is broken.

        Args:
            decided: of one document, `[N]`.
            scores: of one document, `[N]`.
            broken: the rules that it breaks.
            most: sets of changes that are tried.

        Raises:
            ValueError: the rules cannot be obeyed.
        """
        ties = itertools.count()
        waiting: list[tuple[float, int, Changes, frozenset[int]]]
        waiting = [(0.0, next(ties), {}, frozenset())]
        while waiting and most:
            most -= 1
            cost, _, changes, fixed = heapq.heappop(waiting)
            rule = self._first_broken(decided, broken, changes)
            if rule is None:
                return changes
            # One of its labels has to change; each, and none of those before it.
            free = {*self.bodies[rule], *self.heads[rule]} - changes.keys() - fixed
            for label in sorted(free, key=lambda n: (abs(float(scores[n])), n)):
                price = cost + abs(float(scores[label]))
                more = {**changes, label: rule}
                heapq.heappush(waiting, (price, next(ties), more, fixed))
                fixed = fixed | {label}
        return self._from_the_surest(decided, scores)

    def _first_broken(
        self, decided: np.ndarray, broken: list[int], changes: Changes
    ) -> int | None:
        touched = (rule for label in changes for rule in self.of[label])
        for rule in itertools.chain(broken, touched):
            body, head = self.bodies[rule], self.heads[rule]
            if all(decided[n] != (n in changes) for n in body) and not any(
                decided[n] != (n in changes) for n in head
            ):
                return rule
        return None

    def _from_the_surest(self, decided: np.ndarray, scores: np.ndarray) -> Changes:
        """The changes to a set that is built from the surest label down."""
        own = np.flatnonzero(decided)
        own = own[np.argsort(-scores[own], kind="stable")]
        built = self.start((), scores)
        if built is None:
            raise ValueError("rules must be such that some set of labels obeys them")
        true, why = built
        changes: Changes = {}
        for label in own.tolist():
            if label in true:
                continue
            added = self._close(true, label, -1)
            if isinstance(added, int):
                changes[label] = added
            else:
                true = true.union(added)
                why |= added
        changes |= {n: rule for n, rule in why.items() if not decided[n]}
        return {n: rule for n, rule in changes.items() if (n in true) != decided[n]}

    def start(
        self, labels: Iterable[int], scores: np.ndarray | Sequence[float] = ()
    ) -> tuple[frozenset[int], Changes] | None:
        """Return a small set that obeys all rules and has some labels, and why.

        None where there is none. Of the labels of which one must be true the one with
        the highest score is tried first.
        """
        true, why = frozenset[int](), Changes()
        for label in labels:
            added = self._close(true, label, -1)
            if isinstance(added, int):
                return None
            true, why = true.union(added), why | added

        def choose(
            true: frozenset[int], why: Changes, facts: list[int]
        ) -> tuple[frozenset[int], Changes] | None:
            while facts and true.intersection(self.heads[facts[0]]):
                facts = facts[1:]
            if not facts:
                return true, why
            heads = self.heads[facts[0]]
            if len(scores):
                heads = sorted(heads, key=lambda n: -scores[n])
            for label in heads:
                added = self._close(true, label, facts[0])
                if not isinstance(added, int):
                    found = choose(true.union(added), why | added, facts[1:])
                    if found is not None:
                        return found
            return None

        return choose(true, why, self.facts)

    def _close(self, true: frozenset[int], label: int, rule: int) -> Changes | int:
        """Return the labels that adding one implies, or the rule that forbids it."""
        added = {label: rule}
        waiting = [label]
        while waiting:
            for rule in self.of.get(waiting.pop(), ()):
                if not self.bodies[rule] or not all(
                    n in true or n in added for n in self.bodies[rule]
                ):
                    continue
                if not self.heads[rule]:
                    return rule
                [implied] = self.heads[rule]
                if implied not in true and implied not in added:
                    added[implied] = rule
                    waiting.append(implied)
        return added
