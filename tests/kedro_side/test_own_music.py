"""``genre-pipeline train FOLDER``, up to the training: what the folder holds, what is trained, and what is asked."""

import shutil
from importlib import metadata
from types import SimpleNamespace

import mutagen
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from click.testing import CliRunner

from genre_pipeline import configuration
from genre_pipeline.cli import cli
from genre_pipeline.errors import ConfigError, DatasetError
from genre_pipeline.experiment import load_experiment
from genre_pipeline.features.pretrained import weights
from genre_pipeline.ops import own_music
from genre_pipeline.ops.estimating import Estimate, estimate
from genre_pipeline.project import PROJECT_ROOT
from pretrained_weights import needs_weights


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's configuration in a folder of the test's own, with an empty data folder."""
    shutil.copytree(PROJECT_ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "conf" / "local").mkdir()
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / "data"))
    for module in (own_music, configuration):
        monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def music(project):
    """Writes tracks of some genres: ``music(jazz=6)``; each of an artist of its own unless ``artists=False``."""

    def write(*, artists=True, **genres):
        folder = project / "By Genre"
        for number, (genre, n_tracks) in enumerate(genres.items()):
            for track in range(n_tracks):
                path = folder / genre / f"{track}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng(100 * number + track).standard_normal(22050 * 4)
                soundfile.write(path, 0.1 * noise, 22050)
                if artists:
                    tagged = mutagen.File(path)
                    tagged["artist"] = [f"{genre} {track}"]
                    tagged.save()
        return own_music.OwnMusic(folder, "by_genre")

    return write


def written(project, name="by_genre"):
    return yaml.safe_load((project / "conf/local/experiments" / f"{name}.yml").read_text())


@pytest.fixture
def timed(monkeypatch):
    """Sets how many seconds each model is said to take, as if all weights were installed."""

    def say(**seconds):
        def fake(experiment, tracks, cells):
            del tracks
            features = {(cell.dataset, cell.feature): 0.0 for cell in experiment.cells}
            return Estimate(features, {cell: float(seconds[cell.model]) for cell in cells})

        monkeypatch.setattr(own_music, "estimate", fake)
        monkeypatch.setattr(own_music, "_lacking", lambda experiment: {})

    return say


ALL = {"naive_bayes": 1, "svm": 2, "probe_logistic": 20, "recommended": 600}
ALL |= {"net1": 500, "crnn_gru_small": 50, "net2": 400}


class TestSurvey:
    def test_artists_of_the_tags_are_kept_apart(self, music):
        found = own_music.survey(music(jazz=6, rock=5))
        assert (found.protocol, found.n_folds, found.short) == ("artist_kfold", 5, [])
        assert found.n_units == {"jazz": 6, "rock": 5}
        assert "no artist is in both training and test" in found.describe()

    def test_without_artists_tracks_are_kept_apart_and_it_says_so(self, music):
        found = own_music.survey(music(jazz=5, rock=5, artists=False))
        assert found.protocol == "track_kfold"
        assert "artists unknown" in found.describe()

    def test_few_artists_make_fewer_folds(self, music):
        found = own_music.survey(music(jazz=4, rock=3))
        assert (found.n_folds, found.short) == (3, [])

    def test_no_genre_is_given_up_for_another_fold(self, music):
        found = own_music.survey(music(jazz=6, rock=5, ska=4))
        assert (found.n_folds, found.short) == (4, [])
        # One that is too small for any number of folds does not count.
        found = own_music.survey(music(jazz=6, rock=5, ska=5, polka=1))
        assert (found.n_folds, found.short) == (5, ["polka"])

    def test_genres_that_are_too_small_are_named(self, music):
        found = own_music.survey(music(jazz=6, rock=5, polka=2))
        assert found.short == ["polka"]
        assert found.describe_short() == "artist_kfold with 5 folds needs 5 artists of each genre. Fewer: polka (2)."

    def test_genres_are_left_out_and_merged(self, music, project):
        given = music(jazz=5, rock=5, polka=2, waltz=3)
        found = own_music.survey(own_music.OwnMusic(given.folder, given.name, merge={"waltz": "polka"}))
        assert found.n_units == {"jazz": 5, "polka": 5, "rock": 5}
        found = own_music.survey(own_music.OwnMusic(given.folder, given.name, leave_out=frozenset({"polka", "waltz"})))
        assert found.n_units == {"jazz": 5, "rock": 5}

    def test_links_are_followed_and_end(self, music, project):
        given = music(jazz=5, rock=5)
        (project / "linked").mkdir()
        for genre in ("jazz", "rock"):
            (project / "linked" / genre).symlink_to(given.folder / genre)
        (given.folder / "jazz" / "again").symlink_to(given.folder / "jazz")
        found = own_music.survey(own_music.OwnMusic(project / "linked", "linked"))
        assert set(found.n_units) == {"jazz", "rock"}
        assert len(found.tracks) == 10

    def test_what_does_not_exist_is_named(self, music):
        given = music(jazz=5, rock=5)
        for wrong in ({"merge": {"Rock": "jazz"}}, {"leave_out": frozenset({"rokc"})}):
            with pytest.raises(ConfigError, match="There is no genre 'R?r?o.*Did you mean 'rock'"):
                own_music.survey(own_music.OwnMusic(given.folder, given.name, **wrong))

    def test_a_single_genre_is_an_error(self, music):
        given = music(jazz=5, rock=5)
        with pytest.raises(DatasetError, match="expected at least 2 genres, got jazz"):
            own_music.survey(own_music.OwnMusic(given.folder, given.name, leave_out=frozenset({"rock"})))

    def test_names_are_not_read_as_references(self, project, music):
        given = music(jazz=5, rock=5)
        odd = project / "${HOME} $x"
        given.folder.rename(odd)
        (odd / "rock").rename(odd / "${oc.env:HOME}")
        (odd / "more").mkdir()
        found = own_music.survey(own_music.OwnMusic(odd, "odd", merge={"${oc.env:HOME}": "pop"}))
        assert found.n_units == {"jazz": 5, "pop": 5}

    def test_artists_that_are_partly_unknown_are_counted(self, music, project):
        given = music(jazz=5, rock=5)
        for path in (given.folder / "rock").iterdir():
            tagged = mutagen.File(path)
            del tagged["artist"]
            tagged.save()
        found = own_music.survey(given)
        assert found.protocol == "artist_kfold"
        assert "as far as artists are known; 5 tracks have none" in found.describe()

    def test_a_folder_without_music_is_an_error(self, project):
        (project / "empty").mkdir()
        with pytest.raises(DatasetError, match="empty"):
            own_music.survey(own_music.OwnMusic(project / "empty", "empty"))


class TestPlan:
    def test_as_many_models_as_fit_into_the_time(self, music, timed, project):
        timed(**ALL)
        given = music(jazz=5, rock=5)
        plan = own_music.plan(given, own_music.survey(given), minutes=1.5)
        assert plan.models == ("naive_bayes", "svm", "probe_logistic", "crnn_gru_small")
        assert plan.expected_s == 73
        assert "recommended (10.0 min), net1 (8.3 min), net2 (6.7 min)" in plan.describe()
        assert written(project)["experiment"]["models"] == list(plan.models)

    def test_the_fastest_model_is_always_trained(self, music, timed):
        timed(**dict.fromkeys(ALL, 1e6))
        given = music(jazz=5, rock=5)
        assert own_music.plan(given, own_music.survey(given), minutes=1).models == ("naive_bayes",)

    def test_what_is_written_is_an_experiment(self, music, timed, project):
        timed(**ALL)
        given = music(jazz=4, rock=3, polka=1)
        given = own_music.OwnMusic(given.folder, given.name, leave_out=frozenset({"polka"}))
        own_music.plan(given, own_music.survey(given), minutes=60)
        experiment = load_experiment(configuration.load_configuration(experiment="by_genre")["parameters"])
        assert experiment.settings.name == "by_genre"
        assert [cell.model for cell in experiment.cells] == list(ALL)
        assert experiment.protocols["artist_kfold"].n_folds == 3
        assert experiment.datasets["by_genre"].root == given.folder

    def test_without_weights_their_probe_is_left_out_and_named(self, music, timed, project, monkeypatch):
        def distribution(name):
            raise metadata.PackageNotFoundError(name)

        lacking = own_music._lacking
        timed(**ALL)
        monkeypatch.setattr(own_music, "_lacking", lacking)
        monkeypatch.setattr(weights, "distribution", distribution)
        given = music(jazz=5, rock=5)
        plan = own_music.plan(given, own_music.survey(given), minutes=60)
        assert plan.models == tuple(model for model in ALL if model != "probe_logistic")
        assert "\nWithout probe_logistic: " in plan.describe()
        assert "make pretrained" in plan.describe()

    @needs_weights
    def test_with_weights_nothing_is_lacking(self, music, timed, monkeypatch):
        lacking = own_music._lacking
        timed(**ALL)
        monkeypatch.setattr(own_music, "_lacking", lacking)
        given = music(jazz=5, rock=5)
        plan = own_music.plan(given, own_music.survey(given), minutes=60)
        assert (plan.models, plan.lacking) == (tuple(ALL), {})

    def test_time_is_measured_on_this_machine(self, music, project):
        given = music(jazz=5, rock=5)
        found = own_music.survey(given)
        own_music.plan(given, found, minutes=0)
        experiment = load_experiment(configuration.load_configuration(experiment="by_genre")["parameters"])
        expected = estimate(experiment, {"by_genre": found.tracks})
        assert expected.total_s == expected.of(experiment.cells) > 0


class TestNames:
    @pytest.mark.parametrize(
        ("folder", "name"),
        [
            ("By Genre (2024)", "by_genre_2024"),
            ("2024", "music_2024"),
            ("Жанры", "music"),
            ("Catalog of jazz", "music_catalog_of_jazz"),
        ],
    )
    def test_a_folder_gives_the_experiment_its_name(self, tmp_path, folder, name):
        assert own_music.name_of(tmp_path / folder) == name

    def test_a_reserved_name_is_an_error_and_nothing_is_written(self, music, project):
        with pytest.raises(ConfigError, match="must not begin with catalog"):
            own_music.survey(own_music.OwnMusic(music(jazz=5).folder, "catalog_of_jazz"))
        assert not list((project / "conf/local").rglob("*.yml"))

    def test_an_experiment_of_another_folder_is_not_overwritten(self, music, project, timed):
        timed(**ALL)
        given = music(jazz=5, rock=5)
        own_music.plan(given, own_music.survey(given), minutes=1)
        other = project / "other"
        other.mkdir()
        with pytest.raises(ConfigError, match=f"The experiment 'by_genre' is of {given.folder}. Choose another name"):
            own_music.survey(own_music.OwnMusic(other, given.name))

    @pytest.mark.parametrize("wrong", [{"folder": None}, {"leave_out": {"polka"}}, {"merge": {"polka": "jazz"}}])
    def test_what_fails_leaves_the_experiment_as_it_was(self, music, project, timed, wrong):
        timed(**ALL)
        given = music(jazz=5, rock=5)
        own_music.plan(given, own_music.survey(given), minutes=1)
        before = written(project)
        shutil.move(given.folder, project / "moved") if "folder" in wrong else None
        with pytest.raises((ConfigError, DatasetError)):
            own_music.survey(own_music.OwnMusic(**{**wrong, "folder": given.folder, "name": given.name}))
        assert written(project) == before

    def test_genres_are_not_merged_in_circles(self, music):
        given = music(jazz=5, rock=5)
        with pytest.raises(ConfigError, match="is counted as another genre, and another genre as 'jazz'"):
            own_music.survey(own_music.OwnMusic(given.folder, "circle", merge={"jazz": "rock", "rock": "jazz"}))

    def test_an_experiment_of_the_project_is_not_overwritten(self, music):
        with pytest.raises(ConfigError, match="There is an experiment 'demo' that this command did not write"):
            own_music.survey(own_music.OwnMusic(music(jazz=5).folder, "demo"))

    def test_an_experiment_that_a_person_wrote_is_not_overwritten(self, music, project):
        path = project / "conf/local/experiments/mine.yml"
        path.parent.mkdir()
        path.write_text("experiment: {datasets: [demo]}\n")
        with pytest.raises(ConfigError, match="There is an experiment 'mine' that this command did not write"):
            own_music.survey(own_music.OwnMusic(music(jazz=5).folder, "mine"))
        assert path.read_text() == "experiment: {datasets: [demo]}\n"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _trains_nothing(self, monkeypatch, timed):
        timed(**ALL)
        self.ran = []
        monkeypatch.setattr(own_music, "run", self.ran.append)
        monkeypatch.setattr("genre_pipeline.cli._leaderboard_text", lambda _: "the leaderboard")

    def train(self, folder, *options, **given):
        return CliRunner().invoke(cli, ["train", str(folder), *options], **given)

    def test_it_ends_with_how_to_use_the_model(self, music):
        result = self.train(music(jazz=5, rock=5).folder)
        assert result.exit_code == 0, result.output
        assert (
            "Trains naive_bayes, svm, probe_logistic, net1, crnn_gru_small: features and trainings take at most 9.6 min"
            in result.output
        )
        assert result.output.endswith(
            "the leaderboard\n\nClassify songs: genre-pipeline predict --experiment by_genre FILE...\n"
        )
        assert [each.name for each in self.ran] == ["by_genre"]

    def test_small_genres_stop_it_where_nobody_can_be_asked(self, music):
        result = self.train(music(jazz=5, rock=5, polka=1).folder)
        assert result.exit_code == 2
        assert "polka (1)" in result.output
        assert "--leave-out GENRE, --merge GENRE=OTHER, or --yes" in result.output
        assert self.ran == []

    def test_yes_leaves_them_out(self, music, project):
        result = self.train(music(jazz=5, rock=5, polka=1).folder, "--yes", "--name", "mine")
        assert result.exit_code == 0, result.output
        assert self.ran[0].leave_out == {"polka"}
        assert written(project, "mine")["datasets"]["mine"]["genres"] == ["jazz", "rock"]

    def test_a_person_is_asked_what_to_do_with_small_genres(self, music, project, monkeypatch):
        folder = music(jazz=5, rock=5, polka=1, waltz=2).folder
        monkeypatch.setattr("click.prompt", lambda text, **_: "jazz" if text.startswith("Count polka") else "")
        monkeypatch.setattr("genre_pipeline.cli.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
        result = self.train(folder)
        assert result.exit_code == 0, result.output
        assert (self.ran[0].merge, self.ran[0].leave_out) == ({"polka": "jazz"}, {"waltz"})
        assert "artists per genre: jazz (6), rock (5)" in result.output

    def test_two_at_once_do_not_mix(self, music):
        own = music(jazz=5, rock=5)
        with own_music.only_here(own):
            result = self.train(own.folder)
        assert result.exit_code == 1
        assert result.output.startswith("Error: process ")
        assert result.output.endswith("trains 'by_genre'. Wait until that ends.\n")
        assert self.ran == []
        assert self.train(own.folder).exit_code == 0

    @pytest.mark.parametrize("value", ["polka", "polka=", "=jazz"])
    def test_what_is_no_merge_is_named(self, project, value):
        result = self.train(project, "--merge", value)
        assert result.exit_code == 2
        assert f"'{value}': expected GENRE=OTHER" in result.output

    def test_a_folder_that_is_not_there_is_one_message(self, project):
        result = self.train(project / "nowhere")
        assert result.exit_code == 1
        assert result.output.count("Error") == 1
        assert "nowhere" in result.output


def test_python_trains_as_the_command_does(music, timed, monkeypatch, project):
    timed(**ALL)
    given = music(jazz=5, rock=5, polka=1)
    with pytest.raises(DatasetError, match=r"polka \(1\). Add music, or set leave_out or merge"):
        own_music.train(given.folder)

    def leave_a_leaderboard(run):
        path = project / "data/08_reporting" / run.name / "versions/leaderboard.csv/now/leaderboard.csv"
        path.parent.mkdir(parents=True)
        path.write_text("model\nsvm\n")

    monkeypatch.setattr(own_music, "run", leave_a_leaderboard)
    frame = own_music.train(given.folder, name="mine", leave_out=["polka"])
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"model": ["svm"]}))
