"""Which texts go together, and in what shape."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.batches.shapes import lengths, row_counts
from labelgraph_jax.data.documents import Document
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.queues import Queues, Waiting
from labelgraph_jax.deploy.serve.scoring import Text
from labelgraph_jax.deploy.serve.shapes import (
    BATCH_TOKENS,
    Bucket,
    best_rows,
    buckets,
    cost_of_all,
    fits,
    rows_of,
)


@given(st.integers(1, 20_000), st.integers(1, 20))
def test_lengths_grow_and_end_at_the_longest(longest: int, count: int) -> None:
    found = lengths(longest, count)
    assert found[-1] == longest
    assert len(found) <= count
    assert list(found) == sorted(set(found))


@given(st.integers(1, 300))
def test_rows_begin_with_one_and_end_with_the_most(most: int) -> None:
    found = row_counts(most)
    assert (found[0], found[-1]) == (1, most)


@given(st.integers(1, 600), st.integers(1, 9), st.integers(1, 8), st.booleans())
def test_every_document_fits_somewhere(
    longest: int, windows: int, count: int, full: bool
) -> None:
    known = buckets(longest, windows, count, full=full)
    assert any(fits((windows, longest), bucket) for bucket in known)
    assert any(fits((1, 1), bucket) for bucket in known)


def test_long_texts_go_in_smaller_batches() -> None:
    assert rows_of((1, 64), (1, 4, 16, 32)) == [1, 4, 16, 32]
    assert rows_of((1, BATCH_TOKENS // 4), (1, 4, 16, 32)) == [1, 4]
    assert rows_of((4, BATCH_TOKENS), (1, 4)) == [1]


def test_overhead_fills_batches_up_and_arithmetic_does_not() -> None:
    overhead = {1: 1.0, 4: 1.01, 16: 1.02}
    arithmetic = {1: 1.0, 4: 4.0, 16: 16.0}
    assert best_rows(5, overhead) == 16
    assert best_rows(5, arithmetic) == 1
    assert cost_of_all(5, overhead) == pytest.approx(1.02)
    assert cost_of_all(5, arithmetic) == pytest.approx(5.0)


def waiting(length: int, arrived: float, job: Any = None) -> Waiting:
    job = job or SimpleNamespace(cancelled=False)
    text = Text(Document("0", "", ()), ([np.zeros(1)],), ((1, length),))
    return Waiting(job, 0, text, arrived)


def longest(keys: Sequence[tuple[Bucket, ...]]) -> tuple[Bucket, ...]:
    return max(keys)


def overhead(key: tuple[Bucket, ...]) -> dict[int, float]:
    return {1: 1.0, 4: 1.1 + key[0][1] / 300, 16: 1.2 + key[0][1] / 300}


def arithmetic(key: tuple[Bucket, ...]) -> dict[int, float]:
    return {rows: float(rows * key[0][1]) for rows in (1, 4, 16)}


def test_short_texts_join_the_oldest_where_time_is_overhead() -> None:
    queues = Queues(overhead, longest)
    for arrived, length in enumerate((64, 8, 8, 512)):
        queues.add(waiting(length, arrived))
    assert [w.text.buckets[0][1] for w in queues.take()] == [64, 8, 8]
    assert [w.text.buckets[0][1] for w in queues.take()] == [512]
    assert queues.take() == []


def test_texts_of_other_lengths_wait_where_time_is_arithmetic() -> None:
    queues = Queues(arithmetic, longest)
    for arrived, length in enumerate((64, 8, 8)):
        queues.add(waiting(length, arrived))
    assert [w.text.buckets[0][1] for w in queues.take()] == [64]


@given(
    st.lists(st.tuples(st.sampled_from([8, 64, 512]), st.booleans()), max_size=60),
    st.booleans(),
)
def test_every_text_is_taken_once_unless_nobody_waits_for_it(
    made: list[tuple[int, bool]], cheap: bool
) -> None:
    queues = Queues(overhead if cheap else arithmetic, longest)
    alive = []
    for arrived, (length, cancelled) in enumerate(made):
        one = waiting(length, arrived, SimpleNamespace(cancelled=cancelled))
        queues.add(one)
        if not cancelled:
            alive.append(one)
    taken: list[Waiting] = []
    while batch := queues.take():
        oldest = min(one.arrived for one in alive if one not in taken)
        assert oldest in [one.arrived for one in batch]
        assert len(batch) <= 16
        taken += batch
    assert sorted(one.arrived for one in taken) == [one.arrived for one in alive]
    assert len(queues) == 0


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("max_texts", 0, "--max-texts must be at least 1, got 0"),
        ("timeout", 0.0, "--timeout must be above 0 seconds, got 0"),
        ("wait", -1.0, "--wait must lie in 0..1000 milliseconds, got -1"),
        ("drain", float("nan"), "--drain must be above 0 seconds, got nan"),
    ],
)
def test_a_limit_out_of_range_is_named(limit: str, value: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Limits(**{limit: value})  # type: ignore[arg-type]
