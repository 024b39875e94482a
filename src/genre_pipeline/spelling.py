"""Spellings of one name: Unicode forms, case, signs, articles; and how a name is shown in a message."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from os import PathLike, fspath
from typing import Annotated

from pydantic import AfterValidator

# How "and" is written: "Guns N' Roses", "Guns & Roses", "Florence + the Machine".
_AND = re.compile(r"&|\+|\band\b")

# Articles that lists put behind a comma: "Beatles, The", "Lobos, Los".
_ARTICLES = frozenset({
    "a", "an", "das", "de", "der", "die", "el", "gli", "het", "i", "il", "la", "las", "le", "les", "los", "the",
})  # fmt: skip

# Letters that Unicode does not take apart, and people who lack the key do.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "\u0131": "i", "þ": "th"})

# [?] Three lines of a terminal.
_MAX_SHOWN = 240

# Accents, umlauts, cedillas; the marks of other scripts are letters to those who read them.
_ACCENTS = re.compile("[\u0300-\u036f]")


def composed(text: str) -> str:
    """Return a text in Unicode's composed form (NFC): a Mac's files have names in the other one.

    Example:
        >>> composed("Cafe\N{COMBINING ACUTE ACCENT}") == "Caf\N{LATIN SMALL LETTER E WITH ACUTE}"
        True
    """
    return unicodedata.normalize("NFC", text)


Composed = Annotated[str, AfterValidator(composed)]
"""A text in a parameter block that is compared with others, in Unicode's composed form."""


# [?] Artists of the largest collections in use; tables hold each many times.
@lru_cache(maxsize=2**17)
def name_key(name: str) -> str:
    r"""Return what the spellings of an artist's or a genre's name have in common, ``""`` for an empty name.

    Case, accents, blanks and signs make no difference, nor do the ways to write "and", "The" at the beginning, and the
    comma of "Beatles, The" and "Marley, Bob". Numbers stay apart: "Room 1 [23]" is not "Room [123]".

    Example:
        >>> [name_key(name) for name in ("Hip-Hop", "hip hop", "R&B", "RnB", "Rock and Roll", "Rock'n'Roll")]
        ['hiphop', 'hiphop', 'rnb', 'rnb', 'rocknroll', 'rocknroll']
        >>> [name_key(name) for name in ("Beatles, The", "the beatles", "Guns N\u2019 Roses", "Guns and Roses")]
        ['beatles', 'beatles', 'gunsnroses', 'gunsnroses']
        >>> [name_key(name) for name in ("AC/DC", "Beyoncé", "Bob  Marley", "Marley, Bob", "The The", "!!!", "流行")]
        ['acdc', 'beyonce', 'bobmarley', 'bobmarley', 'the', '!!!', '流行']
    """
    text = unicodedata.normalize("NFKD", name).casefold()
    text = composed(_ACCENTS.sub("", unicodedata.normalize("NFKD", text))).translate(_LETTERS)
    last, comma, first = text.partition(",")
    if comma and "," not in first and not _AND.search(text) and _is_turned_round(_words(first)):
        text = f"{first} {last}"
    words = _words(_AND.sub(" n ", text))
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    joined = re.sub(r"(?<!\d) | (?!\d)", "", " ".join(words))
    return joined or " ".join(text.split())


def _words(text: str) -> list[str]:
    return "".join(sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " " for sign in text).split()


def _is_turned_round(words: list[str]) -> bool:
    """Whether what follows a comma goes before it: an article, or a first name, but not "The Creator" of "Tyler"."""
    return bool(words) and (len(words) == 1 or words[0] not in _ARTICLES)


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of different names that have one key, each sorted.

    Example:
        >>> look_alikes(["rock", "Hip-Hop", "jazz", "hip hop", "rock"])
        [['Hip-Hop', 'hip hop']]
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(name_key(name), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def printable(path: str | PathLike[str]) -> str:
    r"""Return a path as text; bytes of a name that are not UTF-8, which tables and terminals cannot hold, are escaped.

    Example:
        >>> printable("one.mp3"), printable("\udcff.mp3")
        ('one.mp3', '\\udcff.mp3')
    """
    return fspath(path).encode(errors="backslashreplace").decode()


def shown(name: str) -> str:
    r"""Return a name as a log line can hold it: signs that are not printed are escaped, long names cut in the middle.

    Example:
        >>> shown("one\ntwo"), shown("Für Elise")
        ('one\\ntwo', 'Für Elise')
    """
    text = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]}...{text[-_MAX_SHOWN // 2 :]}"
