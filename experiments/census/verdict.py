"""Whether MMoE wins, in sentences that are made from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {
    "single_task": "two single-task networks",
    "cross_stitch": "cross-stitch",
    "l2_constrained": "L2-constrained",
    "omoe": "OMoE",
    "mmoe": "MMoE",
}


def verdict(record: Mapping[str, Any]) -> list[str]:
    """What the differences say of MMoE against the shared bottom, and why.

    A difference counts where the interval over rows and seeds leaves out zero.
    """
    found = {(row["model"], row["task"]): row for row in record["differences"]}
    tasks = record["tasks"]
    if ("mmoe", tasks[0]) not in found:
        return []
    lines = [_against(found["mmoe", task], task) for task in tasks]
    lost = [task for task in tasks if found["mmoe", task]["interval"][0] <= 0]
    if lost:
        lines.append(f"MMoE does not win on {' and '.join(lost)}. Why:")
        lines.append(
            f"The labels correlate by {record['correlation']['train']:.3f} (Pearson)."
        )
        costs = [found[c] for task in lost if (c := ("single_task", task)) in found]
        lines += [_cost(row) for row in costs]
        lines += _gates(record, [row for row in costs if row["interval"][0] > 0])
    else:
        lines.append("MMoE wins on both tasks.")
    return lines + _spread(record, tasks) + _edge(record)


def _against(row: Mapping[str, Any], task: str) -> str:
    low, high = row["interval"]
    says = "is better" if low > 0 else "is worse" if high < 0 else "is level"
    return (
        f"On {task} MMoE {says}: {_points(row['difference'])} points of AUC against "
        f"the shared bottom, 95 % interval [{_points(low)}, {_points(high)}]."
    )


def _cost(row: Mapping[str, Any]) -> str:
    """What the shared bottom loses to networks that share nothing."""
    low, high = row["interval"]
    says = (
        "so much sharing costs, and no more than that could gates win back"
        if low > 0
        else "sharing helps, and there is no conflict for gates to resolve"
        if high < 0
        else "sharing has no cost that can be seen, and gates no conflict to resolve"
    )
    return (
        f"On {row['task']} two single-task networks, which share nothing, stand at "
        f"{_points(row['difference'])} [{_points(low)}, {_points(high)}] against the "
        f"shared bottom: {says}."
    )


def _gates(record: Mapping[str, Any], costs: Sequence[Mapping[str, Any]]) -> list[str]:
    gates = next((g for g in record["gates"] if g["model"] == "mmoe"), None)
    if gates is None:
        return []
    over = gates["over_runs"]
    overlap, similarity = over["overlap"]["mean"], over["similarity"]["mean"]
    if overlap > 0.75:
        says = "both gates choose much the same experts, as a shared bottom would"
    elif overlap >= 0.5:
        says = "the gates share some experts and part others"
    else:
        says = (
            "the gates part the experts, and MMoE comes near two single-task networks"
        )
        says += "" if costs else ", which are no better here"
    return [
        f"On the same row the tasks' gates overlap by {overlap:.2f} of their weight, "
        f"and their mean weights have a cosine of {similarity:.2f}: {says}. A gate's "
        f"entropy is {over['entropy']['mean']:.2f} of the largest possible; the least "
        f"used expert has {100 * over['least_used']['mean']:.1f} % of the weight."
    ]


def _edge(record: Mapping[str, Any]) -> list[str]:
    """Says so where the tuning would have gone further."""
    largest = max(record["plan"]["learning_rates"])
    rates = [model["chosen"]["learning_rate"] for model in record["models"]]
    count = sum(rate == largest for rate in rates)
    if not record["plan"]["tuned"] or not count:
        return []
    return [
        f"{count} of {len(rates)} models chose the largest learning rate that was "
        f"tried, {largest:g}: a larger one was not looked at."
    ]


def _spread(record: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    sds = {
        model["model"]: model["auc"][0]["sd"]
        for model in record["models"]
        if model["auc"][0]["sd"] is not None
    }
    if not {"mmoe", "shared_bottom"} <= sds.keys():
        return []
    means = {model["model"]: model["auc"][0]["mean"] for model in record["models"]}
    first, last = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return [
        f"Runs of one model differ by a standard deviation of {sds['mmoe']:.5f} (MMoE) "
        f"and {sds['shared_bottom']:.5f} (shared bottom) on {tasks[0]}; from the best "
        f"model ({_name(first)}) to the last ({_name(last)}) it is "
        f"{means[first] - means[last]:.5f}."
    ]


def _name(model: str) -> str:
    return _NAMES.get(model, model.replace("_", " "))


def _points(value: float) -> str:
    return f"{100 * value:+.3f}"
