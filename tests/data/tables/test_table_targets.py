"""Target columns: what a task predicts, and its targets as numbers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import Table, table_of
from labelgraph_jax.data.tables.learn_targets import learn_target
from labelgraph_jax.data.tables.targets import Target, encode_targets


def rows(**columns: list) -> Table:
    return table_of("rows.csv", columns)


@pytest.mark.parametrize(
    ("values", "positive", "negative"),
    [
        ([0, 1, 1], "1", "0"),
        ([1, 2, 1], "2", "1"),
        ([-1, 1, 1], "1", "-1"),
        (["yes", "no", "yes"], "yes", "no"),
        (["F", "T", "T"], "T", "F"),
        (["- 50000.", "50000+.", "- 50000."], "50000+.", "- 50000."),
        ([True, False, None], "1", "0"),
        ([0, 0, 0], "1", "0"),
        ([1, 1, 1], "1", "0"),
        (["no", "no", None], "yes", "no"),
        (["sold", "sold", None], "sold", ""),
    ],
)
def test_two_values_are_a_positive_and_a_negative_one(
    values: list, positive: str, negative: str
) -> None:
    target = learn_target(rows(x=values), "x")
    assert (target.kind, target.values) == ("binary", (negative, positive))
    assert target.width == 1
    encoded, known, unseen = target.encode(rows(x=values))
    named = {"True": "1", "False": "0"}
    expected = [named.get(str(value), str(value)) == positive for value in values]
    np.testing.assert_array_equal(encoded[known, 0], np.array(expected)[known])
    assert known.tolist() == [value is not None for value in values]
    assert not unseen
    assert target.prior == (np.mean(encoded[known]),)
    assert target.rows == known.sum()


def test_a_value_can_stand_against_all_others() -> None:
    table = rows(x=["a", "b", "c", None, "b"])
    target = learn_target(table, "x", "binary", positive="b")
    encoded, known, _ = target.encode(rows(x=["b", "z", None]))
    assert encoded[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert known.tolist() == [True, True, False]
    with pytest.raises(DataError, match=r"no training row of column 'x' holds 'q'"):
        learn_target(table, "x", "binary", positive="q")


def test_minus_one_among_zeros_and_ones_is_not_annotated() -> None:
    table = rows(x=[0, 1, -1, None])
    target = learn_target(table, "x")
    assert target.values == ("0", "1")
    assert target.encode(table)[1].tolist() == [True, True, False, False]


def test_more_numbers_are_squared_and_standardised() -> None:
    table = rows(x=[1.0, 2.0, None, 6.0])
    target = learn_target(table, "x")
    assert target.kind == "squared"
    assert target.mean == 3.0
    encoded, known, _ = target.encode(table)
    assert known.tolist() == [True, True, False, True]
    assert encoded[2] == 0.0
    np.testing.assert_allclose(encoded[known].mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(encoded[known].std(), 1.0, rtol=1e-6)
    assert learn_target(rows(x=[5, 5]), "x", "squared").is_constant


def test_more_texts_are_classes_in_a_fixed_order() -> None:
    target = learn_target(rows(x=["b", "a", "c", "b", "a", "c"]), "x")
    assert (target.kind, target.values) == ("multi_class", ("a", "b", "c"))
    encoded, known, unseen = target.encode(rows(x=["c", None, "new", "a"]))
    expected = [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    np.testing.assert_array_equal(encoded, expected)
    assert known.tolist() == [True, False, False, True]
    assert unseen == Counter({"new": 1})
    numbers = learn_target(rows(x=[10, 9, 1, 10, 9, 1]), "x", "multi_class")
    assert numbers.values == ("1", "9", "10")


@pytest.mark.parametrize(
    "values",
    [
        ["b|a", "", "a", "NA"],
        [["b", "a"], [], ["a"], None],
        ["b ; a", "none", "a;", None],
    ],
)
def test_lists_and_delimited_texts_are_labels(values: list) -> None:
    table = rows(x=values)
    target = learn_target(table, "x")
    assert (target.kind, target.values) == ("multi_label", ("a", "b"))
    encoded, known, _ = target.encode(table)
    np.testing.assert_array_equal(encoded, [[1, 1], [0, 0], [1, 0], [0, 0]])
    assert known.tolist() == [True, True, True, False]
    unseen = target.encode(rows(x=[["a", "new"]]))[2]
    assert unseen == Counter({"new": 1})


def test_targets_of_several_tasks_stand_side_by_side() -> None:
    table = rows(x=[0, 1, None], y=["a", "b", "c"], z=[1.0, 2.0, 3.0])
    targets = [
        learn_target(table, name, kind)
        for name, kind in (("x", "binary"), ("y", "multi_class"), ("z", "squared"))
    ]
    values, mask, unseen = encode_targets(targets, table)
    assert values.shape == mask.shape == (3, 5)
    assert mask.tolist() == [[True] * 5, [True] * 5, [False] + [True] * 4]
    np.testing.assert_array_equal(values[:, 1:4], np.eye(3))
    assert unseen == {}
    _, mask, _ = encode_targets(targets, table.drop(["y"]), absent=["y"])
    assert not mask[:, 1:4].any()
    assert mask[:, 4].all()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["a", "b", "c"], "binary", "holds 3 different values, so a binary task must"),
        (["a", "b"], "squared", "rows.csv:1: column 'x' must hold numbers for a squa"),
        ([1.0, float("inf")], "squared", "rows.csv:2: column 'x' must hold finite num"),
        ([None, None], "binary", "column 'x' holds no target in any of the 2 training"),
        ([None, None], "auto", "column 'x' holds no target in any of the 2 training"),
        (["a", "a"], "multi_class", "'x' must hold two classes or more"),
        (
            [i + 0.5 for i in range(11)],
            "multi_class",
            "in 11 rows: these are no classes",
        ),
        (
            [["a"], ["b"]],
            "binary",
            "rows.csv:1: column 'x' must hold one value per row",
        ),
        (["-", "none"], "multi_label", "no training row of column 'x' carries a label"),
    ],
)
def test_a_column_of_the_wrong_kind_is_one_clear_line(
    values: list, kind: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        learn_target(rows(x=values), "x", kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_third_value_after_training_is_refused_with_its_line() -> None:
    target = learn_target(rows(x=[0, 1]), "x")
    with pytest.raises(
        DataError, match=r"rows.csv:3: column 'x' must hold 0 or 1; got"
    ):
        target.encode(rows(x=[0, 1, 2]))
    with pytest.raises(DataError, match=r"no column 'x'; the columns are: y"):
        target.encode(rows(y=[0]))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["p", "q", "r", None]), min_size=1, max_size=8),
    st.sampled_from(["binary", "multi_class", "multi_label"]),
)
def test_what_was_learned_comes_back_from_json(values: list, kind: str) -> None:
    try:
        target = learn_target(rows(x=values), "x", kind)
    except DataError:
        return
    assert Target.from_json(target.to_json()) == target
    encoded, known, unseen = target.encode(rows(x=values))
    assert not unseen
    assert not encoded[~known].any()
    if kind == "multi_class":
        np.testing.assert_array_equal(encoded.sum(axis=1), known)


def test_something_else_is_no_task() -> None:
    with pytest.raises(DataError, match="must be a task of a table"):
        Target.from_json({"title": "x"})
