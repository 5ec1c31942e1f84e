"""Unlabelled documents stand beside the labelled ones of every batch."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.data.batches.batches import (
    Batch,
    Batches,
    BatchPlan,
    Examples,
    Unlabelled,
    train_batches,
)
from labelgraph_jax.data.batches.unlabelled import PROGRESS, unlabelled_part
from tests.data.batches.test_batches import assert_same, make_examples, random_lengths

LABELLED = make_examples([3, 9, 1, 12, 5, 7, 2])
OTHERS = make_examples(random_lengths(61, seed=1))
SETTINGS: dict[str, Any] = {"batch_size": 4, "epochs": 30, "seed": 3}


def both(examples: Examples = OTHERS, ratio: int = 2) -> list[Batch]:
    return list(train_batches(LABELLED, **SETTINGS, unlabelled=examples, ratio=ratio))


def test_the_labelled_rows_are_those_of_a_run_without_a_second_stream() -> None:
    alone = list(train_batches(LABELLED, **SETTINGS))
    for one, other in zip(alone, both(), strict=True):
        own = {n: x for n, x in other.items() if not n.startswith("unlabelled_")}
        assert_same(one, own)


def test_the_second_stream_reads_every_document_once_before_any_again() -> None:
    index = [unlabelled_part(batch)["example_index"] for batch in both()]
    read = np.concatenate(index)
    read = read[read >= 0]
    for epoch in range(len(read) // 61):
        here = read[epoch * 61 : (epoch + 1) * 61]
        assert sorted(here) == list(range(61))
    assert not np.array_equal(read[:61], read[61:122])


def test_rows_hold_the_tokens_and_targets_of_their_documents() -> None:
    batch = both()[0]
    rows = unlabelled_part(batch)
    assert batch["unlabelled_token_ids"].shape[:2] == (4, 2)
    assert rows["token_ids"].shape[0] == 8
    for place, document in enumerate(rows["example_index"]):
        tokens = rows["token_ids"][place][rows["token_mask"][place]]
        assert OTHERS.windows is not None
        np.testing.assert_array_equal(tokens, OTHERS.windows[document][0])
        np.testing.assert_array_equal(rows["targets"][place], OTHERS.targets[document])


@pytest.mark.parametrize("shards", [2, 4])
def test_the_shards_together_are_the_unsharded_batch(shards: int) -> None:
    plan = BatchPlan(LABELLED, batch_size=4, seed=3)
    beside = Unlabelled(OTHERS, 3, batch_size=4, seed=3)
    whole = Batches(LABELLED, plan, unlabelled=beside)
    parts = [
        Batches(LABELLED, plan, shard_index=i, shard_count=shards, unlabelled=beside)
        for i in range(shards)
    ]
    for number in range(len(whole)):
        pieces = [part[number] for part in parts]
        joined = {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}
        assert_same(joined, whole[number])


def test_a_resumed_run_reads_exactly_the_next_batch() -> None:
    first = train_batches(LABELLED, **SETTINGS, unlabelled=OTHERS, ratio=2)
    for _ in range(17):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    again = train_batches(
        LABELLED,
        **SETTINGS,
        unlabelled=OTHERS,
        ratio=2,
        prefetch_threads=2,
    )
    again.set_state(state)
    for _ in range(8):
        assert_same(next(first), next(again))


def test_progress_goes_from_0_to_the_last_step() -> None:
    done = [batch[PROGRESS] for batch in both()]
    assert all(len(set(rows.tolist())) == 1 and len(rows) == 4 for rows in done)
    np.testing.assert_allclose([d[0] for d in done], np.arange(60) / 60, rtol=1e-6)


def test_fewer_documents_than_places_leave_places_masked() -> None:
    rows = unlabelled_part(both(make_examples([4, 6, 2]), ratio=3)[0])
    assert rows["example_mask"].sum() == 3
    assert rows["example_index"].tolist()[3:] == [-1] * 9


def test_few_lengths_occur_whatever_the_documents() -> None:
    lengths = {batch["unlabelled_token_ids"].shape[2] for batch in both()}
    assert len(lengths) <= 2


def test_documents_without_any_column_of_targets_have_none() -> None:
    bare = dataclasses.replace(OTHERS, targets=np.zeros((61, 0), np.float32))
    assert unlabelled_part(both(bare)[0])["targets"].shape == (8, 0)


def test_a_ratio_that_is_not_positive_and_no_document_are_told() -> None:
    with pytest.raises(ValueError, match="ratio must be at least 1; got 0"):
        both(ratio=0)
    with pytest.raises(ValueError, match="at least one document"):
        both(make_examples([]))
