"""What a cell's models said of its test tracks, and their mistakes."""

from __future__ import annotations

from typing import Any, TypedDict


class ClipPlace(TypedDict):
    """Where a track's audio is: a part of a file, in seconds."""

    path: str
    start_s: float
    duration_s: float


class Mistake(ClipPlace):
    """A test track that the model of one repeat predicted wrong.

    ``probability`` is that of the wrong ``answer``, ``p_genre`` that of the true ``genre``; both are also given for
    each segment: ``answer_over_time`` and ``genre_over_time``, with the segments' centres ``times_s`` within the clip.
    ``picture`` is its spectrogram, none where the audio cannot be read any more, and ``fault`` then says why.
    """

    repeat: int
    track_id: str
    genre: str
    answer: str
    probability: float
    p_genre: float
    times_s: list[float]
    answer_over_time: list[float]
    genre_over_time: list[float]
    picture: dict[str, Any] | None
    fault: str


class TrackAnswer(ClipPlace):
    """What a cell's models said of a test track.

    ``probabilities`` are those of the cell's genres, the mean over the ``n_repeats`` repeats that tested the track, of
    which ``n_right`` predicted its true ``genre``; ``answer`` is the most probable one. Both genres' probabilities are
    also given for each segment, with the segments' centres ``times_s`` within the clip. ``title`` is what is known of
    artist and title, and ``closest`` are training tracks: track id and genre, the closest first.
    """

    track_id: str
    genre: str
    answer: str
    title: str
    n_repeats: int
    n_right: int
    probabilities: list[float]
    times_s: list[float]
    answer_over_time: list[float]
    genre_over_time: list[float]
    closest: list[list[str]]


class CellMistakes(TypedDict):
    """The mistakes of a cell: the most confident ones, what is most often taken for what, and all ``tracks``.

    Each of ``pairs`` has ``genre``, ``answer``, ``n`` (tracks, summed over repeats), ``share`` of the genre's tracks,
    and ``examples``: the tracks concerned, the most confident first.
    """

    cell: dict[str, str]
    n_wrong: int
    n_tracks: int
    mistakes: list[Mistake]
    pairs: list[dict[str, Any]]
    tracks: list[TrackAnswer]
