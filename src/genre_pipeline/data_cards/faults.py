"""What the faults of the track table mean, for people who never read the code that finds them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genre_pipeline.audio import inspection


def _dbfs(level: float) -> str:
    return f"{20 * np.log10(level):.3g} dB below full scale".replace("-", "")


MEANINGS: Mapping[str, str] = {
    "unreadable": "The file is missing, cannot be opened, or is not audio.",
    "truncated": "The file ends before its header says, or decoding stops part-way.",
    "empty": "The file has no bytes or no samples.",
    "silent": f"Nothing is heard: the greatest sample lies {_dbfs(inspection.SILENT_PEAK)} or lower.",
    "non_finite": "Some samples are not numbers.",
    "too_short": "Shorter than the dataset's parameter min_duration_s.",
    "short": "Shorter, by more than a tenth of a second, than the clips that the dataset is known for.",
    "clipped": (
        f"More than {inspection.MAX_CLIPPED:.1%} of the samples are cut off at full scale (runs of at least "
        f"{inspection.CLIP_RUN} samples of {inspection.CLIP_LEVEL} or more), which is heard as distortion."
    ),
    "dc_offset": (
        f"The wave is not centred: its mean is more than {inspection.MAX_DC_OFFSET:.0%} of full scale away from zero."
    ),
    "wrong_rate": "Another sample rate than the dataset was published with.",
    "unknown_checksum": "Neither the published file, byte for byte, nor known as a re-encoding of it.",
    "duplicate_file": "The same bytes as another track, which is kept.",
    "duplicate_audio": "The same samples, once decoded, as another track, which is kept.",
    "near_duplicate": (
        "The same recording as another track by its acoustic fingerprint, though not the same samples: encoded again, "
        "louder, or cut elsewhere."
    ),
}
