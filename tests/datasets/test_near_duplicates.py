"""Near duplicates: the indexed search against brute force, its properties, and real music."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.audio import inspect_audio
from genre_pipeline.audio.acoustic import ACOUSTIC_VERSION, CODE_BITS, CODES_PER_S, AcousticMeter, unpack_codes
from genre_pipeline.datasets.demo import DemoBlock, find_clips, prepare
from genre_pipeline.errors import AudioError
from genre_pipeline.ingest import near_duplicates
from genre_pipeline.ingest.near_duplicates import MIN_OVERLAP_S, MIN_SIMILARITY, NearDuplicate, find_near_duplicates
from invented_music import SAMPLE_RATE, play

MIN_CODES = round(MIN_OVERLAP_S * CODES_PER_S)


def fingerprint(waveform, sample_rate=SAMPLE_RATE):
    meter = AcousticMeter(sample_rate)
    meter.add(np.asarray(waveform, dtype=np.float32))
    return meter.finish()


def pack(codes):
    return bytes([ACOUSTIC_VERSION]) + b"".join(int(code).to_bytes(3, "little") for code in codes)


def random_codes(rng, n_codes=200):
    return rng.integers(1, 1 << CODE_BITS, n_codes)


def with_errors(rng, codes, share):
    wrong = rng.uniform(size=(len(codes), CODE_BITS)) < share
    return codes ^ (wrong @ (1 << np.arange(CODE_BITS)))


def brute_force(track_ids, fingerprints, threshold=MIN_SIMILARITY):
    """Every pair at every offset, bit by bit."""
    bits = {
        track_id: (unpack_codes(made)[:, None] >> np.arange(CODE_BITS)) & 1
        for track_id, made in zip(track_ids, fingerprints, strict=True)
    }
    found = []
    for one in sorted(bits):
        for other in sorted(bits):
            best = (0.0, 0, 0)
            for offset in range(MIN_CODES - len(bits[other]), len(bits[one]) - MIN_CODES + 1) if one < other else ():
                begin, end = max(offset, 0), min(len(bits[one]), len(bits[other]) + offset)
                first, second = bits[one][begin:end], bits[other][begin - offset : end - offset]
                n_set = first.sum() + second.sum()
                if n_set >= MIN_CODES * CODE_BITS / 2:
                    best = max(best, (2 * (first & second).sum() / n_set, -abs(offset), offset))
            if best[0] >= threshold:
                found.append(NearDuplicate(one, other, pytest.approx(best[0]), pytest.approx(best[2] / CODES_PER_S)))
    return found


def collection(seed):
    """Return random recordings and altered copies of some of them, by name."""
    rng = np.random.default_rng(seed)
    tracks = {}
    for number in range(6):
        codes = random_codes(rng, int(rng.integers(100, 300)))
        tracks[f"{number}"] = codes
        if number % 2:
            cut = codes[int(rng.integers(0, len(codes) - MIN_CODES)) :]
            tracks[f"{number} cut"] = with_errors(rng, cut, 0.03)
            tracks[f"{5 - number} copy of {number}"] = with_errors(rng, codes, 0.03)
    return list(tracks), [pack(codes) for codes in tracks.values()]


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_brute_force(seed):
    track_ids, fingerprints = collection(seed)
    found = find_near_duplicates(track_ids, fingerprints)
    assert len(found) >= 6
    assert found == brute_force(track_ids, fingerprints)
    assert found == sorted(found)


@pytest.mark.parametrize("pass_codes", [1, 100, 10_000])
def test_number_of_passes_makes_no_difference(monkeypatch, pass_codes):
    track_ids, fingerprints = collection(0)
    expected = find_near_duplicates(track_ids, fingerprints)
    monkeypatch.setattr(near_duplicates, "_PASS_CODES", pass_codes)
    assert find_near_duplicates(track_ids, fingerprints) == expected


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 3), permutation=st.permutations(range(12)))
def test_order_of_tracks_makes_no_difference(seed, permutation):
    track_ids, fingerprints = collection(seed)
    assert len(track_ids) == len(permutation)
    shuffled = find_near_duplicates([track_ids[n] for n in permutation], [fingerprints[n] for n in permutation])
    assert shuffled == find_near_duplicates(track_ids, fingerprints)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), n_cut=st.integers(-100, 100), errors=st.floats(0, 0.08))
def test_is_symmetric(seed, n_cut, errors):
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, 260)
    one, other = pack(codes[max(n_cut, 0) :]), pack(with_errors(rng, codes[max(-n_cut, 0) :], errors))
    (found,) = find_near_duplicates(["a", "b"], [one, other])
    (swapped,) = find_near_duplicates(["a", "b"], [other, one])
    assert swapped.similarity == found.similarity
    assert swapped.offset_s == -found.offset_s
    assert found.offset_s == pytest.approx(-n_cut / CODES_PER_S)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), n_codes=st.integers(MIN_CODES, 400))
def test_is_like_itself(seed, n_codes):
    same = pack(random_codes(np.random.default_rng(seed), n_codes))
    assert find_near_duplicates(["b", "a"], [same, same]) == [NearDuplicate("a", "b", 1.0, 0.0)]


@pytest.mark.parametrize(("n_shared", "found"), [(MIN_CODES, 1), (MIN_CODES - 1, 0)])
def test_least_overlap(n_shared, found):
    rng = np.random.default_rng(0)
    shared = random_codes(rng, n_shared)
    one, other = (
        np.concatenate([random_codes(rng, 90), shared]),
        np.concatenate([shared, random_codes(rng, 120)]),
    )
    assert len(find_near_duplicates(["a", "b"], [pack(one), pack(other)])) == found


@pytest.mark.parametrize(("threshold", "found"), [(0.7, 1), (0.95, 0)])
def test_threshold(threshold, found):
    rng = np.random.default_rng(0)
    codes = random_codes(rng, 300)
    # One bit in twelve wrong, but for a stretch: similar by about 0.92.
    other = with_errors(rng, codes, 1 / 12)
    other[100:106] = codes[100:106]
    assert len(find_near_duplicates(["a", "b"], [pack(codes), pack(other)], threshold=threshold)) == found


def test_what_says_nothing_is_no_evidence():
    rng = np.random.default_rng(0)
    silence = np.zeros(300, dtype=np.int64)
    tracks = [np.concatenate([random_codes(rng, 40), silence]) for _ in range(2)]
    assert find_near_duplicates(["a", "b"], [pack(codes) for codes in tracks]) == []
    # The same bit now and then for a long time: less than music has in five seconds.
    rare = np.where(np.arange(300) % 3, 0, 1)
    assert find_near_duplicates(["a", "b"], [pack(rare), pack(rare)]) == []


def test_many_copies_are_linked():
    # More than a track is compared with.
    same = pack(random_codes(np.random.default_rng(0), 60))
    track_ids = [f"{number:03d}" for number in range(150)]
    group = {"000"}
    for pair in find_near_duplicates(track_ids, [same] * 150):
        if pair.one in group:
            group.add(pair.other)
    assert group == set(track_ids)


@pytest.mark.parametrize("n_tracks", [0, 1, 3])
def test_nothing_to_find(n_tracks):
    assert find_near_duplicates([f"{n}" for n in range(n_tracks)], [b""] * n_tracks) == []


def test_other_version_is_refused():
    with pytest.raises(AudioError, match="version"):
        find_near_duplicates(["a", "b"], [b"", bytes([ACOUSTIC_VERSION + 1]) + bytes(30)])


def test_pieces_and_their_copies():
    pieces = {f"piece {seed}": play(seed) for seed in range(5)}
    slower = {"piece 0 played slower": play(0, tempo=0.95)}
    copies = {"piece 1 from 3.3 s": 0.1 * pieces["piece 1"][round(3.3 * SAMPLE_RATE) :]}
    tracks = {**pieces, **slower, **copies}
    (found,) = find_near_duplicates(list(tracks), [fingerprint(waveform) for waveform in tracks.values()])
    assert (found.one, found.other) == ("piece 1", "piece 1 from 3.3 s")
    assert found.offset_s == pytest.approx(3.3, abs=1 / CODES_PER_S)
    assert found.similarity > 0.85


def test_files_of_one_recording(tmp_path):
    formats = {"a.wav": {}, "a.mp3": {"compression_level": 0.9, "bitrate_mode": "CONSTANT"}, "a.ogg": {}, "b.flac": {}}
    for name, options in formats.items():
        music = play(0 if name.startswith("a") else 1)
        soundfile.write(tmp_path / name, np.stack([music, 0.8 * music], axis=1), SAMPLE_RATE, **options)
    found = find_near_duplicates(list(formats), [inspect_audio(tmp_path / name).acoustic for name in formats])
    assert [(pair.one, pair.other) for pair in found] == [("a.mp3", "a.ogg"), ("a.mp3", "a.wav"), ("a.ogg", "a.wav")]
    assert all(abs(pair.offset_s) <= 1 / CODES_PER_S for pair in found)


def test_demo_has_its_one_duplicate(tmp_path):
    # Two artists that play the same kinds of chord loops on the same instruments, track after track.
    block = DemoBlock(path=tmp_path / "demo", n_genres=3, n_clips_per_genre=5, n_artists_per_genre=2)
    prepare(block)
    clips = find_clips(block).clips
    found = find_near_duplicates(
        [clip.track_id for clip in clips], [inspect_audio(block.path / clip.path).acoustic for clip in clips]
    )
    assert [(pair.similarity, pair.offset_s) for pair in found] == [(1.0, 0.0)]


@pytest.mark.real_data
def test_real_music_is_told_apart_and_its_copies_are_found():
    root = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not root:
        pytest.skip("GENRE_PIPELINE_REAL_DATA is not set")
    paths = sorted(Path(root, "gtzan6", "genres").glob("*/*.ogg"))[::16]
    tracks = {}
    for path in paths:
        waveform, sample_rate = soundfile.read(path, dtype="float32")
        tracks[path.stem] = fingerprint(waveform, sample_rate)
        tracks[f"{path.stem} again"] = fingerprint(0.1 * waveform[round(12.34 * sample_rate) :], sample_rate)
    found = find_near_duplicates(list(tracks), list(tracks.values()))
    assert [(pair.one, pair.other) for pair in found] == [(path.stem, f"{path.stem} again") for path in paths]
    assert [pair.offset_s for pair in found] == pytest.approx([12.34] * len(paths), abs=1 / CODES_PER_S)
