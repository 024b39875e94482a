"""Interventions: changes of test audio that show whether a trained model still recognises the genre.

One module per kind; each registers itself in :data:`INTERVENTIONS`.
"""

from genre_pipeline.interventions.base import INTERVENTIONS, Intervention, InterventionBlock, InterventionSpec

__all__ = ["INTERVENTIONS", "Intervention", "InterventionBlock", "InterventionSpec"]
