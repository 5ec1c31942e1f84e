"""Learning when labels are few: unlabelled documents, and other distributions."""
