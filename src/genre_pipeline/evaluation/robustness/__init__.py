"""Robustness: how trained models answer when the audio of their test tracks is changed."""
