"""Keeping results up to date and tidy: refreshes, schedules and pruning."""
