"""A trained model as one StableHLO program and the numbers it is called with.

    call(weights, inputs) -> outputs

Weights are arguments, so the program stays small and one copy of them serves all
shapes. Batch, windows and length are symbolic: the program is compiled anew for every
shape it is called with, and traced never again.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from labelgraph_jax.data.files import read_npz
from labelgraph_jax.functional.many_labels.label_chunks import top_labels
from labelgraph_jax.functional.trees import Leaf, Params
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.modules.transformer import Transformer
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.network import Classifier

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

PROGRAM = "program.jaxexport"
WEIGHTS = "weights.npz"
PLATFORMS = ("cpu", "cuda", "tpu")
PRECISION = "highest"
"""Precision of products of float32: with less, a GPU or a TPU rounds their factors and
gives other numbers than a CPU."""

Arrays = dict[str, Leaf]
"""Weights, inputs or outputs by name."""
RunFn = Callable[[Arrays, Arrays], Arrays]


class ExportError(ValueError):
    """Raised where a model cannot leave this package, or leaves it changed."""


@dataclass(frozen=True)
class Program:
    """Serialized form of a model, with its inputs and outputs.

    Attributes:
        serialized: what `jax.export.deserialize` reads.
        weights: the first argument, float32 by name.
        inputs, outputs: dtype and shape by name; a shape names its symbolic axes.
        constraints: what the symbolic axes must obey.
        platforms: on which it can be called.
        refused: the other ones, with the reason.
        calling_convention: version of the calling convention.
    """

    serialized: bytes
    weights: dict[str, np.ndarray]
    inputs: dict[str, dict[str, object]]
    outputs: dict[str, dict[str, object]]
    constraints: tuple[str, ...]
    platforms: tuple[str, ...]
    refused: dict[str, str]
    calling_convention: int


def export_program(model: "Model") -> Program:
    """Trace a model whole, from token ids to probabilities, and lower it.

    Args:
        model: a classifier with its frozen encoder; its memory is not read.

    Raises:
        ExportError: it lowers for no platform; the reason of each is told.
    """
    run, weights = _run_fn(model)
    shapes, constraints = _input_shapes(model)
    return program_of(run, weights, shapes, constraints)


def program_of(
    run: RunFn,
    weights: dict[str, np.ndarray],
    shapes: dict[str, jax.ShapeDtypeStruct],
    constraints: tuple[str, ...] = (),
) -> Program:
    """Lower a function of weights and inputs for every platform that takes it.

    Args:
        run: `run(weights, inputs)` -> outputs, dicts by name.
        weights: the first argument.
        shapes: of the inputs, with symbolic axes.
        constraints: what these axes must obey.

    Raises:
        ExportError: it lowers for no platform; the reason of each is told.
    """
    with jax.default_matmul_precision(PRECISION):
        exported, refused = _lower(run, weights, shapes)
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    return Program(
        serialized=bytes(exported.serialize()),
        weights=weights,
        inputs={name: _described(x) for name, x in shapes.items()},
        outputs={name: _described(x) for name, x in outputs.items()},
        constraints=constraints,
        platforms=tuple(exported.platforms),
        refused=refused,
        calling_convention=exported.calling_convention_version,
    )


def _run_fn(model: "Model") -> tuple[RunFn, dict[str, np.ndarray]]:
    """The function to export, and its weights by name."""
    classifier = _whole_batches(model.classifier)
    weights: Arrays = {}
    if model.encoder is not None:
        weights |= flat(model.encoder.params, "encoder")
    if isinstance(classifier.module, Magnet):
        with jax.default_matmul_precision(PRECISION):
            vectors, bias = jax.jit(classifier.label_side)(model.params)
        weights |= {"label_vectors": vectors, "label_bias": bias}
        own = {"text_encoder": model.params.get("text_encoder", {})}
        score = _product_scores(classifier, model)
    else:
        own = model.params
        if not isinstance(classifier.module, LabelDecoder):
            weights |= flat(_graph_arrays(classifier.graph), "graph")
        score = _all_scores(classifier)
    weights |= flat(own, "classifier")

    def run(weights: Arrays, inputs: Arrays) -> Arrays:
        batch = inputs
        if model.encoder is not None:
            batch = _encoded(model, nested(weights, "encoder"), inputs)
        return score(weights, batch)

    return run, {name: np.asarray(value) for name, value in weights.items()}


def _whole_batches(classifier: Classifier) -> Classifier:
    """The same model without a transformer's chunks: they need a known batch."""
    encoder = classifier.module.text_encoder.clone(chunk_tokens=0)
    module = classifier.module.clone(text_encoder=encoder)
    return dataclasses.replace(classifier, module=module)


def _product_scores(classifier: Classifier, model: "Model") -> RunFn:
    """Document vectors times label vectors, which are the same for all documents."""
    chunk = model.label_chunk
    kept = min(model.config.head.kept_labels, len(classifier.graph.counts))

    def score(weights: Arrays, batch: Arrays) -> Arrays:
        params = nested(weights, "classifier")
        documents = classifier.document_side(params, batch)
        labels, bias = weights["label_vectors"], weights["label_bias"]
        if not chunk:
            logits = classifier.agreeing(documents @ labels.T + bias)
            return {"probabilities": jax.nn.sigmoid(logits)}
        logits, ids = top_labels(documents, labels, bias, k=kept, chunk=chunk)
        return {"label_ids": ids, "probabilities": jax.nn.sigmoid(logits)}

    return score


def _all_scores(classifier: Classifier) -> RunFn:
    """The scores of a model whose labels are not a factor of their own."""

    def score(weights: Arrays, batch: Arrays) -> Arrays:
        graph = dataclasses.replace(classifier.graph, **nested(weights, "graph"))
        own = dataclasses.replace(classifier, graph=graph)
        logits = own.apply(nested(weights, "classifier"), batch)
        return {"probabilities": jax.nn.sigmoid(logits.astype(jnp.float32))}

    return score


def _graph_arrays(graph: LabelGraphArrays) -> Params:
    """Return the arrays of the label graph that a module takes, without absent ones."""
    arrays = {
        "features": graph.features,
        "adjacency": graph.adjacency,
        "prior": graph.prior,
    }
    return {name: value for name, value in arrays.items() if value is not None}


def _encoded(model: "Model", params: Params, inputs: Arrays) -> Arrays:
    """Token ids through the frozen encoder, rounded as its cache rounds them."""
    assert model.encoder is not None
    ids, mask = inputs["token_ids"], inputs["token_mask"]
    length = ids.shape[-1]
    vectors = Transformer(model.encoder.shape).apply(
        {"params": params}, ids.reshape(-1, length), mask.reshape(-1, length)
    )
    assert isinstance(vectors, jax.Array)
    vectors = vectors.astype(jnp.float16).astype(jnp.float32)
    vectors = vectors.reshape(*ids.shape, vectors.shape[-1])
    return {
        "token_vectors": jnp.where(mask[..., None], vectors, 0),
        "token_mask": mask,
    }


def _input_shapes(
    model: "Model",
) -> tuple[dict[str, jax.ShapeDtypeStruct], tuple[str, ...]]:
    """Return the shapes of the program's inputs, and their axes' constraints."""
    text = model.config.text
    windowed = text.long_documents == "windows" and text.max_windows > 1
    axes = "batch, windows, length" if windowed else "batch, length"
    longest = None
    if model.encoder is not None:
        longest = model.encoder.shape.max_positions
    elif (own := model.classifier.module.text_encoder.transformer) is not None:
        longest = own.max_positions
    constraints = () if longest is None else (f"length <= {longest}",)
    shape = jax_export.symbolic_shape(axes, constraints=constraints)
    kinds = {"token_ids": jnp.int32, "token_mask": jnp.bool_}
    if model.reads_features:
        kinds["token_values"] = jnp.float32
    return {n: jax.ShapeDtypeStruct(shape, kind) for n, kind in kinds.items()}, (
        *constraints,
    )


def _lower(
    run: RunFn, weights: dict[str, np.ndarray], shapes: dict[str, jax.ShapeDtypeStruct]
) -> tuple[jax_export.Exported, dict[str, str]]:
    """Lowered for all platforms, or for those it can be, with why not for others."""
    refused: dict[str, str] = {}
    while True:
        platforms = [name for name in PLATFORMS if name not in refused]
        if not platforms:
            said = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise ExportError(f"the model lowers for no platform ({said})")
        try:
            lower = jax_export.export(jax.jit(run), platforms=platforms)
            return lower(weights, shapes), refused
        except (NotImplementedError, ValueError) as error:
            failed = _failing(run, weights, shapes, platforms)
            if not failed:
                raise ExportError(f"it does not lower: {error}") from error
            refused |= failed


def save_program(folder: Path, program: Program) -> None:
    """Write what computes."""
    (folder / PROGRAM).write_bytes(program.serialized)
    with (folder / WEIGHTS).open("wb") as file:
        np.savez(file, allow_pickle=False, **program.weights)


def loaded(folder: Path) -> Callable[[Arrays], Arrays]:
    """Load the program that was written, inputs -> outputs."""
    serialized = bytearray((folder / PROGRAM).read_bytes())
    program = jax.jit(jax.export.deserialize(serialized).call)
    with read_npz(folder / WEIGHTS, error=ExportError) as stored:
        weights = jax.device_put(dict(stored))
    return lambda inputs: program(weights, inputs)


def _failing(
    run: RunFn,
    weights: dict[str, np.ndarray],
    shapes: dict[str, jax.ShapeDtypeStruct],
    platforms: list[str],
) -> dict[str, str]:
    """The platforms for which a function does not lower, with the reason."""
    failed = {}
    for name in platforms:
        try:
            jax_export.export(jax.jit(run), platforms=(name,))(weights, shapes)
        except (NotImplementedError, ValueError) as error:
            failed[name] = " ".join(str(error).split())
    return failed


def flat(tree: Params, path: str) -> Arrays:
    """The arrays of nested dicts by their path, `a/b/c`."""
    if hasattr(tree, "_asdict"):
        tree = tree._asdict()
    if not isinstance(tree, Mapping):
        return {path: tree}
    found: Arrays = {}
    for name, value in tree.items():
        found |= flat(value, f"{path}/{name}")
    return found


def nested(weights: Arrays, start: str) -> Params:
    """The nested dicts under a path, of `flat`."""
    tree: Params = {}
    for path, value in weights.items():
        first, *names = path.split("/")
        if first != start:
            continue
        at = tree
        for name in names[:-1]:
            at = at.setdefault(name, {})
        at[names[-1]] = value
    return tree


def _described(
    value: jax.ShapeDtypeStruct | jax.core.ShapedArray,
) -> dict[str, object]:
    shape = [n if isinstance(n, int) else str(n) for n in value.shape]
    return {"dtype": np.dtype(value.dtype).name, "shape": shape}
