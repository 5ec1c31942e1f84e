"""Input of a model: documents, labels, tables, corpora, tokenizers, splits, batches."""
