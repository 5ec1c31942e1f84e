"""A service under load and under attack, against `predict` on the same texts.

    python -m experiments.benchmarks.serving [--workdir RUN] [--requests 10000] \
        [--clients 32] [--turns 20] [--minutes 6] [--attacks 1000] [--out FOLDER]

Starts `labelgraph serve RUN` on loopback and asks it, one text a request, with clients
in a process of their own; between the turns the same texts go through `Model.predict`
in this process (the service is idle then), every other turn in the other order. All
share the machine's cores: what clients cost is part of what is measured. Then come
malformed bodies, bodies that are too large, slow clients and bad UTF-8, while others
are served. Without --workdir a small BiLSTM is trained on stdlib_docs. Texts: the test
documents of Reuters where there is a copy, else the run's own. Beside the wall clock
stands the processor time of each text, which what else runs on the machine disturbs
less.

Targets: no error; throughput at least 0.8 of predict's; p99 below ten times p50; memory
that does not grow. Ten minutes on two CPU cores.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import measure, serving_attack
from experiments.study import markdown_table

CLIENT = Path(__file__).with_name("serving_client.py")
TARGET = 0.8
TAIL = 10.0
GROWTH = 1.05
START_SECONDS = 600


def small_bilstm(folder: Path) -> Path:
    """A BiLSTM after one epoch on stdlib_docs: its speed is that of a good one."""
    from labelgraph_jax.config import TextConfig
    from labelgraph_jax.config.presets import preset
    from labelgraph_jax.runs.fit import fit

    config = preset("default")
    config = dataclasses.replace(
        config,
        text=TextConfig(encoder="bilstm", dim=128, hidden=128),
        training=dataclasses.replace(config.training, epochs=1),
    )
    fit(config, folder, progress=False)
    return folder


@contextlib.contextmanager
def running(
    workdir: Path, *options: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A service that is ready, its process and its address.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    command = [sys.executable, "-m", "labelgraph_jax", "serve", str(workdir)]
    process = subprocess.Popen(
        [*command, "--port", "0", *options], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said: list[str] = []
        end = time.monotonic() + START_SECONDS
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"ready: .* on (http://\S+)", line):
                break
            if time.monotonic() > end:
                raise RuntimeError("the service was not ready in time")
        else:
            raise RuntimeError(f"the service ended: {''.join(said[-3:])}")
        yield process, found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def processor_seconds(pid: int) -> float:
    """That a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(address: str, name: str) -> float:
    """One number of /metrics."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


def measured(
    workdir: Path, texts: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Turns of the service and of predict, on the same slices of the texts."""
    from labelgraph_jax.runs.restore import load_model

    model = load_model(workdir)
    if model.encoder is not None:
        # What was encoded once would be read from the cache the next time.
        encoder = dataclasses.replace(model.encoder, cache=None)
        model = dataclasses.replace(model, encoder=encoder)
    each = options.requests // options.turns
    rows: list[dict[str, Any]] = []
    seconds: list[float] = []
    errors: list[str] = []
    memory: list[float] = []
    limits = ("--body-timeout", "5", "--header-timeout", "5")
    with running(workdir, *limits) as (process, address):
        host, port = address.removeprefix("http://").rsplit(":", 1)
        peer = measure.Peer(sys.executable, CLIENT)
        peer.ask({"texts": list(texts)})
        before = metric(address, "labelgraph_compilations")
        used = {"serve": 0.0, "predict": 0.0}

        def served(first: int, count: int) -> float:
            place = {"host": host, "port": int(port), "clients": options.clients}
            start = processor_seconds(process.pid)
            answer = peer.ask({"first": first, "count": count, **place})
            seconds.extend(answer["seconds"])
            errors.extend(answer["errors"])
            used["serve"] += processor_seconds(process.pid) - start
            return float(answer["wall"])

        def offline(first: int, count: int) -> float:
            own = [texts[i % len(texts)] for i in range(first, first + count)]
            model.predict(own)  # compiles the shapes of these texts
            started, start = time.perf_counter(), time.process_time()
            model.predict(own)
            used["predict"] += time.process_time() - start
            return time.perf_counter() - started

        served(0, min(each, 200))
        seconds.clear()
        used["serve"] = 0.0
        memory.append(resident(process.pid))
        end = time.monotonic() + 60 * options.minutes
        for turn in range(options.turns):
            runs = {"serve": served, "predict": offline}
            took = {
                name: runs[name](turn * each, each)
                for name in list(runs)[:: 1 if turn % 2 == 0 else -1]
            }
            rows.append(
                {"serve": each / took["serve"], "predict": each / took["predict"]}
            )
            memory.append(resident(process.pid))
            print(
                f"turn {turn + 1}: serve {rows[-1]['serve']:.0f}/s, predict "
                f"{rows[-1]['predict']:.0f}/s",
                file=sys.stderr,
                flush=True,
            )
            if time.monotonic() > end:
                break
        peer.close()
        batches = metric(address, "labelgraph_batch_texts_count")
        documents = metric(address, "labelgraph_documents_total")
        after = metric(address, "labelgraph_compilations")
        attack = serving_attack.attack(address, options.attacks)
        memory.append(resident(process.pid))
    attack["exit_code"] = process.returncode
    low, median, high = (
        1000 * float(np.quantile(seconds, q)) for q in (0.5, 0.95, 0.99)
    )
    return {
        "requests": len(seconds),
        "errors": len(errors),
        "first_errors": errors[:3],
        "turns": rows,
        "processor_ms": {
            name: 1000 * total / (each * len(rows)) for name, total in used.items()
        },
        "ratio": measure.Spread.of([r["serve"] / r["predict"] for r in rows])._asdict(),
        "p50": low,
        "p95": median,
        "p99": high,
        "slowest": 1000 * max(seconds),
        "resident": memory,
        "texts_per_batch": documents / max(batches, 1),
        "compilations_while_serving": after - before,
        "attack": attack,
    }


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result as JSON values."""
    from labelgraph_jax.data.corpora import load_corpus
    from labelgraph_jax.data.documents import DataError
    from labelgraph_jax.predictors.workdir import Workdir
    from labelgraph_jax.runs.corpus import read_corpus

    with tempfile.TemporaryDirectory() as scratch:
        named = options.workdir
        workdir = Path(named) if named else small_bilstm(Path(scratch) / "bilstm")
        place = Workdir.existing(workdir)
        own = read_corpus(place.config().data)
        corpus, documents = own.name, own.test
        with contextlib.suppress(DataError):
            reuters = load_corpus("reuters21578")
            corpus, documents = reuters.name, reuters.test
        texts = [document.text for document in documents]
        machine = measure.machine_facts()
        found = measured(workdir, texts, options)
    words = [len(text.split()) for text in texts]
    return {
        "machine": machine,
        "load_after": round(os.getloadavg()[0], 1),
        "corpus": corpus,
        "encoder": place.config().text.encoder,
        "words": measure.Spread.of(words)._asdict(),
        "clients": options.clients,
        **found,
    }


def verdicts(result: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Each target, what was found, and whether that meets it."""
    ratio, tail = result["ratio"]["median"], result["p99"] / result["p50"]
    memory = result["resident"]
    growth = max(memory[1:]) / memory[len(memory) // 2]
    attack = result["attack"]
    refused = attack["refused_with_a_reason"] == attack["sent"] and attack["healthy"]
    return [
        (
            f"no error in {result['requests']:,} requests",
            f"{result['errors']} errors",
            result["errors"] == 0,
        ),
        (f"{TARGET:g}x predict", f"{ratio:.2f}x", ratio >= TARGET),
        (f"p99 below {TAIL:g}x p50", f"{tail:.1f}x", tail < TAIL),
        (
            f"memory within {GROWTH:g}x of the middle of the run",
            f"{growth:.3f}x",
            growth <= GROWTH,
        ),
        (
            "every attack refused with a reason, none blocks others",
            f"{attack['refused_with_a_reason']:,} of {attack['sent']:,}",
            refused,
        ),
    ]


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rates = {
        name: measure.Spread.of([turn[name] for turn in result["turns"]])
        for name in ("serve", "predict")
    }
    rows = [
        [name, f"{rate.median:.0f}", f"{rate.low:.0f} to {rate.high:.0f}"]
        for name, rate in rates.items()
    ]
    table = markdown_table(["", "texts/s, median of turns", "middle half"], rows)
    judged = markdown_table(
        ["target", "found", ""],
        [[t, found, "met" if met else "missed"] for t, found, met in verdicts(result)],
    )
    memory, words, attack = result["resident"], result["words"], result["attack"]
    return (
        f"{result['requests']:,} requests of one text by {result['clients']} clients, "
        f"{result['encoder']}, {result['corpus']} ({words['median']:.0f} words, middle "
        f"half {words['low']:.0f} to {words['high']:.0f}); "
        f"{measure.machine_line(result['machine'])}, {result['load_after']} at the "
        f"end.\n\n{table}\n"
        f"Processor time a text: serve {result['processor_ms']['serve']:.2f} ms "
        f"without clients, predict {result['processor_ms']['predict']:.2f}. "
        f"Latency: p50 {result['p50']:.1f} ms, p95 {result['p95']:.1f}, p99 "
        f"{result['p99']:.1f}, slowest {result['slowest']:.0f}. "
        f"{result['texts_per_batch']:.1f} texts a batch; "
        f"{result['compilations_while_serving']:.0f} programs compiled while serving. "
        f"Memory: {memory[0]:.0f} MiB at the start, {memory[len(memory) // 2]:.0f} in "
        f"the middle, {memory[-2]:.0f} at the end, {memory[-1]:.0f} after the "
        "attack.\n\n"
        f"Attack: {attack['sent']:,} requests, statuses {attack['statuses']}, in "
        f"{attack['seconds']:.0f} s; meanwhile {attack['others']:,} good requests, the "
        f"slowest {1000 * attack['others_slowest']:.0f} ms, {attack['others_failed']} "
        f"failed; exit code after SIGTERM {attack['exit_code']}.\n\n{judged}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Load a service with requests and with malformed ones, and keep the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", default="", help="a finished run")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=6.0, help="at most")
    parser.add_argument("--attacks", type=int, default=1_000, help="malformed bodies")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    result = benchmark(options)
    print(report(result))
    measure.save(options.out, "serving", result, report(result))


if __name__ == "__main__":
    main()
