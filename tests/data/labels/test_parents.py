"""Parents through inner nodes that no document carries."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.labels.parents import labelled_parents, parents_above
from tests.reference.taxonomy import ancestor_matrix

# wheat and corn stand under cereals, which no document carries, under crops.
CHAIN = {"wheat": ("cereals",), "corn": ("cereals",), "cereals": ("crops",)}
NAMES = tuple("abcdefg")
edges = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda e: e[0] < e[1]),
    max_size=12,
)


def test_what_lies_above_a_label_stays_with_it_and_the_rest_goes() -> None:
    parents = {**CHAIN, "oil": ("energy",), "crops": ()}
    assert parents_above(["wheat"], parents) == {
        "wheat": ("cereals",),
        "cereals": ("crops",),
    }


def test_a_label_is_joined_to_the_nearest_label_above_an_inner_node() -> None:
    assert labelled_parents(["crops", "wheat"], CHAIN) == {"wheat": ("crops",)}
    assert labelled_parents(["corn", "wheat"], CHAIN) == {}


def test_two_ways_through_inner_nodes_to_one_label_count_once() -> None:
    diamond = {"a": ("x", "y"), "x": ("top",), "y": ("top",)}
    assert labelled_parents(["a", "top"], diamond) == {"a": ("top",)}


def test_a_cycle_of_inner_nodes_is_passed_through_once() -> None:
    assert labelled_parents(
        ["a", "b"], {"a": ("x",), "x": ("y",), "y": ("x", "b")}
    ) == {"a": ("b",)}
    assert labelled_parents(["a"], {"a": ("x",), "x": ("a",)}) == {}


@settings(max_examples=60, deadline=None)
@given(edges, st.sets(st.sampled_from(NAMES), min_size=1))
def test_the_ancestor_relation_of_the_labels_survives_without_the_inner_nodes(
    pairs: list[tuple[int, int]], labels: set[str]
) -> None:
    parents: dict[str, tuple[str, ...]] = {}
    for child, parent in pairs:
        name = NAMES[child]
        parents[name] = (*parents.get(name, ()), NAMES[parent])
    whole = ancestor_matrix(pairs, len(NAMES))
    documents = [Document("1", "text", tuple(labels))]
    space = LabelSpace.from_documents(documents, parents=parents)
    columns = [NAMES.index(name) for name in space.names]
    np.testing.assert_array_equal(
        ancestor_matrix(space.parent_pairs().tolist(), len(space)),
        whole[np.ix_(columns, columns)],
    )
    again = LabelSpace.from_json(space.to_json())
    np.testing.assert_array_equal(again.parent_pairs(), space.parent_pairs())


def test_labels_below_a_long_chain_do_not_climb_it_one_by_one() -> None:
    levels = 30_000
    parents = {f"n{i + 1}": (f"n{i}",) for i in range(levels)}
    parents |= {f"l{i}": (f"n{i}",) for i in range(levels)}
    names = [f"l{i}" for i in range(levels)] + ["n0"]
    start = time.process_time()
    found = labelled_parents(names, parents)
    assert time.process_time() - start < 3
    assert found == dict.fromkeys(names[:-1], ("n0",))
