"""Text or features to ids: words, n-grams, features, word vectors."""
