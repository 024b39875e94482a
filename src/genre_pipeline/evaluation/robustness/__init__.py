"""Robustness: how the predictions of trained models change when the audio of their test tracks is changed."""
