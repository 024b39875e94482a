"""Audio files: reading them as waveforms, and finding their faults."""

from genre_pipeline.audio.inspection import INSPECTION_VERSION, AudioFacts, inspect_audio
from genre_pipeline.audio.io import open_audio, read_waveform

__all__ = ["INSPECTION_VERSION", "AudioFacts", "inspect_audio", "open_audio", "read_waveform"]
