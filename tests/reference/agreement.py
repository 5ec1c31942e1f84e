"""Agreement as loops over documents, annotators and pairs."""


def kappa(one, other):
    """Cohen's, of two lists of names."""
    names = {*one, *other}
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    expected = sum(one.count(n) * other.count(n) for n in names) / len(one) ** 2
    return (observed - expected) / (1 - expected)


def fleiss(votes):
    """Of rows of counts."""
    rows = [row for row in votes if sum(row) > 1]
    agreed, chosen = 0.0, [0.0] * len(rows[0])
    for row in rows:
        pairs = same = 0
        cast = [c for c, count in enumerate(row) for _ in range(int(count))]
        for i, a in enumerate(cast):
            chosen[a] += 1
            for j, b in enumerate(cast):
                pairs += i != j
                same += i != j and a == b
        agreed += same / pairs / len(rows)
    expected = sum((c / sum(chosen)) ** 2 for c in chosen)
    return (agreed - expected) / (1 - expected)


def masi(one, other):
    """Of two sets."""
    if one == other:
        return 0.0
    within = one <= other or other <= one
    m = 2 / 3 if within else 1 / 3 if one & other else 0
    return 1 - m * len(one & other) / len(one | other)


def alpha(values, distance):
    """Of columns of values, -1 for a missing one."""
    units = [[v for v in unit if v >= 0] for unit in zip(*values, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    every = [v for unit in units for v in unit]
    n = len(every)

    def total(cast):
        return sum(
            distance[a][b]
            for i, a in enumerate(cast)
            for j, b in enumerate(cast)
            if i != j
        )

    observed = sum(total(unit) / (len(unit) - 1) for unit in units) / n
    return 1 - observed / (total(every) / (n * (n - 1)))
