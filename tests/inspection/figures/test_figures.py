"""What figures draw, on whose axes, and what they refuse."""

import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import colors, pyplot

import labelgraph_jax as lg
from labelgraph_jax.functional.metrics.calibration import calibration_bins
from labelgraph_jax.inspection.figures import palette
from labelgraph_jax.inspection.figures.axes import name_points
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.logs import MetricsLog

NAMES = ["corn", "grain", "oil", "ship", "wheat"]
RNG = np.random.default_rng(0)
MATRIX = RNG.integers(0, 9, (5, 5)).astype(float)
HISTORY = [
    {"step": 10, "loss": 0.5},
    {"step": 20, "loss": None, "epoch_loss": 0.4, "validation/micro_f1": 0.3},
    {"step": 40, "loss": 0.2, "epoch_loss": 0.3, "validation/micro_f1": 0.6},
]
PROBABILITIES = RNG.random((40, 5))
TARGETS = (RNG.random((40, 5)) < PROBABILITIES).astype(float)

DRAWN = {
    "learning_curves": lambda **o: lg.figures.learning_curves(HISTORY, **o),
    "metric_intervals": lambda **o: lg.figures.metric_intervals(
        [("micro F1", 0.8, 0.7, 0.9), ("macro F1", 0.5, 0.4, 0.55)],
        {"micro F1": 0.75, "other": 0.1},
        **o,
    ),
    "f1_by_frequency": lambda **o: lg.figures.f1_by_frequency(
        [100, 40, 10, 3, 0], [0.9, 0.8, np.nan, 0.2, 0.0], names=NAMES, **o
    ),
    "reliability_diagram": lambda **o: lg.figures.reliability_diagram(
        PROBABILITIES, TARGETS, **o
    ),
    "threshold_curves": lambda **o: lg.figures.threshold_curves(
        {"micro F1": [0.5, 0.7, 0.6]}, [0.2, 0.5, 0.8], chosen=0.5, **o
    ),
    "precision_recall_curves": lambda **o: lg.figures.precision_recall_curves(
        {"all": ([0.2, 0.6, 1.0], [1.0, 0.8, 0.4]), "corn": ([1.0], [0.5])}, **o
    ),
    "label_confusion": lambda **o: lg.figures.label_confusion(MATRIX, NAMES, **o),
    "adjacency_heat_map": lambda **o: lg.figures.adjacency_heat_map(MATRIX, NAMES, **o),
    "label_network": lambda **o: lg.figures.label_network(
        MATRIX, NAMES, clusters=["a", "a", "b", "b", None], **o
    ),
    "label_vectors": lambda **o: lg.figures.label_vectors(
        RNG.normal(size=(5, 2)), NAMES, counts=[9, 4, 3, 2, 1], clusters=range(5), **o
    ),
    "gate_weights": lambda **o: lg.figures.gate_weights(
        [[0.25, 0.75], [1.0, 0.0]], ["topics", "places"], **o
    ),
}
every_figure = pytest.mark.parametrize("name", sorted(DRAWN))


def svg(ax):
    file = io.StringIO()
    ax.figure.savefig(file, format="svg")
    return file.getvalue()


def texts(ax):
    ax.figure.canvas.draw()
    found = ax.figure.findobj(matplotlib.text.Text)
    return {text.get_text() for text in found if text.get_visible()} - {""}


def test_there_is_a_test_for_every_figure():
    assert {*DRAWN, "palette"} == set(lg.figures.__all__)


@every_figure
def test_without_axes_a_figure_is_made_and_its_title_stands_on_it(name):
    ax = DRAWN[name](title="costs $5 or $6")
    assert pyplot.fignum_exists(ax.figure.number)
    assert r"costs \$5 or \$6" in texts(ax)


@every_figure
def test_given_axes_are_drawn_on_and_returned_without_pyplot(name):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    first, second = figure.subplots(1, 2)
    assert DRAWN[name](ax=first) is first
    assert not pyplot.get_fignums()
    assert first.has_data() or first.collections
    assert not second.has_data()


@every_figure
def test_a_drawing_uses_the_colours_of_the_palette_and_no_other_ink(name):
    known = {palette.INK, palette.MUTED, palette.GRID, *palette.CATEGORIES}
    known |= {palette.ON_LIGHT, palette.ON_DARK, "#ffffff"}
    drawing = svg(DRAWN[name](title="title"))
    assert palette.INK in drawing
    strokes = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", drawing))
    assert strokes <= known, strokes - known
    assert "#000000" not in drawing


@every_figure
def test_text_takes_the_colour_of_the_users_own_style(name):
    with matplotlib.rc_context({"text.color": "#123456"}):
        drawing = svg(DRAWN[name]())
    assert "#123456" in drawing and palette.INK not in drawing


@every_figure
def test_nothing_is_clipped_at_the_edge_of_the_figure(name):
    figure = DRAWN[name](title="title").figure
    figure.canvas.draw()
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.02 and box.y0 >= -0.02
    assert box.x1 <= size[0] + 0.02 and box.y1 <= size[1] + 0.02


def test_the_constants_of_the_palette_are_lower_case_and_each_of_one_role():
    roles = [palette.INK, palette.MUTED, palette.GRID, *palette.CATEGORIES]
    roles += [palette.ON_LIGHT, palette.ON_DARK]
    assert len(set(roles)) == len(roles)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in roles)


def test_curves_are_the_numbers_of_the_log_and_pass_over_those_that_are_null():
    ax = lg.figures.learning_curves(HISTORY)
    batch, epoch = (line.get_xydata().tolist() for line in ax.get_lines())
    assert batch == [[10, 0.5], [40, 0.2]] and epoch == [[20, 0.4], [40, 0.3]]
    right = next(other for other in ax.figure.axes if other is not ax)
    assert right.get_lines()[0].get_xydata().tolist() == [[20, 0.3], [40, 0.6]]


def test_the_validation_loss_stands_beside_that_of_training():
    history = [{**line, "validation/loss": 0.5} for line in HISTORY[1:]]
    ax = lg.figures.learning_curves(history)
    assert ax.get_lines()[-1].get_xydata().tolist() == [[20, 0.5], [40, 0.5]]
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert "validation loss" in legend
    alone = lg.figures.learning_curves([{"step": 1, "validation/loss": 0.5}])
    assert len(alone.figure.axes) == 1


def test_a_log_of_other_metrics_shows_these():
    ax = lg.figures.learning_curves([{"step": 1, "validation/auc": 0.5}])
    assert "validation auc" in texts(ax)


def test_a_loss_that_is_not_positive_has_no_log_axis():
    ax = lg.figures.learning_curves([{"step": 1, "loss": 0.0}, {"step": 2, "loss": 1}])
    assert ax.get_yscale() == "linear"


def test_intervals_and_the_baselines_shared_metrics_stand_on_their_rows():
    ax = DRAWN["metric_intervals"]()
    value, baseline = ax.get_lines()
    assert value.get_xydata().tolist() == [[0.8, 0], [0.5, 1]]
    assert baseline.get_xydata().tolist() == [[0.75, 0]]
    assert "0.800  [0.700, 0.900]" in texts(ax)


def test_labels_without_a_test_document_are_left_out_of_groups_and_means():
    ax = DRAWN["f1_by_frequency"]()
    assert sum(len(dots.get_offsets()) for dots in ax.collections[::2]) >= 4
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert legend == {"head: 1 label, mean 0.90", "middle: 1 label, mean 0.80",
                      "tail: 2 labels, mean 0.10"}  # fmt: skip
    assert "none" in texts(ax)


def test_a_reliability_diagram_of_counted_bins_is_that_of_the_cells():
    whole = lg.figures.reliability_diagram(PROBABILITIES, TARGETS)
    parts = calibration_bins(PROBABILITIES[:7], TARGETS[:7])
    parts += calibration_bins(PROBABILITIES[7:], TARGETS[7:])
    counted = lg.figures.reliability_diagram(parts)
    for one, other in zip(whole.get_lines(), counted.get_lines(), strict=True):
        np.testing.assert_allclose(one.get_xydata(), other.get_xydata())
    assert any("expected calibration error" in text for text in texts(whole))


def test_a_reliability_diagram_tells_the_predicted_cells_apart():
    predicted = calibration_bins(
        PROBABILITIES, TARGETS, target_mask=PROBABILITIES > 0.6
    )
    ax = lg.figures.reliability_diagram(PROBABILITIES, TARGETS, predicted=predicted)
    *_, every, own = ax.get_lines()
    assert (own.get_xdata()[np.isfinite(own.get_xdata())] > 0.6).all()
    assert len(every.get_xdata()) == 10
    error = lg.functional.expected_calibration_error(predicted)
    said = f"{error:.4f} over the {int(predicted.cells.sum()):,} predicted"
    assert any(said in text for text in texts(ax))


def test_a_legend_takes_fewer_columns_where_the_figure_is_narrow():
    from matplotlib.figure import Figure

    columns = []
    for width in (12.0, 3.0):
        ax = Figure(figsize=(width, 3.0), layout="constrained").add_subplot()
        curves = {f"a rather long name, {n}": [0.5, 0.7] for n in range(4)}
        lg.figures.threshold_curves(curves, [0.2, 0.5], chosen=None, ax=ax)
        legend = ax.get_legend()
        columns.append(legend._ncols)
        assert legend.get_window_extent().width <= ax.figure.bbox.width
    assert columns == [4, 1]


def test_the_diagonal_of_a_confusion_does_not_set_its_scale():
    matrix = np.array([[900.0, 2.0], [1.0, 700.0]])
    ax = lg.figures.label_confusion(matrix, ["a", "b"])
    assert ax.images[0].get_clim() == (0.0, 2.0)
    assert {"900", "2", "1", "700"} <= texts(ax)


def test_negative_weights_have_the_middle_colour_at_zero():
    ax = lg.figures.adjacency_heat_map([[0.5, -1.0], [0.0, 0.2]], ["a", "b"])
    assert ax.images[0].get_clim() == (-1.0, 1.0)
    middle = ax.images[0].get_cmap()(0.5)[:3]
    np.testing.assert_allclose(middle, colors.to_rgb(palette.DIVERGING[2]), atol=0.01)


def test_ninety_names_are_all_written_in_a_figure_of_their_own():
    names = [f"label number {i}" for i in range(90)]
    ax = lg.figures.adjacency_heat_map(np.eye(90), names)
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    assert not overlapping(ax.get_yticklabels())
    assert not overlapping(ax.get_xticklabels())


def test_names_are_thinned_where_axes_have_no_room_for_them():
    figure, axes = pyplot.subplots(1, 2, figsize=(6, 3), layout="constrained")
    names = [f"label number {i}" for i in range(90)]
    ax = lg.figures.adjacency_heat_map(np.eye(90), names, ax=axes[0])
    figure.canvas.draw()
    written = ax.get_yticklabels()
    assert 2 < len(written) < 45
    assert not overlapping(written) and not overlapping(ax.get_xticklabels())


def overlapping(labels):
    labels[0].figure.canvas.draw()
    boxes = [label.get_window_extent().shrunk(0.97, 0.8) for label in labels]
    low, high = np.array([b.min for b in boxes]), np.array([b.max for b in boxes])
    meet = (low[:, None] < high[None]).all(-1) & (high[:, None] > low[None]).all(-1)
    return meet.sum() > len(boxes)


@pytest.mark.parametrize("figure", ["label_vectors", "label_network"])
def test_names_beside_points_never_meet_and_the_first_come_first(figure):
    names = [f"a label called {i}" for i in range(80)]
    points = np.random.default_rng(1).normal(size=(80, 2))
    if figure == "label_vectors":
        ax = lg.figures.label_vectors(points, names, counts=np.arange(80)[::-1])
    else:
        ax = lg.figures.label_network(np.ones((80, 80)), names, positions=points)
    written = [text for text in ax.texts if text.get_text().startswith("a label")]
    assert 10 < len(written) < 80
    assert not overlapping(written)
    assert "a label called 0" in {text.get_text() for text in written}


def test_names_of_points_all_in_one_place_are_thinned_to_the_sides_of_it():
    figure, ax = pyplot.subplots(figsize=(3, 3))
    written = name_points(ax, np.full((9, 2), 0.5), ["name"] * 9, range(9))
    assert written <= 4 and figure is ax.figure


def test_a_network_draws_the_strongest_edges_that_each_label_receives():
    ax = lg.figures.label_network(
        [[9.0, 3.0, 1.0], [2.0, 9.0, 0.0], [0.0, 0.0, 9.0]],
        ["a", "b", "c"],
        positions=[[0, 0], [1, 0], [0, 1]],
        edges=1,
    )
    drawn = {tuple(map(tuple, line)) for line in ax.collections[0].get_segments()}
    assert drawn == {((0, 0), (1, 0)), ((1, 0), (0, 0))}


def test_equal_weights_keep_no_more_edges_than_asked_for():
    ax = lg.figures.label_network(np.ones((6, 6)), list("abcdef"), edges=2)
    assert len(ax.collections[0].get_segments()) == 12


def test_a_tenth_cluster_is_one_of_the_others():
    ax = lg.figures.label_vectors(
        RNG.normal(size=(10, 2)),
        NAMES * 2,
        clusters=[f"cluster {i}" for i in range(10)],
    )
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(legend) == 9 and legend[-1] == "others"


WRONG = {
    "there is nothing to draw in 0 lines": lambda f: f.learning_curves([]),
    "there is nothing to draw in 1 lines": lambda f: f.learning_curves([{"a": 1.0}]),
    "rows: there is nothing to draw": lambda f: f.metric_intervals([]),
    "name, value, low and high, got parts of [2]": lambda f: f.metric_intervals(
        [("a", 1.0)]
    ),
    "'a' has [0.5, 0.4]": lambda f: f.metric_intervals([("a", 0.4, 0.5, 0.4)]),
    "at (0, 0) stands nan": lambda f: f.metric_intervals([("a", np.nan, 0.5, 0.6)]),
    "as many, got (2,) and (3,)": lambda f: f.f1_by_frequency([1, 2], [1, 0, 1]),
    "all of shape (2,) is NaN": lambda f: f.f1_by_frequency([1, 2], [np.nan] * 2),
    "must not be negative, got -1": lambda f: f.f1_by_frequency([1, -1], [0, 1]),
    "names must be as many as labels, 2, got 1": lambda f: f.f1_by_frequency(
        [1, 2], [0, 1], names=["a"]
    ),
    "counts must have the shape [N], got (1, 2)": lambda f: f.f1_by_frequency(
        [[1, 2]], [0, 1]
    ),
    "must have the same shape, got (2,) and (3,)": (
        lambda f: f.reliability_diagram(np.zeros(2), np.zeros(3))
    ),
    "nothing to draw, shape (0,)": lambda f: f.reliability_diagram(
        np.zeros(0), np.zeros(0)
    ),
    "nothing to draw at (2,) thresholds": lambda f: f.threshold_curves(
        {}, [0.1, 0.2], chosen=None
    ),
    "must be as many as thresholds, 2, got 1": lambda f: f.threshold_curves(
        {"a": [1.0]}, [0.1, 0.2], chosen=None
    ),
    "shape (2,) must increase": lambda f: f.threshold_curves(
        {"a": [1.0, 2.0]}, [0.2, 0.2], chosen=None
    ),
    "nothing to draw, got 0 curves": lambda f: f.precision_recall_curves({}),
    "must be as many as recall, 2, got 1": lambda f: f.precision_recall_curves(
        {"a": ([0.1, 0.2], [1.0])}
    ),
    "chosen must be a number": lambda f: f.threshold_curves(
        {"a": [1.0]}, [0.2], chosen=np.nan
    ),
    "must be square, [n, n], got (1, 2)": lambda f: f.label_confusion(
        [[1, 2]], ["a", "b"]
    ),
    "must hold counts, got -1": lambda f: f.label_confusion([[-1.0]], ["a"]),
    "names must be as many as labels, 5, got 4": lambda f: f.adjacency_heat_map(
        MATRIX, NAMES[:4]
    ),
    "there is nothing to draw, got shape (0, 0)": lambda f: f.adjacency_heat_map(
        np.zeros((0, 0)), []
    ),
    "must be numbers [n, n], got 'abc'": lambda f: f.adjacency_heat_map("abc", NAMES),
    "at (0, 1) stands inf": lambda f: f.label_network(
        [[0, np.inf], [0, 0]], ["a", "b"]
    ),
    "one row for each of 5 labels, got (4, 2)": lambda f: f.label_network(
        MATRIX, NAMES, positions=np.zeros((4, 2))
    ),
    "clusters must be as many as labels, 5, got 1": lambda f: f.label_network(
        MATRIX, NAMES, clusters=["a"]
    ),
    "edges must be at least 1": lambda f: f.label_network(MATRIX, NAMES, edges=0),
    "at most 2,000 labels, got a matrix of shape (2001, 2001)": (
        lambda f: f.label_network(np.zeros((2001, 2001)), ["a"] * 2001)
    ),
    "one row for each of 5 labels, got (5, 3)": lambda f: f.label_vectors(
        np.zeros((5, 3)), NAMES
    ),
    "counts must be as many as labels, 5, got 2": lambda f: f.label_vectors(
        np.zeros((5, 2)), NAMES, counts=[1, 2]
    ),
    "names must be as many as labels, 1, got 0": lambda f: f.gate_weights([[1.0]], []),
    "must not be negative": lambda f: f.gate_weights([[-1.0]], ["a"]),
}


@pytest.mark.parametrize("message", sorted(WRONG))
def test_what_cannot_be_drawn_is_refused_with_its_shape(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        WRONG[message](lg.figures)
    assert not pyplot.get_fignums()


@pytest.mark.process
def test_importing_figures_does_not_import_matplotlib():
    figures = "labelgraph_jax.inspection.figures"
    code = f"import sys, {figures}; print('matplotlib' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "False"


def test_a_workdirs_history_is_its_log_and_passes_over_a_half_written_line(tmp_path):
    with MetricsLog(tmp_path, tensorboard=False) as log:
        log.write(1, {"loss": 0.5})
        log.write(2, {"loss": float("nan")})
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')
    history = Workdir(tmp_path).history()
    assert history == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]
    log.path.write_text("nonsense\n{}\n", encoding="utf-8")
    with pytest.raises(WorkdirError, match=r"metrics.jsonl:1: must be JSON"):
        Workdir(tmp_path).history()
    with pytest.raises(WorkdirError, match="cannot be read"):
        Workdir(tmp_path / "absent").history()
