"""Iterative stratification in plain loops, one document at a time, from the paper.

Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data (ECML PKDD
2011), algorithm 1. Subset sizes are free, as there.
"""

import random
from collections.abc import Sequence


def iterative_stratification(
    label_sets: Sequence[set[int]], fractions: Sequence[float], seed: int
) -> list[list[int]]:
    """The documents of each subset."""
    chance = random.Random(seed)
    subsets: list[list[int]] = [[] for _ in fractions]
    room = [fraction * len(label_sets) for fraction in fractions]
    labels = sorted(set().union(*label_sets))
    wanted = {
        label: [
            fraction * sum(label in labels_of for labels_of in label_sets)
            for fraction in fractions
        ]
        for label in labels
    }
    left = set(range(len(label_sets)))
    while left:
        counts = {label: sum(label in label_sets[d] for d in left) for label in labels}
        present = [label for label in labels if counts[label]]
        if not present:
            documents, label = sorted(left), None
        else:
            fewest = min(counts[label] for label in present)
            label = chance.choice([n for n in present if counts[n] == fewest])
            documents = [d for d in sorted(left) if label in label_sets[d]]
        for document in documents:
            places = list(range(len(fractions)))
            if label is not None:
                most = max(wanted[label])
                places = [m for m in places if wanted[label][m] == most]
            roomiest = max(room[m] for m in places)
            place = chance.choice([m for m in places if room[m] == roomiest])
            subsets[place].append(document)
            left.remove(document)
            room[place] -= 1
            for other in label_sets[document]:
                wanted[other][place] -= 1
    return subsets


def label_distribution_error(
    label_sets: Sequence[set[int]], subsets: Sequence[Sequence[int]]
) -> float:
    """Mean over labels and subsets of |odds in the subset - odds in the whole|.

    The paper's measure LD, section 4.
    """
    labels = sorted(set().union(*label_sets))
    total = 0.0
    for label in labels:
        whole = sum(label in labels_of for labels_of in label_sets)
        odds = whole / (len(label_sets) - whole)
        for subset in subsets:
            inside = sum(label in label_sets[d] for d in subset)
            total += abs(inside / (len(subset) - inside) - odds)
    return total / len(labels) / len(subsets)
