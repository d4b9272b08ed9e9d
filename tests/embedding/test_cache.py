"""Cache of vectors: whole after any kill, shared by processes, and never wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from children import in_child, run_in_child, wait_for

from skada_active.embedding import Embedding
from skada_active.embedding.cache import VectorCache
from skada_active.exceptions import DamagedFileError

N_ROWS, WIDTH = 200, 16


def vector(row):
    return np.float16(np.random.default_rng(int(row)).standard_normal(WIDTH)).astype(np.float32)


ROWS = [str(number) for number in range(N_ROWS)]
EXPECTED = np.array([vector(row) for row in ROWS])


def embedding(folder, encoder, batch_size=5):
    return Embedding(encoder, cache=folder, cache_key="k", batch_size=batch_size)


class Encoder:
    """Encode rows after a call of `before`, and count them."""

    def __init__(self, before=lambda: None):
        self.before, self.n_rows = before, 0

    def __call__(self, rows):
        self.before()
        self.n_rows += len(rows)
        return np.array([vector(row) for row in rows])


@pytest.fixture
def cache(tmp_path):
    with VectorCache(tmp_path, "some", "an encoder") as cache:
        yield cache


def keys_of(n):
    return [number.to_bytes(16, "big") for number in range(n)]


def test_many_vectors_come_back_by_their_keys(cache):
    keys, vectors = keys_of(1500), np.float32(np.arange(3000).reshape(1500, 2) % 2048)
    np.testing.assert_array_equal(cache.write(keys[::2], vectors[::2]), vectors[::2])
    found, kept = cache.read(keys[::-1])
    assert sorted(found) == list(range(1, 1500, 2))
    np.testing.assert_array_equal(kept, vectors[::-1][found])


def test_what_is_not_there_is_not_found(cache):
    found, kept = cache.read(keys_of(3))
    assert found == []
    assert len(kept) == 0


def test_numbers_that_half_precision_cannot_hold_are_kept_in_single_precision(cache):
    vectors = np.array([[65504, 1], [65520, 1], [1e30, 1], [0, 0], [1e-20, -1e-21], [2.0**-14, 0]], dtype=np.float32)
    np.testing.assert_array_equal(cache.write(keys_of(6), vectors), vectors)
    np.testing.assert_array_equal(cache.read(keys_of(6))[1][np.argsort(cache.read(keys_of(6))[0])], vectors)


def test_the_first_vector_of_a_key_stays(cache):
    cache.write(keys_of(1), np.ones((1, 2), dtype=np.float32))
    np.testing.assert_array_equal(cache.write(keys_of(2), np.zeros((2, 2), dtype=np.float32)), [[1, 1], [0, 0]])


def test_vectors_of_two_widths_are_refused(cache):
    cache.write(keys_of(1), np.ones((1, 2), dtype=np.float32))
    cache.write(keys_of(2)[1:], np.ones((1, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="vectors of 2 and 3 numbers"):
        cache.read(keys_of(2))


def test_bytes_that_changed_on_the_disk_count_as_never_written(tmp_path):
    encoder = Encoder()
    embedding(tmp_path, encoder).transform(ROWS[:10])
    (path,) = tmp_path.glob("*.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(32) WHERE rowid = 3")
        connection.execute("UPDATE vectors SET vector = substr(vector, 1, 30) WHERE rowid = 4")
    for n_computed in (12, 12):
        np.testing.assert_array_equal(embedding(tmp_path, encoder).transform(ROWS[:10]), EXPECTED[:10])
        assert encoder.n_rows == n_computed


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "some.sqlite").write_bytes(b"nothing of SQLite" * 1000)
    with pytest.raises(DamagedFileError, match=r"some\.sqlite is damaged or no cache.*Delete it"):
        VectorCache(tmp_path, "some", "an encoder")


def test_a_folder_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        embedding(tmp_path / "file", Encoder()).transform(ROWS[:2])
    (tmp_path / "some.sqlite").mkdir()
    with pytest.raises(OSError, match="cannot be used"):
        VectorCache(tmp_path, "some", "an encoder")


def test_a_cache_takes_two_bytes_a_number_and_little_more(cache):
    keys, vectors = keys_of(2000), np.random.default_rng(0).standard_normal((2000, 768), dtype=np.float32)
    cache.write(keys, vectors)
    cache.close()
    assert cache.path.stat().st_size < 1.12 * 2 * vectors.size


def test_no_file_is_open_between_two_calls(tmp_path):
    embedding(tmp_path, Encoder()).fit_transform(ROWS)
    assert [path.suffix for path in tmp_path.iterdir()] == [".sqlite"]
    if os.path.isdir("/proc/self/fd"):
        links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        assert not [link for link in links if str(tmp_path) in link]


def test_an_error_of_the_encoder_leaves_the_finished_batches(tmp_path):
    calls = iter([None] * 4)
    with pytest.raises(StopIteration):
        embedding(tmp_path, Encoder(lambda: next(calls))).transform(ROWS)
    encoder = Encoder()
    np.testing.assert_array_equal(embedding(tmp_path, encoder).transform(ROWS), EXPECTED)
    assert encoder.n_rows == N_ROWS - 4 * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("delay", [0.0, 0.0003, 0.001, 0.003])
def test_a_kill_costs_nothing_but_the_batch_at_work(tmp_path, delay):
    """The child says whenever it begins a batch, so that all before that one are finished."""

    def work(report):
        embedding(tmp_path, Encoder(lambda: report(b"."))).transform(ROWS)

    child, reading = in_child(work)
    n_begun = 0
    while n_begun < 12:
        n_begun += len(os.read(reading, 1))
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    status, rest = wait_for(child, reading)
    assert status == -signal.SIGKILL
    n_begun += len(rest)
    encoder = Encoder()
    np.testing.assert_array_equal(embedding(tmp_path, encoder).transform(ROWS), EXPECTED)
    assert encoder.n_rows <= N_ROWS - 5 * (n_begun - 1)
    np.testing.assert_array_equal(embedding(tmp_path, encoder).transform(ROWS), EXPECTED)
    assert encoder.n_rows <= N_ROWS - 5 * (n_begun - 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_fill_one_cache_at_once_and_agree(tmp_path):
    """What an encoder returns differs between them: all end up with what was written first."""

    def work(report, number):
        rows = ROWS[:100] if number % 2 else ROWS[:100][::-1]
        vectors = embedding(tmp_path, lambda rows: np.full((len(rows), 2), number)).transform(rows)
        report((vectors if number % 2 else vectors[::-1]).tobytes())

    children = [in_child(lambda report, number=number: work(report, number)) for number in range(4)]
    ended = [wait_for(*child) for child in children]
    assert [status for status, _ in ended] == [0] * 4, ended
    results = [np.frombuffer(text, dtype=np.float32) for _, text in ended]
    for result in results:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_another_process_finds_what_this_one_computed(tmp_path):
    expected = embedding(tmp_path, Encoder()).transform(ROWS)

    def work(report):
        encoder = Encoder()
        vectors = embedding(tmp_path, encoder).transform(ROWS)
        report(bytes([encoder.n_rows, np.array_equal(vectors, expected)]))

    assert run_in_child(work) == bytes([0, 1])
