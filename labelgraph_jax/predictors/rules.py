"""Rules of a run: which are obeyed, and how often predictions and truth break them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.config import Config, ConfigError, RulesConfig
from labelgraph_jax.data.labels.label_rules import LabelRules, read_rules
from labelgraph_jax.functional.structure.rule_order import shield_steps
from labelgraph_jax.functional.structure.rules import broken_rules
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.hierarchy import hierarchy_results
from labelgraph_jax.predictors.many_labels import label_chunk
from labelgraph_jax.predictors.predictions import Predictions

MOST_TOLD = 100
"""Rules that results hold the counts of, those that are broken most."""


def rules_of(config: RulesConfig, names: Sequence[str]) -> LabelRules | None:
    """Read the rules that settings name; None where they name none.

    Raises:
        DataError: as `read_rules`.
        ConfigError: the settings ask for hard rules, and all have a weight.
    """
    if not config.file:
        return None
    rules = LabelRules(read_rules(config.file, set(names)), tuple(names))
    if config.kind in ("decode", "shield") and not rules.chosen(hard=True).rules:
        raise ConfigError(
            f"rules.kind='{config.kind}' needs a hard rule, without a weight in front; "
            f"all of {config.file} are soft"
        )
    return rules


def shield_rules_of(config: Config, names: Sequence[str]) -> LabelRules | None:
    """Return the rules that the network's last layer obeys; None where it has none.

    Refuses all rules of a run that it cannot obey or learn.

    Raises:
        ConfigError: labels are scored in chunks, or as `rules_of`.
        DataError: as `rules_of`.
    """
    rules = rules_of(config.rules, names)
    if rules is not None and (chunk := label_chunk(config, len(names))):
        raise ConfigError(
            "rules.file needs the probabilities of all labels at once: "
            f"head.label_chunk must be 0, got {chunk}"
        )
    if rules is None or config.rules.kind != "shield":
        return None
    hard = rules.chosen(hard=True)
    try:
        shield_steps(hard.clauses, len(names))
    except ValueError as error:
        raise ConfigError(
            f"{config.rules.file}: rules.kind='shield': {error}"
        ) from None
    return hard


def with_rules(
    decision: Decision, config: RulesConfig, names: Sequence[str]
) -> Decision:
    """The same decision with the rules that settings name, if they name any.

    Raises:
        ConfigError: rules are to be obeyed by a decision that implies ancestors, or as
            `rules_of`.
        DataError: as `rules_of`.
    """
    rules = rules_of(config, names)
    if rules is None:
        return decision
    hard = bool(rules.chosen(hard=True).rules)
    obeys = config.kind in ("auto", "decode", "shield") and hard
    if obeys and decision.consistent:
        raise ConfigError(
            f"{config.file}: rules are not obeyed where a label implies its ancestors "
            "(threshold.consistent); write what implies what as rules"
        )
    shielded = config.kind == "shield"
    return dataclasses.replace(decision, rules=rules, obeys=obeys, shielded=shielded)


def structure_results(
    predictions: Predictions, decision: Decision, ancestors: np.ndarray | None
) -> dict[str, object]:
    """Return the results on a taxonomy and on rules, where there are any."""
    found: dict[str, object] = {}
    decided = predictions.decided
    if ancestors is not None and predictions.ids is None and decided is not None:
        found["hierarchy"] = hierarchy_results(
            decided, predictions.targets > 0, ancestors, predictions.known
        )
    if decision.rules is not None:
        found["rules"] = rule_results(predictions, decision)
    return found


def rule_results(predictions: Predictions, decision: Decision) -> dict[str, object]:
    """Return the violation counts of each rule as JSON values.

    Args:
        predictions: with truth and decisions.
        decision: what decided, with rules.
    """
    rules, decided = decision.rules, predictions.decided
    assert rules is not None and decided is not None and predictions.ids is None
    sets = {
        "violations": decided,
        "without_rules": decision.without_rules(predictions.probabilities),
        "in_truth": predictions.targets > 0,
    }
    counts = {
        name: np.bincount(
            rules.owners[broken_rules(labels, rules.clauses)[1]],
            minlength=len(rules.rules),
        )
        for name, labels in sets.items()
    }
    order = np.argsort(-sum(counts.values()), kind="stable")[:MOST_TOLD]
    return {
        "rules": len(rules.rules),
        "hard": len(decision.hard_rules.rules),
        "obeyed": decision.obeys,
        **{name: int(found.sum()) for name, found in counts.items()},
        "changed_documents": int(
            (sets["violations"] != sets["without_rules"]).any(axis=1).sum()
        ),
        "per_rule": [
            {"rule": rules.rules[i].line} | {n: int(c[i]) for n, c in counts.items()}
            for i in order
            if any(found[i] for found in counts.values())
        ],
    }
