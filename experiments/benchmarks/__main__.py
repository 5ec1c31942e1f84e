"""Every benchmark of this folder, one after the other, in one report.

    python -m experiments.benchmarks [--out FOLDER] [--only NAME,NAME] [--quick] \
        [--peer-python PYTHON]

Measures on whatever device is there. Each runs in a process of its own with a limit of
time; one that fails is written down with its reason, and the rest goes on. Peers
(torch, torch-rechub, transformers) run in the interpreter given, by default this one;
where they are not installed ours is measured alone, and the report says so. `--quick`
takes toy sizes: it says that everything runs, and nothing about speed. `--list` names
them.

Writes `benchmarks.md` and `benchmarks.json`. Time: half an hour on two CPU cores, quick
three minutes; the numbers are worth little where something else runs beside them.
"""

import argparse
import datetime
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks import measure
from experiments.benchmarks.measure import (
    ROOT,
    device_facts,
    run_limited,
    versions,
)
from experiments.study import markdown_table
from labelgraph_jax.config.wording import counted

QUICK_LIMIT = 180.0


class Verdict(NamedTuple):
    """A target, what was found, and whether that meets it (None: cannot be told)."""

    target: str
    found: str
    met: bool | None


Judge = Callable[[Mapping[str, Any]], list[Verdict]]


@dataclass(frozen=True)
class Benchmark:
    """One module of this folder.

    Attributes:
        name: of the module, and of the files it writes.
        what: it measures, in a few words.
        judge: sets a result against its targets.
        quick: arguments of toy sizes.
        full: arguments of the real run, where they are not the defaults.
        limit: seconds that the real run may take.
        has_peer: takes `--peer-python`.
    """

    name: str
    what: str
    judge: Judge
    quick: str
    full: str = ""
    limit: float = 1200.0
    has_peer: bool = False

    def arguments(self, quick: bool) -> list[str]:
        """Of a real or a quick run."""
        return shlex.split(self.quick if quick else self.full)


def at_least(ratio: float | None, target: float, unit: str) -> Verdict:
    """A verdict on how many times as fast as the peer ours is."""
    if ratio is None:
        return Verdict(f"{target:g}x {unit}", "no peer here", None)
    return Verdict(f"{target:g}x {unit}", f"{ratio:.2f}x", ratio >= target)


def judge_encoding(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: as fast as torch on batches padded in the same way."""
    rows = result["rows"]
    ours, theirs = rows["ours, same padding"], rows.get("torch, same padding")
    ratio = ours["median"] / theirs["median"] if theirs else None
    return [at_least(ratio, 1, "torch")]


def judge_train_step(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a train step as fast as torch's fastest."""
    return [at_least(result.get("torch_over_ours", {}).get("median"), 1, "torch")]


def judge_mmoe_step(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a step of mixtures three times as fast as torch-rechub's."""
    rival = result["over_ours"].get("torch-rechub", {})
    return [at_least(rival.get("median"), 3, "torch-rechub")]


def judge_synthetic_train(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: ten times as fast as training one run after the other in torch."""
    ratio = result.get("torch_over_ours", {}).get("median")
    return [at_least(ratio, 10, "one by one in torch")]


def judge_lstm(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: as fast as the faster of torch's two forms."""
    over = result["ours_over_peers"]
    slowest = 1 / max(s["median"] for s in over.values()) if over else None
    return [at_least(slowest, 1, "torch")]


def judge_imports(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: every import that has a target within its seconds."""
    return [
        Verdict(
            f"{name} within {row['target']:g} s",
            f"{row['median']:.2f} s",
            row["median"] < row["target"],
        )
        for name, row in result["rows"].items()
        if row["target"] is not None
    ]


def judge_decisions(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: few points lost against the best decision, in the mean and at worst."""
    return [
        Verdict(
            f"{name} loss within {result[name]['target']:g} points",
            f"{result[name]['loss']:.2f}",
            result[name]["loss"] <= result[name]["target"],
        )
        for name in ("mean", "worst")
    ]


def judge_structure(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: the costs of hierarchy, contrast and rules stay within their bounds."""
    targets = result["targets"]
    ratios = {
        n: result[n]["ratio"]["median"] for n in ("hierarchy", "contrast", "rules")
    }
    ratios["memory"] = result["hierarchy"]["memory"]
    return [
        Verdict(
            f"{name} within {targets[name]:g} times", f"{own:.2f}", own <= targets[name]
        )
        for name, own in ratios.items()
    ]


def judge_row_updates(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: steps of rows so many times as fast on the processor as dense ones."""
    targets = result["targets"]
    return [
        at_least(found["cpu_ratio"]["median"], targets[name], f"dense ({name}, CPU)")
        for name, found in result["models"].items()
    ]


def judge_unlabelled_step(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a step with unlabelled documents within a multiple of one without."""
    target = result["target"]
    return [
        Verdict(
            f"at most {target:g}x the supervised step ({kind})",
            f"{ratio['median']:.2f}x",
            ratio["median"] <= target,
        )
        for kind, ratio in result["ratios"].items()
    ]


def judge_checkpoint_cost(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a save takes but a small share of a minute."""
    return [
        Verdict(
            f"below {result['target']:.0%} of a minute ({found['sizes']['shape']})",
            f"{found['share_of_a_minute']:.1%}",
            found["share_of_a_minute"] < result["target"],
        )
        for found in result["encoders"]
    ]


def judge_weak_scaling(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: processes together keep most of the speed that each has alone."""
    share = result["efficiency"]["together"]["median"]
    target = f"{result['target']:.0%} with {result['processes']} processes"
    return [Verdict(target, f"{share:.1%}", result["met"])]


def judge_mfu(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a share of the device's peak; judged on an accelerator alone."""
    found = ", ".join(
        f"{name} {one['mfu']:.1%}" for name, one in result["encoders"].items()
    )
    where = " on an accelerator" if result["met"] is None else ""
    return [Verdict(f"MFU {result['target']:.0%}{where}", found, result["met"])]


def judge_compilation_cache(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: a second start of the same run within the target's seconds."""
    seconds = result["rows"]["second"]["seconds"]["median"]
    target = f"second start within {result['target']:g} s"
    return [Verdict(target, f"{seconds:.1f} s", result["met"])]


def judge_label_chunks(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: memory and time grow no faster with labels than their exponents allow."""
    found, targets = result["exponents"]["chunks"], result["targets"]
    words = {
        "temporaries": "memory beyond N^{:g}",
        "processor_seconds": "time beyond N^{:g}",
    }
    return [
        Verdict(
            f"no {words[what].format(target)}",
            "too few sizes" if found[what] is None else f"N^{found[what]:.2f}",
            None if found[what] is None else found[what] <= target,
        )
        for what, target in targets.items()
    ]


def judge_device_check(result: Mapping[str, Any]) -> list[Verdict]:
    """Return the verdicts of all parts; a part that does not run has failed."""
    found = []
    for part in result["parts"]:
        found += [Verdict(**each) for each in part["checks"]]
        if "reason" in part:
            found.append(Verdict(f"{part['name']} runs", part["reason"], False))
    return found


def judge_writing_systems(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: the default level with the better SVM, but for the slack, everywhere."""
    slack, rows = result["slack"], result["rows"]
    behind = {
        name: max(row["word SVM"], row["character SVM"]) - row["default"]
        for name, row in rows.items()
    }
    worst = max(behind, key=lambda name: behind[name])
    found = f"{worst} {-behind[worst]:+.3f}"
    target = "micro-F1 level with the better SVM in every writing system"
    return [Verdict(target, found, behind[worst] <= slack)]


def judge_predicting(result: Mapping[str, Any]) -> list[Verdict]:
    """Target: enough documents per processor second, in little memory."""
    ours = result["rows"]["ours"]
    rate, size = ours["rate"]["median"], ours["megabytes"]
    most = result["most_megabytes"]
    return [
        Verdict(
            f"{result['target']:,} documents per processor second",
            f"{rate:,.0f}",
            rate >= result["target"],
        ),
        Verdict(f"at most {most} MB", f"{size:.0f} MB", size <= most),
    ]


def judge_serving(result: Mapping[str, Any]) -> list[Verdict]:
    """Return the verdicts of the serving benchmark."""
    from experiments.benchmarks.serving import verdicts

    return [Verdict(*each) for each in verdicts(result)]


BENCHMARKS = (
    Benchmark(
        "imports",
        "the import and the command's help",
        judge_imports,
        "--repeats 1",
        limit=120,
    ),
    Benchmark(
        "decisions",
        "what `auto` loses against the best decision in hindsight",
        judge_decisions,
        "--corpora 2",
        limit=300,
    ),
    Benchmark(
        "encoding",
        "documents a second through MiniLM, against transformers with torch",
        judge_encoding,
        "--documents 4 --max-tokens 16 --repeats 1",
        "--documents 128 --repeats 3",
        has_peer=True,
    ),
    Benchmark(
        "lstm",
        "a bidirectional LSTM and its gradient, against torch",
        judge_lstm,
        "--pairs 1 --batch 2 --tokens 8 --features 4 --hidden 4",
        limit=600,
        has_peer=True,
    ),
    Benchmark(
        "train_step",
        "the MAGNET train step, against torch",
        judge_train_step,
        "--turns 1 --race-turns 1 --steps 1 --batch 4 --tokens 6 --shortest 2 "
        "--features 3 --units 2 --labels 5 --hidden 2",
        has_peer=True,
    ),
    Benchmark(
        "mmoe_step",
        "the MMoE train step, against torch-rechub",
        judge_mmoe_step,
        "--turns 1 --race-turns 1 --steps 1 --batch 16 --features 8 --units 4 "
        "--tower 4 --no-compiled",
        has_peer=True,
    ),
    Benchmark(
        "synthetic_train",
        "a run of the synthetic MMoE experiment, against torch",
        judge_synthetic_train,
        "--turns 1 --runs 4 --together 2 --features 8 --steps 4 --epochs 1 "
        "--held-out 64 --race-steps 2 --no-compiled",
        has_peer=True,
    ),
    Benchmark(
        "row_updates",
        "the step that moves the rows it reads, against all rows",
        judge_row_updates,
        "--ids 2000 --rows 16 --dim 2 --turns 1 --steps 2 --only table",
    ),
    Benchmark(
        "unlabelled_step",
        "the step with unlabelled documents beside the labelled ones",
        judge_unlabelled_step,
        "--encoder bag --kinds none cap --turns 1 --steps 2",
    ),
    Benchmark(
        "structure",
        "what a hierarchy, a contrast and rules cost",
        judge_structure,
        "--turns 1 --repeats 1 --labels 40 --edges 60 --documents 4 --features 8 "
        "--texts 20 --exclusions 20 --implications 5",
    ),
    Benchmark(
        "checkpoint_cost",
        "what a save costs training",
        judge_checkpoint_cost,
        "--shape toy --tokens 16 --saves 1 --steps 1",
    ),
    Benchmark(
        "weak_scaling",
        "two processes that train together, against one",
        judge_weak_scaling,
        "--shape toy --tokens 16 --turns 1 --steps 1",
    ),
    Benchmark(
        "mfu",
        "how much of the device a fine-tuning step uses",
        judge_mfu,
        "--shapes toy --tokens 16 --steps 3 --products 64,128",
    ),
    Benchmark(
        "device_check",
        "what a new accelerator must show, in eight minutes",
        judge_device_check,
        "--quick --only functional,utilisation,label_attention",
        limit=600,
        has_peer=True,
    ),
    Benchmark(
        "label_chunks",
        "loss and gradient over very many labels, in chunks and whole",
        judge_label_chunks,
        "--labels 40,400 --batch 2 --features 4 --positives 2 --chunk 4 --repeats 1",
        limit=2400,
    ),
    Benchmark(
        "serving",
        "a service under load and under attack, against predict",
        judge_serving,
        "--requests 64 --turns 2 --clients 4 --attacks 22",
        limit=2400,
    ),
    Benchmark(
        "predicting",
        "documents that a processor second predicts, against an SVM and fastText",
        judge_predicting,
        "--texts 50 --words 8 --turns 1 --epochs 1 --documents 150",
        limit=1800,
        has_peer=True,
    ),
    Benchmark(
        "writing_systems",
        "the default in many writing systems, against SVMs of words and characters",
        judge_writing_systems,
        "--seeds 1 --only C --documents 40 --epochs 1",
        limit=2400,
    ),
    Benchmark(
        "compilation_cache",
        "from the start of training to its first step",
        judge_compilation_cache,
        "--preset default --repeats 1",
    ),
)


def run_one(
    benchmark: Benchmark, options: argparse.Namespace, scratch: Path
) -> dict[str, Any]:
    """Run a benchmark and judge what it found."""
    arguments = benchmark.arguments(options.quick)
    peer = ["--peer-python", options.peer_python] if benchmark.has_peer else []
    module = f"experiments.benchmarks.{benchmark.name}"
    limit = QUICK_LIMIT if options.quick else benchmark.limit
    if options.limit:
        limit = options.limit
    shown = ["--peer-python", "PYTHON"] if peer else []
    record: dict[str, Any] = {
        "name": benchmark.name,
        "what": benchmark.what,
        "command": shlex.join(["python", "-m", module, *arguments, *shown]),
        "load_before": round(os.getloadavg()[0], 1),
    }
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments, *peer, "--out", str(scratch)]
    reason = run_limited(command, limit)
    record |= {
        "seconds": round(time.perf_counter() - started, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }
    written = scratch / f"{benchmark.name}.json"
    if not reason and not written.is_file():
        reason = f"wrote no {written.name}"
    if reason:
        return record | {"reason": without_paths(reason, options, scratch)}
    markdown = written.with_suffix(".md").read_text()
    result = json.loads(written.read_text())
    verdicts = benchmark.judge(result)
    return record | {
        "verdicts": [verdict._asdict() for verdict in verdicts],
        "result": json.loads(without_paths(json.dumps(result), options, scratch)),
        "markdown": without_paths(markdown, options, scratch),
    }


def without_paths(text: str, options: argparse.Namespace, scratch: Path) -> str:
    """The text, places on this machine replaced by words."""
    places = {
        str(scratch): "SCRATCH",
        options.peer_python: "PYTHON",
        sys.executable: "PYTHON",
        str(ROOT): ".",
    }
    for place, word in places.items():
        # A bare `python` is a word, not a place.
        if place and os.sep in place:
            text = text.replace(place, word)
    return text


def measure_all(
    chosen: Sequence[Benchmark], options: argparse.Namespace
) -> dict[str, Any]:
    """Run the benchmarks and gather what they wrote."""
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": measure.machine_facts(),
        "device": device_facts(),
        "versions": versions(),
        "quick": options.quick,
        "benchmarks": [],
    }
    for number, benchmark in enumerate(chosen, 1):
        print(f"{number} of {len(chosen)}: {benchmark.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            record = run_one(benchmark, options, Path(scratch))
        outcome = record.get("reason") or "done"
        print(f"  {outcome}, {record['seconds']:.0f} s", file=sys.stderr, flush=True)
        result["benchmarks"].append(record)
    return result


def report(result: Mapping[str, Any]) -> str:
    """The whole in Markdown."""
    device = result["device"]
    lines = [
        "# Benchmarks",
        "",
        f"{result['date']}; {measure.machine_line(result['machine'])}; JAX on "
        f"{device['count']} x {device['kind']} ({device['platform']}).",
        "",
        ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        + ".",
        "",
    ]
    if result["quick"]:
        lines += [
            "**Quick run: toy sizes.** It says that every benchmark runs here; its "
            "numbers say nothing about speed, and no target is judged.",
            "",
        ]
    rows = [
        _summary_row(record, verdict, result["quick"])
        for record in result["benchmarks"]
        for verdict in record.get("verdicts") or [None]
    ]
    header = ["benchmark", "target", "found", "", "took, s", "load before, after"]
    lines += [
        markdown_table(header, rows),
        "Load is the average of one minute: what a benchmark does itself counts "
        "toward “after” and toward “before” of the next one. Spreads stand in the "
        "sections.",
        "",
    ]
    for record in result["benchmarks"]:
        lines += [
            f"## {record['name']}: {record['what']}",
            "",
            f"    {record['command']}",
            "",
            f"**Failed**: {record['reason']}."
            if "reason" in record
            else record["markdown"].strip(),
            "",
        ]
    return "\n".join(lines)


def _summary_row(
    record: Mapping[str, Any], verdict: Mapping[str, Any] | None, quick: bool
) -> list[str]:
    cells = ["", record.get("reason", ""), "failed"]
    if verdict is not None:
        met = {True: "met", False: "missed", None: "-"}[verdict["met"]]
        cells = [
            verdict["target"],
            verdict["found"],
            "not judged" if quick else f"**{met}**",
        ]
    return [
        record["name"],
        *cells,
        f"{record['seconds']:.0f}",
        f"{record['load_before']}, {record['load_after']}",
    ]


def choose(names: str) -> list[Benchmark]:
    """The benchmarks of these names, in the order of the list; all, if empty.

    Raises:
        ValueError: an unknown name.
    """
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    wanted = [name for name in names.split(",") if name]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(
            f"--only must name some of {', '.join(known)}; got {', '.join(unknown)}"
        )
    return [b for b in BENCHMARKS if not wanted or b.name in wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen benchmarks, write their report, and exit with 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--out", default="benchmarks", help="folder for benchmarks.md and .json"
    )
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument(
        "--quick", action="store_true", help="toy sizes, seconds each: does it run?"
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter with the peers"
    )
    parser.add_argument(
        "--limit", type=float, default=0.0, help="seconds for each (0: its own limit)"
    )
    parser.add_argument("--list", action="store_true", help="name them and stop")
    options = parser.parse_args(arguments)
    if options.list:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:18} {benchmark.what}")
        return
    if options.limit < 0:
        parser.error(f"--limit must not be negative, got {options.limit:g}")
    try:
        chosen = choose(options.only)
    except ValueError as error:
        parser.error(str(error))
    result = measure_all(chosen, options)
    measure.save(options.out, "benchmarks", result, report(result))
    failed = [r["name"] for r in result["benchmarks"] if "reason" in r]
    print(
        f"{Path(options.out) / 'benchmarks.md'}: {counted(len(chosen), 'benchmark')}",
        end="",
    )
    print(f", failed: {', '.join(failed)}" if failed else "")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
