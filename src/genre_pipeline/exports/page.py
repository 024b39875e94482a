"""A folder that classifies songs in a browser: no server, no network, nothing leaves the machine."""

from __future__ import annotations

import base64
import json
import lzma
import tarfile
import zlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from genre_pipeline.audio.io import SILENT_PEAK
from genre_pipeline.errors import ConfigError
from genre_pipeline.storage import atomic_file

# Tested with [?].
WEB_RUNTIME = "onnxruntime-web@1.30.0"
_SCRIPT, _WASM = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"
_MODEL, _MODEL_BEGIN = "model.js", b"globalThis.model = "


def write_page(folder: Path, model: Path, card: Mapping[str, Any], runtime: Path) -> None:
    """Write a page that runs a model: open its ``index.html``, also from the disk.

    Browsers let a page from the disk load scripts and nothing else, so the model and the runtime are scripts.

    Args:
        folder: Where; see :func:`check_page`. What else is in it stays.
        model: The ONNX file.
        card: What is to know of the model.
        runtime: The archive that ``npm pack onnxruntime-web@1.30.0`` writes.

    Raises:
        ConfigError: If the archive is not such a one.
        StorageError: If the folder cannot be written.
    """
    script, wasm = _read_runtime(runtime)
    contents = {
        # First: a folder with it may be written again, however the writing of the others ends.
        _MODEL: _script("model", card=dict(card), onnx=_text(model.read_bytes()), silent_peak=SILENT_PEAK),
        "index.html": files(__package__).joinpath("page.html").read_bytes(),
        "page.js": files(__package__).joinpath("page.js").read_bytes(),
        "runtime.js": _script("runtime", script=_text(script), wasm=_text(wasm)),
        # The archive has no licence file; the package of the same project has the same licence.
        "runtime.LICENSE.txt": files("onnxruntime").joinpath("LICENSE").read_bytes(),
    }
    for name, content in contents.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(content)


def check_page(folder: Path, runtime: Path) -> None:
    """Check that a page can be written, before the work.

    Args:
        folder: Where: a new or empty folder, or one that holds a page that was written before.
        runtime: As for :func:`write_page`.

    Raises:
        ConfigError: If the archive is not onnxruntime for browsers, or the folder holds something else.
    """
    _read_runtime(runtime)
    try:
        is_taken = any(folder.iterdir()) and not (folder / _MODEL).read_bytes().startswith(_MODEL_BEGIN)
    except FileNotFoundError:
        is_taken = folder.exists()
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read ({error.strerror}). Name another folder.") from error
    if is_taken:
        raise ConfigError(f"{folder} holds something else than a page that was written before. Name another folder.")


def _read_runtime(path: Path) -> tuple[bytes, bytes]:
    try:
        with tarfile.open(path) as archive:
            return _member(archive, _SCRIPT), _member(archive, _WASM)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there. Get it: npm pack {WEB_RUNTIME}") from error
    # Each compression has errors of its own for damage.
    except (OSError, tarfile.TarError, KeyError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ConfigError(
            f"{path} is not onnxruntime for browsers ({error}). Get it: npm pack {WEB_RUNTIME}"
        ) from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _script(name: str, **values: Any) -> bytes:
    return f"globalThis.{name} = {json.dumps(values)};\n".encode()
