"""Evaluation: numbers from predictions, how sure they are, and how they are shown."""
