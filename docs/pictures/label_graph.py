"""Draws `label_graph.svg`: five documents, and the label graph that they make.

    python docs/pictures/label_graph.py

The weights are those of `lg.functional.conditional_adjacency`; nothing is random, so
that a test can compare the file with what this script makes.
"""

import math
from pathlib import Path

import numpy as np

from labelgraph_jax.functional.graph.adjacency import (
    conditional_adjacency,
    cooccurrence,
)

LABELS = ("grain", "wheat", "corn", "gold")
DOCUMENTS = ("grain wheat", "grain wheat", "grain corn", "grain wheat corn", "gold")
PLACES = ((150, 70), (60, 190), (240, 190), (150, 290))
INK, PAPER, EDGE = "#1f3a5f", "#ffffff", "#4a7db5"


def adjacency() -> np.ndarray:
    """The conditional adjacency `[4, 4]` of the five documents."""
    targets = np.array([[n in d.split() for n in LABELS] for d in DOCUMENTS], int)
    return np.asarray(conditional_adjacency(cooccurrence(targets)))


def text(x: float, y: float, said: str, size: int = 13, anchor: str = "middle") -> str:
    """A line of text at a place, as SVG."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}">{said}</text>'
    )


def arrow(i: int, j: int, weight: float) -> str:
    """From the sender j to the receiver i, as thick as the weight."""
    (x1, y1), (x0, y0) = PLACES[i], PLACES[j]
    length = math.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    side = 9
    x0, y0 = x0 + 34 * ux - side * uy, y0 + 34 * uy + side * ux
    x1, y1 = x1 - 38 * ux - side * uy, y1 - 38 * uy + side * ux
    middle = (x0 + 0.36 * (x1 - x0) - 15 * uy, y0 + 0.36 * (y1 - y0) + 15 * ux + 4)
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{EDGE}" stroke-width="{1 + 2 * weight:.1f}" marker-end="url(#a)"/>'
        + text(*middle, f"{weight:.2f}", 11)
    )


def matrix(weights: np.ndarray) -> list[str]:
    """The weights as a table of shaded cells, as SVG."""
    left, top, cell = 420, 90, 52
    parts = [text(left + 104, 40, "sender j")]
    parts += [text(left + cell * (j + 0.5), 76, n, 12) for j, n in enumerate(LABELS)]
    for i, name in enumerate(LABELS):
        y = top + cell * i
        parts.append(text(left - 10, y + 31, name, 12, "end"))
        for j in range(len(LABELS)):
            w = float(weights[i, j])
            parts.append(
                f'<rect x="{left + cell * j}" y="{y}" width="{cell - 2}" '
                f'height="{cell - 2}" fill="{EDGE}" '
                f'fill-opacity="{0.06 + 0.6 * w:.2f}"/>'
            )
            parts.append(text(left + cell * (j + 0.48), y + 30, f"{w:.2f}", 12))
    middle = f'transform="rotate(-90 350 {top + 2 * cell})"'
    parts.append(f"<g {middle}>{text(350, top + 2 * cell, 'receiver i')}</g>")
    return parts


def picture() -> str:
    """The whole picture, as SVG."""
    weights = adjacency()
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j and weights[i, j]]
    nodes = []
    for (x, y), name in zip(PLACES, LABELS, strict=True):
        nodes.append(
            f'<circle cx="{x}" cy="{y}" r="30" fill="#e8f0f8" stroke="{INK}"/>'
            + text(x, y + 4, name)
        )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 650 330" '
            'width="650" font-family="sans-serif" role="img">',
            "<title>A label graph of four labels and its adjacency</title>",
            f'<rect width="650" height="330" rx="8" fill="{PAPER}"/>',
            '<marker id="a" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="9" '
            'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{EDGE}"/></marker>',
            *[arrow(i, j, float(weights[i, j])) for i, j in pairs],
            *nodes,
            *matrix(weights),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("label_graph.svg").write_text(picture(), encoding="utf-8")
