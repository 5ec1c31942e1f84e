"""Flax Linen modules: they own parameters and leave the mathematics to `functional`."""

from labelgraph_jax.modules.label_attention import LabelAttention
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.modules.mixture import Mixture, MultiTaskNetwork, TaskTowers
from labelgraph_jax.modules.ranker import Ranker, ShallowTower
from labelgraph_jax.modules.tables import TableEncoder
from labelgraph_jax.modules.text_encoder import TextEncoder
from labelgraph_jax.modules.transformer import Transformer, TransformerShape

__all__ = [
    "LabelAttention",
    "LabelDecoder",
    "LabelGraph",
    "Magnet",
    "Mixture",
    "MultiTaskNetwork",
    "Ranker",
    "ShallowTower",
    "TableEncoder",
    "TaskTowers",
    "TextEncoder",
    "Transformer",
    "TransformerShape",
]
