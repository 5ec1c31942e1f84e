"""What `labelgraph report` writes of a finished run, and of every other kind of run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.functional.metrics.bootstrap import document_draws, resampled_f1
from labelgraph_jax.inspection.report import WrittenReport, has_report, write_report
from labelgraph_jax.inspection.report.contents import (
    Graph,
    Overall,
    Scored,
    Vectors,
    Worst,
)
from labelgraph_jax.inspection.report.intervals import interval, resampled
from labelgraph_jax.inspection.report.page import embedded
from labelgraph_jax.predictors.kept import FILE, read_kept
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.evaluate import evaluate_workdir
from tests.inspection.report.conftest import data_of
from tests.zoo import Zoo


def test_the_page_is_whole_and_its_pictures_lie_beside_it(
    written: WrittenReport,
) -> None:
    text = written.page.read_text(encoding="utf-8")
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text).replace(
        "http-equiv", ""
    )
    assert {path.name for path in written.pictures} >= {
        "learning_curves.png",
        "metrics.png",
        "f1_by_frequency.png",
        "reliability.png",
        "thresholds.png",
        "graph_cooccurrence.png",
        "graph_edges_after.png",
        "network_edges.png",
        "attention_heads.png",
        "label_vectors.png",
    }
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in written.pictures)
    assert written.report.sections()["gates"].startswith("This run has no mixture")
    assert data_of(written.page)["labels"]["names"][1] == "corn"


def test_a_part_that_is_not_there_has_no_section(
    written: WrittenReport, zoo: Zoo, tmp_path: Path
) -> None:
    def headings(page: Path) -> list[str]:
        return re.findall(r"<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))

    assert "Gates" not in headings(written.page)
    assert written.report.left_out() == {}  # a mixture that was never asked for
    assert "Gates" in headings(write_report(zoo.copy("mixture", tmp_path / "m")).page)
    joined = write_report(zoo.copy("ensemble", tmp_path / "both"))
    assert not {"Training", "The label graph", "Settings"} & set(headings(joined.page))
    assert headings(joined.page)[-1] == "Not on this page"
    left_out = {name for names in joined.report.left_out().values() for name in names}
    # Where nothing is confused there is no confusion to draw either.
    left_out -= {"confusion"}
    assert left_out == {"training curves", "label graph", "label vectors"}


def test_the_calibration_of_predicted_cells_stands_beside_that_of_all(
    written: WrittenReport, finished: Path
) -> None:
    kept = read_kept(Workdir(finished))
    assert kept is not None and isinstance(written.report.scored, Scored)
    calibration = written.report.scored.calibration
    for own, cells in (
        (calibration.every, kept.known),
        (calibration.predicted, kept.decided & kept.known),
    ):
        assert own.cells.sum() == cells.sum() > 0
        assert own.positives.sum() == kept.hits[cells].sum()
    page = written.page.read_text(encoding="utf-8")
    assert calibration.predicted_error is not None
    for error, cells in (
        (calibration.error, f"all {calibration.every.cells.sum():,} cells"),
        (calibration.predicted_error, "predicted"),
    ):
        # In the tile, in the diagram and below it.
        assert page.count(f"{error:.4f}") >= 3 and cells in page


def test_curves_of_precision_and_recall_are_those_of_scikit_learn(
    written: WrittenReport, finished: Path
) -> None:
    kept = read_kept(Workdir(finished))
    assert kept is not None
    scored = written.report.scored
    assert isinstance(scored, Scored)
    first = next(iter(scored.trade_offs))
    assert first.startswith("all cells (micro), AP ") and len(scored.trade_offs) > 1
    for recall, precision in scored.trade_offs.values():
        assert (np.diff(recall) >= 0).all() and recall[-1] == pytest.approx(1)
        assert ((precision > 0) & (precision <= 1)).sum() >= len(precision) - 1
    truth, scores = kept.hits[kept.known], kept.probabilities[kept.known]
    assert first.endswith(f"AP {average_precision_score(truth, scores):.2f}")
    precision, recall, _ = precision_recall_curve(truth, scores)
    theirs = set(zip(recall.round(6), precision.round(6), strict=True))
    ours = zip(*(part.round(6) for part in scored.trade_offs[first]), strict=True)
    assert set(ours) <= theirs


def test_the_f1_of_a_baseline_by_label_stands_in_the_table(copied: Path) -> None:
    results = json.loads((copied / "results.json").read_text())
    del results["baseline"]["label_f1"]  # as 0.6.0 left it
    (copied / "results.json").write_text(json.dumps(results))
    plain = data_of(write_report(copied).page)["labels"]
    assert plain["baseline_f1"] is None
    own = [0.5] * (len(plain["names"]) - 1) + [None]
    results["baseline"]["label_f1"] = dict.fromkeys(results["baseline"]["metrics"], own)
    (copied / "results.json").write_text(json.dumps(results))
    page = write_report(copied).page
    assert data_of(page)["labels"]["baseline_f1"] == own


def test_the_data_and_the_settings_of_the_run_are_told(written: WrittenReport) -> None:
    data = written.report.data
    assert list(data.splits) == ["train", "validation", "test"]
    documents, labels = data.columns.index("documents"), data.columns.index("labels")
    assert int(data.splits["train"][documents]) > int(data.splits["test"][documents])
    assert int(data.splits["train"][labels]) == 6
    counts = [count for _, count in data.labels]
    assert counts == sorted(counts, reverse=True) and len(counts) == 6
    settings = {s.name: s for s in written.report.settings}
    assert settings["text.encoder"].value == "bag"
    changed = [s.name for s in written.report.settings if s.value != s.default]
    assert "training.epochs" in changed and "data.data" in changed
    page = written.page.read_text(encoding="utf-8")
    assert "settings that have their default" in page


def test_a_run_that_logged_no_validation_loss_has_its_curves(
    copied: Path, written: WrittenReport
) -> None:
    def legend(page: Path) -> bool:
        return "validation loss" in page.read_text(encoding="utf-8")

    assert legend(written.page)
    log = copied / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("validation/loss" in line for line in lines)
    old = [{n: v for n, v in line.items() if n != "validation/loss"} for line in lines]
    log.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert not legend(write_report(copied).page)


def test_what_is_embedded_ends_no_script_and_reads_back() -> None:
    value = ["</script><!--", "a & b", "\u2028", "ξ"]
    text = embedded(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_its_numbers_are_those_of_the_run(
    finished: Path, written: WrittenReport
) -> None:
    results = json.loads((finished / "results.json").read_text())
    overall, scored = written.report.overall, written.report.scored
    assert isinstance(overall, Overall) and isinstance(scored, Scored)
    for metric in overall.metrics:
        assert metric.value == results["test"]["metrics"][metric.name]
        if metric.low is not None and metric.high is not None:
            assert metric.low <= metric.value <= metric.high
    assert (
        overall.others["SVM, tuned"]["micro_f1"]
        == (results["baseline"]["metrics"]["SVM, tuned"]["micro_f1"])
    )
    labels = scored.labels
    f1 = np.nan_to_num(labels.f1).mean()
    assert f1 == pytest.approx(results["test"]["metrics"]["macro_f1"])
    assert labels.support.sum() == sum(
        len(json.loads(line)["labels"])
        for line in Path(
            json.loads((finished / "config.json").read_text())["data"]["test"]
        )
        .read_text()
        .splitlines()
    )


def test_resampled_f1_is_that_of_the_functional_bootstrap(finished: Path) -> None:
    model = load(finished)
    documents = read_corpus(model.config.data).test
    encoded, probabilities = model.score_documents(documents)
    decided = model.decision.decide(probabilities)
    draws = document_draws(len(documents), 50, seed=3)
    expected = resampled_f1(decided, encoded.examples.multi_hot, draws)
    kept = read_kept(Workdir(finished))
    assert kept is not None
    found = resampled(kept, resamples=50, seed=3)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_an_interval_is_centred_on_the_value_and_stays_within_0_and_1() -> None:
    draws = np.linspace(0.2, 0.4, 101)
    low, high = interval(0.5, draws)
    assert (low, high) == pytest.approx((0.405, 0.595))
    assert interval(0.99, draws)[1] == 1.0


def test_the_graph_has_views_before_and_after_training(written: WrittenReport) -> None:
    graph, vectors = written.report.graph, written.report.vectors
    assert isinstance(graph, Graph) and isinstance(vectors, Vectors)
    views = {(view.key, view.when): view.weights for view in graph.views}
    assert ("cooccurrence", "") in views
    for layer in (1, 2):
        for head in ("", "-1", "-2"):
            after = views[(f"attention-{layer}{head}", "after")]
            # Every label attends to every label here: a row sums to 1.
            np.testing.assert_allclose(after.sum(axis=1), 1.0, atol=1e-4)
            before = views[(f"attention-{layer}{head}", "before")]
            assert np.abs(after - before).max() > 1e-4
    assert graph.positions.shape == (6, 2)
    assert sorted(vectors.ids) == list(range(6))


def test_before_training_is_what_the_run_started_from(finished: Path) -> None:
    import jax

    from labelgraph_jax.inspection.label_side import first_params
    from labelgraph_jax.runs.labels import LabelProblem

    model = load(finished)
    key = jax.random.key(model.config.training.seed)
    problem = LabelProblem(model.config)
    prepared = problem.prepare(problem.read(), lambda line: None)
    expected = problem.init(prepared, key)["label_graph"]
    found = first_params(model)["label_graph"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_the_worst_documents_come_with_their_texts(written: WrittenReport) -> None:
    worst = written.report.worst
    assert isinstance(worst, Worst)
    losses = [document.loss for document in worst.documents]
    assert losses == sorted(losses, reverse=True)
    assert all(document.text for document in worst.documents)


def test_predictions_are_kept_by_training_and_by_evaluate(copied: Path) -> None:
    before = read_kept(Workdir(copied))
    assert before is not None and before.is_whole
    (copied / FILE).unlink()
    evaluate_workdir(copied)
    after = read_kept(Workdir(copied))
    assert after is not None
    np.testing.assert_array_equal(before.probabilities, after.probabilities)


def test_kept_predictions_of_other_thresholds_are_not_used(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "thresholds.json"
    values = json.loads(path.read_text())
    values["thresholds"]["corn"] = 0.01
    path.write_text(json.dumps(values))
    assert read_kept(Workdir(copied)) is None
    assert run(["doctor", str(copied), "--accept", "--quiet"]) == 0
    assert run(["report", str(copied), "--out", str(copied / "out")]) == 0
    assert "whose predictions are not kept here" in capsys.readouterr().err


def test_without_the_corpus_the_report_says_what_is_missing(
    copied: Path, tmp_path: Path
) -> None:
    config = json.loads((copied / "config.json").read_text())
    for name in ("data", "validation", "test"):
        config["data"][name] = str(tmp_path / "gone.jsonl")
    (copied / "config.json").write_text(json.dumps(config))
    report = write_report(copied).report
    assert isinstance(report.scored, Scored) and isinstance(report.graph, Graph)
    assert "Co-occurrence is not shown" in report.graph.notes[0]
    assert isinstance(report.worst, Worst)
    assert "Their texts are not shown" in report.worst.note
    (copied / FILE).unlink()
    report = write_report(copied).report
    assert isinstance(report.scored, str)
    assert "are not kept in this directory" in report.scored


def test_a_file_is_reported_on_in_place_of_the_test_split(
    finished: Path, nasty_data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--data",
        nasty_data.validation,
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    assert run(["report", str(finished), *options]) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["report"]).is_file()
    assert {m["name"] for m in said["metrics"]} >= {"micro_f1", "LRAP"}
    assert "validation.jsonl" in Path(said["report"]).read_text()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda place: shutil.rmtree(place), "no such work directory"),
        (lambda place: (place / "results.json").unlink(), "training has not finished"),
    ],
)
def test_what_is_no_finished_run_is_refused(
    copied: Path, prepare, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(copied)
    assert run(["report", str(copied)]) == 2
    assert message in capsys.readouterr().err


def test_a_report_goes_into_no_file(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="must be a folder, it is a file"):
        write_report(copied, out=tmp_path / "file")


def test_training_leaves_a_report_and_survives_one_that_fails(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", "--config", str(copied / "config.json"), "--workdir", str(copied)]
    assert run([*train, "--no-report"]) == 0
    assert not has_report(copied)
    assert run(train) == 0
    assert f"Report: {copied}/report.html" in capsys.readouterr().out
    assert has_report(copied)
    (copied / "report.html").unlink()
    (copied / "test_predictions.npz").write_bytes(b"broken")
    assert run(train) == 0
    assert "warning: no report was written" in capsys.readouterr().err
