"""What starts refreshes by itself: a crontab line, a systemd timer, Airflow DAGs; as texts for those programs."""

from genre_pipeline.ops.scheduling.airflow_dag import airflow_dag
from genre_pipeline.ops.scheduling.command import Every, Project
from genre_pipeline.ops.scheduling.timers import crontab, systemd_units

__all__ = ["Every", "Project", "airflow_dag", "crontab", "systemd_units"]
