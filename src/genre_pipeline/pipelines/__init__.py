"""Kedro pipelines: thin wiring between catalog entries and domain code, one package a stage."""
