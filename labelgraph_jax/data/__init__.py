"""What comes in: documents, labels, tables, corpora, tokenizers, splits, batches."""
