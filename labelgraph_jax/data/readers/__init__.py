"""Files of documents: readers and writers of every format."""
