"""Multi-label text classification in which the labels form a graph.

    import labelgraph_jax as lg

    lg.functional      pure functions: attention, losses, metrics, thresholds
    lg.modules         Flax Linen modules
    lg.figures         figures: arrays in, matplotlib axes out
    lg.load(workdir)   a trained model: .predict(texts), .predict_proba(texts);
                       of a run over a table .predict(rows), .predict_proba(rows)
    lg.fit(texts, labels)     trains on texts in memory, and gives such a model
    lg.LabelGraphClassifier   a scikit-learn estimator: .fit(texts, labels)
    lg.explain(model, text)   why these labels: words, neighbours, documents
    lg.score_test(model)   its test documents: probabilities, targets, decisions

Nothing is imported before it is asked for, so that `import labelgraph_jax` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.6.0"

if TYPE_CHECKING:
    from labelgraph_jax import functional, modules
    from labelgraph_jax.config import Config
    from labelgraph_jax.estimator import LabelGraphClassifier, fit
    from labelgraph_jax.functional.attention.graph_attention import graph_attention
    from labelgraph_jax.functional.mixture.experts import mix_experts
    from labelgraph_jax.inspection import figures
    from labelgraph_jax.inspection.explain import explain
    from labelgraph_jax.predictors.model import Model
    from labelgraph_jax.predictors.tables.model import TableModel
    from labelgraph_jax.runs.restore import load
    from labelgraph_jax.runs.scored import score_test

_LAZY = {
    "Config": "labelgraph_jax.config",
    "LabelGraphClassifier": "labelgraph_jax.estimator",
    "Model": "labelgraph_jax.predictors.model",
    "explain": "labelgraph_jax.inspection.explain",
    "fit": "labelgraph_jax.estimator",
    "graph_attention": "labelgraph_jax.functional.attention.graph_attention",
    "TableModel": "labelgraph_jax.predictors.tables.model",
    "load": "labelgraph_jax.runs.restore",
    "mix_experts": "labelgraph_jax.functional.mixture.experts",
    "score_test": "labelgraph_jax.runs.scored",
}
_SUBPACKAGES = {
    "figures": "labelgraph_jax.inspection.figures",
    **{
        name: f"labelgraph_jax.{name}"
        for name in ("functional", "modules", "data", "training", "config")
    },
}

__all__ = [
    "Config",
    "LabelGraphClassifier",
    "Model",
    "TableModel",
    "__version__",
    "explain",
    "figures",
    "fit",
    "functional",
    "graph_attention",
    "load",
    "mix_experts",
    "modules",
    "score_test",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(_SUBPACKAGES[name])
    if name not in _LAZY:
        raise AttributeError(f"module 'labelgraph_jax' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBPACKAGES})
