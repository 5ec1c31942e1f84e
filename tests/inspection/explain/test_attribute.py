"""What moves a logit, in every kind of model: the seam and the sums."""

import numpy as np
import pytest
from scipy.special import logit

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.inspection.explain.attribute import read_inputs
from labelgraph_jax.inspection.explain.words import explain_words
from labelgraph_jax.predictors.model import Model
from tests.inspection.explain.models import KINDS, TEXT, settings_of, untrained
from tests.tiny import write_tiny_bert, write_word_vectors
from tests.tiny_sets import write_sets


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


def test_the_vectors_give_the_logit_of_predict_and_the_words_add_up(
    model: Model,
) -> None:
    document = Document("d", TEXT, ())
    predicted = logit(model.score_documents([document])[1][0].astype(float))
    columns = np.array([1, len(model.labels) - 1])
    traced, sums, read, without = explain_words(
        model, document, columns, method="integrated-gradients", steps=32
    )
    assert read and without
    assert [traced.text[a:b] for a, b in traced.words] == list(traced.names)
    for found, column in zip(sums, columns, strict=True):
        np.testing.assert_allclose(found.logit, predicted[column], atol=2e-5)
        assert found.baseline_logit != found.logit
        added = found.words.sum() + found.frame
        np.testing.assert_allclose(added, found.check.total, atol=1e-5)
        difference = found.logit - found.baseline_logit
        np.testing.assert_allclose(found.check.difference, difference, atol=1e-5)
        if model.config.head.kind != "recurrent":  # its greedy path may jump
            assert found.check.holds, found.check
        assert found.other.method == "gradient-x-input"

    # Padding, [CLS] and [SEP] have no part in it.
    inputs = read_inputs(model, document)
    still = np.asarray(inputs.vectors == inputs.baseline).all(axis=-1)
    still = still.reshape(-1, still.shape[-1])
    for row, window in zip(still, inputs.trace.sources, strict=False):
        assert row[[place for place, origin in enumerate(window) if not origin]].all()
        assert row[len(window) :].all()
    assert still[len(inputs.trace.sources) :].all()
