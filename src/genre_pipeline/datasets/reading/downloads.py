"""Downloads from the owners of a dataset: resumed after an interruption, and checked with the published SHA-1."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch  # type: ignore[import-untyped]
import requests
from filelock import FileLock
from requests import codes
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from genre_pipeline.datasets.base import Source
from genre_pipeline.errors import DatasetError, StorageError
from genre_pipeline.progress import Advance, progress_bar
from genre_pipeline.storage import storage_errors

logger = logging.getLogger(__name__)

# pooch writes to the terminal itself, across the progress bar.
pooch.get_logger().setLevel(logging.WARNING)

_MIB = 2**20

# [?] How much a broken connection may lose.
_CHUNK_BYTES = 2**16

# [?] Seconds to connect, and to wait for data.
_TIMEOUTS_S = (30.0, 60.0)

# [?] How often to retry a server that does not respond or is overloaded; the pause doubles each time.
_N_REQUESTS = 5
_OVERLOADED = (429, 500, 502, 503, 504)


def download(
    sources: Sequence[Source], folder: Path, *, n_retries: int = 20, backoff_s: float = 1.0
) -> tuple[Path, ...]:
    """Download files into a folder, each completely or not at all.

    Received data are kept in a hidden folder, so the next run resumes, however this one ended. If a server does not
    support partial downloads, the file is downloaded from the start. An existing file with the right checksum is not
    downloaded.

    Args:
        sources: The files. Each keeps the name at the end of its URL.
        folder: Their folder, created if missing.
        n_retries: How often a file is resumed after a broken connection before this gives up.
        backoff_s: Pause in seconds before the third request to a server that did not respond; it then doubles.

    Returns:
        The files' paths, in the order of ``sources``.

    Raises:
        DatasetError: If the server cannot be reached, does not have a file or keeps breaking the connection, or if the
            data have another SHA-1. The message states what to do.
        StorageError: If there is not enough space, or the folder is read-only.
    """
    return tuple(_downloaded(source, folder, n_retries, backoff_s) for source in sources)


def file_name(source: Source) -> str:
    """Return the name of a downloaded file.

    Example:
        >>> file_name(Source("https://example.org/fma/fma_small.zip?download=1", sha1="", n_bytes=0))
        'fma_small.zip'
    """
    return PurePosixPath(urlsplit(source.url).path).name


def _downloaded(source: Source, folder: Path, n_retries: int, backoff_s: float) -> Path:
    path = folder / file_name(source)
    # pooch checks the download and renames it, through a temporary file with a random name. In a separate folder, that
    # file is not lost if the program is killed meanwhile.
    work = folder / f".{path.name}.download"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{path.name}.lock"):
            if path.is_file() and pooch.file_hash(path, alg="sha1") == source.sha1:
                return path
            work.mkdir(exist_ok=True)
            downloader = _Downloader(source, work / f"{path.name}.partial", folder, n_retries, backoff_s)
            try:
                pooch.retrieve(source.url, f"sha1:{source.sha1}", fname=path.name, path=work, downloader=downloader)
            except ValueError as error:
                raise DatasetError(
                    f"What arrived from {source.url} does not have the SHA-1 that its owners publish, {source.sha1}, "
                    "and was removed. Run again; if that does not help, the file at this address has changed."
                ) from error
            (work / path.name).replace(path)
            shutil.rmtree(work)
    return path


class _Downloader:
    """The downloader for pooch: pooch's own starts from the beginning each time."""

    def __init__(self, source: Source, partial: Path, folder: Path, n_retries: int, backoff_s: float) -> None:
        self._source = source
        self._partial = partial
        self._folder = folder
        self._n_retries = n_retries
        self._retry = Retry(_N_REQUESTS, backoff_factor=backoff_s, status_forcelist=_OVERLOADED, raise_on_status=False)
        self._n_shown = 0

    def __call__(self, url: str, output_file: str, _: object) -> None:
        self._recover(Path(output_file))
        self._check_space()
        name = self._partial.stem
        with (
            requests.Session() as session,
            progress_bar(f"Downloading {name} (MiB)", self._source.n_bytes // _MIB) as advance,
        ):
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(max_retries=self._retry))
            for _attempt in range(1 + self._n_retries):
                if self._continue(session, url, advance):
                    break
            else:
                raise DatasetError(
                    f"The connection to {url} broke off {1 + self._n_retries} times; {self._size() / 1e6:.1f} of "
                    f"{self._source.n_bytes / 1e6:.1f} MB have arrived and are kept. Rerun the command to resume."
                )
        self._partial.replace(output_file)

    def _recover(self, output: Path) -> None:
        """Resume from the data that pooch had received when it was killed."""
        for remains in self._partial.parent.iterdir():
            if remains not in {self._partial, output}:
                remains.replace(self._partial) if remains.stat().st_size else remains.unlink()

    def _check_space(self) -> None:
        missing, free = self._source.n_bytes - self._size(), shutil.disk_usage(self._folder).free
        if missing > free:
            raise StorageError(
                f"Cannot download {self._source.url}: {missing / 1e9:.1f} GB are missing, and {self._folder} has "
                f"{free / 1e9:.1f} GB left. Free some space and run again."
            )

    def _size(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _continue(self, session: requests.Session, url: str, advance: Advance) -> bool:
        """Download the missing part; return whether the file is complete."""
        size = self._size()
        # With compression in transit, a part of the response would not be a part of the file.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={size}-"} if size else {})}
        try:
            response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS_S)
        except requests.RequestException as error:
            raise self._failure(f"cannot be reached ({type(error).__name__})", "Check the network, or get") from error
        with response:
            start, total = _content_range(response)
            status = response.status_code
            if status == codes.requested_range_not_satisfiable and total == size:
                return True
            if status == codes.requested_range_not_satisfiable or (status == codes.partial_content and start != size):
                # The file on the server has changed since the download began.
                self._partial.unlink(missing_ok=True)
                return False
            if status not in {codes.ok, codes.partial_content}:
                raise self._failure(f"was answered with {status} {response.reason}", "Get")
            return self._receive(response, total, "ab" if status == codes.partial_content else "wb", advance)

    def _receive(self, response: requests.Response, total: int | None, mode: str, advance: Advance) -> bool:
        with self._partial.open(mode) as file:
            try:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    self._show(file.tell(), advance)
            except (requests.exceptions.ChunkedEncodingError, requests.ConnectionError) as error:
                logger.info("The connection to %s broke off at %d bytes: %s", response.url, file.tell(), error)
                return False
            return total in {None, file.tell()}

    def _show(self, size: int, advance: Advance) -> None:
        while self._n_shown < size // _MIB:
            advance("")
            self._n_shown += 1

    def _failure(self, what: str, advice: str) -> DatasetError:
        return DatasetError(
            f"{self._source.url} {what}. {advice} {self._partial.stem} elsewhere and put it into {self._folder}."
        )


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Return the first byte of a response and the size of the whole file, if the response states them."""
    part = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if part is None:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() and response.ok else None
    return int(part[1]) if part[1] else None, int(part[2]) if part[2].isdecimal() else None
