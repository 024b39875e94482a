"""Coded as MP3 and decoded again, by libsndfile's LAME and mpg123."""

from __future__ import annotations

import io

import numpy as np
from pydantic import Field

from genre_pipeline.errors import AudioError
from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform

# [P] ISO/IEC 11172-3 and 13818-3, layer III, and MPEG 2.5: rates in Hz, lowest and highest bitrate in kbit/s.
_FAMILIES = (
    ((48_000, 44_100, 32_000), 32, 320),
    ((24_000, 22_050, 16_000), 8, 160),
    ((12_000, 11_025, 8_000), 8, 64),
)
# [C] Delay that LAME's encoder (576) and a decoder (528 + 1) add before the first sample. libsndfile removes it if the
# file states it, for which the smallest frames have no room.
_DELAY = 1105


class MP3Block(InterventionBlock):
    """Parameters of lossy coding at a constant bitrate.

    Attributes:
        bitrate_kbps: Bitrate of the clip's single channel, in kbit/s. LAME uses the nearest one in the standard.
    """

    bitrate_kbps: float = Field(gt=8.0, le=320.0)

    @property
    def label(self) -> str:
        """A short description."""
        return f"MP3 {self.bitrate_kbps:g} kbit/s"


def code(waveform: Waveform, sample_rate: int, block: MP3Block, rng: np.random.Generator) -> Waveform:
    """Code and decode; the result has the clip's length and timing.

    Raises:
        AudioError: If MP3 does not support the clip's rate, or this bitrate at that rate.
    """
    import soundfile

    del rng
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        samplerate=sample_rate,
        channels=1,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=_compression_level(sample_rate, block.bitrate_kbps),
    ) as encoder:
        encoder.write(waveform)
    file.seek(0)
    with soundfile.SoundFile(file) as decoder:
        decoded: Waveform = decoder.read(dtype="float32")
    if len(decoded) > len(waveform):
        decoded = decoded[_DELAY:]
    return np.pad(decoded, (0, max(0, len(waveform) - len(decoded))))[: len(waveform)]


def _compression_level(sample_rate: int, bitrate_kbps: float) -> float:
    """Return libsndfile's level (mpeg_l3_encode.c) for a bitrate: 0 is the highest, 1 the lowest, linearly."""
    for rates, lowest, highest in _FAMILIES:
        if sample_rate in rates:
            # libsndfile 1.2.2 refuses the lowest bitrate itself.
            if not lowest < bitrate_kbps <= highest:
                raise AudioError(
                    f"MP3 at {sample_rate} Hz is coded at more than {lowest} and up to {highest} kbit/s, and "
                    f"{bitrate_kbps:g} are wanted."
                )
            return (highest - bitrate_kbps) / (highest - lowest)
    raise AudioError(
        f"MP3 has no sample rate of {sample_rate} Hz, only "
        f"{', '.join(str(rate) for rates, _, _ in _FAMILIES for rate in rates)}."
    )


INTERVENTIONS.register(InterventionSpec("mp3", MP3Block, code, version=1))
