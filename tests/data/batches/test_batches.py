"""Batches: every document once, the same order again, resumable, divisible."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.batches.batches import (
    Batch,
    Batches,
    BatchPlan,
    Examples,
    choose_length_buckets,
    evaluation_batches,
    steps_per_epoch,
    train_batches,
)

LABELS = 3


def make_examples(lengths: list[int] | np.ndarray, *, pad_id: int = 0) -> Examples:
    """Document i has tokens i + 1, and its number in binary as targets."""
    windows = [[np.full(n, i + 1, np.int32)] for i, n in enumerate(lengths)]
    targets = (np.arange(len(windows))[:, None] >> np.arange(LABELS)) & 1
    return Examples(windows, targets.astype(np.float32), pad_id=pad_id)


def random_lengths(count: int, seed: int = 0) -> np.ndarray:
    lengths = np.random.default_rng(seed).lognormal(3.5, 0.8, count)
    return np.clip(lengths.astype(int), 1, 128)


def assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def read(batches: list[Batch]) -> list[int]:
    """The documents of batches, in order, the padding rows left out."""
    return [int(i) for b in batches for i in b["example_index"][b["example_mask"]]]


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=70),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_each_epoch_reads_every_document_exactly_once(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    examples = make_examples(lengths)
    batches = list(train_batches(examples, batch_size=batch_size, epochs=2, seed=seed))
    steps = steps_per_epoch(len(lengths), batch_size)
    assert len(batches) == 2 * steps
    for epoch in (batches[:steps], batches[steps:]):
        assert sorted(read(epoch)) == list(range(len(lengths)))
    for batch in batches:
        check_rows(batch, examples)


def check_rows(batch: Batch, examples: Examples) -> None:
    """Each row holds its document; each row of padding holds nothing."""
    assert batch["token_ids"].dtype == np.int32
    assert batch["targets"].dtype == np.float32
    assert batch["token_mask"].shape == batch["token_ids"].shape
    for row, number in enumerate(batch["example_index"]):
        mask = batch["token_mask"][row]
        if not batch["example_mask"][row]:
            assert number == -1
            assert not mask.any() and not batch["targets"][row].any()
            continue
        assert examples.windows is not None
        tokens = batch["token_ids"][row]
        np.testing.assert_array_equal(tokens[mask], examples.windows[number][0])
        assert (tokens[~mask] == examples.pad_id).all()
        np.testing.assert_array_equal(batch["targets"][row], examples.targets[number])


def test_the_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    examples = make_examples(random_lengths(50))

    def order(seed: int) -> list[int]:
        return read(list(train_batches(examples, batch_size=4, epochs=2, seed=seed)))

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_epochs_differ() -> None:
    examples = make_examples(random_lengths(50))
    batches = list(train_batches(examples, batch_size=5, epochs=2, seed=0))
    assert read(batches[:10]) != read(batches[10:])


@pytest.mark.parametrize("threads", [0, 2])
def test_resuming_from_a_saved_state_gives_exactly_the_next_batch(
    threads: int,
) -> None:
    examples = make_examples(random_lengths(23))

    def start() -> Any:
        return train_batches(
            examples, batch_size=4, epochs=3, seed=7, prefetch_threads=threads
        )

    whole = list(start())
    for read_before in (0, 1, 5, 6, 17, 18):
        first = start()
        for _ in range(read_before):
            next(first)
        state = json.loads(json.dumps(first.get_state()))
        assert len(json.dumps(state)) < 100
        resumed = start()
        resumed.set_state(state)
        rest = list(resumed)
        assert len(rest) == 18 - read_before
        for one, other in zip(rest, whole[read_before:], strict=True):
            assert_same(one, other)


def test_threads_do_not_change_the_order() -> None:
    examples = make_examples(random_lengths(40))
    plain = train_batches(examples, batch_size=3, epochs=2, seed=0)
    threaded = train_batches(
        examples, batch_size=3, epochs=2, seed=0, prefetch_threads=3
    )
    for one, other in zip(plain, threaded, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_the_shards_together_are_the_unsharded_batch(shards: int) -> None:
    examples = make_examples(random_lengths(30))
    settings = {"batch_size": 8, "epochs": 2, "seed": 3}
    whole = train_batches(examples, **settings)
    parts = [
        train_batches(examples, **settings, shard_index=i, shard_count=shards)
        for i in range(shards)
    ]
    for batch, *slices in zip(whole, *parts, strict=True):
        joined = {name: np.concatenate([s[name] for s in slices]) for name in batch}
        assert_same(joined, batch)
    assert parts[0].get_state() == whole.get_state()


def padding(examples: Examples, plan: BatchPlan) -> float:
    """The share of token places of an epoch's batches that hold no token."""
    masks = [batch["token_mask"] for batch in Batches(examples, plan)]
    return 1 - sum(m.sum() for m in masks) / sum(m.size for m in masks)


def test_sorting_by_length_leaves_far_less_padding() -> None:
    examples = make_examples(random_lengths(2000))
    bucketed = BatchPlan(examples, batch_size=16, seed=0)
    plain = BatchPlan(
        examples, batch_size=16, seed=0, length_buckets=[128], sort_by_length=False
    )
    assert padding(examples, plain) > 0.5
    assert padding(examples, bucketed) < 0.25
    assert len(bucketed.length_buckets) <= 6


def test_few_shapes_occur_and_sorted_batches_are_still_mixed() -> None:
    examples = make_examples(random_lengths(2000))
    plan = BatchPlan(examples, batch_size=16, seed=0)
    tokens = [plan[i].tokens for i in range(len(plan))]
    assert set(tokens) <= set(plan.length_buckets)
    # Long and short batches alternate: no trend along the epoch.
    places = np.arange(len(tokens))
    assert abs(np.corrcoef(places, tokens)[0, 1]) < 0.3


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    count=st.integers(1, 4),
)
def test_the_chosen_buckets_leave_the_least_padding(
    lengths: list[int], count: int
) -> None:
    def places(buckets: tuple[int, ...]) -> int:
        return sum(min(b for b in buckets if b >= n) for n in lengths)

    chosen = choose_length_buckets(np.asarray(lengths), count=count, multiple=4)
    assert list(chosen) == sorted(set(chosen)) and len(chosen) <= count
    last = max(-(-max(lengths) // 4) * 4, 4)
    assert chosen[-1] == last
    least = min(
        places((*others, last))
        for others in itertools.combinations(
            range(4, last, 4), min(count, last // 4) - 1
        )
    )
    assert places(chosen) <= least


def test_a_text_longer_than_the_last_bucket_gets_room() -> None:
    plan = BatchPlan(
        make_examples([5, 30]), batch_size=1, seed=0, length_buckets=[8, 16]
    )
    assert plan.length_buckets == (8, 16, 32)


def test_evaluation_batches_hold_every_document_once_and_restore_the_order() -> None:
    examples = make_examples(random_lengths(21), pad_id=99)
    batches = evaluation_batches(examples, batch_size=4)
    assert len(batches) == 6
    restored = np.full((21, LABELS), np.nan)
    for batch in batches:
        check_rows(batch, examples)
        keep = batch["example_mask"]
        restored[batch["example_index"][keep]] = batch["targets"][keep]
    np.testing.assert_array_equal(restored, examples.targets)
    lengths = [b["token_mask"].shape[1] for b in batches]
    assert lengths == sorted(lengths)
    assert_same(batches[-1], batches[5])
    assert len(batches[1:3]) == 2
    with pytest.raises(IndexError, match="there are 6 batches; no batch 6"):
        batches[6]


def test_unsorted_evaluation_keeps_the_documents_in_order() -> None:
    examples = make_examples(random_lengths(10))
    batches = evaluation_batches(examples, batch_size=4, sort_by_length=False)
    assert read(list(batches)) == list(range(10))


def test_the_last_batch_is_filled_up_with_masked_rows() -> None:
    batches = list(
        train_batches(make_examples([3] * 5), batch_size=4, epochs=1, seed=0)
    )
    assert [int(b["example_mask"].sum()) for b in batches] == [4, 1]
    assert all(len(b["targets"]) == 4 for b in batches)


def test_windows_get_an_axis_of_their_own() -> None:
    counts = [1, 3, 0, 2, 1]
    windows = [
        [np.full(4 + w, 10 * i + w, np.int32) for w in range(n)]
        for i, n in enumerate(counts)
    ]
    examples = Examples(windows, np.eye(5, dtype=np.float32))
    assert examples.windowed
    for batch in evaluation_batches(examples, batch_size=2):
        assert batch["token_ids"].ndim == 3
        assert batch["token_ids"].shape[1] in (1, 2, 3)
        for row, number in enumerate(batch["example_index"]):
            mask = batch["token_mask"][row]
            count = counts[number] if batch["example_mask"][row] else 0
            assert int(mask.any(axis=-1).sum()) == count
            for w in range(count):
                tokens = batch["token_ids"][row, w][mask[w]]
                np.testing.assert_array_equal(tokens, windows[number][w])


def test_documents_without_any_token_break_nothing() -> None:
    windows: list[list[np.ndarray]] = [[], [np.zeros(0, np.int32)]]
    examples = Examples(windows, np.ones((2, 1), np.float32))
    (batch,) = evaluation_batches(examples, batch_size=2)
    assert batch["token_ids"].shape == (2, 8)
    assert not batch["token_mask"].any()
    assert batch["example_mask"].all()


class Store:
    """Token vectors by number, and how often they were read."""

    def __init__(self, items: list[np.ndarray]):
        self.items = items
        self.lengths = np.asarray([len(item) for item in items])
        self.reads = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> np.ndarray:
        self.reads += 1
        return self.items[index]


def test_token_vectors_stand_in_for_ids() -> None:
    items = [np.full((n, 2), i, np.float16) for i, n in enumerate([3, 1, 9])]
    store = Store(items)
    examples = Examples(None, np.eye(3, dtype=np.float32), token_vectors=store)
    batches = evaluation_batches(examples, batch_size=2)
    assert store.reads == 0
    for batch in batches:
        assert "token_ids" not in batch
        assert batch["token_vectors"].dtype == np.float32
        for row, number in enumerate(batch["example_index"]):
            if batch["example_mask"][row]:
                mask = batch["token_mask"][row]
                vectors = batch["token_vectors"][row]
                np.testing.assert_array_equal(vectors[mask], items[number])
                assert not vectors[~mask].any()


def test_token_vectors_of_windows_follow_one_another() -> None:
    counts = [2, 1]
    items = [np.full((2, 1), i, np.float32) for i in range(3)]
    windows = [[np.zeros(2, np.int32)] * n for n in counts]
    examples = Examples(windows, np.eye(2, dtype=np.float32), token_vectors=items)
    (batch,) = evaluation_batches(examples, batch_size=2, sort_by_length=False)
    assert batch["token_vectors"].shape == (2, 2, 8, 1)
    np.testing.assert_array_equal(batch["token_vectors"][0, :, 0, 0], [0, 1])
    np.testing.assert_array_equal(batch["token_vectors"][1, 0, :2, 0], [2, 2])


def test_sparse_targets_and_target_masks_reach_the_batch() -> None:
    dense = (np.random.default_rng(0).random((7, 4)) < 0.4).astype(np.uint8)
    mask = np.random.default_rng(1).random((7, 4)) < 0.5
    windows = make_examples([2] * 7).windows
    for targets in (dense, scipy.sparse.csr_array(dense)):
        examples = Examples(windows, targets, target_mask=mask)
        batches = evaluation_batches(examples, batch_size=3)
        for batch in batches:
            keep = batch["example_mask"]
            rows = batch["example_index"][keep]
            np.testing.assert_array_equal(batch["targets"][keep], dense[rows])
            np.testing.assert_array_equal(batch["target_mask"][keep], mask[rows])
            assert not batch["target_mask"][~keep].any()


def test_batch_boundaries_do_not_depend_on_what_was_read_before() -> None:
    plan = BatchPlan(make_examples(random_lengths(33)), batch_size=4, seed=0)
    forward = [plan[i].rows.tolist() for i in range(30)]
    fresh = BatchPlan(make_examples(random_lengths(33)), batch_size=4, seed=0)
    backward = [fresh[i].rows.tolist() for i in reversed(range(30))]
    assert forward == backward[::-1]


def test_parts_that_do_not_fit_are_told() -> None:
    good = make_examples([1, 2, 3])
    with pytest.raises(ValueError, match="same documents; got 3 and 2"):
        Examples(good.windows, np.ones((2, 1)))
    with pytest.raises(ValueError, match="need windows of token ids or token vectors"):
        Examples(None, np.ones((2, 1)))
    with pytest.raises(ValueError, match="one item per window; got 1 for 3 windows"):
        Examples(good.windows, good.targets, token_vectors=[np.ones((1, 2))])
    with pytest.raises(ValueError, match=r"shape of targets \(3, 3\); got \(3, 1\)"):
        Examples(good.windows, good.targets, target_mask=np.ones((3, 1), bool))
    longer = [np.ones((9, 1))] * 3
    examples = Examples(good.windows, good.targets, token_vectors=longer)
    with pytest.raises(ValueError, match="item 0 must have at most 1 token vectors, "):
        list(evaluation_batches(examples, batch_size=1))


def test_impossible_settings_are_told() -> None:
    examples = make_examples([1, 2, 3])
    with pytest.raises(ValueError, match="must be at least 1; got 0 and"):
        evaluation_batches(examples, batch_size=0)
    with pytest.raises(ValueError, match=r"positive lengths; got \[0, 8\]"):
        evaluation_batches(examples, batch_size=1, length_buckets=[0, 8])
    with pytest.raises(ValueError, match=r"positive lengths; got \[\]"):
        evaluation_batches(examples, batch_size=1, length_buckets=[])
    with pytest.raises(ValueError, match="batches need at least one document; got non"):
        evaluation_batches(make_examples([]), batch_size=1)
    with pytest.raises(
        ValueError, match="multiple of the number of hosts; got 3 for 2"
    ):
        evaluation_batches(examples, batch_size=3, shard_count=2)
    with pytest.raises(ValueError, match=r"shard_index must lie in 0\.\.1; got 2"):
        evaluation_batches(examples, batch_size=4, shard_index=2, shard_count=2)
    with pytest.raises(ValueError, match="epochs must not be negative; got -1"):
        train_batches(examples, batch_size=1, epochs=-1, seed=0)


def _sparse_examples(rows: list[list[int]], labels: int) -> Examples:
    ids = np.concatenate([np.asarray(row, np.int32) for row in rows])
    ends = np.cumsum([0] + [len(row) for row in rows])
    targets = scipy.sparse.csr_array(
        (np.ones(len(ids), np.float32), ids, ends), (len(rows), labels)
    )
    windows = [[np.asarray([2, 3 + place], np.int32)] for place in range(len(rows))]
    return Examples(windows=windows, targets=targets, sparse_targets=True)


def test_sparse_targets_reach_a_batch_as_label_ids_filled_up_with_minus_one() -> None:
    rows = [[4], [], [0, 2, 9], [1, *range(3, 12)]]
    examples = _sparse_examples(rows, labels=12)
    batches = evaluation_batches(examples, batch_size=3)
    for batch in batches:
        assert "targets" not in batch
        assert batch["positives"].dtype == np.int32
        assert batch["positives"].shape == (3, 16)
        for place, number in enumerate(batch["example_index"]):
            held = [int(i) for i in batch["positives"][place] if i >= 0]
            assert held == (rows[number] if number >= 0 else [])
    np.testing.assert_array_equal(examples.multi_hot, examples.targets.toarray())


def test_sparse_targets_of_a_dense_matrix_or_beside_a_mask_are_refused() -> None:
    windows = [[np.asarray([1], np.int32)]]
    with pytest.raises(ValueError, match="need targets as a CSR matrix; got ndarray"):
        Examples(windows=windows, targets=np.zeros((1, 3)), sparse_targets=True)
    with pytest.raises(ValueError, match="there can be no target_mask beside them"):
        Examples(
            windows=windows,
            targets=scipy.sparse.csr_array((1, 3)),
            target_mask=np.ones((1, 3), bool),
            sparse_targets=True,
        )
