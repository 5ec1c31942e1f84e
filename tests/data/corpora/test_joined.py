"""Two corpora as one, each a task of its own."""

import dataclasses

import numpy as np
import pytest

from labelgraph_jax.data.corpora.joined import join_corpora
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace


def corpus(name: str, *labels: str, **fields) -> Corpus:
    documents = tuple(Document(f"d{i}", f"a {x}", (x,)) for i, x in enumerate(labels))
    splits = {"train": documents, "validation": documents[:1], "test": documents[:1]}
    return Corpus(**{"name": name, **splits, **fields})


def test_documents_are_annotated_for_the_labels_of_their_own_corpus() -> None:
    joined = join_corpora([corpus("news", "oil", "corn"), corpus("mood", "joy")])
    assert joined.name == "news+mood"
    assert joined.learned_tasks == ("news", "mood")
    assert [d.id for d in joined.train] == ["news/d0", "news/d1", "mood/d0"]
    space = LabelSpace.from_documents(joined.train, tasks=joined.learned_tasks)
    assert space.names == ("mood/joy", "news/corn", "news/oil")
    np.testing.assert_array_equal(
        space.target_mask(joined.train),
        [[False, True, True], [False, True, True], [True, False, False]],
    )
    assert {t: list(c) for t, c in space.task_columns.items()} == {
        "news": [1, 2],
        "mood": [0],
    }


def test_what_is_known_about_labels_goes_with_them() -> None:
    news = corpus(
        "news",
        "oil",
        label_descriptions={"oil": "crude"},
        parents={"oil": ("energy",)},
        notes=("cut",),
    )
    news = dataclasses.replace(
        news,
        train=(Document("d", "t", ("oil",), unannotated=("gas",)),),
    )
    joined = join_corpora([news, corpus("mood", "joy")])
    assert joined.label_descriptions == {"news/oil": "crude"}
    assert joined.parents == {"news/oil": ("news/energy",)}
    assert joined.notes == ("news: cut",)
    assert joined.train[0].unannotated == ("mood/", "news/gas")


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        ([corpus("a", "x")], r"two corpora or more to join; got \['a'\]"),
        ([corpus("a", "x"), corpus("a", "y")], "'a' stands there twice"),
        ([corpus("a/b", "x"), corpus("c", "y")], "no slash in its name; got 'a/b'"),
        (
            [corpus("a", "x"), corpus("b", "y", validation=())],
            "a validation split, or none; b has none",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(corpora, message: str) -> None:
    with pytest.raises(DataError, match=message):
        join_corpora(corpora)
