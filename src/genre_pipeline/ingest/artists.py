"""Unknown artists: names that people and programs write if there is no artist."""

from __future__ import annotations

import unicodedata

# [?] Names that mean "unknown" or "several artists"; case, spaces and punctuation are ignored.
_NOBODY = frozenset(
    {
        *("unknown", "unknownartist", "unknownartists", "artistunknown", "unknownperformer", "unknownsinger"),
        *("noartist", "none", "null", "nil", "nan", "na", "notavailable", "notapplicable", "notknown", "tbd"),
        *("undefined", "unspecified", "anonymous", "anon", "traditional", "trad"),
        *("various", "variousartist", "variousartists", "variousperformers", "multipleartists", "va", "compilation"),
        # The same from programs in other languages.
        *("unbekannt", "unbekannterkünstler", "unbekannterinterpret", "verschiedene", "verschiedeneinterpreten"),
        *("verschiedenekünstler", "diverse", "diverseinterpreten", "inconnu", "artisteinconnu", "artistesdivers"),
        *("desconocido", "artistadesconocido", "variosartistas", "varios", "desconhecido", "artistadesconhecido"),
        *("váriosartistas", "sconosciuto", "artistasconosciuto", "artistivari", "aavv", "onbekend", "onbekendeartiest"),
        *("неизвестен", "неизвестныйисполнитель", "разныеисполнители", "сборник"),
        *("未知", "未知艺术家", "未知歌手", "未知藝人", "佚名", "群星", "不明", "不明なアーティスト"),
        *("アーティスト不明", "알수없는아티스트", "여러아티스트"),
    }
)
# A name of only these characters is not a name; one of other signs may be ("!!!", "+/-").
_DASHES = frozenset("-\N{EN DASH}\N{EM DASH}_?.,*/\\|~#()[]{}<>'\"")


def is_unknown(artist: str) -> bool:
    """Return whether a name means an unknown artist, or several at once.

    Example:
        >>> [is_unknown(name) for name in ("", " ", "<Unknown Artist>", "V.A.", "n/a", "-", "???")]
        [True, True, True, True, True, True, True]
        >>> [is_unknown(name) for name in ("Various Production", "!!!", "?uestlove", "Nana")]
        [False, False, False, False]
    """
    name = unicodedata.normalize("NFC", artist).casefold()
    bare = "".join(letter for letter in name if letter.isalnum())
    return bare in _NOBODY if bare else all(sign in _DASHES or not sign.isprintable() or sign == " " for sign in name)
