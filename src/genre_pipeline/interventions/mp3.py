"""Coded as MP3 and decoded again, by the LAME and mpg123 that libsndfile holds."""

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
# [C] What LAME's encoder (576) and a decoder (528 + 1) put before the first sample. libsndfile takes it away where the
# file says so, which the smallest frames have no room for.
_DELAY = 1105


class MP3Block(InterventionBlock):
    """Parameters of lossy coding at a constant bitrate.

    Attributes:
        bitrate_kbps: Bitrate of the clip's single channel, in kbit/s. LAME takes the nearest one that the standard has.
    """

    bitrate_kbps: float = Field(gt=8.0, le=320.0)

    @property
    def label(self) -> str:
        """What is done."""
        return f"MP3 {self.bitrate_kbps:g} kbit/s"


def code(waveform: Waveform, sample_rate: int, block: MP3Block, rng: np.random.Generator) -> Waveform:
    """Code and decode; the result is as long as the clip and in step with it.

    Raises:
        AudioError: If MP3 does not know the clip's rate, or not this bitrate at it.
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
    """Return what libsndfile (mpeg_l3_encode.c) makes that bitrate of: 0 is the highest, 1 the lowest, linearly."""
    for rates, lowest, highest in _FAMILIES:
        if sample_rate in rates:
            # libsndfile 1.2.2 refuses the lowest itself.
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
