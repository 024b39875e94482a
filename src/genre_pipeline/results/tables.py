"""The columns of the tables that a comparison writes, and the one type that each of them has in all tables.

Accuracies, other shares and differences of them are between 0 and 1, times in seconds. Where there is a ``unit``,
``split``, ``metric`` or ``statistic``, it says what the row's numbers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# All others are float64.
_TYPES = {
    "string": (
        "dataset subset protocol feature model split unit metric statistic key interval track_accuracy_interval "
        "since_previous selection split_hash feature_hash git_commit shared reference_protocol reference_split_hash "
        "feature_a model_a feature_b model_b better paper table row reported_dataset reported_protocol reported_unit "
        "reported_statistic comparable reason intervention label genre"
    ),
    "bool": "leaky is_changed all_artists",
    "int64": (
        "n_repeats n_failed n_genres n_tracks n_clusters only_a only_b n_left_out repeat n_known n_unseen n_artists "
        "n_draws"
    ),
    # Estimators have none.
    "Int64": "n_parameters",
}
_TYPE_OF = {name: dtype for dtype, names in _TYPES.items() for name in names.split()}


def _columns(names: str) -> Mapping[str, str]:
    return {name: _TYPE_OF.get(name, "float64") for name in names.split()}


# ``since_previous`` is the verdict on what changed since the last finished run, empty where nothing was compared, and
# ``previous_difference`` that of the track accuracy.
LEADERBOARD_COLUMNS = _columns(
    "dataset subset protocol feature model leaky artists_unknown split statistic n_repeats n_failed "
    "track_accuracy_mean track_accuracy_sd track_accuracy_ci_low track_accuracy_ci_high track_accuracy_interval "
    "track_accuracy_max track_balanced_accuracy_mean track_macro_f1_mean track_top_2_accuracy_mean "
    "track_log_loss_mean track_ece_mean segment_accuracy_mean since_previous previous_difference chance_largest_class "
    "chance_uniform n_genres n_parameters training_s inference_s inference_s_per_clip gflop_per_clip selection "
    "split_hash feature_hash git_commit"
)
METRIC_COLUMNS = _columns(
    "dataset subset protocol feature model leaky artists_unknown key split unit metric statistic mean sd ci_low "
    "ci_high interval min max n_repeats n_failed selection split_hash feature_hash git_commit"
)
RANK_COLUMNS = _columns(
    "dataset subset protocol feature model artists_unknown split unit metric statistic mean rank mean_rank split_hash "
    "feature_hash git_commit"
)
# Gaps are differences from the reference.
GAP_COLUMNS = _columns(
    "dataset subset protocol feature model leaky artists_unknown shared split unit metric statistic accuracy "
    "reference_protocol reference_accuracy gap ci_low ci_high n_repeats split_hash reference_split_hash feature_hash "
    "git_commit"
)
# Differences are those of the first from the second.
PAIR_COLUMNS = _columns(
    "dataset subset protocol leaky artists_unknown feature_a model_a feature_b model_b unit metric difference ci_low "
    "ci_high confidence n_repeats n_tracks n_clusters only_a only_b p_bootstrap p_corrected_t p_mcnemar p p_holm "
    "better split_hash"
)
REPRODUCTION_COLUMNS = _columns(
    "paper table row reported reported_dataset reported_protocol reported_unit reported_statistic dataset subset "
    "protocol feature model leaky artists_unknown split unit metric statistic measured measured_ci_low "
    "measured_ci_high difference ci_low ci_high comparable reason split_hash feature_hash git_commit"
)
# Differences are after minus before.
ROBUSTNESS_COLUMNS = _columns(
    "dataset subset protocol leaky artists_unknown feature model intervention label unit metric accuracy "
    "accuracy_before difference ci_low ci_high confidence same_answer p p_holm is_changed n_repeats n_tracks "
    "n_clusters n_left_out accuracy_of_all split_hash feature_hash"
)

UNSEEN_COLUMNS = _columns(
    "dataset subset protocol leaky artists_unknown feature model genre repeat split unit metric value n_known n_unseen "
    "split_hash feature_hash"
)

# ``n_artists`` are those of each genre, of which a genre may have fewer; with ``all_artists`` those of the genre that
# has the most. ``mean_artists`` and ``mean_tracks`` are all that models were trained on, means over draws and repeats.
FEW_LABELS_COLUMNS = _columns(
    "dataset subset protocol leaky artists_unknown feature model n_artists all_artists mean_artists mean_tracks split "
    "unit metric statistic mean sd ci_low ci_high interval n_draws n_repeats n_failed split_hash feature_hash"
)


def make_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Make a table of rows; columns that a row lacks are missing values there.

    Args:
        rows: Values by column.
        columns: Column to pandas type, in order.
    """
    return pd.DataFrame(rows, columns=list(columns)).astype(dict(columns))
