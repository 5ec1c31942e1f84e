"""A whole run's settings, frozen and validated, to and from JSON.

Two settings that contradict each other are a `ConfigError` which names both. How
values are read and checked is `settings`.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelgraph_jax.config.adapt import AdaptConfig, check_adapt
from labelgraph_jax.config.graph import GraphConfig
from labelgraph_jax.config.memory import MemoryConfig, check_memory
from labelgraph_jax.config.semi import SemiConfig, check_semi
from labelgraph_jax.config.settings import (
    SettingsT,
    differences,
    from_values,
    require,
)
from labelgraph_jax.config.structure import (
    HIERARCHY_GRAPH,
    HierarchyConfig,
    RulesConfig,
    check_structure,
)
from labelgraph_jax.config.table import TableConfig, check_table_run, resolved_table_run
from labelgraph_jax.config.tasks import MixtureConfig
from labelgraph_jax.config.text import OWN, DataConfig, TextConfig
from labelgraph_jax.config.training import (
    HeadConfig,
    LossConfig,
    ThresholdConfig,
    TrainingConfig,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    table: TableConfig = field(default_factory=TableConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    rules: RulesConfig = field(default_factory=RulesConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    semi: SemiConfig = field(default_factory=SemiConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)

    def __post_init__(self) -> None:
        # Head: what it reads, which loss and which graph or mixture it goes with.
        require(
            self.head.kind != "label_attention"
            or (
                self.text.encoder != "bag+static"
                and (self.text.encoder != "bag" or self.graph.kind == "document")
            ),
            "head.kind='label_attention' reads the vector of every token: text.encoder "
            "must be cnn, bilstm, blocks or transformer, or bag with "
            f"graph.kind='document', got '{self.text.encoder}'",
        )
        require(
            self.head.kind != "label_attention" or self.text.pooling == "default",
            "head.kind='label_attention' reads the tokens themselves: text.pooling "
            f"must be 'default', got '{self.text.pooling}'",
        )
        heads = {"document": "label_attention", "auto": "product"}
        needed = heads.get(self.graph.kind, self.head.kind)
        require(
            self.head.kind == needed
            and not (self.graph.kind == "auto" and self.mixture.kind != "none"),
            f"graph.kind='{self.graph.kind}' needs head.kind='{needed}' and one set of "
            f"labels without a mixture, got '{self.head.kind}' and mixture.kind="
            f"'{self.mixture.kind}'",
        )
        require(
            self.head.kind != "recurrent" or self.loss == LossConfig(),
            "head.kind='recurrent' has a loss of its own, the cross-entropy of the "
            "label sequence: every setting of loss must keep its default, got "
            f"{'; '.join(differences(LossConfig(), self.loss))}",
        )

        require(
            self.mixture.kind == "none" or self.head.kind == "product",
            "a mixture gives every label set a document vector of its own: head.kind "
            f"must be 'product', got '{self.head.kind}'",
        )
        # Settings of compute that only some networks take.
        pretrained = self.text.vectors == "pretrained"
        trains_transformer = not self.table.tasks and (
            self.text.trainable if pretrained else self.text.encoder == "transformer"
        )
        require(
            self.training.compute_dtype == "float32"
            or trains_transformer
            or (self.text.encoder == "cnn" and not self.table.tasks)
            or self.mixture.kind != "none"
            or bool(self.table.tasks),
            "training.compute_dtype='bfloat16' is of a trained transformer's, a CNN's "
            "and a mixture's products; this run has none of them",
        )
        require(
            not self.training.rematerialise or trains_transformer,
            "training.rematerialise is of a transformer that is trained; this run has "
            f"text.encoder='{self.text.encoder}', text.vectors='{self.text.vectors}', "
            f"text.trainable={self.text.trainable}",
        )
        # Rules about one capability each.
        check_table_run(self)
        check_memory(self)
        check_structure(self)
        check_semi(self)
        check_adapt(self)

    def resolved(self) -> "Config":
        """The same run with every setting that depends on the encoder written out."""
        if self.table.tasks:
            return resolved_table_run(self)
        chosen = ENCODER_SETTINGS[self.text.encoder]
        text: dict[str, Any] = {
            name: chosen[name]
            for name in ("dropout", "token_dropout")
            if getattr(self.text, name) is None
        }
        training = self.training
        if training.learning_rate is None:
            training = dataclasses.replace(
                training, learning_rate=chosen["learning_rate"]
            )
        graph = self.graph
        if self.hierarchy.kind == "graph":
            graph = dataclasses.replace(graph, **HIERARCHY_GRAPH)
        text_settings = dataclasses.replace(self.text, **text)
        return dataclasses.replace(
            self, text=text_settings, training=training, graph=graph
        )


ENCODER_SETTINGS = {
    "bag": {"dropout": 0.5, "token_dropout": 0.4, "learning_rate": 1e-2},
    "bag+static": {"dropout": 0.5, "token_dropout": 0.4, "learning_rate": 1e-2},
    "cnn": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "bilstm": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "blocks": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "transformer": {"dropout": 0.1, "token_dropout": 0.0, "learning_rate": 3e-3},
}
"""Values of settings that are left open. The bag's were chosen on the validation
documents of stdlib_docs."""

MOVED: dict[tuple[str, str], tuple[str, str] | None] = {
    ("training", "positive_weight"): ("loss", "positive_weight"),
    ("training", "label_smoothing"): ("loss", "label_smoothing"),
    ("training", "threshold"): ("threshold", "kind"),
    ("training", "threshold_shrinkage"): ("threshold", "shrinkage"),
    ("mixture", "expert_devices"): None,  # now of the command line: --mesh
}
"""Present names of older versions' settings, so that their work directories load."""


def with_present_names(values: object) -> tuple[object, tuple[str, ...]]:
    """Return nested dictionaries with older versions' settings under present names.

    Returns:
        The values, and a sentence on each such setting. What has a present name too is
        taken from there.
    """
    remarks: list[str] = []
    if not isinstance(values, dict):
        return values, ()
    for (section, name), place in MOVED.items():
        held = values.get(section)
        if not isinstance(held, dict) or name not in held:
            continue
        rest = {key: value for key, value in held.items() if key != name}
        values = {**values, section: rest}
        if place is None:
            remarks.append(f"{section}.{name} is no setting of a run any longer")
            continue
        to, new = place
        there = values.get(to, {})
        if isinstance(there, dict):
            values[to] = {new: held[name], **there}
        remarks.append(f"{section}.{name} is now {to}.{new}")
    return values, tuple(remarks)


def from_dict(values: object) -> Config:
    """A configuration from nested dictionaries; what is absent keeps its default.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the
            wrong kind.
    """
    return from_values(with_present_names(values)[0], Config)


def with_absolute_paths(config: Config) -> Config:
    """The same run, which finds its files from any current directory."""

    def absolute(section: SettingsT, *names: str) -> SettingsT:
        paths = {name: getattr(section, name) for name in names}
        named = {
            n: p if p.startswith("hf:") or p == OWN else str(Path(p).absolute())
            for n, p in paths.items()
            if p
        }
        return dataclasses.replace(section, **named)

    return dataclasses.replace(
        config,
        data=absolute(
            config.data,
            *("data", "validation", "test", "unlabelled", "target", "data_dir"),
            "taxonomy",
        ),
        text=absolute(config.text, "vectors_file"),
        graph=absolute(config.graph, "vectors_file", "adjacency_file"),
        rules=absolute(config.rules, "file"),
    )
