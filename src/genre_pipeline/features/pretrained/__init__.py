"""Pretrained networks as features."""

from genre_pipeline.features.pretrained import musicnn as musicnn
