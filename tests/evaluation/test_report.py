from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from genre_pipeline.datasets.reading.files import LeftOut, count_left_out
from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.published import SWEEPS
from genre_pipeline.reporting.report import build_markdown, build_report
from genre_pipeline.reporting.sections import ReportData, ranking, tracks
from genre_pipeline.reporting.sweep_figure import sweep_comparison
from hand_made_reports import Page
from invented_runs import change_of

HOSTILE = "<script>window.broken = true</script>"


def render(results, datasets=(), splits=(), **kwargs):
    arguments = {
        "title": "Genres compared",
        "command": "kedro run --pipelines train_all",
        "created": "2026-03-02 14:05 UTC",
        "versions": {"torch": "2.13.0", "Python": "3.12.1"},
    }
    return build_report(ReportData(results, datasets, splits, **{**arguments, **kwargs}))


def render_markdown(results, **kwargs):
    return build_markdown(ReportData(results, **kwargs))


class _Page(HTMLParser):
    """Collects tables, headings and everything that a page could load."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.loads, self.ids, self.scripts, self.scopes, self._row, self._path = {}, [], [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.loads += [attributes[name] for name in ("src", "href", "action", "data") if name in attributes]
        if tag in {"meta", "link", "input", "circle", "line"}:
            return
        self._path.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "table":
            self.rows = self.tables[attributes["id"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
            self.scopes += [attributes.get("scope")] if tag == "th" else []

    def handle_endtag(self, tag):
        if tag in self._path:
            del self._path[len(self._path) - 1 - self._path[::-1].index(tag) :]

    def handle_data(self, data):
        if self._path and self._path[-1] == "script":
            self.scripts[-1] += data
        elif {"th", "td"} & set(self._path):
            self.rows[-1][-1] += data.strip()


def _figures(page):
    return [json.loads(script) for script in _Page(page).scripts if script.startswith('{"data"')]


@pytest.fixture(scope="module")
def page(make_results):
    """The page of the results, which takes seconds to build."""
    return render(make_results())


def test_leaderboard_holds_the_numbers(page, results):
    table = _Page(page).tables["leaderboard-table"]
    assert table[0][:6] == [
        "Model",
        "Accuracy (%)",
        "95\N{NO-BREAK SPACE}% interval (%)",
        "Dataset",
        "Protocol",
        "Feature",
    ]
    assert table[1] == [
        *("net2", "80.0 ± 3.2", "77.2 to 82.8", "demo", "artist_kfold", "log_mel_128", "79.0", "78.0", "90.0"),
        *("12.0", "72.0"),
        *("16.7", "5 folds", "900,000", "12.5 min"),
    ]
    assert len(table) == 1 + len(results)
    assert ["LEAKY" in row[0] for row in table[1:]] == [False] * 8 + [True] * 8


def test_page_says_what_was_run_and_how(results, make_dataset, make_split):
    page = render(results, [make_dataset()], [make_split(), make_split(protocol="random_segment", leaky=True)])
    text = html.unescape(page)
    assert "16 cells: 4 models, 2 features, 2 datasets and 2 protocols." in text
    assert "8 of 16 cells cannot be compared" in text
    assert "corrected resampled t interval" in text
    assert "kedro run --pipelines train_all" in text
    assert text.index("<dt>Python</dt>") < text.index("<dt>torch</dt>")
    tables = _Page(page).tables
    assert tables["genres-1"][1] == ["blues", "20", "19", "5"]
    assert tables["faults-1"][2] == [
        *("classical.00017", "duplicate_audio", "quarantined"),
        *("classical/classical.00017.wav", "same audio as classical.00003"),
    ]
    assert tables["splits-table"][2] == [
        *("random_segmentLEAKY", "demo", "resampled", "\N{EN DASH}", "5", "118", "0", "1", "0", "2", "30", "3", "4"),
        *("0.4", "2.0", "1.2", "5b1e5b1e5b1e5b1e"),
    ]
    assert "blues.00001" in page
    cells = dict(zip(tables["cells-table"][0], tables["cells-table"][1], strict=True))
    assert cells["train tracks"] == "72"
    assert cells["test segments"] == "144"
    assert cells["Interval"] == "corrected resampled t"
    assert (cells["Split hash"], cells["Feature hash"], cells["Git commit"]) == (
        *("5b1e5b1e5b1e5b1e", "fea7fea7fea7fea7"),
        "c0ffee",
    )
    assert cells["Paper"] == "The authors of net2, A paper about net2, 2020"


def test_every_table_has_a_caption_and_scopes(hostile_page):
    page = _Page(hostile_page)
    assert hostile_page.count("<caption>") == len(page.tables) == 17
    assert set(page.scopes) == {"col", "row"}
    assert len(page.ids) == len(set(page.ids))


def test_page_loads_nothing(results, make_dataset, make_split):
    part = {**make_dataset(), "subset": {"name": "2 of 3 genres"}}
    page = render(results, [part], [make_split()])
    cards = {"data_cards/demo.html", "splits/demo.artist_kfold.html"}
    cards |= {"model_cards/demo.html", "model_cards/tiny.html"}
    assert {target for target in _Page(page).loads if not target.startswith("#")} == cards
    assert "default-src 'none'" in page
    own = "".join(part for part in re.split(r"</?script[^>]*>", page) if "plotly.js v" not in part)
    assert "@import" not in own
    assert "url(" not in own
    assert "mathjax" not in own.lower()
    assert re.findall(r"https?://[^\s<\"]+", own) == ["https://example.org/music"]
    assert page.count("plotly.js v") == 1
    assert len(page.encode()) < 15e6


def test_names_from_data_are_escaped(hostile_page):
    assert HOSTILE not in hostile_page
    assert "<b>rock" not in hostile_page
    assert html.escape(HOSTILE) in hostile_page
    assert len(_Page(hostile_page).scripts) == 15  # 12 figures, the tracks, Plotly, and the page's own


def test_figures_have_text_alternatives_from_the_data(page):
    page = html.unescape(page).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "net2 has the highest mean track accuracy, 80.0 % (interval 77.2 to 82.8); svm the lowest, 62.0 %. "
        "Always answering the largest genre gives 16.7 %."
    ) in page
    assert re.search(
        r"Validation accuracy, mean over repeats: net2 \d\d\.\d % after 12 epochs, .* and svm \d\d\.\d %\.", page
    )
    assert re.search(r"net2: \d+ of 120 tracks right \(sum over repeats\); \w+ was taken for \w+ most often", page)
    labels = re.findall(r'role="img" aria-labelledby="([^"]+)"', page)
    assert len(labels) == 23
    assert set(labels) <= set(_Page(page).ids)


def test_figures_carry_their_options(page):
    figures = _figures(page)
    # Accuracies, ranks, costs and protocols of two datasets, curves, confusions, reliabilities, risk and coverage.
    assert [len(figure["options"]) for figure in figures] == [0] * 4 + [0] + [4] * 2 + [4] * 2 + [4] * 4 + [16] * 2 + [
        0
    ] * 8
    curves = figures[9]
    caption, data, layout = curves["options"][2]
    assert caption.startswith("Validation loss, mean over repeats: net2")
    assert "nats" in caption
    assert len(data["y"]) == 8
    assert layout["yaxis.title.text"] == "cross-entropy (nats)"
    assert "updatemenus" not in curves["layout"]
    assert "title" not in curves["layout"]


def test_a_temperature_is_shown_with_what_it_changes(make_result):
    table = _Page(render([make_result(accuracy=0.8)])).tables["temperature-1"]
    errors = ["Calibration error (points)", "with temperature", "Log loss", "with temperature"]
    assert table[0] == ["Model", "Temperature", "Lowest", "Highest", *errors, "Brier score", "with temperature"]
    assert table[1] == ["net1", "2.00", "1.00", "3.00", "12.0", "6.0", "0.700", "0.600", "0.500", "0.450"]


def test_what_a_model_keeps_is_shown_for_some_error_rates(make_result):
    tables = _Page(render([make_result(accuracy=0.8), make_result(model="svm", accuracy=0.2)])).tables
    surest = ["Accuracy (%)", "surest 95 %", "surest 80 %"]
    assert tables["abstention-1"][0][:6] == ["Model", *surest, "Kept for 10 % errors (%)", "of these wrong (%)"]
    # Of 120: 30 with 1 wrong, 80 with 10 wrong, 115 with 21 wrong, all with 24 wrong.
    few, some, most = ["25.0", "3.3"], ["95.8", "18.3"], ["100.0", "20.0"]
    assert tables["abstention-1"][1] == ["net1", "80.0", "81.0", "85.0", *few, *some, *most]
    nothing = ["0.0", "\N{EN DASH}"]
    assert tables["abstention-1"][2] == ["svm", "20.0", "21.0", "25.0", *nothing, "25.0", "16.7", "25.0", "16.7"]


def test_genres_never_seen_are_shown_where_they_were_asked_for(make_result):
    results = [make_result(genres=["a", "b"], n_repeats=2), make_result(model="svm", genres=["a", "b"])]
    known = {**results[0]["cell"], "split_hash": results[0]["split_hash"]}
    values = {("a", 0): 0.8, ("a", 1): 0.6, ("b", 0): 0.7, ("b", 1): 0.5}
    rows = [{**known, "genre": genre, "repeat": repeat, "value": value} for (genre, repeat), value in values.items()]
    page = _Page(build_report(ReportData(results, unseen_genres=pd.DataFrame(rows))))
    assert page.tables["unseen-1"] == [
        ["Genre never seen", "net1"],
        ["all genres", "65.0 ± 14.1"],
        ["a", "70.0"],
        ["b", "60.0"],
    ]
    other = pd.DataFrame(rows).assign(split_hash="another")
    assert "unseen-1" not in _Page(build_report(ReportData(results, unseen_genres=other))).tables


def test_accuracies_of_few_artists_are_shown_where_they_were_asked_for(make_result):
    results = [make_result(accuracy=0.8), make_result(model="svm", accuracy=0.7), make_result(model="net2")]
    rows = [
        {
            **result["cell"],
            "split_hash": result["split_hash"],
            "n_artists": n,
            "all_artists": n == 5,
            "mean_artists": 2.0 * n,
            "mean_tracks": 3.0 * n,
            "mean": mean,
            "ci_low": mean - 0.1,
            "ci_high": mean + 0.1,
            "n_draws": 1 if n == 5 else 3,
            "n_repeats": 2,
            "n_failed": n_failed,
        }
        for result, means in zip(results, ((0.5, 0.8), (0.4, 0.7)), strict=False)
        for n, mean, n_failed in zip((2, 5), means, (1, 0), strict=True)
    ]
    data = ReportData(results, few_labels=pd.DataFrame(rows))
    written = build_report(data)
    page = _Page(written)
    assert page.tables["few-labels-1"] == [
        ["Artists of each genre", "Artists", "Tracks", "net1", "svm"],
        ["2", "4", "6", "50.0 (40.0 to 60.0)", "40.0 (30.0 to 50.0)"],
        ["all (up to 5)", "10", "15", "80.0 (70.0 to 90.0)", "70.0 (60.0 to 80.0)"],
    ]
    text = html.unescape(written)
    assert "mean over 2 repeats of the mean over 3 draws" in text
    assert "2 trainings failed, and are in no number." in text
    assert "With the fewest (2), in %: net1 50.0 and svm 40.0." in text
    figure = next(each for each in _figures(written) if "ticktext" in each["layout"]["xaxis"])
    assert figure["layout"]["xaxis"]["ticktext"] == ["2", "all"]
    lines = figure["data"]
    assert [line["name"] for line in lines] == ["net1", "svm"]
    assert [line["y"] for line in lines] == [[50.0, 80.0], [40.0, 70.0]]
    assert "| all (up to 5) | 10 | 15 | 80.0 (70.0 to 90.0) | 70.0 (60.0 to 80.0) |" in build_markdown(data)
    other = pd.DataFrame(rows)
    for changed in (other.assign(split_hash="another"), other.assign(mean=other["mean"] + 0.01)):
        # Of another split, and of another training: the row of all artists is not what the cell reached.
        assert "few-labels-1" not in _Page(build_report(ReportData(results, few_labels=changed))).tables


def test_genres_have_their_numbers(make_result):
    table = _Page(render([make_result(accuracy=0.8)])).tables["genre-scores-1"]
    assert table[0] == ["Model", "blues", "classical", "disco", "jazz", "metal", "rock"]
    numbers = ["90 / 70 / 80", "85 / 75 / 80", "80 / 80 / 80", "75 / 85 / 80", "70 / 90 / 80"]
    assert table[1] == ["net1", *numbers, "\N{EN DASH} / 0 / 0"]


def test_a_genre_without_numbers_is_a_dash(make_result):
    result = make_result(genres=["jazz", "rock"])
    for row in result["genre_repeats"]:
        if row["genre"] == "rock":
            row.update(precision=None, recall=None, f1=None)
    assert _Page(render([result])).tables["genre-scores-1"][1][2] == "\N{EN DASH}"


def test_calibration_is_described(make_result):
    captions = html.unescape(render([make_result()])).replace("\N{NO-BREAK SPACE}", " ")
    assert "Expected calibration error in points, mean over repeats: net1 12.0 (sure by 86.7 % on average)." in captions


def test_encoders_are_compared_by_probe_with_their_pretraining(make_result, make_pairs):
    facts = {"licence": "ISC", "trained_on": "much music", "overlap": "It may hold test tracks.", "part": "feature"}
    encoders = [
        {**make_result(model=f"probe_{name}", feature=feature, accuracy=accuracy), "pretraining": facts}
        for name, feature, accuracy in (("svm", "musicnn", 0.8), ("knn", "musicnn", 0.7), ("svm", "musicnn_mtt", 0.6))
    ]
    plain = make_result(model="svm", feature="mfcc_20", accuracy=0.5)
    tuned = {
        **make_result(model="musicnn_last_block", feature="log_mel_musicnn", accuracy=0.55),
        "pretraining": {**facts, "part": "network"},
    }
    results = [*encoders, tuned, plain]
    page = _Page(render(results, pairs=make_pairs(results)))
    head, *rows = page.tables["encoders-1"]
    assert head[:3] == ["Encoder", "Probe", "Accuracy (%)"]
    assert [row[:2] for row in rows] == [
        ["musicnn", "probe_svm"],
        ["musicnn", "probe_knn"],
        ["musicnn_mtt", "probe_svm"],
        ["musicnn_last_block", "\N{EN DASH}"],
    ]
    assert "musicnn_mtt: The feature is of a network that was trained on much music. It may hold test tracks." in (
        html.unescape(render(results))
    )
    assert "musicnn_last_block: The model began as a network that was trained on much music." in (
        html.unescape(render(results))
    )
    # The best against itself, then with the paired interval.
    assert [row[4] for row in rows][:2] == ["\N{EN DASH}", rows[1][4]]
    assert re.fullmatch(r"\N{MINUS SIGN}10\.0 \(\S+ to \S+\)( worse)?", rows[1][4])
    assert "Pretrained encoders" in render_markdown(results)
    assert "encoders-1" not in _Page(render([plain])).tables


def test_findings_do_not_read_a_winner_into_noise(make_result):
    close = [make_result(model="net1", accuracy=0.75), make_result(model="net2", accuracy=0.76)]
    assert "Its interval overlaps with net1: the order is not settled." in render(close)
    apart = [make_result(model="net1", accuracy=0.5), make_result(model="net2", accuracy=0.9)]
    assert "No other interval reaches its own." in render(apart)
    assert "It is the only model here." in render(apart[:1])
    assert "There is no interval: the order may be chance." in render([make_result(n_repeats=1)])


def test_a_leader_that_may_be_chance_says_so(make_result):
    unsure, sure = (render([make_result(accuracy=accuracy)]) for accuracy in (0.18, 0.8))
    assert ", not shown to be better." in unsure
    assert ", not shown to be better." not in sure


def test_what_changed_since_the_run_before_is_told(results):
    worse, failed, same, other, better = (
        change_of(results[0], "regression", changes=[("data", "split_hash", "a" * 16, "b" * 16)]),
        change_of(results[1], "failed", changes=[("parameter", "model.c", "1", "2")]),
        change_of(results[2], "unchanged", difference=0.0),
        change_of(results[3], "not comparable", reason="other genres: with <pop>"),
        change_of(results[4], "improvement", difference=0.05),
    )
    new = {**change_of(results[5], "new"), "before": None}
    page = render(results, changes=[worse, failed, same, other, better, new])
    table = _Page(page).tables["changes-table"]
    assert table[0][4:8] == ["Before (%)", "Now (%)", "Difference (points)", "95\N{NO-BREAK SPACE}% interval (points)"]
    minus, none = "\N{MINUS SIGN}", "\N{EN DASH}"
    assert table[1] == [
        *("crnn_gru", "demo", "artist_kfold", "log_mel_128", "87.5", "75.0", f"{minus}12.5"),
        *(f"{minus}22.5 to {minus}2.5", "24 tracks", "REGRESSION", "split hash"),
    ]
    assert table[2][4:] == [none, none, none, none, none, "FAILED", "model.c 1 to 2"]
    assert [row[9] for row in table[3:]] == ["unchanged", "not comparable: other genres: with <pop>", "improvement"]
    text = html.unescape(page)
    assert "5 cells compared with the last finished run that evaluated them: 1 unchanged, 2 worse" in text
    assert "REGRESSION</strong> 2 of 16 cells: less accurate than in the run before" in page
    assert "demo.artist_kfold.log_mel_128.crnn_gru: REGRESSION; changed: split hash" in text
    row = next(row for row in _Page(page).tables["leaderboard-table"] if row[0].startswith("crnn_gru"))
    assert row[0] == "crnn_gruREGRESSION"


def test_markdown_tells_what_changed_and_not_what_did_not(results):
    worse = change_of(results[0], "regression", changes=[("code", "git_commit", "a" * 40, "b" * 40)])
    same = change_of(results[1], "unchanged", difference=0.0)
    text = render_markdown(results, changes=[worse, same])
    assert "**REGRESSION: less accurate" in text
    assert r"- demo.artist\_kfold" not in text
    assert "- demo.artist_kfold.log_mel_128.crnn_gru: REGRESSION; changed: git commit" in text
    section = text[text.index("## Since the run before") :]
    assert "| crnn_gru | demo | artist_kfold | log_mel_128 | 87.5 | 75.0 |" in section
    assert "| net1 | demo | artist_kfold | log_mel_128 | 87.5" not in section
    assert "| **REGRESSION** crnn_gru |" in text
    quiet = render_markdown(results, changes=[same])
    assert "1 cell compared with the last finished run that evaluated them: 1 unchanged, 0 worse" in quiet
    assert "REGRESSION" not in quiet


def test_a_first_run_has_nothing_before_it(results):
    new = {**change_of(results[0], "new"), "before": None}
    for changes in ([], [new]):
        assert "changes-table" not in render(results, changes=changes)
        assert "Since the run before" not in render_markdown(results, changes=changes)


def test_every_two_models_are_set_against_each_other(results, make_pairs):
    page = render(results, pairs=make_pairs(results))
    tables = _Page(page).tables
    same, minus, none = "no difference shown", "\N{MINUS SIGN}", "\N{EN DASH}"
    assert tables["pairs-1"] == [
        ["A", "against net2", "against net1", "against crnn_gru", "against svm"],
        ["net2", none, f"+5.0 {same}", "+10.0 better", "+18.0 better"],
        ["net1", f"{minus}5.0 {same}", none, f"+5.0 {same}", "+13.0 better"],
        ["crnn_gru", f"{minus}10.0 worse", f"{minus}5.0 {same}", none, f"+8.0 {same}"],
        ["svm", f"{minus}18.0 worse", f"{minus}13.0 worse", f"{minus}8.0 {same}", none],
    ]
    assert tables["pair-tests-1"][1] == [
        *("crnn_gru", "net1", "\N{MINUS SIGN}5.0", "\N{MINUS SIGN}10.0 to 0.0", "12", "7", "0.012", "0.200"),
        *("\N{EN DASH}", "0.400", "no difference shown"),
    ]
    assert tables["pair-tests-1"][2][-1] == "net2"
    text = html.unescape(page).replace("\N{NO-BREAK SPACE}", " ")
    assert "accuracy of 120 test tracks of 34 artists (a track of unknown artist counts as one)" in text
    assert "none that these 120 tracks can show at 5 %, corrected for 6 pairs; there may be one." in text
    assert "No difference from net1 that these tracks can show: the order is not settled." in text


def test_a_winner_of_all_pairs_is_named(make_result, make_pairs):
    apart = [make_result(model="net1", accuracy=0.5), make_result(model="net2", accuracy=0.9)]
    assert "Better than every other in paired tests." in render(apart, pairs=make_pairs(apart))


def test_pairs_without_interval_and_pages_without_pairs(make_result, make_pairs):
    results = [make_result(model="net1"), make_result(model="net2")]
    pairs = make_pairs(results).assign(ci_low=float("nan"), ci_high=float("nan"))
    row = _Page(render(results, pairs=pairs)).tables["pair-tests-1"][1]
    assert row[2:4] == ["0.0", "\N{EN DASH}"]
    assert "Is A really better" not in render(results)
    assert "Is A really better" not in render(results[:1], pairs=pairs.iloc[:0])
    assert "Is A really better" not in render_markdown(results[:1], pairs=pairs.iloc[:0])


def test_markdown_has_the_matrix_of_pairs(results, make_pairs):
    text = render_markdown(results, pairs=make_pairs(results))
    assert text.count("## Is A really better than B? ") == 4
    assert "| A | against net2 | against net1 | against crnn_gru | against svm |\n|---|--:|--:|--:|--:|\n" in text
    assert "| net2 | \N{EN DASH} | +5.0 no difference shown | +10.0 better | +18.0 better |" in text


def test_one_repeat_is_shown_without_interval(make_result):
    page = render([make_result(n_repeats=1)])
    row = _Page(page).tables["leaderboard-table"][1]
    assert row[1:3] == ["75.0", "\N{EN DASH}"]
    assert "(interval" not in page
    assert "none, because there is one repeat" in page
    assert not re.search(r"\bnan\b", "".join(re.split(r"<script>.*?</script>", page, flags=re.DOTALL)))


def test_page_without_curves_datasets_and_splits_says_so(make_result):
    page = render([make_result(n_epochs=0)])
    assert "No model recorded epochs." in page
    assert "No quality report was given." in page
    assert "No split report was given." in page
    assert "cannot be compared" not in page


def test_unrecorded_quantities_and_perfect_models_are_described(make_result):
    result = make_result(genres=["jazz", "rock"])
    result["confusion"]["track"] = [[3, 0], [0, 2]]
    for row in result["history"]:
        row["validation_loss"] = None
    captions = [option[0] for figure in _figures(render([result])) for option in figure["options"]]
    assert "Validation loss: not recorded." in captions
    assert "net1: 5 of 5 tracks right (sum over repeats), no confusion." in captions


def test_many_faults_are_cut_with_a_note_and_none_is_good_news(make_result, make_dataset):
    many, none = make_dataset("many"), make_dataset("none")
    many["faults"] = [{**many["faults"][0], "track_id": f"blues.{index:05d}"} for index in range(302)]
    none["faults"] = []
    page = render([make_result()], [many, none])
    assert len(_Page(page).tables["faults-1"]) == 301
    assert "2 more are in the ingest report." in page
    assert "unreadable: 302" in page
    assert "No fault and no duplicate was found." in page


def test_what_a_dataset_holds_besides_its_clips_is_said(make_result, make_dataset):
    left_out = count_left_out([LeftOut("pop/a.m4a", "other_format", ".m4a")])
    dataset = {**make_dataset(), "left_out": left_out, "remarks": ["nothing of '<pop>' is used."]}
    page = render([make_result()], [dataset])
    assert "<dt>Besides the clips</dt><dd>audio in formats that are not read: 1 (.m4a: 1; convert it to FLAC" in page
    assert "<dt>To check</dt><dd>nothing of &#39;&lt;pop&gt;&#39; is used.</dd>" in page
    assert "Besides the clips" not in render([make_result()], [make_dataset()])


def test_split_reports_may_lack_keys(make_result):
    row = _Page(render([make_result()], splits=[{"dataset": "demo", "protocol": "new"}])).tables["splits-table"][1]
    assert row == ["new", "demo", *["\N{EN DASH}"] * 15]


def test_a_part_of_a_dataset_is_never_taken_for_the_whole(make_result, make_dataset, make_split):
    part = "6 of 10 genres, 397 of 1000 tracks"
    result, split = make_result(dataset="gtzan", subset=part), make_split(dataset="gtzan", leaky=True, subset=part)
    page = render([result], [make_dataset("gtzan", subset=part)], [split])
    parsed = _Page(page)
    assert parsed.tables["leaderboard-table"][1][3] == f"gtzan ({part})"
    assert parsed.tables["cells-table"][1][1] == f"gtzan ({part})"
    assert parsed.tables["splits-table"][1][1] == f"gtzan ({part})"
    assert f"<h3>gtzan ({part}) · artist_kfold</h3>" in page
    assert f"<code>gtzan ({part})</code>" in page
    assert f"gtzan ({part}) · artist_kfold, repeat 0: artist" in page
    assert "gtzan ·" not in page
    assert f"## gtzan ({part}) · artist_kfold" in render_markdown([result])


def test_confidence_is_shown(make_result):
    assert "90\N{NO-BREAK SPACE}% interval" in render([make_result()], confidence=0.9)


def test_champions_are_named_and_challengers_say_why(make_result):
    first = {"cell": "a.b.c.d", "model": "base.a.b.c.d", "version": 1, "alias": "champion", "champion": None}
    later = {**first, "version": 12, "alias": "challenger", "champion": 1}
    registrations = [
        {**first, "reason": "the first version"},
        {**later, "reason": f"worse than the champion {HOSTILE}"},
        {"cell": "not.trained.at.all"},
    ]
    page = Page(render([make_result()], registrations=registrations))
    assert page.errors == []
    assert "models:/<registered model>@champion" in page.text
    assert "base.a.b.c.d 1 champion none the first version" in page.text
    assert "12 challenger CHALLENGER 1 worse than the champion <script>" in page.text
    assert "not.trained" not in page.text
    markdown = render_markdown([make_result()], registrations=registrations)
    assert "## Champions" in markdown
    assert "base.a.b.c.d, version 1: champion, the first version" in markdown


def test_a_report_without_registered_models_has_no_champions(make_result):
    assert "Champions" not in render([make_result()])
    assert "Champions" not in render_markdown([make_result()], registrations=[{"cell": "a.b.c.d"}])


def test_no_result_is_an_error():
    with pytest.raises(EvaluationError, match="no result to compare"):
        render([])
    with pytest.raises(EvaluationError, match="no result to compare"):
        render_markdown([])


def test_markdown_holds_the_leaderboard(results):
    text = render_markdown(results)
    facts = "mean of 5 folds; 6 genres; always the largest genre: 16.7 %; split `5b1e5b1e5b1e5b1e`, commit `c0ffee`."
    assert f"## demo · artist_kfold\n\n{facts}\n" in text
    row = "net2 | log_mel_128 | 80.0 ± 3.2 | 77.2 to 82.8 | 79.0 | 78.0 | 72.0 | 900,000 | 12.5 min |"
    assert f"| {row}" in text
    leaderboard, _, gaps = text.partition("## What protocols are worth")
    assert leaderboard.count("| **LEAKY** ") == gaps.count("| **LEAKY** ") == 8
    assert "**LEAKY. Inflated" in text
    assert text.endswith("|\n")


def test_markdown_escapes_table_characters(make_result):
    text = render_markdown([make_result(model="a|b", dataset="<x>")])
    assert "| a\\|b |" in text
    assert "## \\<x\\>" in text
    assert "LEAKY" not in text


def test_ranks_say_how_sure_they_are_or_why_there_are_none(page, results, make_result):
    text = html.unescape(page).replace("\N{NO-BREAK SPACE}", " ")
    assert "4 models on 2 datasets, ranked by mean track accuracy of the test split" in text
    assert "(p = 0.112, roughly with so few of them)" in text
    assert "Cannot be told apart: net2, net1, crnn_gru and svm." in text
    table = _Page(page).tables["ranks-table"]
    assert table[0] == ["Model", "Mean rank", "demo · artist_kfold", "tiny · artist_kfold"]
    assert table[1] == ["net2", "1.00", "1 (80.0)", "1 (75.0)"]
    text = render_markdown(results)
    assert "## Ranks over datasets" in text
    assert "| net2 | 1.00 | 1 (80.0) | 1 (75.0) |" in text
    assert "Ranks need two or more datasets" in render([make_result()])
    assert "Ranks over" not in render_markdown([make_result()])


def test_what_can_be_told_apart_is_said(make_result):
    models = {"net1": 0.6, "net2": 0.7, "svm": 0.5}
    results = [
        make_result(dataset=f"d{index}", model=model, accuracy=accuracy, n_epochs=0)
        for index in range(40)
        for model, accuracy in models.items()
    ]
    reading, figure, _ = ranking.section(ReportData(results)).blocks
    assert figure.caption.endswith("Every two can be told apart.")
    assert "some models are better than others (p = 0.000, roughly" in reading.text[0]


def test_costs_stand_beside_quality(page, results, make_result):
    table = _Page(page).tables["costs-table"]
    assert table[0][4:] == ["Accuracy (%)", "Parameters", "GFLOP per clip", "Training", "Inference per clip"]
    assert table[1][4:] == ["80.0 ± 3.2", "900,000", "1.8", "12.5 min", "17 ms"]
    assert table[4][5:7] == ["\N{EN DASH}", "\N{EN DASH}"]
    text = html.unescape(page).replace("\N{NO-BREAK SPACE}", " ")
    assert "Inference time: no other model beats net2 (80.0 % at 17 ms)." in text
    captions = [option[0].replace("\N{NO-BREAK SPACE}", " ") for option in _figures(page)[5]["options"]]
    assert captions[2] == (
        "Parameters: no other model beats crnn_gru (70.0 % at 300,000) and net2 (80.0 % at 900,000). Accuracy of test "
        "tracks, mean over repeats. Not counted for svm."
    )
    assert "at 0.6 GFLOP" in captions[3]
    alone = [option[0] for option in _figures(render([make_result(n_parameters=None, leaky=True)]))[1]["options"]]
    assert alone[2] == "Parameters: counted for none of these models."


def test_protocols_are_worth_points(page, results, make_result):
    table = _Page(page).tables["gap-table"]
    assert table[0][5:10] == [
        *("Tracks: mean (%)", "Tracks: gap (points)", "Tracks: interval (points)", "Tracks: best repeat (%)"),
        "Tracks: its gap (points)",
    ]
    dash = "\N{EN DASH}"
    assert table[1][:10] == [
        *("crnn_gru", "demo", "artist_kfold (reference)", "log_mel_128", dash, "70.0", dash, dash, "74.0", "+4.0"),
    ]
    assert table[2][:7] == ["crnn_gruLEAKY", "demo", "random_segment", "log_mel_128", "artists", "80.0", "+10.0"]
    captions = [option[0] for option in _figures(page)[7]["options"]]
    assert (
        captions[0]
        == "Tracks, mean of the test split, in points against the mean under artist_kfold: random_segment +10.0."
    )
    assert captions[2].endswith("artist_kfold +4.0 and random_segment +14.0.")
    assert "## What protocols are worth" in render_markdown(results)
    assert "No model has a number under an honest protocol" in render([make_result()])
    assert "What protocols" not in render_markdown([make_result()])


def test_papers_stand_beside_what_was_measured(make_result, make_dataset):
    part = "6 of 10 genres, 397 of 1000 tracks"
    results = [make_result(dataset="gtzan6", model="net1", feature="log_mel_256", subset=part)]
    dataset = {**make_dataset("gtzan6", subset=part), "kind": "gtzan"}
    page = render(results, [dataset])
    row = _Page(page).tables["papers-table"][1]
    assert row[:6] == [
        *("net1 (duplicated_convolutions, table 1)", "net1", f"gtzan6 ({part})", "artist_kfold", "log_mel_256"),
        "track, test, mean of 5 folds",
    ]
    assert row[6:9] == ["90.7", "75.0", "\N{MINUS SIGN}15.7"]
    assert row[10] == "no"
    assert row[11] == f"the protocol is artist_kfold, the paper's nearest is random_track; the tracks are {part}"
    assert "1 pair, of which 0 can be compared; of these 0 agree" in page
    others = _Page(page).tables["others-gtzan6"]
    assert ["MuQ", "encoders: arXiv 2501.01108", "fault_filtered", "track, unclear", "85.6"] in [
        each[:5] for each in others
    ]
    # By accuracy: the one measured here is the second to last.
    assert [each[0] for each in others[-2:]] == ["net1 (log_mel_256)", "MERT-330M, run again once more"]
    ours = ["measured here", "artist_kfold", "track, mean of 5 folds", "75.0", f"{part}; 72.2 to 77.8"]
    assert others[-2][1:] == ours
    assert "## Paper against measured" in build_markdown(ReportData(results, [dataset]))
    assert "No paper" in render([make_result()])
    assert "Paper against" not in render_markdown([make_result()])


def test_a_papers_sweep_is_drawn_where_two_of_its_values_were_measured(make_result):
    shown = {"dataset": "gtzan", "protocol": "random_segment", "leaky": True, "feature": "log_mel_hop256"}
    names = ["musicnext", "musicnext_softmax", "musicnext_margin_4", "musicnext_softmax_3_3_3_3"]
    results = [make_result(model=name, accuracy=0.6 + 0.1 * place, **shown) for place, name in enumerate(names)]
    margins, ratios = (sweep_comparison(sweep, results) for sweep in SWEEPS)
    (line,) = margins.data
    assert line.x == ("1", "2", "4")
    # Accuracy of segments: 8 points below that of tracks here.
    assert line.y == pytest.approx((62.0, 52.0, 72.0))
    assert line.name == "gtzan · random_segment (LEAKY), L-softmax"
    (line,) = ratios.data
    assert (line.x, line.y) == (("3:3:3:3", "3:3:9:3"), pytest.approx((82.0, 62.0)))
    page = render([make_result(model=name, n_repeats=1, **shown) for name in names])
    assert all(f"MusicNeXt, Figure {number}" in page for number in (6, 7))
    assert [sweep_comparison(sweep, results[:1]) for sweep in SWEEPS] == [None, None]


def test_unknown_artists_are_on_the_first_screen_and_wherever_a_result_is_named(make_result, make_split):
    mark = "artists unknown: 100 %"
    results = [{**make_result(dataset="mine", model=model), "artists_unknown": 1.0} for model in ("net1", "svm")]
    split = {**make_split(dataset="mine"), "artists_unknown": 1.0, "verdicts": {"artist": "cannot be checked"}}
    page = render([*results, make_result(dataset="named")], splits=[split, make_split(dataset="named")])
    before_the_tables, _, _ = page.partition('<section id="leaderboard">')
    badges = re.findall(r'<strong class="badge">([^<]*)</strong>( mine · artist_kfold)?', before_the_tables)
    assert badges == [(mark, " mine · artist_kfold"), (mark, "")]
    assert "Whether artists are on both sides cannot be checked" in before_the_tables
    assert '<dt id="word-artists-unknown">Artists unknown</dt>' in before_the_tables
    tables = _Page(page).tables
    for key in ("leaderboard-table", "cells-table"):
        assert sorted(row[0] for row in tables[key][1:]) == ["net1", f"net1{mark}", f"svm{mark}"]
    assert [row[0] for row in tables["splits-table"][1:]] == [f"artist_kfold{mark}", "artist_kfold"]
    shared = tables["splits-table"][0].index("Shared artists")
    assert [row[shared] for row in tables["splits-table"][1:]] == ["cannot be checked", "0"]
    assert f"mine · artist_kfold ({mark})" in html.unescape(page)
    assert "LEAKY" not in page

    markdown = render_markdown([*results, make_result(dataset="named")])
    assert f"- **{mark}** mine · artist\\_kfold" in markdown or f"- **{mark}** mine · artist_kfold" in markdown
    assert markdown.count(f"| **{mark}** ") == 2
    assert "artists unknown" not in render([make_result()]).replace("Artists unknown", "")


def test_a_models_name_links_to_its_run_where_a_server_has_one(make_result):
    page = "http://tracker.example:5000/#/experiments/1/runs/abc"
    results = [make_result(model="net1"), make_result(model="net2")]
    shown = render(results, pages={"demo.artist_kfold.log_mel_128.net1": page})
    leaderboard = shown[shown.index('id="leaderboard-table"') :]
    assert leaderboard[: leaderboard.index("</table>")].count(f'href="{page}"') == 1
    assert shown.count(f'href="{page}"') == 2
    assert "MLflow" not in render(results)


def test_a_page_holds_the_tracks_that_most_models_predicted_wrong_where_there_are_too_many(
    monkeypatch, make_result, make_answers
):
    monkeypatch.setattr(tracks, "MAX_ANSWERS", 1)
    result = make_result()
    shown = render([result], mistakes=[make_answers(result)])
    assert "The 1 of 2 tracks that the most models predicted wrong are in this page." in shown
    assert "Ann \\u00b7 Blue" in shown
    assert '"track_2", "n' not in shown
