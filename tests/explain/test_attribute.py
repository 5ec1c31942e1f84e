"""What moves a logit, in every kind of model: the seam and the sums."""


import numpy as np
import pytest
from scipy.special import logit

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.explain.attribute import (
    document_logit,
    label_targets,
    read_inputs,
)
from labelgraph_jax.explain.words import explain_words
from labelgraph_jax.predict import Model
from tests.explain.models import KINDS, TEXT, settings_of, untrained
from tests.test_label_sets import write_sets
from tests.tiny import write_tiny_bert, write_word_vectors


@pytest.fixture(scope="module", params=KINDS)
def model(
    request: pytest.FixtureRequest,
    tiny_data: DataConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    folder = tmp_path_factory.mktemp("untrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        config = settings_of(
            request.param,
            tiny_data,
            write_tiny_bert(folder / "bert"),
            write_word_vectors(folder / "vectors.txt"),
            write_sets(folder),
        )
        return untrained(config, folder)


def test_the_logit_of_given_vectors_is_that_of_predict_and_the_words_add_up(
    model: Model,
) -> None:
    document = Document("d", TEXT, ())
    inputs = read_inputs(model, document)
    predicted = logit(model.score(model.encode([document]).examples)[0].astype(float))
    columns = np.arange(len(model.labels))
    for column, target in zip(columns, label_targets(model, columns), strict=True):
        found = document_logit(model, inputs.state, inputs.vectors, target)
        np.testing.assert_allclose(found, predicted[column], atol=2e-5)

    # A baseline in the vectors' place is read there, and not the ids.
    if not np.allclose(inputs.vectors, inputs.baseline):
        other = document_logit(model, inputs.state, inputs.baseline, target)
        assert abs(float(other) - predicted[column]) > 1e-7

    traced, sums, read, without = explain_words(
        model, document, columns[:1], method="integrated-gradients", steps=32
    )
    assert read and without
    assert [traced.text[a:b] for a, b in traced.words] == list(traced.names)
    (found,) = sums
    np.testing.assert_allclose(
        found.words.sum() + found.frame, found.check.total, atol=1e-5
    )
    difference = found.logit - found.baseline_logit
    np.testing.assert_allclose(found.check.difference, difference, atol=1e-5)
    if model.config.head.kind != "recurrent":  # its greedy path may jump
        assert found.check.holds, found.check
    assert found.other.method == "gradient-x-input"


def test_padding_and_frame_have_no_part_in_it(model: Model) -> None:
    inputs = read_inputs(model, Document("d", TEXT, ()))
    run = model._attribute
    (target,) = label_targets(model, np.array([1]))
    found = run(
        inputs.state,
        inputs.vectors,
        inputs.baseline,
        target,
        method="gradient-x-input",
        steps=1,
    )
    rows = np.asarray(found.rows).reshape(-1, found.rows.shape[-1])
    assert np.isfinite(rows).all()
    for row, window in zip(rows, inputs.trace.sources, strict=False):
        silent = [place for place, origin in enumerate(window) if not origin]
        assert not row[silent].any()
        assert not row[len(window) :].any()
    assert not rows[len(inputs.trace.sources) :].any()
