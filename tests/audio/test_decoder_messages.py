"""Decoders' warnings: caught with the file that they are about, whatever decodes beside it; others' are let through."""

import ctypes
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_pipeline.audio import inspect_audio, read_waveform
from genre_pipeline.audio.decoder_messages import caught_messages, summarise_messages

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="caught with the GNU C library only"
)


def print_from_c(text: str) -> None:
    library = ctypes.CDLL(None)
    library.fputs(text.encode(), ctypes.c_void_p.in_dll(library, "stderr"))


def noisy_mp3(path: Path, offset: int) -> Path:
    """Write an MP3 one of whose frames claims more bits than it has: libmpg123 names the offset of the next one."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100 * 2)
    soundfile.write(path, samples, 44_100, bitrate_mode="CONSTANT", compression_level=0.5)
    content = bytearray(path.read_bytes())
    frames = [at.start() for at in re.finditer(rb"\xff\xfb[\x10-\xe3]", content)]
    content[frames[offset] + 1] = 0
    path.write_bytes(content)
    return path


def test_what_this_thread_writes_is_caught(capfd):
    lines: list[bytes] = []
    with caught_messages(lines):
        print_from_c("careful\n")
    print_from_c("loud\n")
    assert lines == [b"careful\n"]
    assert capfd.readouterr().err == "loud\n"


def test_what_other_threads_write_goes_its_way(capfd):
    lines: list[bytes] = []
    with ThreadPoolExecutor(1) as pool, caught_messages(lines):
        pool.submit(print_from_c, "from elsewhere\n").result()
        os.write(2, b"by descriptor\n")
    assert lines == []
    assert capfd.readouterr().err == "from elsewhere\nby descriptor\n"


def test_a_forked_process_listens_anew(capfd):
    with caught_messages([]):
        child = os.fork()
        if child == 0:
            lines: list[bytes] = []
            with caught_messages(lines):
                print_from_c("in the child\n")
            os._exit(0 if lines == [b"in the child\n"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert capfd.readouterr().err == ""


def test_warnings_are_named_with_their_file_and_nothing_is_on_stderr(tmp_path, capfd):
    paths = [noisy_mp3(tmp_path / f"{number}.mp3", 20 + number) for number in range(8)]
    alone = [inspect_audio(path) for path in paths]
    assert len({facts.detail for facts in alone}) == 8
    for facts in alone:
        assert facts.faults[-1] in {"decoder_warning", "truncated"}
        assert "the decoder warns: " in facts.detail
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(inspect_audio, paths * 3)) == alone * 3
        list(pool.map(lambda path: read_waveform(path, sample_rate=22_050), paths))
    assert capfd.readouterr().err == ""


def test_messages_that_differ_in_numbers_are_one_kind():
    lines = [b"[src/libmpg123/layer3.c:do_layer3():1802] error: part2_3_length (%d) too large\n" % n for n in range(12)]
    lines += [b"\nNote: Illegal Audio-MPEG-Header 0xff", b"4150c4 at offset 38199.\n", b"Hm\n", b"Oh\n", b"Ah\n"]
    assert summarise_messages(lines) == (
        "error: part2_3_length (0) too large (12 times); Note: Illegal Audio-MPEG-Header 0xff4150c4 at offset 38199. "
        "(1 time); Hm (1 time); and 2 more"
    )
    assert summarise_messages([]) == ""


def test_long_messages_are_cut():
    assert len(summarise_messages([b"x" * 5000])) < 200
