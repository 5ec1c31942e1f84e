"""Examples of one split, and the batches that are cut from them."""
