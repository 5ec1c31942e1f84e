"""Several finished runs joined into one work directory."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labelgraph_jax.config import ConfigError
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.files import link_or_copy, write_json
from labelgraph_jax.predictors.ensemble import fit_weights, join
from labelgraph_jax.predictors.manifest import FILE, seal
from labelgraph_jax.predictors.memory.files import read_added
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.calibrate import evaluate_test, fit_decision
from labelgraph_jax.runs.records import corpus_of_run
from labelgraph_jax.runs.restore import load_model

MEMBERS = "members"


Say = Callable[[str], None]


def make_ensemble(
    runs: Sequence[str | Path], workdir: str | Path, *, say: Say = lambda line: None
) -> dict[str, Any]:
    """Join finished runs into a work directory of its own, and evaluate it once.

    Weights and thresholds come from the validation documents that the runs share. The
    members are copied (as links where the file system has them), so that the new
    directory is all that `evaluate`, `predict` and `lg.load` need.

    Args:
        runs: work directories of finished runs on the same documents and labels.
        workdir: absent or empty.
        say: takes one line about what is going on.

    Returns:
        What `results.json` holds.

    Raises:
        ConfigError: fewer than two runs, or no validation documents.
        WorkdirError: a run is not finished, or runs differ in labels or documents; or
            `workdir` holds other files.
    """
    # Two runs or more that are alike, and an empty directory.
    started = time.perf_counter()
    if len(runs) < 2:
        raise ConfigError(f"an ensemble needs at least two runs, got {len(runs)}")
    place = Workdir(Path(workdir))
    if place.path.exists() and (not place.path.is_dir() or any(place.path.iterdir())):
        raise WorkdirError(f"{workdir}: must be absent or an empty directory")
    places = [Workdir.existing(run) for run in runs]
    _check_alike(places)
    # Weigh the members on validation documents.
    members = tuple(load_model(member.path) for member in places)
    corpus = corpus_of_run(places[0])
    if not corpus.validation:
        raise ConfigError("an ensemble is weighed on validation documents: none here")
    scored = [member.score_documents(corpus.validation) for member in members]
    examples = scored[0][0].examples
    probabilities = [probabilities for _, probabilities in scored]
    targets = examples.multi_hot
    weights, bias = fit_weights(probabilities, targets, examples.target_mask)
    shares = ", ".join(f"{w:.2f}" for w in weights)
    documents = counted(len(targets), "document")
    say(f"weights {shares} and bias {bias:.2f}, from {documents}")

    # Copy the members, and fit the decision on what they say together.
    _copy_files(places, place)
    about = {
        "members": [f"{MEMBERS}/{number}" for number in range(len(places))],
        "made_of": [str(run) for run in runs],
        "weights": [float(weight) for weight in weights],
        "bias": bias,
    }
    write_json(place.ensemble_path, about)
    joined = join(place, members, weights, bias)
    model = fit_decision(
        place,
        joined,
        joined.combine(probabilities).with_truth(
            examples.targets, examples.target_mask
        ),
    )
    # Evaluate once, and write what was found.
    test = evaluate_test(place, model, corpus.test)
    results = {
        **_of_the_first(places),
        "workdir": str(place.path),
        "notes": list(corpus.notes),
        "ensemble": about,
        "training": {
            "seconds": round(sum(_training(p)["seconds"] for p in places), 1),
            "members": [_training(p) for p in places],
        },
        "test": test,
        "test_seconds": round(time.perf_counter() - started, 1),
    }
    for member in (place.path / MEMBERS).iterdir():
        if not (member / FILE).is_file():
            seal(Workdir(member))
    seal(place)
    place.save_results(results)
    return results


def _check_alike(places: Sequence[Workdir]) -> None:
    for place in places:
        if place.is_table:
            raise WorkdirError(
                f"{place.path}: has learned tasks of a table; an ensemble joins runs "
                "of texts: average what `labelgraph predict --scores` writes of each "
                "run instead"
            )
        if not place.is_finished:
            raise WorkdirError(f"{place.path}: its training has not finished")
        if place.is_ensemble:
            raise WorkdirError(
                f"{place.path}: is an ensemble itself; name its members instead"
            )
        if len(read_added(place)):
            raise WorkdirError(
                f"{place.path}: has labels that were added after training, which the "
                "other runs do not know; remove them with `labelgraph labels remove`"
            )
        if place.labels().names != places[0].labels().names:
            raise WorkdirError(f"{place.path}: has other labels than {places[0].path}")
        if place.data() != places[0].data():
            raise WorkdirError(
                f"{place.path}: was trained on other documents or another split than "
                f"{places[0].path}"
            )


def _copy_files(places: Sequence[Workdir], to: Workdir) -> None:
    to.path.mkdir(parents=True, exist_ok=True)
    for number, place in enumerate(places):
        shutil.copytree(
            place.path,
            to.path / MEMBERS / str(number),
            copy_function=link_or_copy,
            ignore=shutil.ignore_patterns("tensorboard", "metrics.jsonl"),
        )
    names = ("config.json", "data.json", "labels.json", "label_graph.npz")
    for name in (*names, "layout.json"):
        if name in names or (places[0].path / name).is_file():
            shutil.copyfile(places[0].path / name, to.path / name)


def _of_the_first(places: Sequence[Workdir]) -> dict[str, Any]:
    """Return the results that an ensemble shares with its members."""
    results = [place.results() for place in places]
    names = ("corpus", "labels", "split", "documents", "devices")
    return {
        **{name: results[0][name] for name in names},
        "model": f"ensemble of {len(places)}",
        "parameters": sum(result["parameters"] for result in results),
        "seed": results[0]["seed"],
        "baseline": None,
    }


def _training(place: Workdir) -> dict[str, Any]:
    trained: dict[str, Any] = place.results()["training"]
    return trained
