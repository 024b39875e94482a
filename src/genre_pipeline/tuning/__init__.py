"""Tuning: search for a model's parameters by its score on the validation split."""

from genre_pipeline.tuning.development import Development, hold_out_test
from genre_pipeline.tuning.parameters import Tuning, TuningBlock, parse_tuning
from genre_pipeline.tuning.space import SearchSpace, parse_space
from genre_pipeline.tuning.study import Observer, Search, Trial, Tuned, check_optuna, tune

__all__ = [
    "Development",
    "Observer",
    "Search",
    "SearchSpace",
    "Trial",
    "Tuned",
    "Tuning",
    "TuningBlock",
    "check_optuna",
    "hold_out_test",
    "parse_space",
    "parse_tuning",
    "tune",
]
