"""The words that an explanation names are worth more than words at random."""

from pathlib import Path

import labelgraph_jax as lg
from experiments.explain_faithfulness import deletion_test, without
from labelgraph_jax.config import DataConfig
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.corpus import read_corpus


def test_the_named_words_matter_more_than_random_ones(
    trained: Path, tiny_data: DataConfig
) -> None:
    model = lg.load(trained)
    assert isinstance(model, Model)
    texts = [document.text for document in read_corpus(tiny_data).test]
    measured = deletion_test(model, texts, words=2)
    assert len(measured.named) == len(texts)
    assert measured.named.mean() > measured.random.mean() + 0.5
    assert measured.wins > 0.6
    assert without("a bb c", [(0, 1), (2, 4), (5, 6)], [1, 2]) == "a  "
