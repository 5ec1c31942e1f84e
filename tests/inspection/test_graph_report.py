"""What a report says of an adjacency, against counting by hand."""

import json

import numpy as np
import pytest

from labelgraph_jax.functional.graph.adjacency import (
    conditional_adjacency,
    cooccurrence,
    thresholded_adjacency,
)
from labelgraph_jax.inspection.graph.report import compare, describe, threshold

LABELS = ("corn", "grain", "oil", "wheat")
# Six documents: wheat and corn always with grain, oil always alone.
TARGETS = np.array(
    [
        [0, 1, 0, 1],
        [0, 1, 0, 1],
        [0, 1, 0, 1],
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ],
    np.float32,
)
COUNTS = np.asarray(cooccurrence(TARGETS))
CONDITIONAL = np.asarray(conditional_adjacency(COUNTS))


def test_a_report_of_four_labels_says_what_counting_by_hand_finds() -> None:
    report = describe(
        "farm",
        LABELS,
        CONDITIONAL,
        {"initialisation": "cooccurrence"},
        strongest=9,
        counts=COUNTS,
        conditional=CONDITIONAL,
    )
    assert (report.labels, report.edges, report.self_loops) == (4, 4, 4)
    assert report.density == pytest.approx(4 / 12)
    assert report.reciprocated == 1.0
    assert report.mean_senders == 1.0
    assert report.most_senders == ("grain", 2)
    assert report.isolated == ("oil",)
    # P(grain | wheat) = P(grain | corn) = 1: the one that rests on more documents
    # comes first.
    found = [
        (e.receiver, e.sender, e.probability, e.documents) for e in report.strongest
    ]
    assert found == [
        ("wheat", "grain", 1.0, 3),
        ("corn", "grain", 1.0, 1),
        ("grain", "wheat", pytest.approx(0.6), 3),
        ("grain", "corn", pytest.approx(0.2), 1),
    ]
    assert json.loads(json.dumps(report.to_json()))["isolated"] == ["oil"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_only_so_many_edges_are_named(count: int) -> None:
    report = describe("farm", LABELS, CONDITIONAL, {}, strongest=count)
    assert len(report.strongest) == count
    assert all(edge.documents is None for edge in report.strongest)


def test_a_graph_of_self_loops_has_no_edge_to_name() -> None:
    report = describe("none", LABELS, np.eye(4, dtype=np.float32), {}, strongest=3)
    assert report.strongest == ()
    assert report.isolated == LABELS


@pytest.mark.parametrize("tau", [0.1, 0.2, 0.5, 1.0])
def test_a_threshold_keeps_what_the_thresholded_adjacency_keeps(tau: float) -> None:
    kept = np.array(thresholded_adjacency(COUNTS, tau=tau, p=0.2))
    np.fill_diagonal(kept, 0.0)
    others = CONDITIONAL.copy()
    np.fill_diagonal(others, 0.0)
    row = threshold(others, tau)
    assert row.edges == np.count_nonzero(kept)
    assert row.isolated == (kept == 0).all(axis=1).sum()


def test_what_training_changed_is_named_and_the_diagonal_left_out() -> None:
    before = np.full((3, 3), 0.5, np.float32)
    after = before.copy()
    after[0, 1], after[2, 0] = 0.9, 0.1
    after[1, 1] = 5.0
    learned = compare(("a", "b", "c"), before, after, 2)
    assert learned.correlation is None  # all weights were equal before
    assert learned.mean_change == pytest.approx(0.8 / 6)
    (gained,) = learned.strengthened
    assert (gained.receiver, gained.sender) == ("a", "b")
    assert (gained.before, gained.weight) == (0.5, pytest.approx(0.9))
    (lost,) = learned.weakened
    assert (lost.receiver, lost.sender) == ("c", "a")
    assert learned.strongest[0] == gained
    assert compare(("a", "b", "c"), after, after, 2).correlation == pytest.approx(1.0)
