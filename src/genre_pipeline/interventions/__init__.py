"""Interventions: what is done to test audio to see whether a trained model still recognises the genre.

One module a kind; each registers itself in :data:`INTERVENTIONS`.
"""

from genre_pipeline.interventions.base import INTERVENTIONS, Intervention, InterventionBlock, InterventionSpec

__all__ = ["INTERVENTIONS", "Intervention", "InterventionBlock", "InterventionSpec"]
