"""Train and honestly compare music genre classifiers.

A Kedro project: pipelines chain ingest, splitting, segmentation, feature extraction, training, evaluation and
comparison over music datasets, and every number is tracked in MLflow with its unit, split and statistic.
"""

__version__ = "0.1.0"
