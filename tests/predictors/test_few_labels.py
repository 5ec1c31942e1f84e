"""Which way learns from unlabelled documents, chosen on the labelled ones."""

import functools

import numpy as np
import pytest

from labelgraph_jax.predictors.few_labels import (
    KINDS,
    SemiChoice,
    choose_semi,
    pseudo_targets,
)


def clusters(
    documents: int, seed: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Documents around 8 centres, and the labels of their centre.

    With a shift the documents lie elsewhere, and their labels with them.
    """
    generator = np.random.default_rng((seed, 3))
    centres = np.random.default_rng(9).normal(size=(8, 12))
    owned = np.random.default_rng(10).random((8, 5)) < 0.3
    owned[0, 0] = True
    which = generator.integers(0, 8, documents)
    vectors = centres[which] + 1.2 * generator.normal(size=(documents, 12))
    vectors = vectors + shift * np.random.default_rng(11).normal(size=12)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), owned[which].astype(np.float32)


@functools.cache
def chosen() -> SemiChoice:
    labelled, targets = clusters(60, 0)
    return choose_semi(labelled, targets, clusters(600, 1)[0])


def test_every_way_is_measured_with_an_interval() -> None:
    choice = chosen()
    assert set(choice.gains) == set(KINDS)
    assert set(choice.heads) == {"none", *KINDS}
    assert choice.kind in choice.heads
    for kind, gains in choice.gains.items():
        assert gains["mean_f1"].low <= gains["mean_f1"].high
        assert 0 <= choice.sure[kind] <= 1
        assert choice.heads[kind].weights.shape == (13, 5)
        assert choice.heads[kind].cross_fitted.shape == (60, 5)
        assert choice.pseudo[kind].targets.shape == (600, 5)


def test_the_choice_says_itself_in_a_line() -> None:
    choice = chosen()
    for kind in ("none", "graph"):
        said = choice._replace(kind=kind).said
        assert said.startswith(f"'{kind}'")
        assert said.endswith("on labelled documents held back")


def test_nothing_is_chosen_where_unlabelled_documents_are_of_another_kind() -> None:
    labelled, targets = clusters(60, 0)
    assert chosen().apart < 0.7
    for seed in range(2):
        others = clusters(600, seed + 5, shift=6.0)[0]
        choice = choose_semi(labelled, targets, others, kinds=("cap",), seed=seed)
        assert choice.kind == "none"
        assert choice.apart > 0.9
        assert "are of another kind" in choice.said


def test_without_unlabelled_documents_the_supervised_head_is_left_as_it_is() -> None:
    labelled, targets = clusters(60, 0)
    alone = choose_semi(labelled, targets, labelled[:0])
    assert alone.kind == "none"
    assert not alone.gains
    np.testing.assert_array_equal(
        alone.heads["none"].weights, chosen().heads["none"].weights
    )


def test_pseudo_targets_are_those_of_the_way_asked_for() -> None:
    labelled, targets = clusters(60, 0)
    found = pseudo_targets(labelled, targets, clusters(600, 1)[0], kind="cap")
    np.testing.assert_array_equal(found.targets, chosen().pseudo["cap"].targets)


def test_bad_input_gets_one_sentence() -> None:
    labelled, targets = clusters(60, 0)
    with pytest.raises(ValueError, match="at least 20 labelled ones, got 12"):
        choose_semi(labelled[:12], targets[:12], labelled)
    with pytest.raises(ValueError, match="must carry a label, got none in any"):
        choose_semi(labelled, 0 * targets, labelled)
    with pytest.raises(ValueError, match="must be an unlabelled document, got none"):
        pseudo_targets(labelled, targets, labelled[:0], kind="cap")
