"""Ingest: from a dataset's files to its track table, with everything that is wrong with them."""
