"""What the faults of the track table mean, for people who never read the code that finds them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genre_pipeline.audio import inspection
from genre_pipeline.audio.acoustic import SAMPLE_RATES
from genre_pipeline.audio.io import SILENT_PEAK
from genre_pipeline.ingest.findings import SHORT_S
from genre_pipeline.ingest.near_duplicates import MIN_OVERLAP_S, MIN_SIMILARITY
from genre_pipeline.reporting.wording import PERCENT


def _percent(share: float) -> str:
    return f"{100 * share:g}{PERCENT}"


MEANINGS: Mapping[str, str] = {
    "unreadable": "The file is missing, cannot be opened, or is not audio.",
    "unusable_rate": (
        f"The header states a sample rate below {SAMPLE_RATES[0] // 1000} or above {SAMPLE_RATES[1] // 1000} kHz."
    ),
    "truncated": "The file ends before its header says, or decoding stops part-way.",
    "wrong_size": (
        f"The header states a little more than there is, at most {1000 * inspection.MAX_LACKING_S:g} ms and "
        f"{_percent(inspection.MAX_LACKING_SHARE)}: the sound is taken for whole."
    ),
    "left_over": "The file holds bytes that belong to no known part of it; they are not decoded.",
    "empty": "The file has no bytes or no samples.",
    "silent": f"Nothing is heard: the peak lies {-20 * np.log10(SILENT_PEAK):.0f} dB below full scale, or lower.",
    "non_finite": "Some samples are not numbers, or greater than any integer format can hold.",
    "too_short": "Shorter than the dataset's parameters min_duration_s or excerpt ask for.",
    "short": f"Shorter, by more than {SHORT_S:g} s, than the clips that the dataset is known for.",
    "clipped": (
        f"More than {_percent(inspection.MAX_CLIPPED)} of the samples are cut off at full scale (runs of at least "
        f"{inspection.CLIP_RUN} samples of {inspection.CLIP_LEVEL} or more), which is heard as distortion."
    ),
    "dc_offset": (
        f"The wave is not centred: its mean is more than {_percent(inspection.MAX_DC_OFFSET)} of full scale away from "
        "zero."
    ),
    "decoder_warning": "The decoder came to the end, but warned of damaged places on its way.",
    "wrong_rate": "Another sample rate than the dataset was published with.",
    "unknown_checksum": "Of the published format, but not the published file, byte for byte.",
    "duplicate_file": "The same bytes as another track, which is kept.",
    "duplicate_audio": "The same samples, once decoded, as another track, which is kept.",
    "near_duplicate": (
        f"The same recording as another track: where they overlap, by at least {MIN_OVERLAP_S:g} s, their acoustic "
        f"fingerprints have a similarity of at least {MIN_SIMILARITY:g}. The samples differ: encoded again, louder, or "
        "cut elsewhere."
    ),
}
