"""Labels that obey rules against all sets of labels, and the loss against loops."""

import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import labelgraph_jax as lg

F = lg.functional


def obeys(labels, rules):
    return all(
        not labels[list(body)].all() or labels[list(head)].any() for body, head in rules
    )


def random_rules(rng, n, count):
    """Implications and exclusions, and now and then one of three."""
    rules = []
    for _ in range(count):
        some = rng.permutation(n)[: rng.integers(2, 4)].tolist()
        if rng.random() < 0.5:
            rules.append((some, []))
        else:
            rules.append((some[:-1], some[-1:]))
    if rng.random() < 0.4:
        rules.append(([], rng.permutation(n)[:3].tolist()))
    return rules


def best_of_all(scores, rules, sets):
    values = [labels @ scores if obeys(labels, rules) else -np.inf for labels in sets]
    return max(values)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_decoding_is_the_best_of_all_sets_of_twelve_labels(seed):
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, 12, 8)
    scores = rng.normal(size=(2, 12))
    sets = np.array(list(itertools.product([False, True], repeat=12)))
    found = F.decode_rules(scores, F.make_clauses(rules))
    for row, own in enumerate(found.decided):
        assert obeys(own, rules)
        np.testing.assert_allclose(
            own @ scores[row], best_of_all(scores[row], rules, sets), rtol=1e-6
        )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_every_change_is_told_once_with_a_rule(seed):
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, 10, 10)
    scores = rng.normal(size=(4, 10))
    for most in (1, 2_000):
        found = F.decode_rules(scores, F.make_clauses(rules), most_tried=most)
        changed = found.decided != (scores >= 0)
        told = np.zeros(changed.shape, int)
        np.add.at(told, (found.rows, found.labels), 1)
        np.testing.assert_array_equal(told, changed)
        for label, rule in zip(found.labels, found.rules, strict=True):
            # From the surest down it may be a rule against what the label implies.
            assert most == 1 or label in [*rules[rule][0], *rules[rule][1]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_labels_from_the_surest_down_obey_as_well(seed):
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, 10, 12)
    found = F.decode_rules(
        rng.normal(size=(5, 10)), F.make_clauses(rules), most_tried=1
    )
    assert all(obeys(labels, rules) for labels in found.decided)


def test_broken_rules_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    rules = random_rules(rng, 8, 20)
    decided = rng.random((30, 8)) < 0.5
    rows, found = F.broken_rules(decided, F.make_clauses(rules))
    wanted = {
        (m, r)
        for m in range(30)
        for r, rule in enumerate(rules)
        if not obeys(decided[m], [rule])
    }
    assert set(zip(rows.tolist(), found.tolist(), strict=True)) == wanted
    assert len(rows) == len(wanted)


@pytest.mark.slow
def test_a_hundred_thousand_random_rows_break_no_rule():
    rng = np.random.default_rng(1)
    rules = random_rules(rng, 60, 40)
    clauses = F.make_clauses(rules)
    rows = 0
    for _ in range(10):
        scores = rng.normal(-1.2, 1.0, (10_000, 60))
        found = F.decode_rules(scores, clauses)
        rows += len(found.decided)
        assert not len(F.broken_rules(found.decided, clauses)[0])
    assert rows == 100_000


def test_without_rules_and_without_documents_nothing_changes():
    none = F.make_clauses([])
    scores = np.array([[1.0, -1.0]])
    found = F.decode_rules(scores, none)
    assert found.decided.tolist() == [[True, False]] and not len(found.rows)
    rules = F.make_clauses([([0], [1])])
    assert F.decode_rules(scores[:0], rules).decided.shape == (0, 2)
    assert float(F.rule_loss(jnp.zeros((2, 2)), none)[0]) == 0


def test_decisions_of_another_rule_are_mended_by_the_same_costs():
    # The best two labels, whatever their sign: the less sure of an excluded pair goes.
    scores = np.array([[-0.1, -2.0, -0.2]])
    decided = np.array([[True, False, True]])
    found = F.decode_rules(scores, F.make_clauses([([0, 2], [])]), decided)
    assert found.decided.sum() == 1


def loss_by_loops(logits, rules, weights):
    p = 1 / (1 + np.exp(-logits))
    total = 0.0
    for row in p:
        for weight, (body, head) in zip(weights, rules, strict=True):
            broken = np.prod(row[list(body)]) * np.prod(1 - row[list(head)])
            total -= weight * np.log(1 - broken)
    return total


@given(st.integers(0, 2**31 - 1))
def test_the_loss_of_rules_is_that_of_loops(seed):
    rng = np.random.default_rng(seed)
    rules = [([0], [1]), ([2, 3], []), ([0, 1], [4]), ([], [2, 3, 4])]
    logits = rng.normal(size=(3, 5)).astype(np.float32)
    weights = rng.random(4).astype(np.float32)
    found, count = F.rule_loss(logits, F.make_clauses(rules), weights=weights)
    np.testing.assert_allclose(found, loss_by_loops(logits, rules, weights), rtol=1e-4)
    assert count == 3


def test_the_loss_and_its_gradient_are_finite_where_a_rule_is_surely_broken():
    rules = F.make_clauses([([0, 1], [])])
    for sure in (30.0, 60.0):
        run = jax.value_and_grad(lambda x: F.rule_loss(x, rules)[0])
        value, gradient = run(jnp.full((1, 2), sure))
        assert np.isfinite(value) and value > 20
        assert (gradient > 0.1).all() and np.isfinite(gradient).all()


def test_padding_has_no_gradient():
    rules = F.make_clauses([([0], [1])])
    real = jnp.array([True, False])
    gradient = jax.grad(lambda x: F.rule_loss(x, rules, example_mask=real)[0])(
        jnp.array([[0.0, 0.0], [jnp.nan, 1.0]])
    )
    assert gradient[0].any() and not gradient[1].any()


def test_rules_that_nothing_obeys_are_named_without_those_that_could_stay():
    facts = [([], [0, 1]), ([], [2])]
    rules = F.make_clauses([([5], [4]), *facts, ([0, 2], []), ([2], [3]), ([1, 3], [])])
    assert F.unsatisfiable_rules(rules) == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="some set of labels obeys"):
        F.decode_rules(np.zeros((1, 6)), rules)


def test_labels_that_can_never_be_true_are_found():
    rules = [([0], [1]), ([1], [2]), ([0, 2], []), ([], [3])]
    assert F.unsatisfiable_rules(F.make_clauses(rules)) is None
    assert F.unreachable_labels(F.make_clauses(rules)) == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.make_clauses([([0], [1, 2])]), "got 1 and 2 labels"),
        (lambda: F.make_clauses([([], [])]), "rule 0 must have a body"),
        (
            lambda: F.decode_rules(np.zeros((1, 2)), F.make_clauses([([0], [5])])),
            r"labels in 0..1, or -1, got -1..5|got 5..5",
        ),
        (
            lambda: F.decode_rules(np.full((1, 2), np.nan), F.make_clauses([])),
            "scores must be numbers, got NaN",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
