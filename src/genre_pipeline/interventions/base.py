"""Interventions: changes of a clip's waveform that leave its genre the same to any listener.

A model that recognises genres by audible properties keeps its predictions under such a change. One that does not has
learned something else, which may exist only in this dataset: B. L. Sturm, "A Simple Method to Determine if a Music
Information Retrieval System is a 'Horse'", IEEE Transactions on Multimedia 16(6), 2014.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from genre_pipeline.blocks import Block, parse_block, registered
from genre_pipeline.errors import AudioError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.registry import Registry

# Mono samples, shape (n_samples,), float32, full scale 1.
Waveform = NDArray[np.float32]


class InterventionBlock(Block):
    """Parameters that every intervention has.

    Attributes:
        kind: Registered name of the intervention.
    """

    kind: str

    @classmethod
    @override
    def parse(cls, values: object, *, key: str) -> InterventionBlock:
        """Check the values as the block of their kind."""
        return parse_block(registered(INTERVENTIONS, values, key=key).block, values, key=key)

    @property
    @override
    def code(self) -> dict[str, int | str]:
        """The version of the intervention."""
        return {f"interventions.{self.kind}": INTERVENTIONS[self.kind].version}

    @property
    @abstractmethod
    def label(self) -> str:
        """A short description, for tables and figures."""


@dataclass(frozen=True)
class InterventionSpec:
    """A kind of intervention.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        apply: Changes a clip: from its waveform (not to be changed in place), its sample rate in Hz, the block, and the
            clip's own random generator, to another waveform at the same rate. Raises
            :class:`~genre_pipeline.errors.AudioError` if this clip cannot be changed so.
        version: Raise it when the results change, so that stored predictions are made again.
    """

    name: str
    block: type[InterventionBlock]
    apply: Callable[[Waveform, int, Any, np.random.Generator], Waveform]
    version: int


@dataclass(frozen=True)
class Intervention:
    """A kind of intervention with its parameters.

    Attributes:
        spec: The kind.
        block: Its parameters.

    Example:
        >>> spec = INTERVENTIONS["gain"]
        >>> quieter = Intervention(spec, spec.block.model_validate({"kind": "gain", "gain_db": -20.0}))
        >>> quieter("the clip's hash", np.ones(3, dtype=np.float32), 22050)
        array([0.1, 0.1, 0.1], dtype=float32)
    """

    spec: InterventionSpec
    block: InterventionBlock

    @classmethod
    def of(cls, block: InterventionBlock) -> Intervention:
        """Return the intervention that a block describes."""
        return cls(INTERVENTIONS[block.kind], block)

    @property
    def fingerprint(self) -> str:
        """Hash of the kind, its version and its parameters."""
        return fingerprint("intervention", self.spec.version, parameters=self.block.dump())

    def __call__(self, audio_hash: str, waveform: Waveform, sample_rate: int) -> Waveform:
        """Change a clip.

        Args:
            audio_hash: Identity of the clip. It seeds the random numbers, which differ between clips and are the same
                in each run.
            waveform: The clip, shape ``(n_samples,)``, float32. Not changed.
            sample_rate: Its rate, in Hz.

        Returns:
            The changed clip at the same rate, shape ``(n,)``, float32.

        Raises:
            AudioError: If this clip cannot be changed so.
        """
        digest = hashlib.sha256(f"{self.fingerprint}:{audio_hash}".encode()).digest()
        seed = int.from_bytes(digest[:8], "little")
        changed = self.spec.apply(waveform, sample_rate, self.block, np.random.default_rng(seed))
        if not len(changed) or not np.isfinite(changed).all():
            raise AudioError(
                f"The intervention '{self.block.label}' left no sample, or samples that are not finite, of a clip of "
                f"{len(waveform)} samples. Leave the clip or the intervention out."
            )
        return np.ascontiguousarray(changed, dtype=np.float32)


INTERVENTIONS: Registry[InterventionSpec] = Registry("intervention kind", package="genre_pipeline.interventions")
