"""Rules over labels: the most probable labels that obey them, and a loss for obeying.

A rule is a clause: where all labels of its body are true, one of its head is. A rule
without a head forbids its body (`!(a & b)`); one without a body says that one of its
head is true.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from labelgraph_jax.functional.checks import check_axes, check_numbers
from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.structure.satisfying import Solver


class Clauses(NamedTuple):
    """R rules as label ids; -1 is no label. `make_clauses` makes them of lists."""

    body: Int[np.ndarray, "R P"]
    head: Int[np.ndarray, "R Q"]


class RuleDecisions(NamedTuple):
    """Labels that obey rules, and which rule changed what.

    Change c gave document `rows[c]` the label `labels[c]`, or took it away, because of
    rule `rules[c]`.
    """

    decided: Bool[np.ndarray, "M N"]
    rows: Int[np.ndarray, " C"]
    labels: Int[np.ndarray, " C"]
    rules: Int[np.ndarray, " C"]


def make_clauses(
    rules: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> Clauses:
    """Return rules of ids, each a body and a head, as arrays.

    Works on the host.

    Example:
        >>> import labelgraph_jax as lg
        >>> lg.functional.make_clauses([([0, 1], [2]), ([1, 2], [])]).head.tolist()
        [[2], [-1]]

    Args:
        rules: body and head of each; a rule with a body has at most one label in its
            head.

    Raises:
        ValueError: a rule with a body and several labels in its head, or with neither.
    """
    for place, (body, head) in enumerate(rules):
        if (body and len(head) > 1) or not (body or head):
            raise ValueError(
                f"rule {place} must have a body and at most one label in its head, or "
                f"a head alone; got {len(body)} and {len(head)} labels"
            )

    def padded(lists: Sequence[Sequence[int]]) -> np.ndarray:
        width = max(1, *map(len, lists)) if lists else 1
        rows = [[*ids, *[-1] * (width - len(ids))] for ids in lists]
        return np.array(rows, np.int64).reshape(-1, width)

    return Clauses(padded([b for b, _ in rules]), padded([h for _, h in rules]))


def broken_rules(
    decided: Bool[np.ndarray, "M N"], clauses: Clauses
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, " V"]]:
    """Return which documents break which rules: rows and rules, of every pair once.

    Works on the host, and looks at a rule only where the rarest label of its body is
    true.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> never_both = lg.functional.make_clauses([([0, 1], [])])
        >>> rows, rules = lg.functional.broken_rules(
        ...     np.array([[True, True], [True, False]]), never_both
        ... )
        >>> rows.tolist(), rules.tolist()
        ([0], [0])

    Raises:
        ValueError: a rule names a label outside 0..N-1.
    """
    check_axes(decided=(decided, "M N"), body=(clauses[0], "R P"))
    decided = np.asarray(decided, bool)
    body, head = (_checked(ids, decided.shape[1]) for ids in clauses)
    # Per rule the label of the body that the fewest documents have.
    count = np.append(decided.sum(axis=0), len(decided) + 1)
    watched = np.take_along_axis(body, count[body].argmin(axis=1)[:, None], 1)[:, 0]
    order = np.argsort(watched, kind="stable")
    starts = np.searchsorted(watched[order], np.arange(decided.shape[1] + 1))
    rows, labels = np.nonzero(decided)
    many = starts[labels + 1] - starts[labels]
    rows, labels, many = (ids[many > 0] for ids in (rows, labels, many))
    ends = np.cumsum(many)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - many, many)
    rules = order[np.repeat(starts[labels], many) + within]
    rows = np.repeat(rows, many)
    # Those of no body are looked at everywhere.
    for rule in np.flatnonzero(watched < 0):
        rows = np.append(rows, np.arange(len(decided)))
        rules = np.append(rules, np.full(len(decided), rule))
    broken = np.ones(len(rows), bool)
    for ids in body.T:
        broken &= (ids[rules] < 0) | decided[rows, ids[rules]]
    for ids in head.T:
        broken &= (ids[rules] < 0) | ~decided[rows, ids[rules]]
    return rows[broken], rules[broken]


def _checked(ids: np.ndarray, n: int) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.size and not (ids.min() >= -1 and ids.max() < n):
        raise ValueError(
            f"rules must name labels in 0..{n - 1}, or -1, got {ids.min()}..{ids.max()}"
        )
    return ids


def decode_rules(
    scores: Float[ArrayLike, "M N"],
    clauses: Clauses,
    decided: Bool[ArrayLike, "M N"] | None = None,
    *,
    most_tried: int = 2_000,
) -> RuleDecisions:
    """Decide the most probable labels among those that obey all rules.

        argmax over y that obey of  sum_n y_n s_n

    From decisions that break a rule the cheapest changes that mend all are searched,
    best first: a change costs the size of its s_n, and only labels of a rule that is
    broken are ever changed. What is found is the optimum. Where so much is broken that
    a search gets too long, labels are taken from the surest down, each with what it
    implies, as far as no rule forbids it: that obeys too, and may be less probable.

    Works on the host; a document that breaks nothing costs next to nothing.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> scores = np.array([[2.0, -0.5, 1.0]])
        >>> rules = lg.functional.make_clauses([([0], [1]), ([1, 2], [])])
        >>> found = lg.functional.decode_rules(scores, rules)
        >>> found.decided.astype(int).tolist(), found.rules.tolist()
        ([[1, 1, 0]], [0, 1])

    Args:
        scores: log-odds of every label, less those of its threshold.
        clauses: the rules.
        decided: what is decided without rules; scores >= 0 where not given.
        most_tried: sets of changes that are looked at, for one document.

    Returns:
        Decisions that break no rule, and what each rule changed.

    Raises:
        ValueError: no set of labels obeys the rules; a rule names a label outside
            0..N-1; a score is NaN.

    Reference: the decoding of hard rules is ours: uniform-cost search over repairs.
    """
    check_axes(scores=(scores, "M N"), decided=(decided, "M N"))
    check_numbers(scores=scores)
    scores = np.asarray(scores)
    chosen = np.array(scores >= 0 if decided is None else decided, bool)
    rows, rules = broken_rules(chosen, clauses)
    changes: list[tuple[int, int, int]] = []
    if len(rows):
        ids = [np.asarray(part, np.int64) for part in clauses]
        solver = _solver(*(x for own in ids for x in (own.tobytes(), own.shape)))
        order = np.argsort(rows, kind="stable")
        broken, starts = np.unique(rows[order], return_index=True)
        for row, own in zip(broken, np.split(rules[order], starts[1:]), strict=True):
            mended = solver.mend(chosen[row], scores[row], own.tolist(), most_tried)
            changes += [(int(row), label, rule) for label, rule in mended.items()]
    return decisions_of(chosen, changes)


def decisions_of(
    decided: Bool[np.ndarray, "M N"], changes: Sequence[tuple[int, int, int]]
) -> RuleDecisions:
    """Decisions after changes, each a document, a label and the rule behind it."""
    found = np.array(changes, np.int64).reshape(-1, 3)
    rows, labels, rules = found.T
    decided[rows, labels] ^= True
    return RuleDecisions(decided, rows, labels, rules)


@functools.lru_cache(maxsize=4)
def _solver(
    body: bytes, body_shape: tuple[int, int], head: bytes, head_shape: tuple[int, int]
) -> Solver:
    """The solver of rules, which predictions ask for again and again."""
    ids = (
        np.frombuffer(part, np.int64).reshape(shape)
        for part, shape in ((body, body_shape), (head, head_shape))
    )
    return Solver(*ids)


def rule_loss(
    logits: Float[ArrayLike, "B N"],
    clauses: Clauses,
    *,
    weights: Float[ArrayLike, " R"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum how improbable it is, by independent labels, that rules are obeyed.

        v_br = prod over body of p_bn  x  prod over head of (1 - p_bn)
        loss = -sum_br w_r log(1 - v_br),   p = sigmoid(logits)

    Computed from log-sigmoids, so that no logit overflows. A rule is also obeyed by
    predicting nothing of its body: watch the recall.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> implies = lg.functional.make_clauses([([0], [1])])
        >>> loss_sum, documents = lg.functional.rule_loss(jnp.zeros((1, 2)), implies)
        >>> round(float(loss_sum), 3), float(documents)  # -log(1 - 1/4)
        (0.288, 1.0)

    Args:
        logits: of every label.
        clauses: the rules.
        weights: of each; 1 without.
        example_mask: True where the document is real, False where it is padding.

    Returns:
        (loss_sum, weight_sum), float32 scalars; the weight is the number of documents.

    Raises:
        ValueError: shapes do not fit together; a rule names a label outside 0..N-1.

    Reference: the semantic loss of Xu et al., ICML 2018, of each rule by itself.
    """
    check_axes(
        logits=(logits, "B N"),
        body=(clauses[0], "R P"),
        head=(clauses[1], "R Q"),
        weights=(weights, "R"),
        example_mask=(example_mask, "B"),
    )
    x = jnp.asarray(logits, jnp.float32)
    real = jnp.ones(len(x), bool)
    if example_mask is not None:
        real = jnp.asarray(example_mask, bool)
        x = jnp.where(real[:, None], x, 0.0)
    log_broken = jnp.zeros((len(x), len(clauses[0])), jnp.float32)
    for ids, sign in zip(clauses, (1.0, -1.0), strict=True):
        for column in _checked(ids, x.shape[1]).T:
            own = jax.nn.log_sigmoid(sign * x[:, np.maximum(column, 0)])
            log_broken += jnp.where(column >= 0, own, 0.0)
    cells = -jnp.log(-jnp.expm1(jnp.minimum(log_broken, -1e-30)))
    if weights is not None:
        cells = cells * jnp.asarray(weights, jnp.float32)
    loss = jnp.sum(cells, where=real[:, None])
    return loss, jnp.sum(real, dtype=jnp.float32)


def unsatisfiable_rules(clauses: Clauses) -> list[int] | None:
    """Return rules that no set of labels obeys together, None where there are none.

    None of them can be left out: without it the others can be obeyed.

    Example:
        >>> import labelgraph_jax as lg
        >>> one_of = ([], [0]), ([], [1])
        >>> rules = lg.functional.make_clauses([*one_of, ([0, 1], []), ([2], [0])])
        >>> lg.functional.unsatisfiable_rules(rules)
        [0, 1, 2]
    """
    kept = list(range(len(clauses[0])))
    if Solver(*clauses).start(()) is not None:
        return None
    for rule in list(kept):
        rest = [other for other in kept if other != rule]
        if Solver(*(ids[rest] for ids in clauses)).start(()) is None:
            kept = rest
    return kept


def unreachable_labels(clauses: Clauses) -> list[int]:
    """Return the labels that can never be true where all rules are obeyed.

    Example:
        >>> import labelgraph_jax as lg
        >>> rules = lg.functional.make_clauses([([0], [1]), ([0, 1], [])])
        >>> lg.functional.unreachable_labels(rules)
        [0]
    """
    solver = Solver(*clauses)
    named = np.unique(np.concatenate([np.ravel(ids) for ids in clauses]))
    labels: list[Any] = named[named >= 0].tolist()
    return [label for label in labels if solver.start((label,)) is None]
