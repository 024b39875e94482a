"""Pretrained networks as features. An encoder's file is imported here; the files beside it are what encoders share."""

from genre_pipeline.features.pretrained import musicnn as musicnn
from genre_pipeline.features.pretrained import onnx as onnx
from genre_pipeline.features.pretrained import waveform_cnn as waveform_cnn
