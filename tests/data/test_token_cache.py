"""The cache: damage of any kind is noticed and healed, writers may meet, and a folder that cannot be used is no end."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strawberry.data import load
from strawberry.data.cache import STALE_SECONDS, DamagedError, cache_folder, fetch, seal, unseal


def same(one, other) -> bool:
    return (
        np.array_equal(one.train, other.train)
        and np.array_equal(one.validation, other.validation)
        and one.bytes_per_token == other.bytes_per_token
        and one.fingerprint == other.fingerprint
        and one.tokenizer.fingerprint == other.tokenizer.fingerprint
    )


def test_a_sealed_file_gives_back_what_it_was_given(tmp_path):
    for values in (np.arange(1000, dtype="<u4"), np.zeros(0, dtype="<u2"), np.arange(7, dtype=np.uint8)):
        seal(tmp_path / "sealed", {"dtype": values.dtype.str, "ü": 1}, values)
        header, payload = unseal(tmp_path / "sealed")
        assert header == {"dtype": values.dtype.str, "ü": 1}
        assert isinstance(payload, np.memmap) or not len(values)
        assert np.array_equal(payload.view(header["dtype"]), values)
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "file"
    seal(path, {"n": 1}, np.arange(50, dtype="<u2"))
    return path


@given(data=st.data())
def test_any_flipped_bit_is_noticed(sealed, data):
    sound = sealed.read_bytes()
    place = data.draw(st.integers(0, len(sound) - 1))
    damaged = bytearray(sound)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    other = sealed.with_name("damaged")
    other.write_bytes(damaged)
    with pytest.raises(DamagedError):
        unseal(other)


@given(data=st.data())
def test_any_truncation_is_noticed(sealed, data):
    sound = sealed.read_bytes()
    other = sealed.with_name("truncated")
    other.write_bytes(sound[: data.draw(st.integers(0, len(sound) - 1))])
    with pytest.raises(DamagedError):
        unseal(other)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign"])
@pytest.mark.parametrize("kind", ["tokens", "tokenizer"])
def test_damage_is_told_and_healed(cache, folder, config, kind, damage):
    first = load(folder, config)
    assert first.warnings == ()
    (path,) = cache.glob(f"{kind}-*")
    raw = path.read_bytes()
    del first.__dict__["train"], first.__dict__["validation"]  # the map of a file that is about to change
    sound = load(folder, config)
    expected = (np.array(sound.train), np.array(sound.validation))
    contents = {
        "flip": raw[:-3] + bytes([raw[-3] ^ 4]) + raw[-2:],
        "truncate": raw[:-2],
        "empty": b"",
        "foreign": b"hello",
    }
    path.unlink()
    path.write_bytes(contents[damage])

    healed = load(folder, config)
    assert np.array_equal(healed.train, expected[0])
    assert np.array_equal(healed.validation, expected[1])
    assert len(healed.warnings) == 1
    assert "damaged" in healed.warnings[0]
    assert path.read_bytes() == raw
    assert load(folder, config).warnings == ()


def test_the_second_load_neither_learns_nor_encodes(cache, folder, config, monkeypatch):
    first = load(folder, config)

    def never(*args, **kwargs):
        raise AssertionError("this should have come from the cache")

    monkeypatch.setattr("strawberry.data.prepare._encoded", never)
    monkeypatch.setattr("strawberry.data.prepare.Tokenizer.train", never)
    assert same(load(folder, config), first)
    assert same(load(folder, config.replace(seed=5, batch_size=2)), first)


def test_what_the_content_depends_on_is_in_the_name(cache, folder, config):
    prints = [load(folder, config).fingerprint]
    prints.append(load(folder, config.replace(vocab_size=280)).fingerprint)
    prints.append(load(folder, config.replace(tokenizer="bytes")).fingerprint)
    prints.append(load(folder, config.replace(train_fraction=0.6)).fingerprint)
    with (folder / "00.txt").open("a") as file:
        file.write("more")
    prints.append(load(folder, config).fingerprint)
    assert len(set(prints)) == len(prints)


def test_a_cache_that_cannot_be_written_leaves_the_tokens_in_memory(tmp_path, folder, config, monkeypatch):
    expected = load(folder, config)
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("STRAWBERRY_CACHE", str(blocked / "below"))
    found = load(folder, config)
    assert same(found, expected)
    assert len(found.warnings) == 1
    assert "nothing can be cached" in found.warnings[0]
    assert not isinstance(found.train, np.memmap)


def test_a_full_disk_leaves_nothing_behind(cache, folder, config, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    found = load(folder, config)
    assert "No space left" in found.warnings[0]
    assert len(found.train)
    assert list(cache.iterdir()) == []


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    old, young = tmp_path / ".old.tmp", tmp_path / ".young.tmp"
    for path in (old, young):
        path.write_text("half a file")
    os.utime(old, (time.time() - 2 * STALE_SECONDS,) * 2)
    seal(tmp_path / "entry", {}, np.arange(3))
    assert not old.exists()
    assert young.exists(), "its writer may still be at work"


def test_the_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("STRAWBERRY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("STRAWBERRY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "strawberry"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "strawberry"


def test_a_cache_entry_that_is_a_folder_is_worked_around(cache):
    (cache / "entry").mkdir(parents=True)
    entry = fetch("entry", lambda: ({"n": 1}, np.arange(3)))
    assert "nothing can be cached" in (entry.remark or "")
    assert entry.payload.tolist() == [0, 1, 2]


WRITER = """
import sys, numpy as np
from pathlib import Path
from strawberry.data.cache import seal
values = np.arange(300_000, dtype="<u4")
print("ready", flush=True)
while True:
    seal(Path(sys.argv[1]), {"n": 1}, values)
"""


@pytest.mark.slow
def test_a_reader_beside_two_writers_and_their_death_sees_only_whole_entries(tmp_path):
    path = tmp_path / "entry"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        end = time.monotonic() + 2
        reads = 0
        while time.monotonic() < end:
            if path.exists():
                header, payload = unseal(path)
                assert header == {"n": 1}
                assert payload.view("<u4")[-1] == 299_999
                reads += 1
        assert reads > 3
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            if writer.stdout is not None:
                writer.stdout.close()
    assert unseal(path)[0] == {"n": 1}


LOADER = """
import sys
from strawberry.config import Config
from strawberry.data import load
sys.stdin.readline()
found = load(sys.argv[1], Config(vocab_size=300, seq_len=8))
print(found.fingerprint, found.tokenizer.fingerprint, found.train.tobytes().hex()[:400], found.warnings)
"""


@pytest.mark.slow
def test_two_processes_prepare_the_same_text_at_once(cache, folder, config):
    command = [sys.executable, "-c", LOADER, str(folder)]
    loaders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for loader in loaders:
        assert loader.stdin is not None
        loader.stdin.write("go\n")
        loader.stdin.flush()
    answers = [loader.communicate()[0] for loader in loaders]
    assert [loader.returncode for loader in loaders] == [0, 0]
    assert answers[0] == answers[1]
    assert answers[0].strip().endswith("()")
    found = load(folder, config)
    assert found.warnings == ()
    assert answers[0].startswith(found.fingerprint)
