"""Refresh: which results are stale and why, found from cheap facts before anything runs."""
