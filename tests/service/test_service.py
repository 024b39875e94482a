"""The HTTP service: what it answers, refuses and survives."""

import base64
import io
import json
import logging
import os
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import requests
import soundfile

from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.service import answering
from genre_pipeline.service.offers import Offers
from mutated_music import bombs, mutate, sound_file
from service_parts import CHAMPION, OTHER, offer, served, slow_or_mortal
from tiny_music import GENRES


def wav(seconds: float = 1.0, rate: int = 8000, seed: int = 0, level: float = 0.1) -> bytes:
    file = io.BytesIO()
    samples = level * np.random.default_rng(seed).standard_normal(int(seconds * rate))
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def test_files_are_classified_as_the_model_does(service, music, models):
    paths = [music.path("jazz/jazz_3"), music.path("rock/rock_3")]
    answered = service.post(*((path.name, path.read_bytes()) for path in paths), params={"timeline": True})
    assert answered.status_code == 200
    songs = answered.json()["files"]
    model = GenrePredictor.open(*sorted((models / "tiny/folds/log_mel_8/net").iterdir()))
    for path, song in zip(paths, songs, strict=True):
        expected = model.segment_probabilities(path)
        (answer,) = song["answers"]
        assert song["name"] == path.name
        assert (song["error"], song["duration_s"]) == (None, 1.0)
        assert (answer["model"], answer["sure"], answer["leaky"]) == (CHAMPION, True, False)
        assert list(answer["probabilities"]) == list(GENRES)
        assert list(answer["probabilities"].values()) == pytest.approx(expected.mean(axis=0).tolist(), abs=1e-6)
        assert answer["genre"] == GENRES[expected.mean(axis=0).argmax()]
        over_time = [list(each["probabilities"].values()) for each in answer["segments"]]
        assert np.allclose(over_time, expected, atol=1e-6)
        assert [each["start_s"] for each in answer["segments"]] == [0.0, 0.256, 0.512]
        assert answer["segments"][0]["end_s"] == 0.256


def test_models_are_chosen_by_name(service):
    listed = service.get("/models").json()
    assert [(each["name"], each["is_champion"]) for each in listed["models"]] == [(CHAMPION, True), (OTHER, False)]
    assert listed["models"][0] | {"genres": None} == {
        "name": CHAMPION,
        "is_champion": True,
        "genres": None,
        "leaky": False,
        "accuracy": 0.9,
        "ci_low": 0.8,
        "ci_high": 1.0,
    }
    answered = service.post(("a.wav", wav()), params={"model": [OTHER, CHAMPION]}).json()
    assert [each["model"] for each in answered["files"][0]["answers"]] == [OTHER, CHAMPION]
    assert answered["files"][0]["answers"][0]["segments"] is None
    refused = service.post(("a.wav", wav()), params={"model": "tiny.folds.log_mel_8.nett"})
    assert refused.status_code == 404
    assert CHAMPION in refused.json()["detail"]
    refused = service.post(("a.wav", wav()), params={"model": "../../../etc"})
    assert refused.status_code == 404


def test_a_bad_file_does_not_fail_the_others(service):
    answered = service.post(("bad.mp3", b"no audio"), ("good.wav", wav()), ("short.wav", wav(0.1)), ("", b"x"))
    bad, good, short, *_ = answered.json()["files"]
    assert answered.status_code == 200
    assert good["answers"]
    assert bad["error"].startswith("bad.mp3: is not an audio file")
    assert short["error"].startswith("short.wav: shorter than one segment")
    assert not bad["answers"]


def test_a_song_without_an_answer_has_an_error(service):
    file = io.BytesIO()
    soundfile.write(file, np.float32(1e38) * np.random.default_rng(0).uniform(-1, 1, 8000), 8000, "FLOAT", format="WAV")
    answered = service.post(("loud.wav", file.getvalue())).json()["files"][0]
    assert answered["error"].startswith("loud.wav: The feature is not finite everywhere")
    assert answered["answers"] == []


def test_silence_has_no_answer(service):
    answered = service.post(("silent.wav", wav(level=0.0))).json()["files"][0]
    assert answered["error"].startswith("silent.wav: it is silent, so there is nothing to classify")
    assert answered["answers"] == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\a.wav", "a.wav"),
        ("a\x1b[31m.wav", "a[31m.wav"),
        ("x" * 999, "x" * 200),
    ],
)
def test_names_are_only_echoed_and_cleaned(service, given, shown, tmp_path):
    song = service.post((given, b"no audio")).json()["files"][0]
    assert song["name"] == shown
    assert song["error"].startswith(f"{shown}: ")
    assert "genre-upload" not in song["error"]


def test_what_is_not_a_request_is_refused_in_a_line(service):
    for answered in (
        requests.post(service.url + "/predict", timeout=60),
        requests.post(service.url + "/predict", data=b"x", headers={"content-type": "multipart/form-data"}, timeout=60),
        requests.post(service.url + "/predict", data={"files": "text"}, timeout=60),
    ):
        assert answered.status_code in {400, 422}
        assert isinstance(answered.json()["detail"], str)
    assert requests.get(service.url + "/predict", timeout=60).status_code == 405
    assert requests.get(service.url + "/nothing", timeout=60).status_code == 404


def test_requests_have_ids_and_are_logged_as_json(service, caplog):
    from genre_pipeline.service.command import _JsonLines

    with caplog.at_level(logging.INFO, logger="genre_pipeline.service"):
        named = service.get("/health", headers={"X-Request-ID": "abc-1"})
        forged = service.get("/health", headers={"X-Request-ID": 'a"b c'})
    assert named.headers["x-request-id"] == "abc-1"
    assert re.fullmatch(r"[0-9a-f]{32}", forged.headers["x-request-id"])
    lines = [json.loads(_JsonLines().format(record)) for record in caplog.records]
    assert {"request_id": "abc-1", "route": "/health", "status": 200, "level": "info"}.items() <= lines[0].items()


def test_counts_are_there_for_prometheus(service):
    def count(name):
        text = service.get("/metrics").text
        return float(re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)[1])

    service.post(("bad.mp3", b"no audio"), ("good.wav", wav()))
    before = count('genre_files_total{outcome="classified"}'), count("genre_audio_seconds_total")
    service.post(("bad.mp3", b"no audio"), ("good.wav", wav()))
    assert count('genre_files_total{outcome="classified"}') == before[0] + 1
    assert count("genre_audio_seconds_total") == pytest.approx(before[1] + 1)
    assert count('genre_requests_total{method="POST",route="/predict",status="200"}') >= 2
    assert count("process_resident_memory_bytes") > 0


def test_a_worker_that_is_killed_is_replaced(service):
    (pid,) = service.pool.pids
    os.kill(pid, signal.SIGKILL)
    first = service.post(("a.wav", wav())).json()["files"][0]
    assert "crashed" in first["error"]
    assert service.post(("a.wav", wav())).json()["files"][0]["answers"]
    assert service.pool.pids != [pid]


def test_workers_that_hang_die_or_fail_are_survived(models):
    with served(models, work=slow_or_mortal, max_job_s=0.3) as running:
        assert "took too long" in running.post(("hang", b"x")).json()["files"][0]["error"]
        assert "crashed" in running.post(("die", b"x")).json()["files"][0]["error"]
        assert "crashed" in running.post(("garbage", b"x")).json()["files"][0]["error"]
        for name, status in (("fault", 200), ("missing", 503)):
            answered = running.post((name, b"x"))
            assert answered.status_code == status
            assert "secret" not in answered.text
            assert answered.headers["x-request-id"] in answered.text or name == "missing"
        assert running.get("/health").json()["status"] == "ok"
        assert 'genre_workers_lost_total{reason="timeout"} 1.0' in running.get("/metrics").text


def test_no_more_than_so_many_requests_wait(models):
    with served(models, work=slow_or_mortal, max_job_s=2, max_waiting=1) as running, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: running.post(("hang", b"x")), range(4)))
    statuses = sorted(each.status_code for each in answers)
    assert statuses == [200, 200, 503, 503]
    assert all("Retry-After" in each.headers for each in answers if each.status_code == 503)


def test_health_and_counts_do_not_wait_behind_songs(models, monkeypatch):
    n_songs = 40  # as many as the server has threads for
    all_inside, may_end = threading.Barrier(n_songs + 1), threading.Event()

    def run(_job):
        all_inside.wait(timeout=60)
        may_end.wait(timeout=60)
        return {"answers": []}

    with served(models, max_waiting=n_songs) as running, ThreadPoolExecutor(n_songs) as threads:
        monkeypatch.setattr(running.pool, "run", run)
        songs = [threads.submit(running.post, ("a.wav", b"x")) for _ in range(n_songs)]
        all_inside.wait(timeout=60)
        try:
            health = requests.get(running.url + "/health", timeout=10).json()
            counts = requests.get(running.url + "/metrics", timeout=10).text
        finally:
            may_end.set()
        assert health["status"] == "ok"
        assert "genre_requests_total" in counts
        assert all(song.result().status_code == 200 for song in songs)


def test_limits_of_size_number_and_length(models):
    limits = {"max_request_mb": 1, "max_files": 2, "max_audio_s": 5.0, "max_memory_mb": 512, "max_upload_s": 1.0}
    with served(models, **limits) as running:
        assert running.post(("a.wav", bytes(2 << 20))).status_code == 413
        assert running.post(*[("a.wav", wav())] * 3).status_code == 413
        assert "longer than 5 s" in running.post(("a.wav", wav(6))).json()["files"][0]["error"]
        # A body whose length is not stated.
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        chunks = (bytes(1 << 16) if number else part for number in range(64))
        head = {"content-type": "multipart/form-data; boundary=b"}
        # The service may end the connection before it has read what it does not want.
        with suppress(requests.ConnectionError):
            assert requests.post(running.url + "/predict", data=chunks, headers=head, timeout=60).status_code == 413
        with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=30) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n")
            slow.sendall(b"Content-Length: 1000\r\n\r\n--b\r\n")
            assert b" 408 " in slow.recv(4096)
        assert running.post(("a.wav", wav())).json()["files"][0]["answers"]


def test_bombs_stay_within_their_limits(models):
    files = bombs()
    assert max(map(len, files.values())) < 1 << 20
    with served(models, max_audio_s=100.0) as running:
        errors = {each["name"]: each["error"] for each in running.post(*files.items()).json()["files"]}
        assert "longer than 100 s" in errors["bomb.flac"]
        assert "a sample rate of 1 Hz" in errors["1hz.wav"]
        assert errors["wide.wav"].startswith("wide.wav: shorter than one segment")
        assert errors["4gb.wav"] is None
        assert errors["empty.mp3"].startswith("empty.mp3: is not an audio file")
        assert running.metrics._lost.labels("crashed")._value.get() == 0


def test_damaged_files_of_eight_formats_fail_no_request(service):
    rng = np.random.default_rng(0)
    lost = service.metrics._lost.labels("crashed")._value.get()
    names = ["wav", "aiff", "au", "flac", "ogg", "opus", "mp3", "caf"]
    sounds = {name: sound_file(name, 0) for name in names}
    files = [(f"{number}.{name}", mutate(sounds[name], rng)) for number in range(4) for name in names]
    answered = service.post(*files)
    assert answered.status_code == 200
    assert all(bool(each["error"]) != bool(each["answers"]) for each in answered.json()["files"])
    assert service.metrics._lost.labels("crashed")._value.get() == lost
    assert service.get("/health").status_code == 200


def test_a_token_is_asked_for(models):
    token = "0123456789abcdef"
    with served(models, token=token) as running:
        assert running.get("/models").status_code == 200
        assert running.get("/health", headers={}).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {token}"}):
            for path in ("/models", "/metrics", "/openapi.json", "/nothing"):
                refused = running.get(path, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
        assert requests.post(running.url + "/predict", data=b"x", timeout=60).status_code == 401


def test_a_client_that_is_still_sending_gets_the_answer(models):
    """Not a connection that is reset: who would know why?"""
    with served(models, token="0123456789abcdef") as running:
        host, port = running.url.removeprefix("http://").split(":")
        body = bytes(8_000_000)
        head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(head.encode() + body)
            answered = client.makefile("rb").read()
        assert answered.startswith(b"HTTP/1.1 401 Unauthorized")
        assert b"Authorization: Bearer" in answered


def test_other_names_of_this_machine_are_not_answered(models):
    """A page of the internet cannot reach a service on loopback by a name that it makes point there."""
    with served(models, hosts=("127.0.0.1",)) as running:
        assert running.get("/models").status_code == 200
        assert running.get("/models", headers={"Host": "evil.example"}).status_code == 400


def test_another_champion_is_used_without_a_restart(models):
    with served(models) as running:
        assert running.post(("a.wav", wav())).json()["files"][0]["answers"][0]["model"] == CHAMPION
        assert running.offers.renew() is False
        running.offered[:] = [offer(models, OTHER, is_champion=True), offer(models, CHAMPION)]
        assert running.offers.renew() is True
        assert running.post(("a.wav", wav())).json()["files"][0]["answers"][0]["model"] == OTHER
        running.offered[0] = offer(models, OTHER, is_champion=True, threshold=2.0)
        assert running.offers.renew() is True
        assert running.post(("a.wav", wav())).json()["files"][0]["answers"][0]["sure"] is False
        running.offered[0] = offer(models / "nowhere", OTHER, is_champion=True, threshold=3.0)
        running.offers.renew()
        assert running.post(("a.wav", wav())).status_code == 503


def test_the_same_champion_with_a_store_opened_anew_is_no_other(models):
    def read():
        made = offer(models, CHAMPION, is_champion=True)
        return [replace(made, source=replace(made.source, labelled=object()))]

    assert Offers(read).renew() is False


def test_nothing_is_left_of_uploads(service, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    service.post(("a.wav", wav()), ("b.wav", bytes(2 << 20)))
    assert list(tmp_path.iterdir()) == []


def test_memory_that_a_file_takes_is_limited(tmp_path):
    with pytest.raises(MemoryError), answering._limited_memory(64 << 20):
        np.ones(32 << 20, dtype=np.float64)
    assert np.ones(32 << 20, dtype=np.float64).nbytes == 256 << 20


def test_a_song_is_described(service, music):
    path = music.path("jazz/jazz_3")
    found = service.post(
        (path.name, path.read_bytes()), path="/describe", params={"model": OTHER, "genre": "rock"}
    ).json()
    assert (found["name"], found["duration_s"], len(found["waveform"])) == (path.name, 1.0, 800)
    assert max(found["waveform"]) == pytest.approx(0.35, abs=0.05)
    reason = found["explanation"]
    assert (reason["genre"], reason["method"], reason["start_s"], reason["end_s"]) == ("rock", "occlusion", 0.0, 0.768)
    for picture in (found["spectrogram_png"], reason["seen_png"], reason["contributions_png"]):
        assert base64.b64decode(picture).startswith(b"\x89PNG")
    later = service.post((path.name, path.read_bytes()), path="/describe", params={"from_s": 0.6}).json()
    assert later["explanation"]["start_s"] == 0.512
    assert "not an audio file" in service.post(("a", b"x"), path="/describe").json()["error"]
    assert service.post(("a", b"x"), path="/describe", params={"genre": "polka"}).status_code == 404
    assert service.post(("a", b"x"), ("b", b"x"), path="/describe").status_code == 422
