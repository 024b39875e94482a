"""Label the clips of a dataset, select some, and name the selection if it is not the whole dataset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from genre_pipeline.audio.tags import TAGS
from genre_pipeline.datasets.base import Clip, DatasetBlock, Listing
from genre_pipeline.datasets.reading.files import LeftOut
from genre_pipeline.errors import ConfigError
from genre_pipeline.registry import suggestion
from genre_pipeline.spelling import name_key


@dataclass(frozen=True)
class Subset:
    """The part of a dataset that is used.

    Attributes:
        name: In words; empty for the whole dataset. It is part of the split's hash and of every number's tags.
        genres: The genres that have a clip, sorted.
        of_genres: How many genres the dataset has.
        n_tracks: Number of used clips whose file exists.
        of_tracks: Number of clips in the dataset: by its published list, or else on disk.
        max_per_genre: The block's limit.
    """

    name: str
    genres: tuple[str, ...]
    of_genres: int
    n_tracks: int
    of_tracks: int
    max_per_genre: int | None


def label_clips(listing: Listing, block: DatasetBlock, tags: Mapping[str, Mapping[str, str]]) -> Listing:
    """Fill in from the files' tags what a dataset does not give, and merge genres.

    Genres from tags that are spelt differently count as one, under their most frequent spelling.

    Args:
        listing: What is on disk.
        block: The dataset's parameters.
        tags: What each file's tags say, by path; none for files that were not inspected.

    Returns:
        The listing; clips without a genre are left out.
    """
    if block.tags == "ignored" and not block.merge:
        return listing
    used = {"ignored": (), "artists": TAGS[1:], "genres": TAGS}[block.tags]
    clips = [_filled_in(clip, tags.get(clip.path, {}), used) for clip in listing.clips]
    genres = Counter(clip.genre for clip in clips if clip.genre)
    spelling: dict[str, str] = {}
    if block.tags == "genres":
        for genre in sorted(genres, key=lambda genre: (-genres[genre], genre)):
            spelling[genre] = spelling.setdefault(name_key(genre), genre)
    names = {genre: spelling.get(genre, genre) for genre in genres}
    names = {genre: block.merge.get(name, name) for genre, name in names.items()}
    return replace(
        listing,
        clips=tuple(replace(clip, genre=names[clip.genre]) for clip in clips if clip.genre),
        left_out=tuple(
            sorted([*listing.left_out, *(LeftOut(clip.path, "untagged") for clip in clips if not clip.genre)])
        ),
    )


def _filled_in(clip: Clip, tags: Mapping[str, str], used: Iterable[str]) -> Clip:
    return replace(clip, **{name: tags[name] for name in used if tags.get(name) and not getattr(clip, name)})


def select_clips(
    name: str, listing: Listing, catalogue: Mapping[str, str], block: DatasetBlock
) -> tuple[list[Clip], Subset]:
    """Choose the clips that a block selects.

    Args:
        name: The dataset's name, for messages.
        listing: What is on disk.
        catalogue: The dataset's published list, track id to genre; empty if none was published.
        block: The dataset's parameters.

    Returns:
        The clips, in the listing's order, and a description of this part.

    Raises:
        ConfigError: If ``block.genres`` names a genre that the dataset does not have.
    """
    known = set(catalogue.values()) or {clip.genre for clip in listing.clips}
    for genre in block.genres or ():
        if genre not in known:
            raise ConfigError(f"datasets.{name}.genres: the dataset has no genre '{genre}'. {suggestion(genre, known)}")
    clips = [clip for clip in listing.clips if block.genres is None or clip.genre in block.genres]
    if block.max_per_genre is not None:
        clips = _at_most(clips, block.max_per_genre)
    present = [clip for clip in clips if clip.path in listing.stamps]
    genres = tuple(sorted({clip.genre for clip in present}))
    of_tracks = len(catalogue) or sum(clip.path in listing.stamps for clip in listing.clips)
    parts = []
    if len(genres) < len(known):
        parts.append(f"{len(genres)} of {len(known)} genres")
    if block.max_per_genre is not None and len(present) < of_tracks:
        parts.append(f"at most {block.max_per_genre} tracks a genre")
    if len(present) < of_tracks:
        parts.append(f"{len(present)} of {of_tracks} tracks")
    return clips, Subset(", ".join(parts), genres, len(known), len(present), of_tracks, block.max_per_genre)


def _at_most(clips: Sequence[Clip], n: int) -> list[Clip]:
    """Keep the ``n`` clips of each genre whose track ids have the smallest hashes, in any order of files."""
    by_genre: dict[str, list[Clip]] = {}
    for clip in clips:
        by_genre.setdefault(clip.genre, []).append(clip)
    kept = {clip.track_id for same in by_genre.values() for clip in _smallest(same, n)}
    return [clip for clip in clips if clip.track_id in kept]


def _smallest(clips: Iterable[Clip], n: int) -> list[Clip]:
    return sorted(clips, key=lambda clip: hashlib.sha256(clip.track_id.encode()).digest())[:n]
