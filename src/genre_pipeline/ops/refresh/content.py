"""What a result holds, as hashes of its parts: a step is stale only if a part that it reads has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_pipeline.fingerprints import fingerprint

if TYPE_CHECKING:
    import pandas as pd

# Raised whenever the same content would get other hashes.
_VERSION = 1
# The only part of what has no columns or keys.
WHOLE = "content"


def content_parts(content: Any) -> dict[str, str]:
    """Hash the parts of a result: the columns of a table, the top keys of a JSON object, or all of it.

    Args:
        content: A table; a mapping of plain JSON types; something with a ``fingerprint``, or a list of such; a Plotly
            figure. Texts and pictures, which no step reads, have no parts.

    Returns:
        Name to hash of each part, in hexadecimal digits.

    Example:
        >>> import pandas as pd
        >>> before = content_parts(pd.DataFrame({"artist": ["A", "B"], "genre": ["jazz", "rock"]}))
        >>> after = content_parts(pd.DataFrame({"artist": ["A", "C"], "genre": ["jazz", "rock"]}))
        >>> {part for part in before if before[part] != after[part]}
        {'artist'}
    """
    import pandas as pd

    if isinstance(content, pd.DataFrame):
        return {str(name): column_hash(column) for name, column in content.items()}
    if isinstance(content, Mapping):
        return {str(key): fingerprint("part", _VERSION, value=value) for key, value in content.items()}
    if isinstance(content, list):
        # A failure has no fingerprint, so its message identifies it.
        marks = [str(getattr(each, "fingerprint", each)) for each in content]
        return {WHOLE: fingerprint("list", _VERSION, value=marks)}
    if hasattr(content, "fingerprint"):
        return {WHOLE: str(content.fingerprint)}
    if hasattr(content, "to_plotly_json"):
        return {WHOLE: hashlib.sha256(content.to_json().encode()).hexdigest()[:16]}
    return {}


def folders_of(content: Any) -> list[Path]:
    """Return the folders of what lies outside of the catalog entry, which only points to it.

    Args:
        content: As :func:`content_parts` takes it.
    """
    each = content if isinstance(content, list) else [content]
    return [one.folder for one in each if isinstance(getattr(one, "folder", None), Path)]


def column_hash(column: pd.Series[Any]) -> str:
    """Hash the values of a column, in their order.

    Args:
        column: Numbers, truth values or strings.
    """
    import pandas as pd

    values = pd.util.hash_pandas_object(column, index=False).to_numpy()
    return hashlib.sha256(values.astype("<u8").tobytes()).hexdigest()[:16]
