"""Ingest: from a dataset's files to its track table, with every fault."""
