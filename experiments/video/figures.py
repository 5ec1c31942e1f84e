"""Figures of the two studies: gates, and what places are worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.video.log import TABS


def plot_gates(record: Mapping[str, Any], path: Path) -> None:
    """Mean gate weights, experts x tasks, of the first seed of every mixture."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = [row for row in record["rows"] if row["gates"] is not None]
    figure, axes = plt.subplots(1, len(rows), figsize=(13, 4), squeeze=False)
    for axis, row in zip(axes[0], rows, strict=True):
        weights = np.array(row["gates"]["mean_weights"][0]).T  # [E, T]
        image = axis.imshow(weights, cmap="viridis", vmin=0, aspect="auto")
        axis.set_title(row["title"], fontsize=9)
        axis.set_ylabel("expert")
        axis.set_yticks(range(len(weights)))
        tasks = row["gates"]["tasks"]
        axis.set_xticks(range(len(tasks)), tasks, rotation=45, ha="right", fontsize=7)
        figure.colorbar(image, ax=axis, label="mean gate weight")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_bias(record: Mapping[str, Any], path: Path) -> None:
    """The learned logit of each place beside the truth, from the top down."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    truth = np.array(record["true_bias"])  # [G, P, K]
    learned = np.array(record["bias"]["additive"])[:, :, 1:]  # [S, G, P, K]
    learned = learned - learned[:, :, :1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    places = np.arange(1, truth.shape[1] + 1)
    for column, (axis, task) in enumerate(
        zip(axes, ("click", "long view"), strict=True)
    ):
        for group, tab in enumerate(TABS):
            colour = f"C{group}"
            axis.plot(places, truth[group, :, column], "--", color=colour)
            mean = learned[:, group, :, column].mean(axis=0)
            axis.plot(places, mean, "o-", color=colour, label=tab, markersize=3)
        axis.set_title(f"{task}: learned (dots) and true (dashed)", fontsize=9)
        axis.set_xlabel("position")
    axes[0].set_ylabel("logit against the top")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
