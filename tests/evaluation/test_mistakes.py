"""The mistakes that the report lets one listen to."""

import pandas as pd
import pytest
import soundfile

import tiny_music
from genre_pipeline.evaluation.mistakes import find_mistakes
from genre_pipeline.reporting.mistakes import draw_mistakes
from genre_pipeline.reporting.report import build_report
from genre_pipeline.reporting.sections import ReportData
from tiny_music import CELL, GENRES, make_tiny_music

HOSTILE = "<script>window.broken = true</script>"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


def predict(music, says):
    """Predict every track on the test side of one repeat: ``says`` gives blues, jazz and rock of each segment."""
    rows = []
    for segment in music.segments.to_dict("records"):
        track_id = segment["track_id"]
        genre = track_id.split("/")[-1].split("_")[0]
        values = says.get(track_id, [[float(genre == each) for each in GENRES]] * 3)[segment["segment_index"]]
        rows.append([0, "test", False, track_id, segment["segment_id"], genre, *values])
    columns = ["repeat", "split", "leaky", "track_id", "segment_id", "genre", *(f"p_{each}" for each in GENRES)]
    return pd.DataFrame(rows, columns=columns)


def find(music, predictions, **changes):
    tables = {"segments": music.segments, "tracks": music.tracks, "root": music.root, **changes}
    return draw_mistakes(find_mistakes(CELL, predictions, genres=GENRES, **tables), tables["tracks"])


@pytest.fixture
def ids(music):
    return {track.split("/")[-1].removesuffix(".wav"): track for track in music.tracks["track_id"]}


@pytest.fixture
def predictions(music, ids):
    return predict(
        music,
        {
            ids["blues_0"]: [[0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1]],
            ids["blues_1"]: [[0.0, 0.9, 0.1]] * 3,
            ids["rock_2"]: [[0.1, 0.7, 0.2]] * 3,
            # Two segments of three are wrong, the track is not.
            ids["jazz_3"]: [[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0]],
        },
    )


class TestFinding:
    def test_the_surest_come_first_and_only_what_is_wrong_as_a_track(self, music, ids, predictions):
        found = find(music, predictions)
        assert [each["track_id"] for each in found["mistakes"]] == [
            ids[name] for name in ("blues_1", "rock_2", "blues_0")
        ]
        assert (found["n_wrong"], found["n_tracks"]) == (3, 12)
        assert found["cell"] == {
            "dataset": "tiny",
            "protocol": CELL.protocol,
            "feature": CELL.feature,
            "model": CELL.model,
        }

    def test_a_mistake_says_what_was_said_over_time(self, music, predictions):
        mistake = find(music, predictions)["mistakes"][2]
        assert (mistake["genre"], mistake["answer"]) == ("blues", "jazz")
        assert mistake["probability"] == pytest.approx(0.6)
        assert mistake["p_genre"] == pytest.approx(0.3)
        assert mistake["answer_over_time"] == [0.5, 0.7, 0.6]
        assert mistake["genre_over_time"] == [0.4, 0.2, 0.3]
        # Segments of 16 frames of 16 ms.
        assert mistake["times_s"] == [0.128, 0.384, 0.64]
        assert mistake["duration_s"] == 1.0

    def test_pairs_are_counted_the_most_frequent_first(self, music, ids, predictions):
        first, second = find(music, predictions)["pairs"]
        assert (first["genre"], first["answer"], first["n"], first["share"]) == ("blues", "jazz", 2, 0.5)
        assert first["examples"] == [ids["blues_1"], ids["blues_0"]]
        assert (second["genre"], second["answer"], second["n"], second["share"]) == ("rock", "jazz", 1, 0.25)

    def test_a_track_that_several_repeats_tell_wrong_is_listed_once(self, music, predictions):
        found = find(music, pd.concat([predictions, predictions.assign(repeat=1)]))
        assert (found["n_wrong"], found["n_tracks"]) == (6, 24)
        assert len(found["mistakes"]) == 3
        assert found["pairs"][0]["n"] == 4
        assert len(found["pairs"][0]["examples"]) == 2

    def test_only_test_tracks_count(self, music, predictions):
        assert find(music, predictions.assign(split="validation"))["mistakes"] == []

    def test_it_has_a_picture_or_says_why_not(self, music, predictions, tmp_path):
        picture = find(music, predictions)["mistakes"][0]["picture"]
        assert picture["png"]
        assert "half of the energy" in picture["words"]
        gone = find(music, predictions, root=tmp_path)["mistakes"][0]
        assert gone["picture"] is None
        assert "there is no such file" in gone["fault"]


class TestSection:
    def page(self, make_result, found, **settings):
        result = make_result(
            dataset="tiny", protocol=CELL.protocol, feature=CELL.feature, model=CELL.model, genres=list(GENRES)
        )
        return build_report(ReportData([result], mistakes=[found], **settings))

    def test_the_report_shows_and_plays_them(self, make_result, music, predictions):
        page = self.page(make_result, find(music, predictions), folder=music.root.parent / "report")
        assert 'id="mistakes"' in page
        assert "3 of 12 tracks wrong, counted over repeats" in page
        assert "blues taken for jazz: 2 tracks" in page
        assert '<audio controls preload="none" src="../audio/blues/blues_1.wav"' in page
        assert "jazz 50, 70, 60" in page
        assert "media-src file:" in page

    def test_audio_is_not_in_it(self, make_result, music, predictions):
        page = self.page(make_result, find(music, predictions))
        assert "data:audio" not in page
        assert f'src="{(music.root / "blues/blues_1.wav").as_uri()}"' in page

    def test_a_clip_of_a_longer_file_is_played_alone(self, make_result, music, predictions):
        tracks = music.tracks.assign(start_sample=4000, n_samples=4000)
        page = self.page(make_result, find(music, predictions, tracks=tracks))
        assert "blues_1.wav#t=0.50,1.00" in page

    def test_one_segment_is_a_level(self, make_result, music, predictions):
        found = find(music, predictions[predictions["segment_id"].str.endswith("#001")])
        assert 'points="0.00,' in self.page(make_result, found)

    def test_a_picture_that_could_not_be_made_is_no_picture(self, make_result, music, predictions, tmp_path):
        page = self.page(make_result, find(music, predictions, root=tmp_path))
        assert "there is no such file" in page
        assert '<img src="data:' not in page

    def test_names_are_escaped(self, make_result, music, predictions):
        found = find(music, predictions)
        found["mistakes"][0]["track_id"] = found["mistakes"][0]["answer"] = found["pairs"][0]["genre"] = HOSTILE
        found["mistakes"][0]["path"] = f'/"{HOSTILE}'
        assert HOSTILE not in self.page(make_result, found)

    def test_other_cells_have_none(self, make_result, music, predictions):
        found = find(music, predictions)
        found["cell"]["model"] = "another"
        assert "taken for jazz: " not in self.page(make_result, found)


def test_the_fixtures_are_of_a_second(music):
    assert soundfile.info(music.path(music.tracks["track_id"][0])).duration == 1.0
    assert tiny_music.SAMPLE_RATE == 8000
