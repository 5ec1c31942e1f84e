"""The tree of a taxonomy in the report."""

from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.inspection.report import write_report
from labelgraph_jax.inspection.report.tree import Tree, taxonomy_tree


def test_every_node_stands_once_below_its_first_parent_with_its_f1():
    labels = LabelSpace(
        ("a", "b", "c", "d"), parents={"b": ("a",), "c": ("a", "top"), "d": ("c",)}
    )
    f1 = {name: {"f1": 0.5, "support": 3} for name in labels.names}
    tree = taxonomy_tree(labels, f1)
    assert isinstance(tree, Tree) and tree.nodes == 5
    assert [(row.depth, row.name) for row in tree.rows] == [
        *((0, "a"), (1, "b"), (1, "c"), (2, "d"), (0, "top"))
    ]
    assert tree.rows[2].also == ("top",)
    assert (tree.rows[-1].f1, tree.rows[-1].support) == (None, None)
    assert "No label" in taxonomy_tree(LabelSpace(("a",)), {})


def test_the_report_of_a_run_draws_it(zoo, tmp_path):
    run = zoo.copy("taxonomy", tmp_path / "run") / "run"
    run = run if run.is_dir() else tmp_path / "run"
    written = write_report(run, out=tmp_path / "out")
    page = written.page.read_text(encoding="utf-8")
    assert "The taxonomy" in page and "one without F1 is no label" in page
    plain = write_report(zoo("bag"), out=tmp_path / "plain").page.read_text("utf-8")
    assert "The taxonomy" not in plain
