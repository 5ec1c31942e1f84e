"""The MAGNET train step: ours against the same model in PyTorch, in one run.

    python -m experiments.benchmarks.train_step --peer-python TORCH_PYTHON \
        [--turns 12] [--steps 3] [--shortest 96] [--dropout 0] [--out FOLDER]

One step: 64 documents of at most 128 token vectors with 384 features; a BiLSTM of 250
units per direction; two graph-attention layers of 4 heads over 90 labels; binary
cross-entropy, gradient, clipping and AdamW; the batch starts in NumPy on both sides.
Both start from the same numbers and read the same ragged batches; the losses of the
first steps must agree, or the benchmark stops. The rival runs in the interpreter
given; its variants (see `train_step_peer.py`) are raced first and the fastest is
taken. Then blocks of steps alternate, the other side asleep, both on the CPU with as
many threads as there are cores, or both on an accelerator (`--device accelerator`).
Compilation is not timed.

`--encoder bag` reads token ids through a table of `--vocabulary` rows of `--features`,
as the default does (the rival is given the weight of every token ready-made);
`--encoder transformer` through an encoder of `--shape`, whose products `--dtype` may
make bfloat16 on both sides (the rival under autocast).

Where torch cannot be imported, ours is measured alone, and the report says why.

On Linux the kernel hands out anew, at every step, the large arrays that were freed
after the step before, page by page: up to a fifth of the time of either side. With

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m experiments.benchmarks.train_step

they come in huge pages on both sides; the report names such settings.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import measure, race
from experiments.benchmarks.finetuning import SHAPES
from experiments.benchmarks.measure import Peer, PeerUnavailableError
from experiments.study import markdown_table
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.modules.text_encoder import TextEncoder
from labelgraph_jax.modules.transformer import TransformerShape
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.network import Classifier, count_parameters
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step

VARIANTS = ("turned fused", "turned foreach", "turned fused compiled", "packed fused")
PLAIN_VARIANTS = ("fused", "foreach", "fused compiled")
"""Of encoders that are written in one way only."""
ENCODERS = ("bilstm", "bag", "transformer")
DEVICES = ("cpu", "accelerator")
FIRST_STEPS = 4
BATCHES = 4
TOLERANCES = {"cpu": 2e-3, "accelerator": 2e-2}
"""Of the first losses, relative: an accelerator rounds the factors of a product."""


@dataclass(frozen=True)
class Sizes:
    """The model, the batches and the optimizer, the same on both sides."""

    batch: int = 64
    tokens: int = 128
    shortest: int = 96
    features: int = 384
    units: int = 250
    labels: int = 90
    layers: int = 2
    heads: int = 4
    hidden: int = 128
    negative_slope: float = 0.2
    dropout: float = 0.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    encoder: str = "bilstm"
    vocabulary: int = 30_000
    shape: str = "minilm"
    dtype: str = "float32"

    @property
    def transformer(self) -> TransformerShape:
        """The encoder of `shape`, with the dropout asked for."""
        return dataclasses.replace(
            SHAPES[self.shape],
            dropout_rate=self.dropout,
            attention_dropout_rate=self.dropout,
        )

    @property
    def words(self) -> int:
        """Rows of the table of token vectors."""
        whole = self.encoder == "transformer"
        return SHAPES[self.shape].vocabulary_size if whole else self.vocabulary


def make_batches(sizes: Sizes, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random documents of ragged lengths, the longest of each batch at the limit."""
    random = np.random.default_rng(seed)
    batches = []
    for _ in range(BATCHES):
        lengths = random.integers(sizes.shortest, sizes.tokens + 1, sizes.batch)
        lengths[0] = sizes.tokens
        mask = np.arange(sizes.tokens) < lengths[:, None]
        if sizes.encoder == "bilstm":
            vectors = random.normal(size=(*mask.shape, sizes.features))
            tokens = {"token_vectors": (vectors * mask[..., None]).astype(np.float32)}
        else:
            ids = random.integers(0, sizes.words, mask.shape, np.int32)
            tokens = {"token_ids": np.where(mask, ids, 0)}
        targets = random.random((sizes.batch, sizes.labels)) < 0.05
        batches.append(
            tokens
            | {
                "token_mask": mask,
                "lengths": lengths.astype(np.int64),
                "targets": targets.astype(np.float32),
            }
        )
    return batches


def bag_weights(batch: dict[str, np.ndarray]) -> np.ndarray:
    """Return the weight of every token in our bag of embeddings.

    It is 1 + log of its count, over the root of their sum of squares; a token that
    stands c times has a c-th each.
    """
    weights = np.zeros(batch["token_ids"].shape, np.float32)
    for row, (ids, mask) in enumerate(
        zip(batch["token_ids"], batch["token_mask"], strict=True)
    ):
        _, places, counts = np.unique(
            ids[mask], return_inverse=True, return_counts=True
        )
        each = (1 + np.log(counts)) / np.sqrt(np.sum((1 + np.log(counts)) ** 2))
        weights[row, mask] = (each / counts)[places]
    return weights


def make_classifier(sizes: Sizes) -> Classifier:
    """Our MAGNET of these sizes, over a random label graph."""
    random = np.random.default_rng(1)
    encoder = make_encoder(sizes)
    graph = LabelGraphArrays(
        features=random.normal(size=(sizes.labels, sizes.features)).astype(np.float32),
        adjacency=random.random((sizes.labels, sizes.labels)).astype(np.float32),
        prior=np.full(sizes.labels, 0.05, np.float32),
        counts=np.ones(sizes.labels, np.float32),
    )
    module = Magnet(
        text_encoder=encoder,
        label_graph=LabelGraph(
            output_dim=encoder.output_features,
            hidden_dim=sizes.hidden,
            layers=sizes.layers,
            heads=sizes.heads,
            negative_slope=sizes.negative_slope,
        ),
    )
    return Classifier(module, graph)


def make_encoder(sizes: Sizes) -> TextEncoder:
    """The text side of our MAGNET."""
    if sizes.encoder == "transformer":
        return TextEncoder(
            kind="transformer",
            transformer=sizes.transformer,
            dropout_rate=sizes.dropout,
            dtype=jnp.dtype(sizes.dtype),
        )
    if sizes.encoder == "bag":
        return TextEncoder(
            kind="bag",
            vocabulary_size=sizes.vocabulary,
            features=sizes.features,
            rectify=True,
            dropout_rate=sizes.dropout,
        )
    return TextEncoder(
        kind="bilstm",
        features=sizes.features,
        hidden_features=sizes.units,
        input_dropout_rate=sizes.dropout,
        dropout_rate=sizes.dropout,
    )


class Ours(race.Steps):
    """Our compiled train step over the batches, round and round."""

    def __init__(
        self, sizes: Sizes, batches: list[dict[str, np.ndarray]], device: str = "cpu"
    ) -> None:
        classifier = make_classifier(sizes)
        batches = [
            {name: value for name, value in batch.items() if name != "lengths"}
            for batch in batches
        ]
        example = jax.device_put(batches[0])
        self.params = jax.device_get(classifier.init(jax.random.key(0), example))
        optimizer = make_optimizer(
            learning_rate=sizes.learning_rate,
            total_steps=1_000_000,
            schedule="constant",
            weight_decay=sizes.weight_decay,
            clip_norm=sizes.clip_norm,
        )
        step = make_train_step(
            multi_label_objective(classifier.apply, binary_cross_entropy),
            optimizer,
            jax.random.key(1),
        )
        # Of a bag the weights of the tokens are no parameters.
        fixed = sizes.vocabulary if sizes.encoder == "bag" else 0
        self.parameters = count_parameters(self.params) - fixed
        devices = jax.devices("cpu") if device == "cpu" else jax.devices()
        compiled = compile_train_step(step, make_mesh(devices[:1]))
        super().__init__(compiled, init_train_state(self.params, optimizer), batches)


def start_peer(
    python: str,
    ours: Ours,
    sizes: Sizes,
    batches: list[dict[str, np.ndarray]],
    device: str = "cpu",
) -> Peer:
    """The rival, with our first parameters and our batches."""
    told = asdict(sizes) | {
        "device": device,
        "heads_of_shape": sizes.transformer.heads,
        "layer_norm_epsilon": sizes.transformer.layer_norm_epsilon,
    }
    if sizes.encoder == "bag":
        batches = [batch | {"weights": bag_weights(batch)} for batch in batches]
    params, arrays = race.flat(ours.params), race.numbered(batches)
    return race.start_rival("train_step", python, told, params, arrays)


def variants(options: argparse.Namespace) -> list[str]:
    """The rival's variants that are raced."""
    known = VARIANTS if options.encoder == "bilstm" else PLAIN_VARIANTS
    chosen = [name.strip() for name in options.variants.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(
            f"--variants must name some of {', '.join(known)}, got {unknown[0]!r}"
        )
    return chosen or list(known)


def benchmark(sizes: Sizes, options: argparse.Namespace) -> dict[str, Any]:
    """Measure ours and, where it runs, the rival; see the module."""
    result: dict[str, Any] = {"machine": measure.machine_facts()}
    batches = make_batches(sizes)
    ours = Ours(sizes, batches, options.device)
    _, losses = ours.run(FIRST_STEPS)
    runs = {"ours": lambda: ours.run(options.steps)[0]}
    peer = None
    try:
        peer = start_peer(options.peer_python, ours, sizes, batches, options.device)
        coarse = options.device != "cpu" or options.dtype != "float32"
        tolerance = TOLERANCES["accelerator" if coarse else "cpu"]
        first_steps = partial(
            race.check_same,
            peer,
            parameters=ours.parameters,
            losses=losses,
            tolerance=tolerance if options.dropout == 0 else None,
        )
        result["peer"] = race.fastest(
            peer, variants(options), first_steps, options.steps, options.race_turns
        )
        variant = result["peer"]["variant"]
        runs["torch"] = race.peer_run(peer, variant, options.steps)
        result["peer"] |= peer.facts
    except PeerUnavailableError as error:
        result["peer"] = {"error": str(error)}
    timings = measure.alternate(runs, options.turns)
    if peer is not None:
        peer.close()
    result |= {
        "sizes": asdict(sizes),
        "parameters": ours.parameters,
        "device": options.device,
        "mean_tokens": float(np.mean([batch["lengths"] for batch in batches])),
        "turns": options.turns,
        "steps": options.steps,
        "first_losses": losses,
        "versions": {"jax": jax.__version__},
    } | race.times_of(timings, options.steps)
    if "torch" in timings:
        ratio = measure.ratio_of_turns(timings["torch"], timings["ours"])
        result["torch_over_ours"] = ratio._asdict()
    return result


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    sizes, peer = result["sizes"], result["peer"]
    rows = [
        [name, f"{result['milliseconds'][name]:.0f}", f"{cpu:.0f}"]
        for name, cpu in result["cpu_milliseconds"].items()
    ]
    lines = [
        f"MAGNET train step: {sizes['batch']} documents, {sizes['tokens']} tokens "
        f"(mean {result['mean_tokens']:.0f} real), {_encoder_words(sizes)}, "
        f"{sizes['layers']} x {sizes['heads']} heads, {sizes['labels']} labels, "
        f"dropout {sizes['dropout']}; "
        f"{result['parameters']:,} parameters; {result['turns']} turns of "
        f"{result['steps']} steps; jax {result['versions']['jax']}, "
        f"{result['device']}; "
        f"{measure.machine_line(result['machine'])}.",
        "",
        markdown_table(["run", "ms a step (median)", "CPU ms a step"], rows),
    ]
    if "error" in peer:
        return "\n".join([*lines, f"Without the rival: {peer['error']}.", ""])
    ratio = result["torch_over_ours"]
    times, *others = race.raced(peer)
    lines += [
        f"torch / ours: **{ratio['median']:.2f}x** (middle half of the turns "
        f"{ratio['low']:.2f} to {ratio['high']:.2f}); above 1, ours is faster.",
        "",
        f'torch {peer["torch"]}, {peer["threads"]} threads, "{peer["variant"]}", the '
        f"fastest of: {times}.",
        *others,
    ]
    return "\n".join([*lines, ""])


def _encoder_words(sizes: dict[str, Any]) -> str:
    return {
        "bilstm": f"{sizes['features']} features, BiLSTM {sizes['units']} a direction",
        "bag": f"bag of {sizes['vocabulary']:,} x {sizes['features']}",
        "transformer": f"{sizes['shape']} in {sizes['dtype']}",
    }[sizes["encoder"]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = race.parser_of(
        __doc__ or "",
        asdict(Sizes()),
        encoder=ENCODERS,
        shape=list(SHAPES),
        dtype=("float32", "bfloat16"),
    )
    parser.add_argument("--turns", type=int, default=12, help="of ours and the rival")
    parser.add_argument("--race-turns", type=int, default=3, help="of every variant")
    parser.add_argument("--steps", type=int, default=3, help="in a turn")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="of both")
    parser.add_argument(
        "--variants", default="", help="of the rival, with commas between (all)"
    )
    options = parser.parse_args(arguments)
    try:
        variants(options)
    except ValueError as error:
        parser.error(str(error))
    sizes = Sizes(**{name: getattr(options, name) for name in asdict(Sizes())})
    result = benchmark(sizes, options)
    print(report(result))
    measure.save(options.out, "train_step", result, report(result))


if __name__ == "__main__":
    main()
