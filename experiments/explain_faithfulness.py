"""Do the words that `labelgraph explain` names matter more than words at random?

For the first documents of a run's own test split: the most probable label, the three
words that add most to its logit, and how far that logit falls when they are cut out of
the text, against three words drawn at random.

    python -m experiments.explain_faithfulness RUN [--documents 200]
"""

import argparse
import time

import numpy as np

from experiments.word_deletion import deletion_test
from labelgraph_jax.inspection.explain.attribute import METHODS
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.restore import load_model


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
