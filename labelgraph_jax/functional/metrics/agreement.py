"""Agreement of annotators: kappas of each label, alpha of whole label sets.

Everything is counted in NumPy and float64. What is drawn again over documents takes
`draws`, as `document_draws` makes them, and then has one result for each draw.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_integers, check_numbers

Host = np.ndarray


class PairAgreement(NamedTuple):
    """Agreement of two annotators on each label.

    Attributes:
        documents: that both annotated for the label.
        observed: share of them on which both say the same; NaN of no document.
        kappa: Cohen's; NaN where both always say the same one thing, of which chance
            would say as much.
        pabak: prevalence- and bias-adjusted kappa, 2 observed - 1.
    """

    documents: Float[Host, "*R N"]
    observed: Float[Host, "*R N"]
    kappa: Float[Host, "*R N"]
    pabak: Float[Host, "*R N"]


def pair_agreement(
    first: Shaped[Host, "M N"],
    second: Shaped[Host, "M N"],
    mask: Bool[Host, "M N"] | None = None,
    *,
    draws: Int[Host, "R M"] | None = None,
) -> PairAgreement:
    """Return the agreement of two annotators about each label: kappa and PABAK.

        kappa = (o - e) / (1 - e),   e = a b + (1 - a)(1 - b),   PABAK = 2 o - 1

    with o the share of documents on which both say the same, a and b the shares to
    which each gives the label. Of a rare label kappa is low where both nearly always
    agree that it is absent; PABAK says how often they agree, and nothing of chance.

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> one = np.array([[1], [1], [0], [0]])
        >>> other = np.array([[1], [0], [0], [0]])
        >>> found = lg.functional.pair_agreement(one, other)
        >>> float(found.kappa[0]), float(found.pabak[0])
        (0.5, 0.5)

    Args:
        first: labels by one annotator, given where > 0.
        second: by the other.
        mask: True where both annotated the document for the label; everywhere if None.
        draws: how often each document counts, from `document_draws`.

    Returns:
        float64, of each label; with draws `[R, N]`.

    Raises:
        ValueError: shapes that do not fit, or NaN.

    Reference: Cohen, A coefficient of agreement for nominal scales, 1960; Byrt, Bishop
        and Carlin, Bias, prevalence and kappa, 1993.
    """
    check_axes(
        first=(first, "M N"),
        second=(second, "M N"),
        mask=(mask, "M N"),
        draws=(draws, "R M"),
    )
    check_numbers(first=first, second=second)
    one, other = np.asarray(first) > 0, np.asarray(second) > 0
    known = np.ones(one.shape, bool) if mask is None else np.asarray(mask, bool)

    def count(cells: Bool[Host, "M N"]) -> Float[Host, "*R N"]:
        if draws is None:
            return (cells & known).sum(axis=0, dtype=np.float64)
        # float32 products of counts are exact up to 2^24 documents.
        rows = np.asarray(draws, np.float32) @ (cells & known).astype(np.float32)
        return rows.astype(np.float64)

    documents = count(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = count(one == other) / documents
        a, b = count(one) / documents, count(other) / documents
        kappa = _beyond_chance(observed, a * b + (1 - a) * (1 - b))
    return PairAgreement(documents, observed, kappa, 2 * observed - 1)


def fleiss_kappa(
    votes: Shaped[Host, "M C"], *, draws: Int[Host, "R M"] | None = None
) -> Float[Host, "*R"]:
    """Return Fleiss' kappa of several annotators who each choose one category.

        P_m = sum_c n_mc (n_mc - 1) / (n_m (n_m - 1)),   p_c = sum_m n_mc / sum_m n_m
        kappa = (mean P - sum_c p_c^2) / (1 - sum_c p_c^2)

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> votes = np.array([[3, 0], [0, 3], [2, 1]])
        >>> round(float(lg.functional.fleiss_kappa(votes)), 3)
        0.55

    Args:
        votes: how many annotators gave each item each category. A label of a
            multi-label set has two categories, given and not given.
        draws: how often each item counts.

    Returns:
        float64; NaN where only one category was ever chosen, or no item has two votes.

    Raises:
        ValueError: votes that are no counts, or shapes that do not fit.

    Reference: Fleiss, Measuring nominal scale agreement among many raters, 1971. There
        all items have as many votes; here items with one vote or none are left out,
        and P_m of the others counts alike.
    """
    check_axes(votes=(votes, "M C"), draws=(draws, "R M"))
    check_numbers(votes=votes)
    counts = np.asarray(votes, np.float64)
    if (counts < 0).any() or (counts != np.round(counts)).any():
        raise ValueError(
            "votes must be counts of annotators, got "
            f"{counts.min():g} to {counts.max():g}"
        )
    raters = counts.sum(axis=1)
    used = raters > 1
    pairs = (raters * (raters - 1)).clip(1)
    agreed = np.where(used, (counts * (counts - 1)).sum(axis=1) / pairs, 0.0)
    times = np.ones((1, len(counts))) if draws is None else np.asarray(draws, float)
    times = times * used
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = times @ agreed / times.sum(axis=1)
        shares = times @ counts / (times @ raters)[:, None]
        found = _beyond_chance(observed, (shares**2).sum(axis=1))
    return np.asarray(found[0]) if draws is None else found


def masi_distance(
    first: Shaped[Host, "K N"], second: Shaped[Host, "L N"]
) -> Float[Host, "K L"]:
    """Return the MASI distance of label sets, each of `first` to each of `second`.

        d = 1 - |A and B| / |A or B| m

    with m = 1 for equal sets, 2/3 where one lies within the other, 1/3 where they only
    overlap, 0 where they share nothing. Two empty sets are equal: d = 0.

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> sets = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]])
        >>> lg.functional.masi_distance(sets, sets)[0].round(3).tolist()
        [0.0, 0.667, 0.889]

    Args:
        first: sets as rows, a label is in where > 0.
        second: likewise.

    Returns:
        float64 between 0 and 1.

    Raises:
        ValueError: shapes that do not fit, or NaN.

    Reference: Passonneau, Measuring Agreement on Set-valued Items (MASI) for Semantic
        and Pragmatic Annotation, LREC 2006. nltk divides by zero for two empty sets.
    """
    check_axes(first=(first, "K N"), second=(second, "L N"))
    check_numbers(first=first, second=second)
    one, other = (np.asarray(x) > 0 for x in (first, second))
    shared = one.astype(np.float64) @ other.T.astype(np.float64)
    sizes = one.sum(axis=1)[:, None], other.sum(axis=1)[None, :]
    union = sizes[0] + sizes[1] - shared
    within = shared == np.minimum(*sizes)
    m = np.where(within, np.where(shared == union, 3, 2), np.where(shared > 0, 1, 0))
    return np.where(union == 0, 0.0, 1 - shared / union.clip(1) * (m / 3))


def krippendorff_alpha(
    values: Int[Host, "A M"],
    distances: Float[Host, "K K"],
    *,
    draws: Int[Host, "R M"] | None = None,
) -> Float[Host, "*R"]:
    """Return Krippendorff's alpha: the agreement of annotators, some of them missing.

        alpha = 1 - D_o / D_e
        D_o = 1/n sum_m sum_{i != j} d(v_im, v_jm) / (a_m - 1)
        D_e = 1/(n (n - 1)) sum_{i != j} d(v_i, v_j) over all n values

    A document that fewer than two annotated says nothing and is left out.

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> values = np.array([[0, 1, 2, 0], [0, 1, 1, -1]])  # two annotators
        >>> found = lg.functional.krippendorff_alpha(values, 1 - np.eye(3))
        >>> round(float(found), 3)
        0.545

    Args:
        values: of every annotator and document the row of `distances` that its value
            has, -1 where there is none.
        distances: of values from one another, such as `masi_distance` of label sets;
            1 - identity for names that are alike or not.
        draws: how often each document counts.

    Returns:
        float64: 1 for perfect agreement, 0 for that of chance; NaN where all values are
        one, or no document has two.

    Raises:
        ValueError: a value without a row, or shapes that do not fit.

    Reference: Krippendorff, Content Analysis, 1980; 2011 for its computation. nltk
        gives 1 where all values are one.
    """
    # Check shapes and ranges.
    check_axes(
        values=(values, "A M"), distances=(distances, "K K"), draws=(draws, "R M")
    )
    check_integers(values=values)
    check_numbers(distances=distances)
    rows, far = np.asarray(values, np.int64), np.asarray(distances, np.float64)
    if rows.size and not -1 <= rows.min() <= rows.max() < len(far):
        raise ValueError(
            f"values must be rows of distances, -1 to {len(far) - 1}, got "
            f"{rows.min()} to {rows.max()}"
        )
    # Documents count that have two annotators or more.
    documents = rows.shape[1]
    known = rows >= 0
    raters = known.sum(axis=0)
    used = raters > 1
    # Observed disagreement of every document, over its pairs of annotators.
    disagreed = np.zeros(documents)
    for i in range(len(rows)):
        for j in range(i):
            both = known[i] & known[j]
            disagreed[both] += 2 * far[rows[i, both], rows[j, both]]
    disagreed = np.where(used, disagreed / (raters - 1).clip(1), 0.0)
    # How often each value stands in each draw of documents.
    times = np.ones((1, documents)) if draws is None else np.asarray(draws, float)
    times = times * used
    counts = np.zeros((len(times), len(far)))
    for row, present in zip(rows, known, strict=True):
        for draw, weights in zip(counts, times, strict=True):
            draw += np.bincount(row[present], weights[present], len(far))
    # Observed over expected disagreement; NaN where none is expected.
    n = counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = ((counts @ far) * counts).sum(axis=1) / (n * (n - 1))
        alpha = 1 - (times @ disagreed) / n / expected
    alpha = np.where(expected > 0, alpha, np.nan)
    return np.asarray(alpha[0]) if draws is None else alpha


def _beyond_chance(
    observed: Float[Host, "*n"], expected: Float[Host, "*n"]
) -> Float[Host, "*n"]:
    """(o - e) / (1 - e); NaN where chance leaves nothing to agree about."""
    left = 1 - expected
    return np.where(left > 1e-12, (observed - expected) / left, np.nan)
