"""The rows of a table that batches read, and batches in terms of them."""

from typing import Any

import numpy as np
import pytest

from labelgraph_jax.data.batches.batches import (
    Batches,
    BatchPlan,
    Examples,
    RowIds,
    TouchedRows,
)
from labelgraph_jax.data.batches.touched import TABLE_ROWS, TOKEN_COUNTS
from labelgraph_jax.data.tables.examples import TableExamples

VOCABULARY = 3000


def documents(count: int = 90, *, windows: int = 1) -> Examples:
    random = np.random.default_rng(0)
    texts = [
        [
            random.integers(2, VOCABULARY, random.integers(1, 60)).astype(np.int32)
            for _ in range(random.integers(1, windows + 1))
        ]
        for _ in range(count)
    ]
    return Examples(texts, np.zeros((count, 2), np.float32))


def table(count: int = 50) -> tuple[TableExamples, np.ndarray]:
    """Two columns, and one of up to three ids."""
    random = np.random.default_rng(1)
    sizes = [1000, 500, 700, 700, 700]
    categories = np.stack([random.integers(0, n, count) for n in sizes], axis=1)
    return (
        TableExamples(
            categories.astype(np.int32),
            np.zeros((count, 0), np.float32),
            np.zeros((count, 1), np.float32),
        ),
        np.asarray([0, 1000, 1500, 1500, 1500]),
    )


def pairs(
    examples: Any, ids: RowIds, *, batch_size: int = 16, **options: Any
) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Each batch as it is, and in terms of its rows."""
    plan = BatchPlan(examples, batch_size=batch_size, seed=4)
    touched = TouchedRows(examples, plan, ids)
    plain = Batches(examples, plan, epochs=3, **options)
    own = Batches(examples, plan, epochs=3, touched=touched, **options)
    return list(zip(plain, own, strict=True))


@pytest.mark.parametrize("windows", [1, 3])
def test_places_among_the_rows_are_the_token_ids(windows: int) -> None:
    for plain, own in pairs(documents(windows=windows), RowIds(VOCABULARY)):
        rows, mask = own[TABLE_ROWS], plain["token_mask"]
        assert (np.diff(rows) > 0).all()
        assert rows.dtype == np.int32 and rows[0] >= 0 and rows[-1] < VOCABULARY
        np.testing.assert_array_equal(
            rows[own["token_ids"]][mask], plain["token_ids"][mask]
        )
        for name in set(plain) - {"token_ids"}:
            np.testing.assert_array_equal(own[name], plain[name])


def test_places_of_categories_stand_beside_them() -> None:
    examples, offsets = table()
    for plain, own in pairs(examples, RowIds(2200, offsets)):
        np.testing.assert_array_equal(own["categories"], plain["categories"])
        np.testing.assert_array_equal(
            own[TABLE_ROWS][own["category_rows"]], plain["categories"] + offsets
        )


def test_every_host_has_the_rows_of_the_whole_batch() -> None:
    ids, examples = RowIds(VOCABULARY), documents()
    whole = pairs(examples, ids)
    for host in (0, 1):
        part = pairs(examples, ids, shard_index=host, shard_count=2)
        for (_, one), (_, own) in zip(whole, part, strict=True):
            np.testing.assert_array_equal(one[TABLE_ROWS], own[TABLE_ROWS])
            half = slice(8 * host, 8 * host + 8)
            np.testing.assert_array_equal(one["token_ids"][half], own["token_ids"])


def test_there_are_about_as_many_shapes_as_without() -> None:
    found = pairs(documents(400), RowIds(VOCABULARY))
    plain = {one["token_ids"].shape for one, _ in found}
    own = {(two["token_ids"].shape, len(two[TABLE_ROWS])) for _, two in found}
    assert len(plain) <= len(own) <= len(plain) + 2


def test_more_rows_than_any_sampled_batch_read_are_read() -> None:
    examples = documents()
    plan = BatchPlan(examples, batch_size=16, seed=4)
    touched = TouchedRows(examples, plan, RowIds(VOCABULARY))
    touched._own, touched._sizes = {}, [128]
    rows = touched.rows(0, plan[0])
    assert set(np.concatenate(texts_of(examples, plan, 0))) <= set(rows)
    assert len(rows) % 128 == 0


def texts_of(examples: Examples, plan: BatchPlan, number: int) -> list[np.ndarray]:
    assert examples.windows is not None
    return [examples.windows[document][0] for document in plan[number].rows]


def test_documents_are_the_counts_of_their_tokens() -> None:
    examples = documents()
    plan = BatchPlan(examples, batch_size=16, seed=4)
    for number, (_, own) in enumerate(
        pairs(examples, RowIds(VOCABULARY, counted=True))
    ):
        counts = np.zeros((16, VOCABULARY))
        counts[:, own[TABLE_ROWS]] = own[TOKEN_COUNTS]
        for row, text in enumerate(texts_of(examples, plan, number)):
            expected = np.bincount(text, minlength=VOCABULARY)
            np.testing.assert_array_equal(counts[row], expected)
        assert own["token_ids"].shape == own["token_mask"].shape == (16, 1)


def test_hidden_tokens_are_others_in_every_batch_and_the_same_on_every_host() -> None:
    examples, rate = documents(400), 0.4
    hiding = RowIds(VOCABULARY, counted=True, hidden=rate, seed=3)
    whole = pairs(examples, RowIds(VOCABULARY, counted=True))
    part = pairs(examples, hiding)
    first, second = (
        sum(own[TOKEN_COUNTS].sum() for _, own in x) for x in (whole, part)
    )
    assert second / first == pytest.approx(1 - rate, abs=0.02)
    # The same document, in two epochs.
    steps = len(part) // 3
    seen = [
        {
            index: counts.sum()
            for _, own in part[epoch * steps : (epoch + 1) * steps]
            for index, counts in zip(
                own["example_index"], own[TOKEN_COUNTS], strict=True
            )
        }
        for epoch in range(2)
    ]
    assert sum(seen[0][i] != seen[1][i] for i in range(400)) > 200
    # Again, and by two hosts.
    for host in (0, 1):
        options = {"shard_index": host, "shard_count": 2}
        for (_, one), (_, own) in zip(
            part, pairs(examples, hiding, **options), strict=True
        ):
            half = slice(8 * host, 8 * host + 8)
            np.testing.assert_array_equal(one[TABLE_ROWS], own[TABLE_ROWS])
            np.testing.assert_array_equal(one[TOKEN_COUNTS][half], own[TOKEN_COUNTS])


@pytest.mark.parametrize("counted", [True, False])
def test_documents_without_a_token_read_nothing(counted: bool) -> None:
    texts = [[np.asarray([3, 3], np.int32)], [], [np.zeros(0, np.int32)]]
    examples = Examples(texts, np.zeros((3, 1), np.float32))
    for _, own in pairs(examples, RowIds(9, counted=counted), batch_size=3):
        if counted:
            assert sorted(own[TOKEN_COUNTS].sum(axis=1)) == [0, 0, 2]
        assert 3 in own[TABLE_ROWS]


def test_counts_have_six_shapes() -> None:
    found = pairs(documents(400), RowIds(VOCABULARY, counted=True))
    assert len({own[TOKEN_COUNTS].shape for _, own in found}) <= 7


def test_a_table_smaller_than_a_batch_is_read_whole() -> None:
    examples, offsets = table()
    _, own = pairs(examples, RowIds(2200, offsets), batch_size=50)[0]
    assert len(own[TABLE_ROWS]) <= 2200
    small = Examples([[np.arange(9, dtype=np.int32)]], np.zeros((1, 1), np.float32))
    _, own = pairs(small, RowIds(10), batch_size=1)[0]
    np.testing.assert_array_equal(own[TABLE_ROWS], np.arange(10))
