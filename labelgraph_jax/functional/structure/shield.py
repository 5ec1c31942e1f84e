"""Rules as a layer: scores raised and lowered until their signs obey every rule.

Labels stand in an order, what implies before what is implied (`rule_order`): a body
raises its head, and lowers the last label of an exclusion.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_numbers
from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.structure.hierarchy import loss_cells
from labelgraph_jax.functional.structure.rule_order import (
    Step,
    grouped_steps,
    shield_steps,
)
from labelgraph_jax.functional.structure.rules import (
    Clauses,
    RuleDecisions,
    broken_rules,
    decisions_of,
)

SURE = 30.0
"""Score of what rules alone settle, whatever a document says: a probability of 1."""
LEAST_TOLD = 1e-3
"""Probability of a label that a rule is said to have lowered, at least."""


def shield_rules(
    scores: Float[ArrayLike, "... N"], clauses: Clauses
) -> Float[Array, "... N"]:
    """Raise and lower scores so that what is above 0 obeys all rules.

        s_h <- max(s_h, min over the body of s_b)      body -> h
        s_h <- min(s_h, -min over the others of s_b)   !(others & h), h the last label

    one label after another, each once: after those that imply it, and as far as that
    leaves open in the order in which rules name them. Of logits -s is the logit of 1 -
    p, so that the same holds of probabilities with 1 - min, and 0.5 for 0. Of a rule
    that says one of some labels is true the last is raised by the others' -s.

    Where no score is 0 no rule is broken by the signs of what comes out: those are
    scores that came in, with either sign. It is the only guarantee that thresholds
    other than 0 leave: take scores less those of their thresholds, label by label.
    The gradient goes to the score that each maximum or minimum takes.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> rules = lg.functional.make_clauses([([0], [1]), ([1, 2], [])])
        >>> lg.functional.shield_rules(jnp.array([[2.0, -1.0, 3.0]]), rules).tolist()
        [[2.0, 2.0, -2.0]]

    Args:
        scores: logits, or scores less those of thresholds.
        clauses: the rules, of known values.

    Returns:
        Scores of the same shape and type.

    Raises:
        ValueError: no set of labels obeys the rules; a rule names a label outside
            0..N-1; they have too many resolvents.

    Reference: Giunchiglia and Lukasiewicz, "Multi-label classification neural networks
        with hard logical constraints", JAIR 72, 2021, of rules with one positive head;
        for other clauses an order and resolvents as in Stoian, Giunchiglia and
        Lukasiewicz, "Exploiting T-norms for deep learning in autonomous driving", 2024,
        and their PiShield.
    """
    check_axes(scores=(scores, "... N"), body=(clauses[0], "R P"))
    scores = jnp.asarray(scores)
    steps = shield_steps(clauses, scores.shape[-1])
    if not steps:
        return scores
    rows = scores.reshape(-1, scores.shape[-1]).T
    return _shielded(rows, steps).T.reshape(scores.shape)


def shield_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    clauses: Clauses,
    *,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum the loss of a model whose scores are `shield_rules` of its logits.

        y = 1:  softplus(-s),  s raised through true labels alone, lowered by all
        y = 0:  softplus( s),  s raised by all, never lowered

    So a true label is never raised through a wrong one, and a wrong label that another
    lowers is lowered itself. Cells where a document's own labels break a rule add
    nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> rules = lg.functional.make_clauses([([0], [1])])
        >>> logits, targets = jnp.array([[2.0, -2.0]]), jnp.array([[1, 1]])
        >>> loss_sum, cells = lg.functional.shield_loss(logits, targets, rules)
        >>> round(float(loss_sum), 3), float(cells)  # label 1 is raised by label 0
        (0.254, 2.0)

    Args:
        logits: of every label, before the rules.
        targets: positive where > 0.
        clauses: as of `shield_rules`.
        target_mask: True where the label of the document is annotated.
        example_mask: True where the document is real, False where it is padding.

    Returns:
        (loss_sum, weight_sum), float32 scalars; the weight is the number of cells.

    Raises:
        ValueError: as `shield_rules`; shapes do not fit together; a target that counts
            is NaN or outside 0..1 (seen only where it is known).

    Reference: CLoss of Giunchiglia and Lukasiewicz, JAIR 72, 2021, of rules whose
        bodies are positive; what is said of exclusions is ours.
    """
    x, positive, kept = loss_cells(logits, targets, target_mask, example_mask)
    steps = shield_steps(clauses, x.shape[1])
    upwards = tuple(step._replace(lowering=()) for step in steps)
    lowest = jnp.finfo(jnp.float32).min
    through_true = jnp.where(positive, x, lowest)
    signs = jnp.where(positive, 1.0, -1.0)
    every, said = (_shielded(rows.T, steps).T for rows in (x, signs))
    both = jnp.concatenate([x, through_true]).T
    raised, by_true = jnp.split(_shielded(both, upwards).T, 2)
    kept = kept & ((said > 0) == positive)
    cells = jax.nn.softplus(jnp.where(positive, -jnp.minimum(every, by_true), raised))
    return jnp.sum(cells, where=kept), jnp.sum(kept, dtype=jnp.float32)


def shield_decisions(
    scores: Float[ArrayLike, "M N"],
    clauses: Clauses,
    decided: Bool[ArrayLike, "M N"] | None = None,
) -> RuleDecisions:
    """Decide the labels whose shielded scores are above 0, and name the rules.

    Works on the host, and looks at documents that break a rule: those of others keep
    their signs.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> rules = lg.functional.make_clauses([([0], [1]), ([1, 2], [])])
        >>> found = lg.functional.shield_decisions(np.array([[2.0, -1.0, 3.0]]), rules)
        >>> found.decided.astype(int).tolist(), found.rules.tolist()
        ([[1, 1, 0]], [0, 1])

    Args:
        scores: log-odds of every label, less those of its threshold.
        clauses: as of `shield_rules`.
        decided: what is decided without rules; scores >= 0 where not given.

    Returns:
        Decisions that break no rule, and what each rule changed.

    Raises:
        ValueError: as `shield_rules`; a score is NaN.
    """
    check_axes(scores=(scores, "M N"), decided=(decided, "M N"))
    check_numbers(scores=scores)
    scores = np.asarray(scores, np.float64)
    chosen = np.array(scores >= 0 if decided is None else decided, bool)
    rows = np.unique(broken_rules(chosen, clauses)[0])
    least = np.finfo(scores.dtype).tiny
    own = np.maximum(np.abs(scores[rows]), least)
    # Of a label that is decided whatever its score, the least that is above 0.
    own = np.where(chosen[rows] == (scores[rows] >= 0), own, least)
    own = np.where(chosen[rows], own, -own).T  # [N, broken]
    sure = max(SURE, np.abs(own).max(initial=0))
    changes: list[tuple[int, int, int]] = []
    for label, raising, lowering in (
        shield_steps(clauses, len(own)) if len(rows) else ()
    ):
        before, why = own[label].copy(), np.full(len(rows), -1)
        for conditions, sign in ((raising, 1), (lowering, -1)):
            for true, false, rule in conditions:
                said = np.concatenate([own[list(true)], -own[list(false)]])
                value = sign * said.min(axis=0, initial=sure)
                better = sign * value > sign * own[label]
                own[label] = np.where(better, value, own[label])
                why[better] = rule
        changed = np.flatnonzero((before > 0) != (own[label] > 0))
        changes += [(int(rows[i]), label, int(why[i])) for i in changed]
    return decisions_of(chosen, changes)


def shield_reasons(
    probabilities: Float[np.ndarray, "M N"],
    clauses: Clauses,
    decided: Bool[np.ndarray, "M N"],
) -> tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"], Int[np.ndarray, " C"]]:
    """Return which rule gave shielded probabilities their value: rows, labels, rules.

    A label that is decided, and exactly as probable as what implies it, was raised; one
    that is not, and as improbable as what is decided against it is probable, was
    lowered. Works on the host.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> rules = lg.functional.make_clauses([([0], [1]), ([1, 2], [])])
        >>> p = np.array([[0.875, 0.875, 0.125]])
        >>> found = lg.functional.shield_reasons(p, rules, p > 0.5)
        >>> [part.tolist() for part in found]
        [[0, 0], [1, 2], [0, 1]]

    Args:
        probabilities: as `shield_rules` left their logits.
        clauses: the rules.
        decided: the labels of the documents.

    Raises:
        ValueError: as `shield_rules`; a probability is NaN.
    """
    check_axes(probabilities=(probabilities, "M N"), decided=(decided, "M N"))
    check_numbers(probabilities=probabilities)
    p, chosen = np.asarray(probabilities).T, np.asarray(decided, bool).T
    found: list[tuple[int, int, int]] = []
    for label, raising, lowering in shield_steps(clauses, len(p)):
        for conditions, up in ((raising, True), (lowering, False)):
            for true, false, rule in conditions:
                said = np.concatenate([p[list(true)], 1 - p[list(false)]])
                value = said.min(axis=0, initial=1.0)
                if up:
                    hit = chosen[label] & (p[label] == value)
                else:
                    near = np.isclose(p[label], 1 - value, rtol=1e-3, atol=0)
                    # Of what nothing speaks for, nothing is told.
                    hit = ~chosen[label] & near & (p[label] > LEAST_TOLD)
                    hit &= chosen[list(true)].all(axis=0)
                    hit &= ~chosen[list(false)].any(axis=0)
                found += [(int(row), label, rule) for row in np.flatnonzero(hit)]
    rows, labels, rules = np.array(found, np.int64).reshape(-1, 3).T
    return rows, labels, rules


def _shielded(
    rows: Float[Array, "N B"], steps: tuple[Step, ...]
) -> Float[Array, "N B"]:
    n, most = len(rows), jnp.finfo(rows.dtype).max
    fixed = [jnp.full((1, rows.shape[1]), x, rows.dtype) for x in (most, SURE)]
    rows = jnp.concatenate([rows, *fixed])
    for labels, ids, signs, raising, lowering in grouped_steps(steps, n):
        said = (rows[ids] * signs[:, :, None].astype(rows.dtype)).min(axis=1)  # [C, B]
        low = jnp.maximum(rows[labels], said[raising].max(axis=1))
        value = jnp.minimum(low, -said[lowering].max(axis=1))
        rows = rows.at[labels].set(value, unique_indices=True)
    return rows[:n]
