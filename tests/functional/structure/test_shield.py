"""Rules as a layer: against loops, its guarantee, its gradient and its loss."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labelgraph_jax as lg
from tests.functional.structure.test_rules import obeys, random_rules

F = lg.functional


def corrected(p: list[float], rules) -> list[float]:
    """PiShield's published semantics, by loops.

    Labels come one after another, each up to the smallest of a body that implies it,
    then down to what a body against it leaves.

    Of rules whose head is their last label, none of which raises and lowers one label.
    """
    p = list(p)
    for label in range(len(p)):
        up = [body for body, head in rules if head == [label]]
        down = [body[:-1] for body, head in rules if not head and body[-1] == label]
        for body in up:
            p[label] = max(p[label], min(p[n] for n in body))
        for body in down:
            p[label] = min(p[label], min(1 - p[n] for n in body))
    return p


def test_probabilities_are_those_of_the_published_layer():
    # y_1 or not y_0; y_2 or not y_0 or not y_1; not y_2 or not y_3; not y_1 or not y_4
    rules = [([0], [1]), ([0, 1], [2]), ([2, 3], []), ([1, 4], [])]
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, (50, 5))
    logits = np.log(p) - np.log1p(-p)
    found = jax.nn.sigmoid(F.shield_rules(logits, F.make_clauses(rules)))
    wanted = [corrected(row, rules) for row in p.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_no_rule_is_broken_and_what_breaks_none_keeps_its_signs(seed):
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, 9, 12)
    clauses = F.make_clauses(rules)
    scores = rng.normal(size=(20, 9))
    found = np.asarray(F.shield_rules(scores, clauses))
    own = np.abs(scores)
    for row, before, size in zip(found, scores, own, strict=True):
        assert obeys(row > 0, rules)
        # Scores that came in, with either sign, or what rules alone settle.
        assert all(np.isclose([*size, 30.0], abs(x), rtol=1e-6).any() for x in row)
        if obeys(before > 0, rules):
            np.testing.assert_array_equal(row > 0, before > 0)
    decided = F.shield_decisions(scores, clauses)
    np.testing.assert_array_equal(decided.decided, found > 0)
    told = np.zeros(scores.shape, int)
    np.add.at(told, (decided.rows, decided.labels), 1)
    np.testing.assert_array_equal(told, decided.decided != (scores > 0))
    for label, rule in zip(decided.labels, decided.rules, strict=True):
        assert label in [*rules[rule][0], *rules[rule][1]]


@pytest.mark.slow
def test_a_hundred_thousand_random_rows_break_no_rule_at_unequal_thresholds():
    rng = np.random.default_rng(1)
    rules = random_rules(rng, 60, 40)
    clauses = F.make_clauses(rules)
    shield = jax.jit(lambda scores: F.shield_rules(scores, clauses))
    cut = rng.normal(-1, 1, 60)
    rows = 0
    for _ in range(10):
        scores = rng.normal(-1.2, 1.0, (10_000, 60)) - cut
        decided = F.shield_decisions(scores, clauses).decided
        rows += len(decided)
        assert not len(F.broken_rules(decided, clauses)[0])
        again = np.asarray(shield(scores.astype(np.float32))) > 0
        assert not len(F.broken_rules(again, clauses)[0])
    assert rows == 100_000


def test_implications_alone_are_a_maximum_over_descendants():
    pairs = np.array([[1, 0], [2, 0], [3, 1], [3, 2], [4, 3]])
    clauses = F.make_clauses([([child], [parent]) for child, parent in pairs.tolist()])
    scores = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    found = F.shield_rules(scores, clauses)
    np.testing.assert_array_equal(found, F.descendant_max(scores, pairs))


def test_an_exclusion_lowers_the_label_that_it_names_last():
    scores = jnp.array([[1.0, 2.0]])
    for body, wanted in (([0, 1], [1.0, -1.0]), ([1, 0], [-2.0, 2.0])):
        found = F.shield_rules(scores, F.make_clauses([(body, [])]))
        assert found[0].tolist() == wanted


def test_labels_that_imply_each_other_end_alike():
    clauses = F.make_clauses([([0], [1]), ([1], [0])])
    for signs in itertools.product((1.0, -2.0), repeat=2):
        one, two = np.asarray(F.shield_rules(np.array([signs]), clauses))[0] > 0
        assert one == two


def test_the_gradient_goes_to_the_score_that_is_taken():
    clauses = F.make_clauses([([0], [1]), ([1, 2], [])])
    scores = jnp.array([[2.0, -1.0, 3.0]])

    def total(x):
        return jnp.sum(F.shield_rules(x, clauses) * jnp.array([1.0, 10.0, 100.0]))

    np.testing.assert_allclose(jax.grad(total)(scores), [[1 + 10 - 100, 0, 0]])
    np.testing.assert_allclose(jax.jit(total)(scores), total(scores))


def test_the_loss_is_that_of_a_loop():
    rng = np.random.default_rng(3)
    rules = [([0], [2]), ([1], [2]), ([2, 3], []), ([3], [4])]
    clauses = F.make_clauses(rules)
    x, y = rng.normal(size=(40, 5)), rng.random((40, 5)) < 0.5
    soft = lambda v: math.log1p(math.exp(v))  # noqa: E731
    total, cells = 0.0, 0
    for s, t in zip(x, y, strict=True):
        up = [s[0], s[1], max(s[:3]), s[3], max(s[3], s[4])]
        through = [s[i] for i in range(5)]
        through[2] = max(s[2], *(s[i] for i in (0, 1) if t[i]), s[2])
        through[4] = max(s[4], s[3] if t[3] else s[4])
        lowered = min(s[3], -up[2])
        all_of = [*up[:3], lowered, max(s[4], lowered)]
        # Cells of a rule's last label that the document's own labels break.
        is_open = [False, False, (t[0] or t[1]) and not t[2], False, False]
        third = t[2] or t[0] or t[1]
        is_open[3] = bool(third and t[3])
        is_open[4] = bool(t[3] and not third and not t[4])
        for n in range(5):
            if not is_open[n]:
                cells += 1
                total += soft(-min(all_of[n], through[n])) if t[n] else soft(up[n])
    loss, weight = F.shield_loss(x, y, clauses)
    np.testing.assert_allclose([loss, weight], [total, cells], rtol=1e-5)
    jitted = jax.jit(lambda a: F.shield_loss(a, y, clauses))(x)
    np.testing.assert_allclose(jitted[0], loss, rtol=1e-6)


def test_a_loss_without_exclusions_is_that_of_a_hierarchy():
    pairs = np.array([[1, 0], [2, 0], [3, 1]])
    clauses = F.make_clauses([([child], [parent]) for child, parent in pairs.tolist()])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.random((30, 4)) < 0.5
    mask = rng.random((30, 4)) < 0.9
    given = {"target_mask": mask, "example_mask": np.arange(30) < 25}
    found = F.shield_loss(x, y, clauses, **given)
    wanted = F.hierarchy_loss(x, y, pairs, **given)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_rules_that_no_labels_obey_and_labels_that_are_none_are_refused():
    never = F.make_clauses([([], [0]), ([0], [1]), ([0, 1], [])])
    with pytest.raises(ValueError, match="some set of labels obeys"):
        F.shield_rules(jnp.zeros((1, 2)), never)
    with pytest.raises(ValueError, match=r"labels in 0\.\.1, or -1, got"):
        F.shield_rules(jnp.zeros((1, 2)), F.make_clauses([([0], [2])]))
    with pytest.raises(ValueError, match="NaN"):
        F.shield_decisions(np.full((1, 2), np.nan), F.make_clauses([([0], [1])]))


def test_rules_with_too_many_resolvents_are_to_be_decoded(monkeypatch):
    monkeypatch.setattr("labelgraph_jax.functional.structure.rule_order.MOST", 20)
    into, against = (
        [([i], [9]) for i in range(4)],
        [([4 + i, 9], []) for i in range(4)],
    )
    with pytest.raises(ValueError, match=r"at most 20 resolvents.*decode them"):
        F.shield_rules(jnp.zeros((1, 10)), F.make_clauses(into + against))


def test_nothing_is_changed_without_rules_or_documents():
    none = F.make_clauses([])
    scores = np.array([[1.0, -1.0]], np.float32)
    np.testing.assert_array_equal(F.shield_rules(scores, none), scores)
    assert F.shield_decisions(scores, none).decided.tolist() == [[True, False]]
    rules = F.make_clauses([([0], [1])])
    assert F.shield_rules(scores[:0], rules).shape == (0, 2)
    assert float(F.shield_loss(scores[:0], scores[:0], rules)[0]) == 0
    # A label that nothing may carry is false whatever its score.
    never = F.make_clauses([([0], [1]), ([0, 1], [])])
    assert np.asarray(F.shield_rules(scores, never))[0, 0] == -30
