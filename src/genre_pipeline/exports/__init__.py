"""Trained models as files that run elsewhere: waveform in, probabilities out, without this package."""
