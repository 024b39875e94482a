"""Evaluation: numbers from predictions, and how sure they are."""
