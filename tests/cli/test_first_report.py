"""The README's first command, shortened: the report that `train` itself writes."""

import re
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig
from labelgraph_jax.runs.corpus import read_corpus
from tests.inspection.report.conftest import data_of


@pytest.mark.slow
def test_the_report_that_train_wrote_knows_the_documents_of_its_run(
    tmp_path: Path,
) -> None:
    # The corpus was read before, and then a module took the place of a function.
    read_corpus(DataConfig())
    import curses.has_key  # noqa: F401

    place = tmp_path / "run"
    small = ["--training.epochs", "1", "--text.dim", "16", "--text.ngrams", "False"]
    assert run(["train", "--quiet", "--workdir", str(place), *small]) == 0

    text = (place / "report.html").read_text(encoding="utf-8")
    assert not re.search("no longer those|is not shown|cannot be", text)
    assert re.search(r"Worst|worst", text)
    graph = data_of(place / "report.html")["graph"]
    assert len(graph["ids"]) == len(graph["positions"]) > 90
    assert min(graph["counts"]) >= 10
    assert len(set(graph["clusters"])) > 4
    shown = {view["key"] for view in graph["views"]}
    assert shown >= {"cooccurrence", "edges", "attention-1"}
    pictures = {path.stem for path in (place / "report").iterdir()}
    assert pictures >= {"network_cooccurrence", "network_edges", "label_vectors"}
