"""What the paper prints: KDD 2018, tables 1 and 2, AUC on the test half."""

from typing import NamedTuple


class PaperRow(NamedTuple):
    """AUC values of one model, of the main task and of the other one.

    The main task's best run and mean over the runs, the other task's mean, and the
    other task's value in the best run of the main one.
    """

    main_best: float
    main_mean: float
    other_mean: float
    other_at_best: float


GROUP_1 = {
    "single_task": PaperRow(0.9398, 0.9337, 0.9933, 0.9922),
    "shared_bottom": PaperRow(0.9361, 0.9295, 0.9915, 0.9921),
    "l2_constrained": PaperRow(0.9389, 0.9359, 0.9922, 0.9918),
    "cross_stitch": PaperRow(0.9406, 0.9361, 0.9917, 0.9922),
    "omoe": PaperRow(0.9387, 0.9319, 0.9928, 0.9923),
    "mmoe": PaperRow(0.9410, 0.9359, 0.9926, 0.9927),
}
GROUP_2 = {
    "single_task": PaperRow(0.8843, 0.8792, 0.9933, 0.9922),
    "shared_bottom": PaperRow(0.8836, 0.8813, 0.9927, 0.9917),
    "l2_constrained": PaperRow(0.8855, 0.8823, 0.9923, 0.9918),
    "cross_stitch": PaperRow(0.8855, 0.8819, 0.9919, 0.9921),
    "omoe": PaperRow(0.8852, 0.8813, 0.9915, 0.9912),
    "mmoe": PaperRow(0.8860, 0.8826, 0.9932, 0.9924),
}
TABLES = {"group1": GROUP_1, "group2": GROUP_2, "group2-bachelors": GROUP_2}
CORRELATIONS = {"group1": 0.1768, "group2": 0.2373, "group2-bachelors": 0.2373}
"""Absolute Pearson correlation of the labels."""
RUNS = 400
"""How many runs of the best setting the paper's means are over."""
ELSEWHERE = {
    "group1": "Elsewhere: PaddleRec's MMoE, mean 0.9447 / 0.9932, best 0.9494 / 0.9942."
}
"""What a public implementation reports, its preprocessing another."""
