"""Taxonomy files: both kinds of line, and what each wrong one is told."""

import gzip
import random
import time
from pathlib import Path

import pytest

from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.labels.taxonomy import attach_taxonomy, read_taxonomy

TABS = "Root\teconomy\tpolitics\neconomy\ttrade\tprices\ntrade\ttariffs\n"
PATHS = "Root--economy--trade--tariffs\neconomy--prices\nRoot--politics\n"
PARENTS = {"trade": ("economy",), "prices": ("economy",), "tariffs": ("trade",)}


def written(folder: Path, text: str | bytes, name: str = "t.tsv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", [TABS, PATHS, TABS.replace("Root", "ROOT")])
def test_tabs_and_paths_give_the_same_parents(text: str, tmp_path: Path) -> None:
    taxonomy = read_taxonomy(written(tmp_path, text), shape="tree")
    assert taxonomy.parents == PARENTS
    names = {"economy", "politics", "trade", "prices", "tariffs"}
    assert taxonomy.lines.keys() == names


def test_a_compressed_file_with_other_line_ends_reads_the_same(tmp_path: Path) -> None:
    text = "\ufeff" + TABS.replace("\n", "\t \r\n") + "\r\n\r\neconomy \t trade\r\n"
    path = written(tmp_path, gzip.compress(text.encode()), "t.tsv.gz")
    assert read_taxonomy(path).parents == PARENTS


def test_a_label_may_have_several_parents_in_a_graph(tmp_path: Path) -> None:
    path = written(tmp_path, "a\tb\tc\nb\td\nc\td\nb\td\n")
    assert read_taxonomy(path).parents["d"] == ("b", "c")


def test_root_is_a_label_where_documents_carry_it(tmp_path: Path) -> None:
    path = written(tmp_path, "Root\ta\n")
    assert read_taxonomy(path).parents == {}
    assert read_taxonomy(path, labels=["Root", "a"]).parents == {"a": ("Root",)}


def test_a_name_keeps_its_dashes_between_tabs(tmp_path: Path) -> None:
    path = written(tmp_path, "a--b\tc\n")
    assert read_taxonomy(path, labels=["a--b"]).parents == {"c": ("a--b",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nb\tc\nc\ta\n", ":3: .* no cycle; .* 'a' < 'c' < 'b' < 'a'"),
        ("a\ta\n", ":1: .* no cycle; this line closes 'a' < 'a'"),
        ("a--b--a\n", ":1: .* no cycle; this line closes 'a' < 'b' < 'a'"),
        ("a\tb\nc\n", ":2: must be a parent and its children .* got 'c' without child"),
        ("a\tb\nRoot\t\n", ":2: .* got 'Root' without child"),
        ("a\t\tb\n", ":1: a name must stand on either side of each tab"),
        ("a--\n", ":1: a name must stand on either side of each '--'"),
        ("\ta\n", ":1: a name must stand on either side of each tab"),
        ("a\tRoot\n", ":1: Root stands above every label .* got it under 'a'"),
        ("", ": must hold at least one line parent<TAB>child"),
        ("\n \n", ": must hold at least one line parent<TAB>child"),
        (b"a\tb\nc\tcaf\xe9\n", ":2: must be UTF-8 text"),
    ],
)
def test_a_wrong_line_is_named(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"t\.tsv{message}"):
        read_taxonomy(written(tmp_path, text))


def test_a_second_parent_is_an_error_in_a_tree_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "a\tb\tc\nb\td\n\nc\td\n")
    with pytest.raises(
        DataError, match=r":4: .*'d' stands under 'c' here and under 'b' in line 2"
    ):
        read_taxonomy(path, shape="tree")
    with pytest.raises(DataError, match="shape must be one of dag, tree; got 'net'"):
        read_taxonomy(path, shape="net")


def test_a_path_is_refused_where_labels_have_its_separator_in_their_names(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "a\tb\nb--c\n")
    with pytest.raises(DataError, match=r":2: .* a label is called 'x--y'"):
        read_taxonomy(path, labels=["a", "x--y"])


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.tsv: no such file"):
        read_taxonomy(tmp_path / "absent.tsv")


def corpus(*label_sets: tuple[str, ...]) -> Corpus:
    documents = [
        Document(str(i), "text", labels) for i, labels in enumerate(label_sets)
    ]
    return Corpus("news", train=tuple(documents[1:]), test=tuple(documents[:1]))


def test_a_taxonomy_takes_the_place_of_the_corpus_s_own(tmp_path: Path) -> None:
    news = corpus(("tariffs",), ("prices", "sport"), ("economy",))
    path = written(tmp_path, "Root\teconomy\neconomy\ttrade\tprices\ntrade\ttariffs\n")
    attached = attach_taxonomy(news, path)
    assert attached.parents == PARENTS
    assert attached.notes == (
        "taxonomy t.tsv: 2 of 4 labels have a parent, 1 inner node is no label, "
        "1 label does not stand in it",
    )
    assert attached.train == news.train


def test_names_that_are_no_label_and_above_none_are_noted_with_the_nearest_label(
    tmp_path: Path,
) -> None:
    news = corpus(("tariffs",), ("prices",))
    path = written(tmp_path, "economy\tprices\neconomy\ttarifs\nx\ty\n")
    attached = attach_taxonomy(news, path)
    assert attached.parents == {"prices": ("economy",)}
    assert attached.notes[-1] == (
        f"{path}:2: 3 of its names are carried by no document and stand above no "
        "label, so they are left out: 'tarifs' (did you mean 'tariffs'?), 'x', 'y'"
    )


def test_a_taxonomy_of_other_data_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "economy\ttarifs\nx\ty\n")
    with pytest.raises(DataError, match=r"none of 4 is one, such as 'economy'"):
        attach_taxonomy(corpus(("tariffs",)), path)


@pytest.mark.parametrize("order", ["down", "up", "mixed", "path"])
def test_fifty_thousand_levels_are_read_in_a_second(order: str, tmp_path: Path) -> None:
    levels = 50_000
    lines = [f"n{level}\tn{level + 1}" for level in range(levels)]
    if order == "up":
        lines.reverse()
    elif order == "mixed":
        random.Random(0).shuffle(lines)
    elif order == "path":
        lines = ["--".join(f"n{level}" for level in range(levels + 1))]
    path = written(tmp_path, "\n".join(lines) + "\n")
    start = time.process_time()
    taxonomy = read_taxonomy(path)
    taken = time.process_time() - start
    assert len(taxonomy.parents) == levels
    assert taxonomy.parents["n7"] == ("n6",)
    assert taken < 3


def test_a_long_cycle_is_told_by_its_two_ends_and_the_line(tmp_path: Path) -> None:
    lines = [f"n{level}\tn{level + 1}" for level in range(20_000)]
    lines[15_000:15_000] = ["n9000\tn0"]
    with pytest.raises(DataError) as refused:
        read_taxonomy(written(tmp_path, "\n".join(lines) + "\n"))
    assert (
        ":15001: a taxonomy must have no cycle; this line closes 'n0' < 'n9000' < "
        "'n8999' < 'n8998' < (8,994 more) < 'n3' < 'n2' < 'n1' < 'n0' (each"
    ) in str(refused.value)


def test_the_first_of_several_cycles_is_told(tmp_path: Path) -> None:
    text = "a\tb\nc\td\nx\ty\nd\tc\nb\ta\ny\tx\n"
    with pytest.raises(DataError, match=r":4: .* closes 'c' < 'd' < 'c' "):
        read_taxonomy(written(tmp_path, text))
