"""Rows with columns: files, schema, targets and encoded rows."""
