"""The journal: what `append` returned for is on disk, and comes back as it was or not without a word."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.io import journal as journal_module
from skada_active.io.journal import Journal, JournalError

EVENTS = [{"event": "start", "n": 1}, {"event": "a", "ids": [7, 3]}, {"event": "b", "l": "é\n"}, {"event": "c"}]
LINES, TAIL = "journal.jsonl", "journal.tail"

numbers = st.integers() | st.floats() | st.floats(width=32).map(np.float32) | st.integers(0, 255).map(np.uint8)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text() | st.text().map(np.str_),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return the folder of a small journal; nothing is flushed, for there are thousands of openings."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    with Journal(tmp_path / "journal") as journal:
        for event in EVENTS:
            journal.append(event)
    return tmp_path / "journal"


def reading(folder):
    """Return the events and the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Journal(folder) as journal:
            events = list(journal.events)
    return events, [str(warning.message) for warning in caught]


def check_damaged(folder, damaged, name=LINES):
    """Write a file anew and open the journal: it is refused, or warns of its last line, or has every event."""
    tail, error = (folder / TAIL).read_bytes(), None
    (folder / name).write_bytes(damaged)
    try:
        events, texts = reading(folder)
    except JournalError as refusal:
        error, unchanged = str(refusal), (folder / name).read_bytes() == damaged
    (folder / TAIL).write_bytes(tail)
    if error is not None:
        assert unchanged
        assert f"{folder / LINES}, line " in error
        return "refused"
    if events == EVENTS:
        return "warned" if texts else "harmless"
    assert events == EVENTS[:-1]
    assert len(texts) == 1
    assert f"{folder / LINES}, line {len(EVENTS)}: incomplete" in texts[0]
    return "shortened"


def test_a_new_journal_is_empty(tmp_path):
    with Journal(tmp_path / "a" / "b") as journal:
        assert journal.events == []


def test_events_come_back(written):
    assert reading(written) == (EVENTS, [])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(), plain, max_size=3), min_size=1, max_size=3))
def test_events_come_back_equal_and_of_their_types(events):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        with Journal(folder) as journal:
            for event in events:
                journal.append(event)
        assert repr(reading(folder)) == repr((events, []))
        lines = (Path(folder) / LINES).read_bytes().split(b"\n")
        assert lines.pop() == b""
        assert [type(json.loads(line)) for line in lines] == [dict] * len(events)


@pytest.mark.parametrize("text", ["\ud800", "\n\r\u2028\x00", "💥", '", "digest": "0123456789abcdef"}'])
def test_any_text_comes_back(tmp_path, text):
    with Journal(tmp_path) as journal:
        journal.append({"event": text, text: 1})
    assert reading(tmp_path) == ([{"event": text, text: 1}], [])


def test_lines_are_text_that_people_can_read(written):
    assert "é" in (written / LINES).read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [object(), {1}, b"x", np.longdouble(1), np.ones(2, np.longdouble)], ids=repr)
def test_what_has_no_form_is_refused_before_anything_is_written(written, value):
    with Journal(written) as journal:
        with pytest.raises(TypeError, match="has no form in JSON"):
            journal.append({"event": "x", "value": value})
        assert journal.events == EVENTS
    assert reading(written) == (EVENTS, [])


def test_events_are_appended_after_those_that_were_read(written):
    with Journal(written) as journal:
        journal.append({"event": "d"})
        assert journal.events == [*EVENTS, {"event": "d"}]
    assert reading(written) == ([*EVENTS, {"event": "d"}], [])


def test_a_cleared_journal_begins_anew(written):
    with Journal(written) as journal:
        journal.clear()
        journal.append({"event": "d"})
    assert reading(written) == ([{"event": "d"}], [])


class TestOnDisk:
    @pytest.fixture
    def flushed(self, tmp_path, monkeypatch):
        """Return what every file under the folder held when it was last flushed, and every folder listed."""
        flushed, fsync = {}, os.fsync

        def record(descriptor):
            fsync(descriptor)
            inode = os.fstat(descriptor).st_ino
            for path in (tmp_path, *tmp_path.rglob("*")):
                if path.stat().st_ino == inode:
                    flushed[path] = {p.name for p in path.iterdir()} if path.is_dir() else path.read_bytes()

        monkeypatch.setattr(os, "fsync", record)
        return flushed

    def test_an_event_is_flushed_before_append_returns(self, tmp_path, flushed):
        with Journal(tmp_path / "session") as journal:
            for event in EVENTS:
                journal.append(event)
                for name in (LINES, TAIL):
                    path = tmp_path / "session" / name
                    assert flushed[path] == path.read_bytes()

    def test_the_line_is_flushed_before_it_is_counted(self, tmp_path, flushed, monkeypatch):
        with Journal(tmp_path) as journal:
            counts = []
            monkeypatch.setattr(journal, "_write_tail", lambda end: counts.append((flushed[tmp_path / LINES], end)))
            journal.append(EVENTS[0])
        ((content, end),) = counts
        assert (content.count(b"\n"), len(content)) == (end.n_lines, end.size) == (1, end.size)

    @pytest.mark.skipif(os.name == "nt", reason="Windows opens no folders")
    def test_the_names_of_new_files_and_folders_are_flushed(self, tmp_path, flushed):
        with Journal(tmp_path / "a" / "b"):
            pass
        assert flushed[tmp_path] == {"a"}
        assert flushed[tmp_path / "a"] == {"b"}
        assert {LINES, TAIL} <= flushed[tmp_path / "a" / "b"]


class TestDamage:
    def test_a_file_cut_within_its_last_line_loses_that_line_with_a_warning(self, written):
        whole = (written / LINES).read_bytes()
        start = whole[:-1].rindex(b"\n") + 1
        for size in range(start + 1, len(whole) - 1):
            assert check_damaged(written, whole[:size]) == "shortened"

    def test_the_next_append_after_a_cut_gives_a_whole_file(self, written):
        files = {name: (written / name).read_bytes() for name in (LINES, TAIL)}
        whole = files[LINES]
        for size in range(whole[:-1].rindex(b"\n") + 2, len(whole) - 1):
            (written / TAIL).write_bytes(files[TAIL])
            (written / LINES).write_bytes(whole[:size])
            with pytest.warns(UserWarning, match="incomplete"), Journal(written) as journal:
                journal.append({"event": "d"})
            assert reading(written) == ([*EVENTS[:-1], {"event": "d"}], [])

    def test_a_last_line_that_misses_nothing_but_its_end_counts(self, written):
        assert check_damaged(written, (written / LINES).read_bytes()[:-1]) == "harmless"
        with Journal(written) as journal:
            journal.append({"event": "d"})
        assert reading(written) == ([*EVENTS, {"event": "d"}], [])

    def test_a_cut_first_line_leaves_an_empty_journal_with_a_warning(self, tmp_path):
        with Journal(tmp_path) as journal:
            journal.append(EVENTS[0])
        (tmp_path / LINES).write_bytes((tmp_path / LINES).read_bytes()[:9])
        events, texts = reading(tmp_path)
        assert (events, len(texts)) == ([], 1)

    def test_a_file_cut_anywhere_else_is_refused(self, written):
        whole = (written / LINES).read_bytes()
        for size in range(whole[:-1].rindex(b"\n") + 2):
            assert check_damaged(written, whole[:size]) == "refused", size

    def test_no_flipped_bit_goes_unnoticed(self, written):
        whole = (written / LINES).read_bytes()
        for position in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[position] ^= 1 << bit
                outcome = check_damaged(written, bytes(damaged))
                assert outcome == ("shortened" if position == len(whole) - 1 else "refused"), (position, bit)

    @pytest.mark.parametrize("n", range(len(EVENTS)))
    def test_a_removed_line_is_missed(self, written, n):
        lines = (written / LINES).read_bytes().splitlines(keepends=True)
        assert check_damaged(written, b"".join(lines[:n] + lines[n + 1 :])) == "refused"

    @pytest.mark.parametrize("n", range(len(EVENTS)))
    @pytest.mark.parametrize("where", range(len(EVENTS) + 1))
    def test_a_repeated_line_is_refused(self, written, n, where):
        lines = (written / LINES).read_bytes().splitlines(keepends=True)
        assert check_damaged(written, b"".join(lines[:where] + [lines[n]] + lines[where:])) == "refused"

    @pytest.mark.parametrize("n", range(len(EVENTS) - 1))
    def test_swapped_lines_are_refused(self, written, n):
        lines = (written / LINES).read_bytes().splitlines(keepends=True)
        lines[n : n + 2] = lines[n + 1], lines[n]
        assert check_damaged(written, b"".join(lines)) == "refused"

    def test_an_emptied_or_deleted_file_is_refused(self, written):
        assert check_damaged(written, b"") == "refused"
        (written / LINES).unlink()
        with pytest.raises(JournalError, match=r"journal\.jsonl, line 1: missing"):
            Journal(written)

    def test_the_error_names_the_line(self, written):
        lines = (written / LINES).read_bytes().splitlines(keepends=True)
        lines[2] = lines[2].replace(b"b", b"c")
        (written / LINES).write_bytes(b"".join(lines))
        with pytest.raises(JournalError, match=r"journal\.jsonl, line 3: damaged"):
            Journal(written)

    def test_a_refused_journal_is_not_locked(self, written):
        whole = (written / LINES).read_bytes()
        check_damaged(written, whole[5:])
        assert check_damaged(written, whole) == "harmless"

    def test_a_damaged_count_never_costs_an_event(self, written):
        whole = (written / TAIL).read_bytes()
        lines = (written / LINES).read_bytes()
        for size in range(len(whole)):
            # What is cut off the padding says nothing.
            assert check_damaged(written, whole[:size], TAIL) == (
                "warned" if size < len(whole.rstrip()) else "harmless"
            )
        for position in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[position] ^= 1 << bit
                assert check_damaged(written, bytes(damaged), TAIL) == "warned"
        assert (written / LINES).read_bytes() == lines

    def test_a_deleted_count_is_written_anew_with_a_warning(self, written):
        (written / TAIL).unlink()
        events, texts = reading(written)
        assert (events, len(texts)) == (EVENTS, 1)
        assert str(written / TAIL) in texts[0]
        assert reading(written) == (EVENTS, [])

    @pytest.mark.parametrize("n_events", [1, 3, 4, 6])
    def test_the_count_of_another_journal_is_refused(self, written, tmp_path, n_events):
        with Journal(tmp_path / "other") as other:
            for number in range(n_events):
                other.append({"event": "other", "n": number})
        shutil.copy(tmp_path / "other" / TAIL, written / TAIL)
        with pytest.raises(JournalError, match=r"journal\.jsonl, line \d: (not the line|missing)"):
            Journal(written)

    def test_the_lock_file_holds_nothing(self, written):
        (written / "journal.lock").write_bytes(b"anything")
        assert reading(written) == (EVENTS, [])
        (written / "journal.lock").unlink(missing_ok=True)
        assert reading(written) == (EVENTS, [])


class TestLock:
    def test_a_second_journal_in_the_process_is_refused(self, tmp_path):
        with Journal(tmp_path) as journal:
            with pytest.raises(BlockingIOError, match=r"session\.close\(\)"):
                Journal(tmp_path)
            journal.append(EVENTS[0])
        assert reading(tmp_path) == (EVENTS[:1], [])

    def test_a_second_process_is_refused_until_the_first_one_closes(self, tmp_path):
        code = (
            "import sys; from skada_active.io.journal import Journal; journal = Journal(sys.argv[1]);"
            "print('open', flush=True); sys.stdin.readline(); journal.close(); print('closed', flush=True)"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "open\n"
            with pytest.raises(BlockingIOError, match="open in another process"):
                Journal(tmp_path)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "closed\n"
            Journal(tmp_path).close()
            other.stdin.close()

    def test_a_closed_journal_takes_nothing(self, written):
        with Journal(written) as journal:
            pass
        journal.close()
        assert not journal.is_open
        for call in (lambda: journal.append({"event": "d"}), journal.clear):
            with pytest.raises(ValueError, match="is closed"):
                call()
        assert journal.events == EVENTS
        assert reading(written) == (EVENTS, [])

    def test_it_is_not_pickled_or_copied(self, tmp_path):
        with Journal(tmp_path) as journal:
            for copied in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be pickled or copied"):
                    copied(journal)


class Disk:
    """Fail from the operation `first` on, `n_failures` times, writing a part of what there is to write."""

    def __init__(self, monkeypatch):
        self.n_done, self.first, self.n_failures, self.part = 0, None, 1, 0.0
        self._fsync, self._ftruncate = os.fsync, os.ftruncate
        monkeypatch.setattr(os, "fsync", lambda descriptor: self.step())
        monkeypatch.setattr(os, "ftruncate", lambda *args: self.step() or self._ftruncate(*args))
        open_file = journal_module._open_file
        monkeypatch.setattr(journal_module, "_open_file", lambda path: File(open_file(path), self))

    def fails(self):
        self.n_done += 1
        return self.first is not None and self.first <= self.n_done - 1 < self.first + self.n_failures

    def step(self):
        if self.fails():
            raise OSError(errno.ENOSPC, "No space left on device")

    def fail(self, first, n_failures=1, part=0.0):
        self.n_done, self.first, self.n_failures, self.part = 0, first, n_failures, part

    def repair(self):
        self.first = None


class File:
    """Hand on to a file what the disk lets through."""

    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        if self.disk.fails():
            self.file.write(bytes(data)[: int(len(data) * self.disk.part)])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


#: Write and flush the line, write and flush the count.
N_STEPS = 4


class TestFailingDisk:
    @pytest.fixture
    def journal(self, tmp_path, disk):
        with Journal(tmp_path) as journal:
            journal.append(EVENTS[0])
            journal.append(EVENTS[1])
            yield journal

    def test_an_append_takes_as_many_steps_as_are_made_to_fail_here(self, journal, disk):
        disk.fail(None)
        journal.append(EVENTS[2])
        assert disk.n_done == N_STEPS

    # The steps of going back come behind those of the append: 1 to all of them fail, too.
    @pytest.mark.parametrize("n_failures", [1, 2, 3, 4, 5, 6, 100])
    @pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("first", range(N_STEPS))
    def test_nothing_is_taken_and_the_next_append_gives_a_whole_file(self, journal, disk, first, part, n_failures):
        disk.fail(first, n_failures, part)
        with pytest.raises(OSError, match="nothing of this 'b' was taken, what came before is safe"):
            journal.append(EVENTS[2])
        assert journal.events == EVENTS[:2]
        disk.repair()
        journal.append(EVENTS[3])
        assert journal.events == [*EVENTS[:2], EVENTS[3]]
        journal.close()
        assert reading(journal.folder) == ([*EVENTS[:2], EVENTS[3]], [])

    @pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("first", range(N_STEPS))
    def test_nothing_is_left_of_a_failed_append(self, journal, disk, first, part):
        before = {name: (journal.folder / name).read_bytes() for name in (LINES, TAIL)}
        disk.fail(first, part=part)
        with pytest.raises(OSError, match="nothing of this"):
            journal.append(EVENTS[2])
        assert {name: (journal.folder / name).read_bytes() for name in before} == before

    @pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("first", range(N_STEPS))
    def test_what_came_before_is_safe_if_the_disk_stays_broken(self, journal, disk, first, part):
        disk.fail(first, 10**6, part)
        for _ in range(3):
            with pytest.raises(OSError, match="nothing of this"):
                journal.append(EVENTS[2])
        journal.close()
        disk.repair()
        events, texts = reading(journal.folder)
        assert events[:2] == EVENTS[:2]
        assert events[2:] in ([], EVENTS[2:3])
        assert all("incomplete" in text or "journal.tail is missing or damaged" in text for text in texts)

    def test_the_error_tells_the_system_s_error_and_the_file(self, journal, disk):
        disk.fail(0)
        with pytest.raises(OSError, match="No space left on device") as raised:
            journal.append(EVENTS[2])
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename == str(journal.folder / LINES)

    def test_a_disk_that_writes_in_parts_is_no_failure(self, journal, monkeypatch):
        class InParts(File):
            def write(self, data):
                return self.file.write(bytes(data)[:7])

        monkeypatch.setattr(journal, "_file", InParts(journal._file, None))
        journal.append(EVENTS[2])
        journal.close()
        assert reading(journal.folder) == (EVENTS[:3], [])

    def test_an_interruption_leaves_nothing_of_an_append(self, journal, disk, monkeypatch):
        def interrupt(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(journal, "_write_tail", interrupt)
            # Going back is interrupted, too.
            with pytest.raises(KeyboardInterrupt):
                journal.append(EVENTS[2])
        assert journal.events == EVENTS[:2]
        journal.append(EVENTS[3])
        journal.close()
        assert reading(journal.folder) == ([*EVENTS[:2], EVENTS[3]], [])

    @pytest.mark.parametrize("first", range(4))
    def test_an_append_after_a_clear_that_failed_gives_a_whole_file(self, journal, disk, first):
        disk.fail(first, part=0.5)
        with pytest.raises(OSError, match="No space left"):
            journal.clear()
        disk.repair()
        journal.append(EVENTS[3])
        journal.close()
        assert reading(journal.folder) == ([EVENTS[3]], [])

    def test_a_journal_that_cannot_be_begun_is_not_locked(self, tmp_path, disk):
        disk.fail(0, 100)
        with pytest.raises(OSError, match="No space left"):
            Journal(tmp_path / "new")
        disk.repair()
        assert reading(tmp_path / "new") == ([], [])


class TestInASession:
    @pytest.fixture
    def open_session(self, blobs, tmp_path):
        X, y, sample_domain = blobs
        loop = ActiveAdaptationLoop(LogisticRegression(), budget=4, n_rounds=2, random_state=0)

        def open_session(folder=tmp_path / "journal", X=X):
            return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=folder)

        return open_session

    def test_a_second_session_is_refused_until_the_first_one_is_closed(self, open_session):
        with open_session(), pytest.raises(BlockingIOError, match="another session of this one"):
            open_session()
        open_session().close()

    def test_a_session_that_is_refused_leaves_the_folder_free(self, open_session, blobs):
        with open_session() as session:
            session.ask()
        with pytest.raises(ValueError, match="row"):
            open_session(X=blobs[0] + 1)
        open_session().close()

    def test_a_closed_session_takes_no_answers(self, open_session):
        with open_session() as session:
            ids = session.ask()
        with pytest.raises(ValueError, match="is closed"):
            session.tell(ids, [0, 0])
        assert session.open_ids.tolist() == ids.tolist()

    def test_the_journal_of_one_session_with_the_count_of_another_is_refused(self, open_session, tmp_path):
        for name in ("one", "other"):
            with open_session(tmp_path / name) as session:
                session.ask()
        shutil.copy(tmp_path / "one" / TAIL, tmp_path / "other" / TAIL)
        with pytest.raises(JournalError, match="one of the two is of another session"):
            open_session(tmp_path / "other")

    def test_warnings_point_to_the_code_that_opens_the_session(self, open_session, tmp_path):
        with open_session() as session:
            session.ask()
        path = tmp_path / "journal" / LINES
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.warns(UserWarning, match="incomplete") as caught:
            open_session().close()
        assert [warning.filename for warning in caught] == [__file__]
        assert "return loop.session" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]

    def test_nothing_of_a_failed_tell_is_known(self, disk, open_session, blobs):
        with open_session() as session:
            ids = session.ask()
            disk.fail(0)
            with pytest.raises(OSError, match="nothing of this 'tell' was taken"):
                session.tell(ids, blobs[1][ids])
            assert session.open_ids.tolist() == ids.tolist()
            assert session.history_ == []
            disk.repair()
            session.tell(ids, blobs[1][ids])
            assert len(session.history_) == 1

    def test_a_recorded_session_is_not_pickled(self, open_session):
        with open_session() as session:
            for copied in (pickle.dumps, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be pickled or copied"):
                    copied(session)
