"""Do the words that `labelgraph explain` names matter more than words at random?

For the first documents of a run's own test split: the most probable label, the three
words that add most to its logit, and how far that logit falls when they are cut out of
the text, against three words drawn at random.

    python -m experiments.explain_faithfulness RUN [--documents 200]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from labelgraph_jax.data.documents import Document
from labelgraph_jax.inspection.explain.attribute import METHODS, Method
from labelgraph_jax.inspection.explain.words import explain_words
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.restore import load_model

SMALLEST = 1e-12


@dataclass(frozen=True)
class Faithfulness:
    """How far the logit of each document's most probable label fell, `[M]`.

    Attributes:
        named: without the words that speak most for it.
        random: without as many words drawn at random.
        gaps: relative completeness gaps of the attributions.
    """

    named: np.ndarray
    random: np.ndarray
    gaps: np.ndarray

    @property
    def wins(self) -> float:
        """The share of documents in which the named words mattered more."""
        return float((self.named > self.random).mean())


def deletion_test(
    model: Model,
    texts: Sequence[str],
    *,
    words: int = 3,
    method: Method = "integrated-gradients",
    steps: int = 32,
    seed: int = 0,
) -> Faithfulness:
    """Compares the words that an explanation names with words drawn at random.

    For each text: the most probable label, the `words` places that add most to its
    logit, and its fall when these are cut out of the text, which is read anew.

    Args:
        model: whose explanations are tested.
        texts: those of fewer than twice as many words are passed over.
        words: places to cut out.
        method: of the attribution.
        steps: of the attribution's path.
        seed: of the random places.

    Reference: deletion as in Samek et al., "Evaluating the Visualization of What a
    Deep Neural Network Has Learned", TNNLS 2017 (there pixels, one after the other).
    """
    generator = np.random.default_rng(seed)
    kept, labels, changed, gaps = [], [], [], []
    probabilities = model.predict_proba(list(texts))
    for text, row in zip(texts, probabilities, strict=True):
        best = np.array([int(row.argmax())])
        document = Document("d", text, ())
        traced, (sums,), *_ = explain_words(
            model, document, best, method=method, steps=steps
        )
        places = len(traced.words)
        if places < 2 * words:
            continue
        named = np.argsort(-sums.words, kind="stable")[:words]
        drawn = generator.choice(places, words, replace=False)
        changed += [
            without(text, traced.words, cut) for cut in (named.tolist(), drawn.tolist())
        ]
        kept.append(row[best[0]])
        labels.append(best[0])
        gaps.append(sums.check.relative or 0.0)
    after = model.predict_proba(changed)[np.arange(len(changed)), np.repeat(labels, 2)]
    before = _logit(np.asarray(kept))
    named_after, random_after = _logit(after).reshape(-1, 2).T
    return Faithfulness(before - named_after, before - random_after, np.asarray(gaps))


def without(text: str, spans: Sequence[tuple[int, int]], cut: Sequence[int]) -> str:
    """A text with some of its words cut out."""
    for start, end in sorted((spans[place] for place in cut), reverse=True):
        text = text[:start] + text[end:]
    return text


def _logit(probabilities: np.ndarray) -> np.ndarray:
    exact = probabilities.astype(np.float64)
    return logit(np.clip(exact, SMALLEST, 1 - 1e-7))


def main() -> None:
    """Prints one line per method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--words", type=int, default=3)
    asked = parser.parse_args()
    model = load_model(asked.run)
    texts = [d.text for d in read_corpus(model.config.data).test[: asked.documents]]
    for method in METHODS:
        started = time.perf_counter()
        found = deletion_test(model, texts, words=asked.words, method=method)
        seconds = time.perf_counter() - started
        print(
            f"{method}: {len(found.named)} documents, logit falls by "
            f"{found.named.mean():.2f} (median {np.median(found.named):.2f}) without "
            f"the {asked.words} named words, by {found.random.mean():.2f} (median "
            f"{np.median(found.random):.2f}) without {asked.words} random ones; named "
            f"matter more in {found.wins:.1%}; gap median "
            f"{100 * np.median(found.gaps):.2f} %, 95th percentile "
            f"{100 * np.quantile(found.gaps, 0.95):.2f} %; {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
