"""Reports of predictions in which something that is counted does not occur."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from labelgraph_jax.inspection.report import gathering, write_report
from labelgraph_jax.inspection.report.contents import Confusion, Scored, Worst
from labelgraph_jax.inspection.report.intervals import interval
from labelgraph_jax.inspection.report.measured import score
from labelgraph_jax.inspection.report.worst_documents import worst
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.kept import read_kept
from labelgraph_jax.predictors.predictions import KeptPredictions
from labelgraph_jax.predictors.workdir import Workdir

Change = Callable[[KeptPredictions], KeptPredictions]


def all_right(kept: KeptPredictions) -> KeptPredictions:
    return replace(kept, decided=kept.hits)


def nothing_decided(kept: KeptPredictions) -> KeptPredictions:
    return replace(kept, decided=np.zeros_like(kept.known))


def nothing_wrong_but_some_missed(kept: KeptPredictions) -> KeptPredictions:
    decided = kept.hits.copy()
    decided[::2] = False
    return replace(kept, decided=decided)


def nothing_true(kept: KeptPredictions) -> KeptPredictions:
    return replace(kept, truth=csr_array(kept.truth.shape, dtype=np.float32))


def nothing_annotated(kept: KeptPredictions) -> KeptPredictions:
    return replace(nothing_true(kept), known=np.zeros_like(kept.known))


def one_document(kept: KeptPredictions) -> KeptPredictions:
    first = slice(0, 1)
    return replace(
        kept,
        ids=kept.ids[first],
        probabilities=kept.probabilities[first],
        truth=kept.truth[first],
        known=kept.known[first],
        decided=kept.decided[first],
        documents=kept.documents[:1],
        rest=kept.rest[first],
    )


def equal_probabilities(kept: KeptPredictions) -> KeptPredictions:
    return replace(kept, probabilities=np.full_like(kept.probabilities, 0.5))


CHANGES = [
    all_right,
    nothing_decided,
    nothing_wrong_but_some_missed,
    nothing_true,
    nothing_annotated,
    one_document,
    equal_probabilities,
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_report_of_a_run_is_written_whatever_does_not_occur(
    change: Change, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_kept(Workdir(copied))
    assert kept is not None
    monkeypatch.setattr(gathering, "read_kept", lambda place: change(kept))
    written = write_report(copied)
    assert written.page.stat().st_size > 10_000
    scored, bad = written.report.scored, written.report.worst
    assert isinstance(scored, Scored)
    assert isinstance(bad, Worst)
    if change in (all_right, nothing_true, nothing_annotated):
        assert scored.confusion == "No label of a test document was missed."
    if change is nothing_wrong_but_some_missed:
        assert not isinstance(scored.confusion, Confusion) or not (
            scored.confusion.confused_pairs
        )


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("documents", [0, 1])
def test_one_label_and_no_document_are_counted(labels: int, documents: int) -> None:
    shape = (documents, labels)
    kept = KeptPredictions(
        ids=np.tile(np.arange(labels, dtype=np.int32), (documents, 1)),
        probabilities=np.full(shape, 0.7, np.float32),
        labels=labels,
        truth=csr_array(np.ones(shape, np.float32)),
        known=np.ones(shape, bool),
        decided=np.zeros(shape, bool),
        documents=("a",) * documents,
        fingerprint="",
        rest=np.zeros(documents, np.float32),
    )
    names = ["x", "y"][:labels]
    decision = Decision(kind="global", thresholds=np.full(labels, 0.5))
    found = score(kept, names, {}, np.ones(labels, int), decision)
    assert found.labels.support.tolist() == [documents] * labels
    assert len(worst(kept, names, {}, "they are gone").documents) == documents


@pytest.mark.parametrize(("value", "rare"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_an_interval_ends_where_it_begins_or_above_and_stays_within_0_and_1(
    value: float, rare: float
) -> None:
    # A resample of few documents may hold no positive, where a share is 0.
    draws = np.full(1000, value)
    draws[:5] = rare
    assert interval(value, draws) == (value, value)
