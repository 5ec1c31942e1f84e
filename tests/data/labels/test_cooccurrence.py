"""Co-occurrence counted from documents equals that of their dense targets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.labels import cooccurrence
from tests.reference import adjacency as reference

label_sets = st.lists(st.lists(st.sampled_from("abcdxy"), unique=True), max_size=8)


@settings(max_examples=40, deadline=None)
@given(label_sets)
def test_counts_equal_the_loop_over_dense_targets(sets: list[list[str]]) -> None:
    # x and y have no column.
    labels = LabelSpace(tuple("abcd"))
    documents = [Document(str(i), "t", tuple(names)) for i, names in enumerate(sets)]
    counts = cooccurrence.cooccurrence_counts(documents, labels)
    assert counts.dtype == np.float32
    targets, _ = labels.targets(documents)
    np.testing.assert_array_equal(counts, reference.cooccurrence(targets))
