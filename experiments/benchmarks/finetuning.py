"""A fine-tuning step of a BERT-family encoder, which several benchmarks run.

Random weights, random tokens, mean pooling and one linear layer over the labels:
everything of a real step (forward, binary cross-entropy, gradient, clipping, AdamW,
dropout), nothing that must be downloaded.
"""

import argparse
import dataclasses
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.benchmarks.measure import Timing
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.functional.text.transformer import dense
from labelgraph_jax.modules.parameters import Dense
from labelgraph_jax.modules.text_encoder import TextEncoder
from labelgraph_jax.modules.transformer import TransformerShape
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step, path_string

SHAPES = {
    "minilm": TransformerShape(30522),
    "bert-base": TransformerShape(
        30522, features=768, layers=12, heads=12, hidden_features=3072
    ),
    "toy": TransformerShape(
        64, features=16, layers=1, heads=2, hidden_features=32, max_positions=64
    ),
}
"""MiniLM-L6-H384 and BERT-base, by their published sizes; `toy` is for a trial."""


@dataclass(frozen=True)
class Sizes:
    """An encoder and its batches.

    Attributes:
        shape: a name of `SHAPES`.
        rows: documents in a batch, of this process.
        tokens: of every document; none is padding.
        dtype: of the encoder's products; its parameters are float32.
        dropout: of the encoder, everywhere.
    """

    shape: str = "minilm"
    rows: int = 8
    tokens: int = 128
    labels: int = 90
    dtype: str = "float32"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(
                f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}"
            )
        for name in ("rows", "tokens", "labels"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        positions = SHAPES[self.shape].max_positions
        if self.tokens > positions:
            raise ValueError(
                f"{self.shape} has {positions} positions, got {self.tokens} tokens"
            )

    @property
    def transformer(self) -> TransformerShape:
        """The encoder, with the dropout asked for."""
        return dataclasses.replace(
            SHAPES[self.shape],
            dropout_rate=self.dropout,
            attention_dropout_rate=self.dropout,
        )


class Classifier(nn.Module):
    """Pooled token vectors and one linear layer."""

    sizes: Sizes

    @nn.compact
    def __call__(
        self, token_ids: Any, token_mask: Any, *, deterministic: bool = True
    ) -> jax.Array:
        """Return the logits of documents, `[B, N]`."""
        shape = self.sizes.transformer
        documents = TextEncoder(
            kind="transformer",
            transformer=shape,
            dtype=jnp.dtype(self.sizes.dtype),
            name="text_encoder",
        )(token_ids, token_mask, deterministic=deterministic)
        head = Dense((shape.features,), self.sizes.labels, name="label")()
        return dense(documents, *head)


def make_batch(sizes: Sizes, seed: int = 0) -> dict[str, np.ndarray]:
    """Random documents without padding, a twentieth of the labels true."""
    random = np.random.default_rng(seed)
    words = SHAPES[sizes.shape].vocabulary_size
    shape = (sizes.rows, sizes.tokens)
    targets = random.random((sizes.rows, sizes.labels)) < 0.05
    return {
        "token_ids": random.integers(0, words, shape, np.int32),
        "token_mask": np.ones(shape, bool),
        "targets": targets.astype(np.float32),
    }


def random_weights(shapes: Any, seed: int = 0) -> Any:
    """BERT's first values for parameters of these shapes: nothing to be compiled."""
    random = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        name = path_string(path).rsplit("/", 1)[-1]
        if name in ("bias", "scale"):
            return np.full(leaf.shape, float(name == "scale"), np.float32)
        values = random.standard_normal(leaf.shape, np.float32)
        return np.multiply(values, np.float32(0.02))

    return jax.tree_util.tree_map_with_path(draw, shapes)


class Finetuning:
    """A compiled train step and its state, run as the training loop runs it.

    The loss of a step is read after the next one was sent off, so that the device
    never waits for it.
    """

    def __init__(
        self, sizes: Sizes, devices: Sequence[jax.Device] | None = None
    ) -> None:
        model = Classifier(sizes)

        def apply(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
            logits = model.apply(
                {"params": params},
                batch["token_ids"],
                batch["token_mask"],
                deterministic=not train,
                rngs={"dropout": key} if train else None,
            )
            assert isinstance(logits, jax.Array)
            return logits

        self.sizes = sizes
        optimizer = make_optimizer(
            learning_rate=2e-5, total_steps=1_000_000, schedule="constant"
        )
        step = make_train_step(
            multi_label_objective(apply, binary_cross_entropy),
            optimizer,
            jax.random.key(1),
        )
        example = make_batch(sizes)
        shapes = jax.eval_shape(
            model.init, jax.random.key(0), example["token_ids"], example["token_mask"]
        )
        params = random_weights(shapes["params"])
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        self.step = compile_train_step(step, make_mesh(devices))
        self.state = self.step.place_state(init_train_state(params, optimizer))

    def run(self, batches: Iterator[dict[str, Any]], steps: int) -> "Turn":
        """Some steps; the time of each runs from one loss read to the next."""
        turn = Turn.begin()
        for _ in range(steps):
            self.send(next(batches), turn)
        self.read_all(turn)
        return turn

    def send(self, batch: dict[str, Any], turn: "Turn") -> None:
        """Send one step off, and read the loss of the one before it."""
        self.state, metrics = self.step(self.state, self.step.place_batch(batch))
        turn.unread.append(metrics["loss"])
        if len(turn.unread) > 1:
            turn.read()

    def read_all(self, turn: "Turn") -> None:
        """Wait for every step sent off."""
        while turn.unread:
            turn.read()
        jax.block_until_ready(self.state)
        turn.end()


@dataclass
class Turn:
    """Some steps in a row: the seconds and the loss of each."""

    started: float
    cpu_started: float
    clock: float
    unread: deque[jax.Array]
    seconds: list[float]
    losses: list[float]
    timing: Timing = field(default_factory=lambda: Timing(0.0, 0.0))

    @classmethod
    def begin(cls) -> "Turn":
        """Start the clocks of a turn without steps."""
        now = time.perf_counter()
        return cls(now, time.process_time(), now, deque(), [], [])

    def read(self) -> None:
        """Wait for the oldest loss."""
        self.losses.append(float(self.unread.popleft()))
        now = time.perf_counter()
        self.seconds.append(now - self.clock)
        self.clock = now

    def end(self) -> None:
        """Stop the clocks."""
        self.timing = Timing(
            time.perf_counter() - self.started, time.process_time() - self.cpu_started
        )


def matrix_parameters(shape: TransformerShape, labels: int = 0) -> int:
    """Parameters that a product goes through: no table, no bias, no norm."""
    features, hidden = shape.features, shape.hidden_features
    layer = 4 * features * features + 2 * features * hidden
    return shape.layers * layer + features * labels


def analytic_flops(sizes: Sizes) -> float:
    """Floating-point operations of the products of one train step.

        6 N B S  +  12 L B S^2 D

    with N the parameters that a product goes through (two operations each forward and
    four back, for each token) and, for the attention, q k^T and the weighted sum of
    the values: 4 S^2 D a layer and document forward, twice that back. The tables,
    the norms, the softmax and the optimizer are left out, the head counts once a
    document.

    Reference: Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section
    2.1; Chowdhery et al., PaLM, 2022, appendix B.
    """
    shape = SHAPES[sizes.shape]
    tokens = sizes.rows * sizes.tokens
    head = shape.features * sizes.labels
    products = 6 * (matrix_parameters(shape) * tokens + head * sizes.rows)
    attention = 12 * shape.layers * tokens * sizes.tokens * shape.features
    return float(products + attention)


def add_sizes(parser: argparse.ArgumentParser, defaults: Sizes) -> None:
    """An option for every field of `Sizes`."""
    for name, default in dataclasses.asdict(defaults).items():
        choices = {"shape": list(SHAPES), "dtype": ["float32", "bfloat16"]}.get(name)
        parser.add_argument(
            f"--{name}", type=type(default), default=default, choices=choices
        )


def sizes_of(options: argparse.Namespace) -> Sizes:
    """What those options say."""
    return Sizes(
        **{f.name: getattr(options, f.name) for f in dataclasses.fields(Sizes)}
    )
