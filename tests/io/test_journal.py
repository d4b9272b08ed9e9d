"""The journal: what `append` returned for is on disk, and comes back as it was or not without a word."""

from __future__ import annotations

import copy
import errno
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import Faults, in_child, run_in_child, wait_for

from skada_active.exceptions import JournalError
from skada_active.io import journal as journal_module
from skada_active.io.journal import Journal

START, ENTRIES, CHECKPOINT = "settings", ["a", "é\n\0💥", '{"ids": [3]}', "d"], ("info", b"model" * 9)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")
has_byte_lock = journal_module._LOCK_BYTE is not None
connect = sqlite3.connect
CALLS = {
    "append": lambda journal: journal.append("e"),
    "begin": lambda journal: journal.begin("other settings"),
    "write_checkpoint": lambda journal: journal.write_checkpoint("new", b"new model"),
}
ERRORS = {"database or disk is full": errno.ENOSPC, "disk I/O error": errno.EIO}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.db"


@pytest.fixture
def written(path):
    """Return the file of a small journal."""
    with Journal(path) as journal:
        journal.begin(START)
        for entry in ENTRIES:
            journal.append(entry)
        journal.write_checkpoint(*CHECKPOINT)
    return path


@pytest.fixture
def small(written):
    """Return the file of a small journal in pages of 512 bytes, and what it holds."""
    change(written, "PRAGMA page_size = 512", "VACUUM")
    return written, written.read_bytes()


@pytest.fixture
def at_once(monkeypatch):
    """Flush nothing, for there are thousands of openings."""
    monkeypatch.setattr(journal_module, "_SETTINGS", ["synchronous = OFF", *journal_module._SETTINGS[1:]])


@pytest.fixture
def sqlite_locks(monkeypatch):
    """Lock as on systems where the locks of SQLite are all there is."""
    monkeypatch.setattr(journal_module, "_LOCK_BYTE", None)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for other programs for a moment only."""
    monkeypatch.setattr(journal_module, "_READER_SECONDS", 0.1)


@pytest.fixture
def other():
    """Return a function that calls the methods of a journal in another process."""
    here, there = multiprocessing.Pipe()

    def serve():
        journal = None
        while True:
            name, *args = there.recv()
            try:
                if name == "open":
                    journal, answer = Journal(*args), None
                else:
                    answer = getattr(journal, name)(*args)
                there.send(("done", answer))
            except BaseException as error:
                there.send((type(error).__name__, str(error)))

    child, reading = in_child(lambda report: serve())

    def call(*message):
        here.send(message)
        return here.recv()

    call.pid = child
    yield call
    os.kill(child, signal.SIGKILL)
    wait_for(child, reading)


def reading(path):
    """Return what a journal holds."""
    with Journal(path) as journal:
        return [journal.start, *journal.since(0)]


def in_file(path):
    """Return what another program reads from a journal's file, whoever has it open."""
    reader = connect(path)
    try:
        return [row[0] for row in reader.execute("SELECT content FROM entries ORDER BY number")]
    finally:
        reader.close()


def change(path, *statements):
    """Do what another program may do with the file."""
    program = connect(path, isolation_level=None)
    for statement in statements:
        program.execute(statement).fetchall()
    program.close()


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def check_refused(path, match=None, error=JournalError):
    """Open a file that has to be refused and left as it is, with nothing beside it."""
    before = files(path.parent)
    with pytest.raises(error, match=match) as raised:
        Journal(path)
    assert str(path) in str(raised.value)
    assert files(path.parent) == before


class TestEntries:
    def test_a_new_journal_is_empty(self, path):
        with Journal(path) as journal:
            assert (journal.start, journal.since(0), len(journal)) == (None, [], 0)

    def test_what_was_written_comes_back(self, written):
        with Journal(written) as journal:
            assert (journal.start, journal.since(0), len(journal)) == (START, ENTRIES, len(ENTRIES))
            assert journal.since(3) == ENTRIES[3:]
            assert journal.read_checkpoint() == CHECKPOINT

    @pytest.mark.parametrize("text", ["", "\n\r\u2028\x00", "💥", "'; DROP TABLE entries; --", "x" * 10**6])
    def test_any_text_comes_back(self, path, text):
        with Journal(path) as journal:
            journal.begin(text)
            journal.append(text)
        assert reading(path) == [text, text]

    def test_what_is_no_text_is_refused_before_anything_is_written(self, written):
        with Journal(written) as journal:
            for text in ("\ud800", 7, None):
                with pytest.raises((UnicodeEncodeError, AttributeError)):
                    journal.append(text)
            assert journal.since(0) == ENTRIES
        assert reading(written) == [START, *ENTRIES]

    def test_entries_are_appended_after_those_that_were_read(self, written):
        with Journal(written) as journal:
            journal.append("e")
            assert journal.since(0) == [*ENTRIES, "e"]
        assert reading(written) == [START, *ENTRIES, "e"]

    def test_a_journal_that_is_begun_again_holds_nothing_of_before(self, written):
        with Journal(written) as journal:
            journal.begin("other settings")
            assert (journal.start, len(journal), journal.read_checkpoint()) == ("other settings", 0, None)
            journal.append("x")
        assert reading(written) == ["other settings", "x"]

    def test_a_closed_journal_takes_nothing_and_shows_what_it_has(self, written):
        with Journal(written) as journal:
            pass
        journal.close()
        assert not journal.is_open
        for call in (
            lambda: journal.append("e"),
            lambda: journal.begin("x"),
            lambda: journal.write_checkpoint("", b""),
        ):
            with pytest.raises(ValueError, match="is closed"):
                call()
        assert journal.since(0) == ENTRIES

    def test_it_is_one_file_after_every_call(self, path):
        with Journal(path) as journal:
            journal.begin(START)
            for number in range(3):
                journal.append(str(number))
                journal.write_checkpoint("info", b"model")
                assert list(files(path.parent)) == ["labels.db"]
        assert list(files(path.parent)) == ["labels.db"]

    def test_folders_are_made(self, tmp_path):
        Journal(tmp_path / "a" / "b" / "labels.db").close()
        assert (tmp_path / "a" / "b" / "labels.db").is_file()

    @pytest.mark.parametrize("name", ["labels é 💥.db", "file:labels.db?mode=memory", ":memory:", "a#b%20c"])
    def test_any_name_is_the_name_of_the_file(self, tmp_path, name):
        with Journal(tmp_path / name) as journal:
            journal.begin(START)
        assert os.listdir(tmp_path) == [name]

    def test_a_path_relative_to_the_folder_is_kept_when_the_folder_changes(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with Journal("labels.db") as journal:
            journal.begin(START)
            os.chdir("/")
            journal.append("a")
        assert reading(tmp_path / "labels.db") == [START, "a"]

    @pytest.mark.parametrize("name", ["", 7, b"labels.db", None])
    def test_what_is_no_path_is_refused(self, name):
        with pytest.raises(ValueError, match=r'the path of a file such as "labels.db"'):
            Journal(name)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(IsADirectoryError, match="Is a directory"):
            Journal(tmp_path)

    def test_it_is_not_pickled_or_copied(self, path):
        with Journal(path) as journal:
            for copied in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be pickled or copied"):
                    copied(journal)


class TestOnDisk:
    def test_an_entry_is_in_the_file_when_append_returns(self, path):
        with Journal(path) as journal:
            journal.begin(START)
            for number, entry in enumerate(ENTRIES, 1):
                journal.append(entry)
                assert in_file(path) == [START, *ENTRIES[:number]]

    def test_sqlite_flushes_file_and_folder(self, written):
        with Journal(written) as journal:
            settings = {
                name: journal._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "fullfsync", "journal_mode", "trusted_schema")
            }
        assert settings == {"synchronous": 3, "fullfsync": 1, "journal_mode": "delete", "trusted_schema": 0}

    @pytest.mark.skipif(os.name == "nt", reason="Windows opens no folders")
    def test_the_names_of_new_folders_are_flushed(self, tmp_path, monkeypatch):
        flushed, fsync = [], os.fsync

        def record(descriptor):
            fsync(descriptor)
            flushed.append(os.fstat(descriptor).st_ino)

        monkeypatch.setattr(os, "fsync", record)
        Journal(tmp_path / "a" / "b" / "labels.db").close()
        assert set(flushed) == {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino}


class TestLock:
    def test_a_second_journal_in_the_process_is_refused(self, written):
        with Journal(written) as journal:
            with pytest.raises(BlockingIOError, match=r"session\.close\(\)") as raised:
                Journal(written)
            assert raised.value.filename == str(written)
            journal.append("e")
        assert reading(written) == [START, *ENTRIES, "e"]

    def test_a_second_one_by_another_name_is_refused(self, written, tmp_path):
        (tmp_path / "link.db").symlink_to(written)
        os.link(written, tmp_path / "hard.db")
        for name in ("link.db", "hard.db"):
            with Journal(written), pytest.raises(BlockingIOError):
                Journal(tmp_path / name)

    @needs_fork
    @pytest.mark.parametrize("locks", [None, "sqlite_locks"])
    def test_a_second_process_is_refused_until_the_first_one_closes(self, written, locks, request):
        if locks:
            request.getfixturevalue(locks)
        other = request.getfixturevalue("other")
        with Journal(written) as journal:
            for _ in range(2):
                kind, message = other("open", written)
                assert kind == "BlockingIOError"
                assert "open in another process" in message
                with pytest.raises(BlockingIOError):  # which reads nothing and closes nothing of the file
                    Journal(written)
            journal.append("e")
            assert other("open", written)[0] == "BlockingIOError"
        assert other("open", written)[0] == "done"
        assert other("since", 0) == ("done", [*ENTRIES, "e"])
        with pytest.raises(BlockingIOError, match="open in another process"):
            Journal(written)

    @needs_fork
    def test_the_file_is_free_when_its_holder_was_killed(self, written, other):
        assert other("open", written)[0] == "done"
        assert other("append", "e")[0] == "done"
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(BlockingIOError):
            Journal(written)
        os.kill(other.pid, signal.SIGKILL)
        for _ in range(100):
            try:
                assert reading(written) == [START, *ENTRIES, "e"]
                break
            except BlockingIOError:
                time.sleep(0.05)

    def test_a_journal_that_is_dropped_gives_the_file_back(self, written):
        journal = Journal(written)
        journal.itself = journal
        del journal
        gc.collect()
        assert reading(written) == [START, *ENTRIES]

    @needs_fork
    @pytest.mark.skipif(not has_byte_lock, reason="the locks of SQLite are all there is")
    def test_nobody_gets_in_between_two_commits(self, written):
        stop, n_tries = multiprocessing.Event(), 200

        def try_to_open(report):
            n_refused = 0
            for _ in range(n_tries):
                try:
                    Journal(written)
                except BlockingIOError:
                    n_refused += 1
            stop.set()
            report(str(n_refused).encode())

        go = multiprocessing.Event()
        child = in_child(lambda report: (go.wait(), try_to_open(report)))
        with Journal(written) as journal:
            go.set()
            n_appended = 0
            while not stop.is_set():
                journal.append("e")
                n_appended += 1
        assert wait_for(*child) == (0, str(n_tries).encode())
        assert len(reading(written)) == 1 + len(ENTRIES) + n_appended

    @needs_fork
    def test_the_file_is_free_when_its_holder_was_killed_and_its_forks_live(self, written):
        def hold(report):
            journal = Journal(written)
            in_child(lambda report: time.sleep(20))
            journal.append("e")
            report(b".")
            time.sleep(20)

        child, pipe = in_child(hold)
        assert os.read(pipe, 1) == b"."
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert reading(written) == [START, *ENTRIES, "e"]
        os.close(pipe)

    def test_a_refused_journal_is_not_locked_though_its_error_is_kept(self, written):
        whole = written.read_bytes()
        change(written, "UPDATE entries SET digest = 'x' WHERE number = 2")
        with pytest.raises(JournalError) as raised:
            Journal(written)
        written.write_bytes(whole)
        assert reading(written) == [START, *ENTRIES]
        assert raised.value.__traceback__ is not None

    def test_threads_take_turns(self, path):
        with Journal(path) as journal:
            journal.begin(START)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda number: (journal.append(str(number)), journal.since(0)), range(100)))
            in_memory = journal.since(0)
        assert reading(path) == [START, *in_memory]
        assert sorted(map(int, in_memory)) == list(range(100))


@needs_fork
class TestForks:
    def test_a_fork_cannot_write_and_its_end_disturbs_nothing(self, written, other):
        def write(report):
            for call in (lambda: journal.append("e"), lambda: journal.write_checkpoint("", b"")):
                with pytest.raises(ValueError, match="A fork closes it"):
                    call()
            with pytest.raises(BlockingIOError):
                Journal(written)
            assert journal.since(0) == ENTRIES
            journal.close()
            with pytest.raises(BlockingIOError):
                Journal(written)

        def drop(report):
            nonlocal journal
            journal = None
            gc.collect()

        journal = Journal(written)
        for work in (write, drop, lambda report: None):
            run_in_child(work)
            assert other("open", written)[0] == "BlockingIOError"
        journal.append("e")
        journal.close()
        assert reading(written) == [START, *ENTRIES, "e"]

    def test_a_fork_may_open_the_file_when_its_parent_has_closed_it(self, written):
        def work(report):
            os.read(gate, 1)
            journal.close()
            with Journal(written) as own:
                own.append("e")

        (gate, key), journal = os.pipe(), Journal(written)
        child = in_child(work)
        journal.close()
        os.write(key, b".")
        assert wait_for(*child) == (0, b"")
        assert reading(written) == [START, *ENTRIES, "e"]

    def test_a_fork_during_a_commit_does_no_harm(self, path):
        with Journal(path) as journal:
            journal.begin(START)
            stop = threading.Event()
            numbers = []

            def append():
                while not stop.is_set():
                    journal.append(str(len(numbers)))
                    numbers.append(len(numbers))

            thread = threading.Thread(target=append)
            thread.start()

            def work(report):
                assert journal.since(0) == list(map(str, range(len(journal))))
                journal.close()
                gc.collect()

            for _ in range(10):
                run_in_child(work)
            stop.set()
            thread.join()
            assert journal.since(0) == list(map(str, numbers))
        assert reading(path) == [START, *map(str, numbers)]


class TestInterruptions:
    """A journal in memory holds what its file holds, whatever stopped a call, and goes on."""

    def check_whole(self, path, journal, call):
        """Check that the call is wholly in the file or not at all, that memory agrees, and that the journal goes on."""
        held = [journal.start, *journal.since(0)]
        assert held == in_file(path)
        whole = {"append": [START, *ENTRIES, "e"], "begin": ["other settings"]}
        assert held in ([START, *ENTRIES], whole.get(call))
        checkpoints = {"write_checkpoint": ("new", b"new model"), "begin": None}
        is_done = held == whole.get(call)
        if call == "write_checkpoint":
            assert journal.read_checkpoint() in (CHECKPOINT, checkpoints[call])
        else:
            assert journal.read_checkpoint() == (None if is_done and call == "begin" else CHECKPOINT)
        journal.append("f")
        journal.close()
        assert reading(path) == [*held, "f"]

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("twice", [False, True], ids=["once", "again and again"])
    def test_an_interruption_at_any_statement(self, written, monkeypatch, at_once, call, twice):
        faults, whole, n_struck = Faults(monkeypatch), written.read_bytes(), 0
        for number in range(1, 30):
            for moment in ("before", "after"):
                written.write_bytes(whole)
                journal = Journal(written)
                last = number + 5 if twice else number
                faults.raise_at(KeyboardInterrupt, range(number, last + 1), moment)
                try:
                    CALLS[call](journal)
                except KeyboardInterrupt:
                    n_struck += 1
                faults.stop()
                self.check_whole(written, journal, call)
        assert n_struck > 8

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
    @pytest.mark.parametrize("call", CALLS)
    def test_an_interruption_at_any_instant(self, written, at_once, call):
        def interrupt(*args):
            raise KeyboardInterrupt

        rng, whole, n_struck = np.random.default_rng(0), written.read_bytes(), 0
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for _ in range(40):
                written.write_bytes(whole)
                journal = Journal(written)
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 1e-3))
                    CALLS[call](journal)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    n_struck += 1
                self.check_whole(written, journal, call)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert n_struck > 5

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("message", ERRORS)
    @pytest.mark.parametrize("lasting", [False, True], ids=["for a moment", "for long"])
    def test_an_error_of_the_disk_at_any_statement(self, written, monkeypatch, at_once, call, message, lasting):
        faults, whole, n_struck = Faults(monkeypatch), written.read_bytes(), 0
        for first in range(1, 30):
            written.write_bytes(whole)
            journal, caught = Journal(written), None
            faults.raise_at(lambda: sqlite3.OperationalError(message), range(first, first + (1000 if lasting else 1)))
            try:
                CALLS[call](journal)
            except OSError as error:
                caught = error
            if caught is not None:
                assert (caught.errno, caught.filename) == (ERRORS[message], str(written))
                assert message in str(caught)
                assert in_file(written) == [START, *ENTRIES]
                n_struck += 1
            faults.stop()
            self.check_whole(written, journal, call)
        assert n_struck > 3

    def test_memory_is_right_after_a_failure_though_the_journal_is_closed(self, written, monkeypatch):
        faults = Faults(monkeypatch)
        with Journal(written) as journal:
            faults.raise_at(lambda: sqlite3.OperationalError("database or disk is full"), range(5, 6))
            with pytest.raises(OSError, match="nothing of this answer was recorded, what came before is safe"):
                journal.append("e")
        assert journal.since(0) == ENTRIES

    def test_an_opening_that_fails_leaves_the_file_free(self, written, monkeypatch):
        faults, whole = Faults(monkeypatch), files(written.parent)
        for number in range(1, 9):
            for error in (lambda: sqlite3.OperationalError("disk I/O error"), KeyboardInterrupt):
                faults.raise_at(error, range(number, number + 1))
                with pytest.raises((OSError, KeyboardInterrupt)):
                    Journal(written)
                faults.stop()
                assert files(written.parent) == whole
                assert reading(written) == [START, *ENTRIES]


class TestDisk:
    @needs_fork
    def test_where_files_may_not_grow_nothing_is_recorded_until_they_may(self, written):
        import resource

        def work(report):
            with Journal(written) as journal:
                size = written.stat().st_size
                for limit in range(0, size + 3000, 700):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                    held = journal.since(0)
                    try:
                        with pytest.raises(OSError, match="nothing of this answer was recorded") as raised:
                            journal.append("x" * 9000)
                        assert raised.value.filename == str(written)
                    finally:
                        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                    assert journal.since(0) == held == in_file(written)[1:]
                    journal.append("y")
            report(str(len(held)).encode())

        n_held = int(run_in_child(work))
        assert n_held > 20
        assert reading(written) == [START, *ENTRIES, *["y"] * (n_held - len(ENTRIES) + 1)]

    def test_a_full_disk_takes_nothing_until_there_is_room(self, tmp_path):
        folder = tmp_path / "disk"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no disk can be mounted")
        try:
            with Journal(folder / "labels.db") as journal:
                journal.begin(START)
                (folder / "other").write_bytes(bytes(200_000))
                fill = lambda: [journal.append("x" * 1000) for _ in range(1000)]  # noqa: E731
                with pytest.raises(OSError, match=r"disk is full; nothing of this answer.* Make room") as raised:
                    fill()
                assert raised.value.errno == errno.ENOSPC
                with pytest.raises(OSError, match="nothing of this checkpoint was recorded"):
                    journal.write_checkpoint("info", bytes(100_000))
                n_entries = len(journal)
                assert n_entries > 5
                (folder / "other").unlink()
                journal.append("y")
            assert reading(folder / "labels.db") == [START, *["x" * 1000] * n_entries, "y"]
        finally:
            subprocess.run(["umount", str(folder)], check=True)

    @needs_fork
    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_what_may_only_be_read_is_not_written(self, written, what):
        folder = Path(tempfile.mkdtemp())
        path = shutil.copy(written, folder / "labels.db")

        def work(report):
            if os.geteuid() == 0:
                os.setuid(65534)
            with (
                pytest.raises(PermissionError, match=r"Permission denied|give access") as raised,
                Journal(path) as journal,
            ):
                journal.append("e")
            assert raised.value.filename == str(path)

        (path if what == "file" else folder).chmod(0o555 if what == "folder" else 0o444)
        path.chmod(0o444 if what == "file" else 0o666)
        folder.chmod(0o777 if what == "file" else 0o555)
        before = files(folder)
        run_in_child(work)
        assert files(folder) == before
        folder.chmod(0o777)
        assert reading(path) == [START, *ENTRIES]
        shutil.rmtree(folder)

    @needs_fork
    @pytest.mark.parametrize(
        ("call", "argument", "more"),
        [("append", "x" * 60_000, 9_000), ("write_checkpoint", bytes(4_000_000), 1_000_000)],
        ids=["append", "checkpoint"],
    )
    def test_a_kill_in_the_middle_of_a_commit_leaves_what_was_there_before(self, path, call, argument, more):
        import resource

        with Journal(path) as journal:
            journal.begin(START)
            for number in range(50):
                journal.append(f"{number}" * 2000)
            journal.write_checkpoint("info", b"old" * 10_000)
        whole, size = path.read_bytes(), path.stat().st_size

        def work(report):
            journal = Journal(path)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the system kills whoever writes too much
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, size + more))
            if call == "append":
                journal.append(argument)
            else:
                journal.write_checkpoint("new", argument)

        status, reported = wait_for(*in_child(work))
        assert status == -signal.SIGXFSZ, reported.decode()
        assert path.read_bytes() != whole  # part of the commit is in the file
        assert (path.parent / "labels.db-journal").stat().st_size > 0
        with Journal(path) as journal:
            assert len(journal) == 50
            assert journal.read_checkpoint() == ("info", b"old" * 10_000)
        assert files(path.parent) == {"labels.db": whole}

    def test_checkpoints_take_each_other_s_place(self, written):
        sizes = []
        with Journal(written) as journal:
            for number in range(50):
                journal.write_checkpoint(str(number), bytes([number]) * 300_000)
                sizes.append(written.stat().st_size)
            assert journal.read_checkpoint() == ("49", bytes([49]) * 300_000)
        assert max(sizes) < 350_000
        assert reading(written) == [START, *ENTRIES]


INSERT = """import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as program:
    program.execute("INSERT INTO entries VALUES (9, 'x', 'x')")
"""
HARMS = {
    "removed": lambda path, copy: path.unlink(),
    "moved": lambda path, copy: path.rename(path.with_name("elsewhere.db")),
    "replaced": lambda path, copy: os.replace(copy, path),
    "written over": lambda path, copy: path.write_bytes(copy.read_bytes()),
    "replaced by another": lambda path, copy: (path.unlink(), path.write_bytes(b"other")),
    "appended to": lambda path, copy: path.write_bytes(path.read_bytes() + bytes(4096)),
    "emptied": lambda path, copy: path.write_bytes(b""),
    "changed by SQLite": lambda path, copy: (
        path.read_bytes(),  # which takes the lock away
        subprocess.run([sys.executable, "-c", INSERT, path], check=True),
    ),
}


class TestOtherPrograms:
    def test_they_can_read_the_file_while_it_is_open(self, written):
        with Journal(written) as journal:
            for number in range(3):
                assert in_file(written) == [START, *ENTRIES, *["e"] * number]
                journal.append("e")

    def test_one_that_reads_for_long_delays_a_write(self, written):
        with Journal(written) as journal:
            reader = sqlite3.connect(written, check_same_thread=False)
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM entries").fetchall()
            timer = threading.Timer(0.3, reader.close)
            timer.start()
            start = time.monotonic()
            journal.append("e")
            assert time.monotonic() - start > 0.2
            timer.join()
        assert reading(written) == [START, *ENTRIES, "e"]

    def test_one_that_reads_for_too_long_is_an_error_and_nothing_is_recorded(self, written, impatient):
        with Journal(written) as journal:
            reader = sqlite3.connect(written)
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM entries").fetchall()
            with pytest.raises(BlockingIOError, match="is locked; nothing of this answer was recorded") as raised:
                journal.append("e")
            assert raised.value.filename == str(written)
            assert journal.since(0) == ENTRIES
            reader.close()
            journal.append("f")
        assert reading(written) == [START, *ENTRIES, "f"]

    @pytest.mark.parametrize("statement", ["DELETE FROM entries", "VACUUM", "PRAGMA user_version = 7"])
    def test_they_cannot_write_to_the_file_while_it_is_open(self, written, statement):
        with Journal(written) as journal:
            program = sqlite3.connect(written, timeout=0, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                program.execute(statement)
            program.close()
            journal.append("e")
        assert reading(written) == [START, *ENTRIES, "e"]

    @pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
    def test_what_they_do_to_the_file_is_noticed_and_nothing_is_overwritten(self, written, tmp_path, harm):
        shutil.copy(written, tmp_path / "copy.db")
        with Journal(written) as journal:
            journal.append("e")
            harm(written, tmp_path / "copy.db")
            after = files(tmp_path)
            for call in (lambda: journal.append("f"), lambda: journal.write_checkpoint("x", b"x")):
                with pytest.raises(JournalError, match="another program changed, replaced or removed"):
                    call()
            assert journal.since(0) == [*ENTRIES, "e"]
        assert files(tmp_path) == after

    @needs_fork
    def test_a_copy_made_in_the_process_costs_no_answer(self, written, tmp_path, other):
        # The system drops all locks of a process on a file when it closes any descriptor of the file.
        with Journal(written) as journal:
            for number in range(5):
                shutil.copy(written, tmp_path / "copy.db")
                assert reading(tmp_path / "copy.db") == [START, *ENTRIES, *map(str, range(number))]
                journal.append(str(number))
                assert other("open", written)[0] == "BlockingIOError"
                written.read_bytes()
                assert not has_byte_lock or other("open", written)[0] == "BlockingIOError"
        assert reading(written) == [START, *ENTRIES, *map(str, range(5))]

    @needs_fork
    def test_who_opens_the_file_after_such_a_copy_keeps_it(self, sqlite_locks, written, tmp_path, other, impatient):
        with Journal(written) as journal:
            shutil.copy(written, tmp_path / "copy.db")
            assert other("open", written)[0] == "done"
            with pytest.raises(BlockingIOError, match="open in another process"):
                journal.append("e")
            assert other("append", "f")[0] == "done"
            other("close")
            with pytest.raises(JournalError, match="another program changed"):
                journal.append("e")
        assert reading(written) == [START, *ENTRIES, "f"]

    @pytest.mark.parametrize("grown", [10, 3000, 9000])
    def test_a_copy_made_during_a_commit_is_whole_or_refused(self, written, tmp_path, at_once, grown):
        # Any mixture of old and new pages, cut anywhere between the sizes.
        before = written.read_bytes()
        with Journal(written) as journal:
            journal.append("e" * grown)
        after, pages = written.read_bytes(), range(0, written.stat().st_size, 4096)
        changed = [page for page in pages if before[page : page + 4096] != after[page : page + 4096]]
        assert 3 <= len(changed) < 7
        outcomes = set()
        for choice in range(2 ** len(changed)):
            mixed = bytearray(before.ljust(len(after), b"\0"))
            for place, page in enumerate(changed):
                if choice >> place & 1:
                    mixed[page : page + 4096] = after[page : page + 4096]
            for size in {len(before), len(after)}:
                outcomes.add(self.opened(tmp_path / "copy.db", bytes(mixed[:size])))
        assert outcomes == {"refused", (START, *ENTRIES), (START, *ENTRIES, "e" * grown)}

    def test_a_copy_made_during_many_commits_is_whole_or_refused(self, written, tmp_path, at_once):
        versions, rng = [], np.random.default_rng(0)
        with Journal(written) as journal:
            for number in range(12):
                journal.append(str(number) * 500)
                if number % 4 == 3:
                    journal.write_checkpoint(str(number), bytes([number]) * 5000)
                versions.append(((START, *journal.since(0)), written.read_bytes()))
        for _ in range(300):
            begun = rng.integers(len(versions))
            n_pages = len(versions[-1][1]) // 4096
            read = np.sort(rng.integers(begun, min(begun + 3, len(versions)), n_pages))
            copy = b"".join(versions[v][1][4096 * page : 4096 * page + 4096] for page, v in enumerate(read))
            outcome = self.opened(tmp_path / "copy.db", copy)
            assert outcome == "refused" or outcome in [held for held, _ in versions[begun:]]

    def opened(self, path, content):
        path.write_bytes(content)
        try:
            return tuple(reading(path))
        except JournalError:
            return "refused"


FOREIGN = {
    "a line of text": b"one line, and no newline",
    "JSON": b'{"event": "start"}\n',
    "one byte": b"S",
    "random bytes": np.random.default_rng(0).bytes(10_000),
    "half a header": b"SQLite format 3\0",
    "a zip": b"PK\x03\x04" + bytes(100),
}


def no_tables(path):
    change(path, "PRAGMA user_version = 1", "CREATE TABLE a (b)", "DROP TABLE a")


def other_tables(path):
    change(path, "CREATE TABLE start (content)", "CREATE TABLE entries (a)", "INSERT INTO entries VALUES (1)")


def in_wal_mode(path):
    change(path, "PRAGMA journal_mode = WAL", "CREATE TABLE a (b)", "INSERT INTO a VALUES (1)")


def left_in_wal_mode(path):
    program = sqlite3.connect(path.parent / "live.db", isolation_level=None)
    program.execute("PRAGMA journal_mode = WAL").fetchall()
    program.execute("CREATE TABLE a (b)")
    for end in ("", "-wal"):
        shutil.copy(path.parent / f"live.db{end}", f"{path}{end}")
    program.close()


CRAFTED = {
    "a table more": ["CREATE TABLE more (a)"],
    "a trigger": ["CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END"],
    "an index": ["CREATE INDEX i ON entries (content)"],
    "a view more": ["CREATE VIEW v AS SELECT 1"],
    "a view of the head": [
        "CREATE TABLE h AS SELECT * FROM head",
        "DROP TABLE head",
        "CREATE VIEW head AS SELECT * FROM h",
    ],
    "a view of the entries": [
        "ALTER TABLE entries RENAME TO e",
        "CREATE VIEW entries AS SELECT number, content || '!' AS content, digest FROM e",
    ],
    "a table less": ["DROP TABLE checkpoint"],
    "no tables": ["DROP TABLE checkpoint", "DROP TABLE head", "DROP TABLE entries"],
    "other columns": ["ALTER TABLE entries ADD COLUMN more"],
    "statistics": ["ANALYZE", "CREATE TABLE more (a)"],
    "a virtual table": ["DROP TABLE head", "CREATE VIRTUAL TABLE head USING rtree(n_entries, a, b)"],
}


CHANGED = {
    "an entry": "UPDATE entries SET content = 'A' WHERE number = 1",
    "an entry that is no text": "UPDATE entries SET content = x'61' WHERE number = 1",
    "a digest": "UPDATE entries SET digest = replace(digest, substr(digest, 1, 1), 'z') WHERE number = 4",
    "the start": "UPDATE entries SET content = 'other' WHERE number = 0",
    "no start": "DELETE FROM entries WHERE number = 0",
    "the last entry gone": "DELETE FROM entries WHERE number = 4",
    "an entry gone": "DELETE FROM entries WHERE number = 2",
    "all gone": "DELETE FROM entries",
    "swapped": "UPDATE entries SET number = CASE number WHEN 1 THEN -1 ELSE number END",
    "one more": "INSERT INTO entries SELECT 5, content, digest FROM entries WHERE number = 4",
    "no head": "DELETE FROM head",
    "two heads": "INSERT INTO head SELECT * FROM head",
    "another number": "UPDATE head SET n_entries = 4",
    "another end": "UPDATE head SET digest = (SELECT digest FROM entries WHERE number = 3)",
}


class TestWhatIsNoJournal:
    @pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
    def test_other_files_are_refused(self, path, content):
        path.write_bytes(content)
        check_refused(path, "is no journal of a session")

    @pytest.mark.parametrize("make", [no_tables, other_tables, in_wal_mode, left_in_wal_mode])
    def test_databases_of_other_programs_are_refused(self, path, make):
        make(path)
        check_refused(path, "is no journal of a session")

    def test_an_empty_file_is_used(self, path):
        path.write_bytes(b"")
        with Journal(path) as journal:
            journal.begin(START)
        assert reading(path) == [START]

    def test_zeros_are_refused(self, path):
        path.write_bytes(bytes(8192))
        check_refused(path)

    def test_a_journal_of_another_format_is_refused(self, written):
        change(written, "PRAGMA user_version = 99")
        check_refused(written, "a journal of format 99, this version reads 1")

    def test_a_journal_in_wal_mode_is_refused(self, written):
        change(written, "PRAGMA journal_mode = WAL")
        check_refused(written, "WAL mode")
        change(written, "PRAGMA journal_mode = DELETE")
        assert reading(written) == [START, *ENTRIES]

    @pytest.mark.parametrize("statements", CRAFTED.values(), ids=CRAFTED)
    def test_other_tables_are_refused(self, written, statements):
        change(written, *statements)
        check_refused(written, "its tables are not those of a journal")

    def test_a_schema_that_was_written_by_hand_is_refused(self, written):
        for sql in (
            "CREATE TABLE head (n_entries INTEGER, digest)",
            "CREATE VIEW head AS SELECT 5, 'x'",
            "nonsense",
            "",
        ):
            whole = written.read_bytes()
            change(
                written,
                "PRAGMA writable_schema = ON",
                f"UPDATE sqlite_master SET sql = '{sql.replace(chr(39), 2 * chr(39))}' WHERE name = 'head'",
            )
            check_refused(written)
            written.write_bytes(whole)

    @pytest.mark.parametrize("statement", CHANGED.values(), ids=CHANGED)
    def test_a_changed_entry_is_noticed(self, written, statement):
        change(written, statement)
        check_refused(written, "entry . is missing or not what was written|are not those that were written")

    def test_swapped_entries_are_noticed(self, written):
        change(
            written,
            *(f"UPDATE entries SET number = {new} WHERE number = {old}" for old, new in ((1, 9), (2, 1), (9, 2))),
        )
        check_refused(written, "entry 1 is missing or not what was written")

    def test_an_end_that_was_cut_off_by_hand_is_noticed(self, written):
        # Entries and head agree in number, and the last digest is right: only a file that is older looks so.
        change(written, "DELETE FROM entries WHERE number = 4", "UPDATE head SET n_entries = 4")
        check_refused(written, "are not those that were written")

    def test_the_end_of_another_journal_is_noticed(self, written, tmp_path):
        with Journal(tmp_path / "other.db") as other:
            other.begin("other")
            for entry in ENTRIES:
                other.append(entry)
        change(
            written,
            f"ATTACH '{tmp_path / 'other.db'}' AS other",
            "DELETE FROM entries WHERE number > 2",
            "INSERT INTO entries SELECT * FROM other.entries WHERE number > 2",
            "UPDATE head SET digest = (SELECT digest FROM other.head)",
        )
        check_refused(written, "entry 3")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE checkpoint SET model = x'00'",
            "UPDATE checkpoint SET model = 'x'",
            "UPDATE checkpoint SET info = 'x'",
        ],
    )
    def test_a_damaged_checkpoint_costs_no_entry(self, written, statement):
        change(written, statement)
        with Journal(written) as journal:
            with pytest.raises(JournalError, match="its checkpoint does not hold what was written"):
                journal.read_checkpoint()
            journal.write_checkpoint("new", b"new")
            assert journal.read_checkpoint() == ("new", b"new")
        assert reading(written) == [START, *ENTRIES]


class TestDamage:
    def outcome(self, path, damaged):
        """Open a damaged file: it is refused and left as it is, or has every entry."""
        path.write_bytes(damaged)
        try:
            with Journal(path) as journal:
                held = [journal.start, *journal.since(0)]
                try:
                    is_whole = journal.read_checkpoint() == CHECKPOINT
                except JournalError:
                    is_whole = None
        except JournalError as error:
            message = str(error)
            held = None
        if held is None:
            assert str(path) in message
            assert files(path.parent) == {path.name: damaged}
            return "refused"
        assert held == [START, *ENTRIES]
        assert is_whole is not False
        return "harmless"

    def test_a_file_cut_anywhere_is_refused(self, small, at_once):
        path, whole = small
        for size in range(1, len(whole)):
            # The last page is that of the checkpoint, from which nothing else follows.
            assert self.outcome(path, whole[:size]) == "refused" or size > len(whole) - 100

    def test_no_flipped_bit_goes_unnoticed(self, small, at_once):
        path, whole = small
        outcomes = []
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            outcomes.append(self.outcome(path, bytes(damaged)))
        assert outcomes.count("refused") > 400

    def test_a_flipped_bit_of_what_was_written_is_noticed(self, small, at_once):
        path, whole = small
        for text in (START, *ENTRIES[1:3]):
            where = whole.index(text.encode())
            for position in range(where, where + len(text.encode())):
                for bit in range(8):
                    damaged = bytearray(whole)
                    damaged[position] ^= 1 << bit
                    assert self.outcome(path, bytes(damaged)) == "refused"

    def test_zeros_and_foreign_bytes_do_not_go_unnoticed(self, small, at_once):
        (path, whole), rng = small, np.random.default_rng(0)
        for start in range(0, len(whole), 64):
            for filling in (bytes(64), rng.bytes(64)):
                self.outcome(path, whole[:start] + filling + whole[start + 64 :])

    def test_swapped_pages_do_not_go_unnoticed(self, small, at_once):
        path, whole = small
        pages = [whole[start : start + 512] for start in range(0, len(whole), 512)]
        for first in range(1, len(pages)):
            for second in range(first):
                swapped = list(pages)
                swapped[first], swapped[second] = pages[second], pages[first]
                self.outcome(path, b"".join(swapped))

    def test_what_is_too_much_at_the_end_is_no_harm(self, small):
        path, whole = small
        assert self.outcome(path, whole + b"more") == "harmless"
