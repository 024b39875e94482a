"""Write a little synthetic music into folders of genres: ``python docs/make_music.py FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from genre_pipeline.demo.composition import GENRES
from genre_pipeline.demo.rendering import TrackNumber, render

SAMPLE_RATE = 22050
# [?] As little as a comparison with five folds needs.
N_GENRES = 3
N_ARTISTS = 5
DURATION_S = 12.0


def main() -> None:
    """Write FLAC files with the artist's name in their tags; files that are there stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=1, help="tracks of each artist")
    given = parser.parse_args()
    for genre, template in enumerate(GENRES[:N_GENRES]):
        for artist in range(N_ARTISTS):
            for track in range(given.tracks):
                path = given.folder / template.name / f"artist_{artist + 1}_track_{track + 1}.flac"
                if not path.exists():
                    number = TrackNumber(seed=0, genre=genre, artist=artist, album=0, track=track)
                    _write(path, number, artist=f"{template.name} artist {artist + 1}")


def _write(path: Path, number: TrackNumber, *, artist: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stereo = render(number, duration_s=DURATION_S, sample_rate=SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, channels=len(stereo)) as file:
        file.artist = artist
        file.write(stereo.T)


if __name__ == "__main__":
    main()
