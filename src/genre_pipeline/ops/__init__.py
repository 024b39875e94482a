"""Keeping results up to date and tidy: refreshes, Airflow's DAGs and pruning."""
