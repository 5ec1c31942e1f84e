"""Every setting of a run and every rule about settings, frozen and validated."""

from labelgraph_jax.config.adapt import AdaptConfig
from labelgraph_jax.config.effects import changed, idle, refuse_idle
from labelgraph_jax.config.files import read_config
from labelgraph_jax.config.graph import GraphConfig
from labelgraph_jax.config.memory import MemoryConfig
from labelgraph_jax.config.schema import (
    ENCODER_SETTINGS,
    Config,
    from_dict,
)
from labelgraph_jax.config.semi import SemiConfig
from labelgraph_jax.config.settings import ConfigError, differences, to_dict
from labelgraph_jax.config.structure import (
    HIERARCHY_GRAPH,
    HIERARCHY_WEIGHTS,
    RULES_LEARNED,
    HierarchyConfig,
    RulesConfig,
)
from labelgraph_jax.config.table import TABLE_METRIC, TableConfig
from labelgraph_jax.config.tasks import MixtureConfig
from labelgraph_jax.config.text import POOLINGS, DataConfig, ReadingConfig, TextConfig
from labelgraph_jax.config.training import (
    LOSS_SETTINGS,
    SELECTION_METRICS,
    HeadConfig,
    LossConfig,
    ThresholdConfig,
    TrainingConfig,
)

__all__ = [
    "ENCODER_SETTINGS",
    "HIERARCHY_GRAPH",
    "HIERARCHY_WEIGHTS",
    "LOSS_SETTINGS",
    "POOLINGS",
    "RULES_LEARNED",
    "SELECTION_METRICS",
    "TABLE_METRIC",
    "AdaptConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "GraphConfig",
    "HeadConfig",
    "HierarchyConfig",
    "LossConfig",
    "MemoryConfig",
    "MixtureConfig",
    "ReadingConfig",
    "RulesConfig",
    "SemiConfig",
    "TableConfig",
    "TextConfig",
    "ThresholdConfig",
    "TrainingConfig",
    "changed",
    "differences",
    "from_dict",
    "idle",
    "read_config",
    "refuse_idle",
    "to_dict",
]
