"""The text of ``--params``: ``a.b=1,c=[x, y],d={e: 2}``, read without surprises for what file names hold.

Numbers, truth values and ``null`` are read as Kedro reads them, which is as in the YAML files. Lists and mappings are
read here, because to YAML ``[*.net1]`` refers to something that is not there, and ``Rock #1`` is ``Rock``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from genre_pipeline.errors import ConfigError

# [?] Deeper than any parameter, shallower than Python's recursion limit.
_MAX_DEPTH = 50
# [?] Characters of a value that a message shows.
_SHOWN = 80
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", re.DOTALL)
_KEY = re.compile(r"[^,:\[\]{}\"']+")
_QUOTING = "Put a value with commas, brackets or quotes in it between quotes: key=\"a, b\", key=['a, b', c]."


def read_parameters(text: str) -> dict[str, Any]:
    """Read the text of ``--params``.

    A value is plain text up to the next comma, a text in quotes, a list ``[a, b]``, or a mapping ``{key: value}``. In
    double quotes, a backslash escapes as in JSON; in single quotes, ``''`` is a single quote.

    Args:
        text: Keys and values, ``key=value,key.inner=value``.

    Returns:
        The nested parameters.

    Raises:
        ConfigError: If it cannot be read; the message shows which part.

    Example:
        >>> read_parameters('predict.audio=["/m/Song [Live, 1999].wav"],predict.repeat=1')
        {'predict': {'audio': ['/m/Song [Live, 1999].wav'], 'repeat': 1}}
    """
    return _Reader(text).read()


def quote(text: str) -> str:
    """Return a text in quotes, as :func:`read_parameters` reads it.

    Args:
        text: Any text.

    Example:
        >>> read_parameters(f"datasets.my_music.path={quote('/mnt/Rock, Pop')}")
        {'datasets': {'my_music': {'path': '/mnt/Rock, Pop'}}}
    """
    return json.dumps(text, ensure_ascii=False)


class _Reader:
    """Reads from left to right; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.item_at = 0

    def read(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        while self._peek():
            if self._peek() != ",":
                self.item_at = self.at
                keys = self._keys()
                _insert(parameters, keys, self._value())
                if self._peek() not in {"", ","}:
                    raise self._error(f"'{self.text[self.at]}' follows the end of the value")
            self.at += 1
        return parameters

    def _keys(self) -> list[str]:
        item = self.text[self.at :].split(",", 1)[0].strip()
        key, equals, _ = item.partition("=")
        keys = [part.strip() for part in key.split(".")]
        if not equals:
            raise ConfigError(f"'{_short(item)}' must be a key and a value with '=' between them. {_QUOTING}")
        if not all(keys):
            raise ConfigError(f"'{_short(item)}' has an empty key. Expected key=value or section.key=value.")
        self.at += len(key) + 1
        return keys

    def _value(self, *, depth: int = 0) -> Any:
        character = self._peek()
        if depth > _MAX_DEPTH:
            raise self._error(f"brackets are nested more than {_MAX_DEPTH} deep")
        if character == "[":
            return [self._value(depth=depth + 1) for _ in self._members("]")]
        if character == "{":
            mapping: dict[str, Any] = {}
            for _ in self._members("}"):
                key = self._mapping_key()
                if key in mapping:
                    raise self._error(f"'{key}' is given twice")
                mapping[key] = self._value(depth=depth + 1)
            return mapping
        if character and character in "\"'":
            return self._quoted()
        return self._plain(ends=",[]{}" if depth else ",")

    def _members(self, closing: str) -> Iterator[None]:
        """Step through a list or mapping; each member is read by who iterates."""
        opening = self.text[self.at]
        self.at += 1
        while self._peek() != closing:
            if self._peek() in {",", ""}:
                raise self._error("a value is missing before ','" if self._peek() else f"'{opening}' is never closed")
            yield
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != closing:
                found = self._peek()
                raise self._error(f"'{found}' is not expected there" if found else f"'{opening}' is never closed")
        self.at += 1

    def _mapping_key(self) -> str:
        if self._peek() in "\"'":
            key = self._quoted()
        else:
            match = _KEY.match(self.text, self.at)
            key = match[0].strip() if match else ""
            self.at = match.end() if match else self.at
        after = self.text[self.at : self.at + 2]
        if not key or self._peek() != ":" or not (after == ":" or after[1:].isspace() or after[1:] in "\"'[{"):
            raise self._error("inside braces, expected 'key: value' with a space after the colon")
        self.at += 1
        return key

    def _quoted(self) -> str:
        match = _QUOTED.match(self.text, self.at)
        if match is None:
            raise self._error(f"a quote ({self.text[self.at]}) is never closed")
        self.at = match.end()
        if match[0].startswith("'"):
            return match[0][1:-1].replace("''", "'")
        try:
            return str(json.loads(match[0], strict=False))
        except ValueError:
            raise self._error(r"between double quotes, '\' begins an escape of JSON; write '\\' for itself") from None

    def _plain(self, ends: str) -> Any:
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] not in ends:
            self.at += 1
        text = self.text[begin : self.at].strip()
        if text.startswith(("!", "&")):
            raise self._error(f"YAML's tags and anchors ({text[0]}) are not read; between quotes, it is a text")
        return _scalar(text)

    def _peek(self) -> str:
        """Return the next character that is not space, and stop before it; empty at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _error(self, reason: str) -> ConfigError:
        return ConfigError(f"'{_short(self.text[self.item_at :].strip())}' cannot be read: {reason}. {_QUOTING}")


def _insert(parameters: dict[str, Any], keys: list[str], value: Any) -> None:
    inner = parameters
    for key in keys[:-1]:
        below = inner.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(
                f"'{'.'.join(keys)}' and '{key}' are both given: '{key}' cannot be a value and a section."
            )
        inner = below
    if keys[-1] in inner:
        raise ConfigError(f"'{'.'.join(keys)}' is given twice. Give each key once.")
    inner[keys[-1]] = value


def _scalar(text: str) -> Any:
    """Return the number, truth value or null that Kedro reads, else the text itself."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if "${" in text:
        try:
            OmegaConf.create({"value": text})
        except OmegaConfBaseException:
            raise ConfigError(
                rf"'{_short(text)}' cannot be read: '${{' begins a reference, ${{name}}. Write '\${{' for itself."
            ) from None
        return text
    # No number has a space in it; to YAML, what follows '#' is a comment.
    if any(character.isspace() or character == "#" for character in text):
        return text
    try:
        value = OmegaConf.from_dotlist([f"value={text}"]).value
    except (yaml.YAMLError, OmegaConfBaseException, ValueError):
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
