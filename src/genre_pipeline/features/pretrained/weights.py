"""Where the weights of musicnn are, that they are the published ones, and what is to know of them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal, NamedTuple

from genre_pipeline.errors import ConfigError
from genre_pipeline.registry import Pretraining

WeightsName = Literal["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"]

_PACKAGE = "musicnn"
_INDEX = ".index"
_DATA = ".data-00000-of-00001"
_HOW = "make pretrained (pip install --no-deps --force-reinstall musicnn==0.1.0)"


class _Files(NamedTuple):
    """SHA-256 of a checkpoint's two files, those of the wheel of musicnn 0.1.0."""

    index_hash: str
    data_hash: str


_PUBLISHED: dict[WeightsName, _Files] = {
    "MSD_musicnn": _Files(
        "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    ),
    "MTT_musicnn": _Files(
        "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    ),
    "MSD_vgg": _Files(
        "50e499238457558bba9f34f8b84d4afb8279afd43520cdf0a4fdf805a49c9ca3",
        "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc",
    ),
    "MTT_vgg": _Files(
        "4b0d3d2d02bbe0919c063c1fb74bfa9018ac3517e362d681b07444d4207a5f5f",
        "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303",
    ),
}

_LICENCE = "ISC (musicnn 0.1.0, Jordi Pons)"
_PRETRAINING = {
    "MSD": Pretraining(
        licence=_LICENCE,
        trained_on="the Million Song Dataset (tags of Last.fm; 50 of them)",
        overlap="It may hold test tracks, or other tracks of their artists (of GTZAN's, too): this was not checked.",
    ),
    "MTT": Pretraining(
        licence=_LICENCE,
        trained_on="MagnaTagATune (music of the label Magnatune; 50 tags)",
        overlap="It may hold test tracks, or other tracks of their artists: this was not checked.",
    ),
}

# [C] ``musicnn/configuration.py``.
_TAGS = {
    "MSD": """
    rock, pop, alternative, indie, electronic, female vocalists, dance, 00s, alternative rock, jazz, beautiful,
    metal, chillout, male vocalists, classic rock, soul, indie rock, Mellow, electronica, 80s, folk, 90s, chill,
    instrumental, punk, oldies, blues, hard rock, ambient, acoustic, experimental, female vocalist, guitar, Hip-Hop,
    70s, party, country, easy listening, sexy, catchy, funk, electro, heavy metal, Progressive rock, 60s, rnb,
    indie pop, sad, House, happy
    """,
    "MTT": """
    guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, ambient, beat, violin, vocal,
    synth, female, indian, opera, male, singing, vocals, no vocals, harpsichord, loud, quiet, flute, woman,
    male vocal, no vocal, pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice,
    female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, choral
    """,
}


class Bundle(NamedTuple):
    """The bytes of a checkpoint's two files."""

    index_bytes: bytes
    data_bytes: bytes


def pretraining(name: WeightsName) -> Pretraining:
    """Return what is to know of weights."""
    return _PRETRAINING[name.partition("_")[0]]


def tags(name: WeightsName) -> tuple[str, ...]:
    """Return the tags whose probabilities weights give, in their order."""
    return tuple(" ".join(tag.split()) for tag in _TAGS[name.partition("_")[0]].split(","))


def checksum(name: WeightsName) -> str:
    """Return the SHA-256 that the weights must have."""
    return _PUBLISHED[name].data_hash


def find_weights(name: WeightsName, path: Path | None) -> Bundle:
    """Read published weights from the installed package ``musicnn``, of which nothing is imported, or from elsewhere.

    Args:
        name: The weights.
        path: A wheel, or a folder with ``<name>/.index`` or ``musicnn/<name>/.index``, in which they are looked for
            first.

    Raises:
        ConfigError: If they are nowhere, or are not the published ones.
    """
    for place, found in ((str(path), _beside(name, path)), (f"the package {_PACKAGE}", _installed(name))):
        if found is not None:
            _check(name, found, place)
            return found
    where = "" if path is None else f"not at weights_path={path} and "
    raise ConfigError(
        f"The weights {name} are {where}not installed. Install them (29 MB): {_HOW}. Or set weights_path to "
        "the wheel of musicnn 0.1.0, or to a folder of its files."
    )


def _beside(name: WeightsName, path: Path | None) -> Bundle | None:
    if path is None:
        return None
    if path.is_dir():
        return _in_folder(path / name) or _in_folder(path / _PACKAGE / name)
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as wheel:
            return Bundle(*(wheel.read(f"{_PACKAGE}/{name}/{file}") for file in (_INDEX, _DATA)))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, KeyError, OSError) as error:
        raise ConfigError(
            f"weights_path={path} is no wheel of musicnn 0.1.0 ({error}). Leave it out and install it: {_HOW}."
        ) from None


def _installed(name: WeightsName) -> Bundle | None:
    try:
        return _in_folder(Path(str(distribution(_PACKAGE).locate_file(f"{_PACKAGE}/{name}"))))
    except PackageNotFoundError:
        return None


def _in_folder(folder: Path) -> Bundle | None:
    try:
        return Bundle((folder / _INDEX).read_bytes(), (folder / _DATA).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"The weights in {folder} cannot be read ({error.strerror}). Make them readable, or correct weights_path."
        ) from None


def _check(name: WeightsName, found: Bundle, place: str) -> None:
    for file, content, published in zip((_INDEX, _DATA), found, _PUBLISHED[name], strict=True):
        actual = hashlib.sha256(content).hexdigest()
        if actual != published:
            raise ConfigError(
                f"The weights {name} in {place} were altered: expected SHA-256 {published[:16]} of {file}, got "
                f"{actual[:16]}. Install the published ones: {_HOW}, or correct weights_path."
            )
