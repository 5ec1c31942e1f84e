"""Pure functions: arrays in, arrays out; no parameter, no state."""

from labelgraph_jax.functional.attention.complete import complete_attention
from labelgraph_jax.functional.attention.complete_relu import complete_relu_attention
from labelgraph_jax.functional.attention.document_graph import (
    document_graph_scores,
    label_documents,
)
from labelgraph_jax.functional.attention.forms import graph_attention_v2, message_gate
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    masked_softmax,
    relu_graph_attention,
)
from labelgraph_jax.functional.attention.receivers import (
    receiver_attention,
    receiver_scores,
    receiver_scores_v2,
)
from labelgraph_jax.functional.attribution import (
    completeness,
    gradient_times_input,
    integrated_gradients,
)
from labelgraph_jax.functional.decisions.calibrated import (
    Calibration,
    calibrated_cut,
    fit_calibration,
)
from labelgraph_jax.functional.decisions.fitting import ThresholdFits, count_cuts
from labelgraph_jax.functional.decisions.selection import (
    cross_fitted_decisions,
    simplest_rule,
)
from labelgraph_jax.functional.decisions.thresholds import (
    apply_thresholds,
    decide_top_k,
    fit_global_threshold,
    fit_label_thresholds,
    fit_top_k,
)
from labelgraph_jax.functional.few_labels.other_distributions import (
    PriorShift,
    coral,
    gradient_reversal,
    label_prior_shift,
)
from labelgraph_jax.functional.few_labels.pseudo_labels import (
    PseudoLabels,
    label_spreading,
    pseudo_labels,
    shrunk_prior,
)
from labelgraph_jax.functional.few_labels.virtual_adversarial import (
    bernoulli_divergence,
    virtual_adversarial_direction,
)
from labelgraph_jax.functional.few_labels.votes import VoteModel, vote_model
from labelgraph_jax.functional.graph.adjacency import (
    conditional_adjacency,
    cooccurrence,
    identity_adjacency,
    random_adjacency,
    similarity_adjacency,
    taxonomy_adjacency,
    thresholded_adjacency,
    xavier_adjacency,
)
from labelgraph_jax.functional.graph.convolution import (
    gated_convolution,
    graph_convolution,
    normalise_adjacency,
)
from labelgraph_jax.functional.graph.edges import (
    Edges,
    adjacency_from_edges,
    edges_from_adjacency,
    edges_from_pairs,
    make_edges,
)
from labelgraph_jax.functional.graph.node_positions import node_positions
from labelgraph_jax.functional.graph.taxonomy import (
    HierarchicalCounts,
    ancestor_matrix,
    ancestor_probabilities,
    hierarchical_counts,
    imply_ancestors,
    summarise_hierarchical_counts,
)
from labelgraph_jax.functional.losses.adjustment import adjusted_logits
from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    distribution_balanced_loss,
    negative_tolerant_loss,
)
from labelgraph_jax.functional.losses.conditional import joint_outputs
from labelgraph_jax.functional.losses.consistency import symmetric_divergence
from labelgraph_jax.functional.losses.elementwise import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
)
from labelgraph_jax.functional.losses.tasks import (
    Task,
    multi_task_loss,
    task_loss_sums,
    task_probabilities,
)
from labelgraph_jax.functional.many_labels.label_chunks import (
    DecisionCounts,
    chunked_loss,
    decision_counts,
    top_labels,
)
from labelgraph_jax.functional.many_labels.label_lists import (
    LabelScores,
    mix_scores,
    mix_top_labels,
)
from labelgraph_jax.functional.many_labels.retrieval import (
    Neighbours,
    memory_labels,
    memory_scores,
    nearest_keys,
)
from labelgraph_jax.functional.metrics.agreement import (
    PairAgreement,
    fleiss_kappa,
    krippendorff_alpha,
    masi_distance,
    pair_agreement,
)
from labelgraph_jax.functional.metrics.calibration import (
    CalibrationBins,
    calibration_bins,
    expected_calibration_error,
)
from labelgraph_jax.functional.metrics.counts import (
    LabelCounts,
    f1_from_counts,
    label_counts,
    summarise_label_counts,
)
from labelgraph_jax.functional.metrics.groups import (
    competing_r_precision,
    group_hits,
    group_ranking_metrics,
    ranked_group_metrics,
)
from labelgraph_jax.functional.metrics.label_errors import (
    confused_with,
    label_f1,
    missed_together,
)
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.functional.metrics.ranked import (
    fit_global_threshold_ranked,
    ranked_metrics,
)
from labelgraph_jax.functional.metrics.row_groups import ranking_within_groups
from labelgraph_jax.functional.metrics.tasks import (
    log_loss,
    pr_auc,
    rmse,
    roc_auc,
    task_metrics,
)
from labelgraph_jax.functional.mixture.balance import (
    balanced_weights,
    gradient_norm_loss,
    gradient_products,
    project_conflicts,
)
from labelgraph_jax.functional.mixture.experts import (
    GateStatistics,
    GateSums,
    cross_stitch,
    draw_gate_keep,
    expert_access,
    gate_statistics,
    gate_sums,
    gate_weights,
    mix_experts,
    normalise_experts,
)
from labelgraph_jax.functional.ranker.position_bias import (
    add_position_logits,
    drop_positions,
    position_logits,
)
from labelgraph_jax.functional.ranker.scores import weighted_product, weighted_sum
from labelgraph_jax.functional.streams.reservoir import Reservoir, reservoir_insert
from labelgraph_jax.functional.streams.running import (
    PageHinkley,
    decayed_edges,
    page_hinkley,
    running_quantile,
)
from labelgraph_jax.functional.structure.hierarchy import (
    descendant_max,
    hierarchy_contrast,
    hierarchy_loss,
    recursive_regularisation,
)
from labelgraph_jax.functional.structure.overlap import label_overlap, overlap_contrast
from labelgraph_jax.functional.structure.rules import (
    Clauses,
    RuleDecisions,
    broken_rules,
    decode_rules,
    make_clauses,
    rule_loss,
    unreachable_labels,
    unsatisfiable_rules,
)
from labelgraph_jax.functional.structure.shield import (
    shield_decisions,
    shield_loss,
    shield_reasons,
    shield_rules,
)
from labelgraph_jax.functional.text.block_attention import (
    attention_pooling,
    block_self_attention,
    directed_attention,
)
from labelgraph_jax.functional.text.label_attention import (
    label_attention_scores,
    label_attention_weights,
    token_convolution,
)
from labelgraph_jax.functional.text.label_decoder import (
    greedy_decode,
    label_sequence_loss,
    label_sequences,
)
from labelgraph_jax.functional.text.pooling import (
    bag_of_counts,
    bag_of_embeddings,
    masked_max,
    masked_mean,
    pool_windows,
    text_convolution,
)
from labelgraph_jax.functional.text.recurrent import bidirectional_lstm, lstm
from labelgraph_jax.functional.text.static_table import ridge_token_table

__all__ = [
    "Calibration",
    "CalibrationBins",
    "Clauses",
    "DecisionCounts",
    "Edges",
    "GateStatistics",
    "GateSums",
    "HierarchicalCounts",
    "LabelCounts",
    "LabelScores",
    "Neighbours",
    "PageHinkley",
    "PairAgreement",
    "PriorShift",
    "PseudoLabels",
    "Reservoir",
    "RuleDecisions",
    "Task",
    "ThresholdFits",
    "VoteModel",
    "add_position_logits",
    "adjacency_from_edges",
    "adjusted_logits",
    "ancestor_matrix",
    "ancestor_probabilities",
    "apply_thresholds",
    "asymmetric_loss",
    "attention_pooling",
    "bag_of_counts",
    "bag_of_embeddings",
    "balanced_weights",
    "bernoulli_divergence",
    "bidirectional_lstm",
    "binary_cross_entropy",
    "block_self_attention",
    "broken_rules",
    "calibrated_cut",
    "calibration_bins",
    "chunked_loss",
    "class_balanced_loss",
    "competing_r_precision",
    "complete_attention",
    "complete_relu_attention",
    "completeness",
    "conditional_adjacency",
    "confused_with",
    "cooccurrence",
    "coral",
    "count_cuts",
    "cross_fitted_decisions",
    "cross_stitch",
    "decayed_edges",
    "decide_top_k",
    "decision_counts",
    "decode_rules",
    "descendant_max",
    "directed_attention",
    "distribution_balanced_loss",
    "document_graph_scores",
    "draw_gate_keep",
    "drop_positions",
    "edges_from_adjacency",
    "edges_from_pairs",
    "evaluate_scores",
    "expected_calibration_error",
    "expert_access",
    "f1_from_counts",
    "fit_calibration",
    "fit_global_threshold",
    "fit_global_threshold_ranked",
    "fit_label_thresholds",
    "fit_top_k",
    "fleiss_kappa",
    "focal_loss",
    "gate_statistics",
    "gate_sums",
    "gate_weights",
    "gated_convolution",
    "gradient_norm_loss",
    "gradient_products",
    "gradient_reversal",
    "gradient_times_input",
    "graph_attention",
    "graph_attention_v2",
    "graph_convolution",
    "greedy_decode",
    "group_hits",
    "group_ranking_metrics",
    "hierarchical_counts",
    "hierarchy_contrast",
    "hierarchy_loss",
    "identity_adjacency",
    "imply_ancestors",
    "integrated_gradients",
    "joint_outputs",
    "krippendorff_alpha",
    "label_attention_scores",
    "label_attention_weights",
    "label_counts",
    "label_documents",
    "label_f1",
    "label_overlap",
    "label_prior_shift",
    "label_sequence_loss",
    "label_sequences",
    "label_spreading",
    "log_loss",
    "lstm",
    "make_clauses",
    "make_edges",
    "masi_distance",
    "masked_max",
    "masked_mean",
    "masked_softmax",
    "memory_labels",
    "memory_scores",
    "message_gate",
    "missed_together",
    "mix_experts",
    "mix_scores",
    "mix_top_labels",
    "multi_task_loss",
    "nearest_keys",
    "negative_tolerant_loss",
    "node_positions",
    "normalise_adjacency",
    "normalise_experts",
    "overlap_contrast",
    "page_hinkley",
    "pair_agreement",
    "pool_windows",
    "position_logits",
    "pr_auc",
    "project_conflicts",
    "pseudo_labels",
    "random_adjacency",
    "ranked_group_metrics",
    "ranked_metrics",
    "ranking_within_groups",
    "receiver_attention",
    "receiver_scores",
    "receiver_scores_v2",
    "recursive_regularisation",
    "relu_graph_attention",
    "reservoir_insert",
    "ridge_token_table",
    "rmse",
    "roc_auc",
    "rule_loss",
    "running_quantile",
    "shield_decisions",
    "shield_loss",
    "shield_reasons",
    "shield_rules",
    "shrunk_prior",
    "similarity_adjacency",
    "simplest_rule",
    "summarise_hierarchical_counts",
    "summarise_label_counts",
    "symmetric_divergence",
    "task_loss_sums",
    "task_metrics",
    "task_probabilities",
    "taxonomy_adjacency",
    "text_convolution",
    "thresholded_adjacency",
    "token_convolution",
    "top_labels",
    "unreachable_labels",
    "unsatisfiable_rules",
    "virtual_adversarial_direction",
    "vote_model",
    "weighted_product",
    "weighted_sum",
    "xavier_adjacency",
]
