"""Files that are written whole or not at all, and bundles of them whose damage is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os

import pytest

from skada_active.io import _storage
from skada_active.io._storage import DamagedFileError, digest_of, read_bundle, remove_bundle, write_aside, write_bundle

CONTENT = {"version": 1, "weights": [0.5, None, "é"], "nested": {"b": 1, "a": 2}}
FILES = {"model.bin": b"\x00weights\xff", "data.bin": b"rows"}


def writer(content):
    return lambda path: path.write_bytes(content)


def fail(path):
    path.write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, "No space left on device")


def write(folder, content=CONTENT, files=FILES, name="bundle"):
    write_bundle(folder, name, content, {key: writer(data) for key, data in files.items()})


def read(folder, name="bundle"):
    content, paths = read_bundle(folder, name)
    return content, {key: path.read_bytes() for key, path in paths.items()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def no_flush(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class TestWriteAside:
    def test_the_file_holds_what_was_written(self, tmp_path):
        assert write_aside(tmp_path / "a.bin", writer(b"new")) == tmp_path / "a.bin"
        assert (tmp_path / "a.bin").read_bytes() == b"new"
        assert names(tmp_path) == ["a.bin"]

    def test_a_name_may_follow_from_the_content(self, tmp_path):
        path = write_aside(tmp_path / "a.bin", writer(b"new"), rename=lambda p: p.with_name(f"{p.read_text()}.bin"))
        assert (path, names(tmp_path)) == (tmp_path / "new.bin", ["new.bin"])

    @pytest.mark.parametrize("before", [None, b"old"])
    @pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
    def test_a_writer_that_raises_changes_nothing(self, tmp_path, before, error):
        path = tmp_path / "a.bin"
        if before is not None:
            path.write_bytes(before)

        def write(partial):
            partial.write_bytes(b"half of it")
            raise error

        with pytest.raises(error):
            write_aside(path, write)
        assert names(tmp_path) == ([] if before is None else ["a.bin"])
        assert before is None or path.read_bytes() == before

    def test_a_writer_that_raises_before_it_writes_leaves_nothing(self, tmp_path):
        with pytest.raises(ZeroDivisionError):
            write_aside(tmp_path / "a.bin", lambda path: 1 / 0)
        assert names(tmp_path) == []

    @pytest.mark.parametrize("name", ["fsync", "replace", "open"])
    def test_a_disk_that_fails_changes_nothing(self, tmp_path, monkeypatch, name):
        (tmp_path / "a.bin").write_bytes(b"old")

        def fail(*args, **kwargs):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(_storage.os, name, fail)
        with pytest.raises(OSError, match="Input/output error"):
            write_aside(tmp_path / "a.bin", writer(b"new"))
        assert (names(tmp_path), (tmp_path / "a.bin").read_bytes()) == (["a.bin"], b"old")

    def test_what_a_kill_left_of_an_earlier_writing_does_no_harm(self, tmp_path):
        (tmp_path / "a.bin.partial").write_bytes(b"longer than what is written now")
        write_aside(tmp_path / "a.bin", writer(b"new"))
        assert (names(tmp_path), (tmp_path / "a.bin").read_bytes()) == (["a.bin"], b"new")

    def test_the_content_is_flushed_before_the_name_and_the_name_before_it_returns(self, tmp_path, monkeypatch):
        steps, fsync, replace = [], os.fsync, os.replace

        def record_fsync(descriptor):
            is_folder = os.fstat(descriptor).st_ino == tmp_path.stat().st_ino
            steps.append("folder" if is_folder else "file")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", record_fsync)
        monkeypatch.setattr(os, "replace", lambda *args: steps.append("rename") or replace(*args))
        write_aside(tmp_path / "a.bin", writer(b"new"))
        assert steps == (["file", "rename"] if os.name == "nt" else ["file", "rename", "folder"])


@pytest.mark.usefixtures("no_flush")
class TestBundle:
    def test_it_comes_back(self, tmp_path):
        write(tmp_path)
        assert read(tmp_path) == (CONTENT, FILES)

    def test_it_may_have_no_files(self, tmp_path):
        write(tmp_path, files={})
        assert (read(tmp_path), names(tmp_path)) == ((CONTENT, {}), ["bundle.json"])

    @pytest.mark.parametrize("content", [None, [], "é\ud800", 1e-300, {"b": {"10": 1, "9": 2}}, {"digest": "x"}])
    def test_any_content_comes_back(self, tmp_path, content):
        write(tmp_path, content)
        assert read(tmp_path) == (content, FILES)

    def test_file_names_carry_the_digest_of_the_content(self, tmp_path):
        write(tmp_path)
        digests = {name: hashlib.blake2b(data, digest_size=8).hexdigest() for name, data in FILES.items()}
        assert names(tmp_path) == sorted(
            [f"bundle-model-{digests['model.bin']}.bin", f"bundle-data-{digests['data.bin']}.bin", "bundle.json"]
        )
        assert digests["data.bin"] == digest_of(b"ro", b"ws")

    def test_files_larger_than_a_block_are_digested_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_storage, "_BLOCK", 3)
        write(tmp_path)
        monkeypatch.undo()
        assert read(tmp_path) == (CONTENT, FILES)

    def test_a_missing_bundle_is_another_error_than_a_damaged_one(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_bundle(tmp_path, "bundle")

    def test_a_new_bundle_replaces_the_files_of_the_old_one(self, tmp_path):
        write(tmp_path)
        write(tmp_path, files={"model.bin": b"other"})
        assert read(tmp_path) == (CONTENT, {"model.bin": b"other"})
        assert len(names(tmp_path)) == 2

    def test_what_kills_left_of_it_is_removed(self, tmp_path):
        for name in ("bundle-model.bin.partial", "bundle-model-0123456789abcdef.bin", "bundle.json.partial"):
            (tmp_path / name).write_bytes(b"rest")
        write(tmp_path)
        assert len(names(tmp_path)) == 3

    def test_other_files_of_the_folder_are_left(self, tmp_path):
        others = {"journal.jsonl", "other-model.bin", "bundles.json", "bundle-results.csv", "bundle-2024-01-31.bin"}
        for name in others:
            (tmp_path / name).write_bytes(b"mine")
        write(tmp_path)
        remove_bundle(tmp_path, "bundle")
        assert set(names(tmp_path)) == others

    def test_a_removed_bundle_is_gone_with_all_its_files(self, tmp_path):
        write(tmp_path)
        (tmp_path / "bundle-model.bin.partial").write_bytes(b"rest")
        remove_bundle(tmp_path, "bundle")
        assert names(tmp_path) == []
        remove_bundle(tmp_path, "bundle")

    def test_two_bundles_live_in_one_folder(self, tmp_path):
        write(tmp_path, name="checkpoint")
        write(tmp_path, content=1, name="loop")
        write(tmp_path, content=2, name="checkpoint")
        assert (read(tmp_path, "checkpoint"), read(tmp_path, "loop")) == ((2, FILES), (1, FILES))

    @pytest.mark.parametrize("n_written", [0, 1])
    @pytest.mark.parametrize("has_old", [False, True])
    def test_a_writer_that_raises_leaves_the_old_bundle(self, tmp_path, n_written, has_old):
        if has_old:
            write(tmp_path)
        writers = {key: writer(b"other") for key in list(FILES)[:n_written]} | {"data.bin": fail}
        with pytest.raises(OSError, match="No space left"):
            write_bundle(tmp_path, "bundle", "other", writers)
        assert not [name for name in names(tmp_path) if name.endswith(".partial")]
        if has_old:
            assert read(tmp_path) == (CONTENT, FILES)
        else:
            with pytest.raises(FileNotFoundError):
                read_bundle(tmp_path, "bundle")
        write(tmp_path, content="next")
        assert read(tmp_path) == ("next", FILES)
        assert len(names(tmp_path)) == 3

    @pytest.mark.parametrize("content", [float("nan"), object()])
    def test_content_that_json_cannot_hold_leaves_the_old_bundle(self, tmp_path, content):
        write(tmp_path)
        with pytest.raises((TypeError, ValueError)):
            write(tmp_path, content=content, files={"model.bin": b"other"})
        assert read(tmp_path) == (CONTENT, FILES)

    @pytest.mark.parametrize("n_renamed", range(3))
    def test_a_kill_between_two_files_leaves_the_old_bundle(self, tmp_path, monkeypatch, n_renamed):
        write(tmp_path)
        replace, done = os.replace, []

        def kill(*args):
            if len(done) == n_renamed:
                raise SystemExit
            done.append(replace(*args))

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill)
            patch.setattr(type(tmp_path), "unlink", lambda *args, **kwargs: None)  # what is killed tidies nothing up
            with pytest.raises(SystemExit):
                write(tmp_path, "other", {"model.bin": b"other", "data.bin": b"other rows"})
        assert read(tmp_path) == (CONTENT, FILES)
        write(tmp_path, "next")
        assert (read(tmp_path), len(names(tmp_path))) == (("next", FILES), 3)


@pytest.mark.usefixtures("no_flush")
class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path):
        write(tmp_path)
        return tmp_path

    @pytest.mark.parametrize("number", range(3))
    def test_every_flipped_bit_is_noticed(self, folder, number):
        path = folder / names(folder)[number]
        whole = path.read_bytes()
        for position in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[position] ^= 1 << bit
                path.write_bytes(damaged)
                try:
                    found = read(folder)
                except DamagedFileError as error:
                    assert str(path) in str(error)  # noqa: PT017 - one of two outcomes
                else:
                    # JSON has two ways to write some things, such as the letters of an escape.
                    assert path.suffix == ".json"
                    assert found == (CONTENT, FILES)

    @pytest.mark.parametrize("number", range(3))
    def test_every_cut_is_noticed(self, folder, number):
        path = folder / names(folder)[number]
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(DamagedFileError, match=path.name):
                read_bundle(folder, "bundle")

    def test_a_missing_file_is_noticed(self, folder):
        (path,) = folder.glob("bundle-data-*")
        path.unlink()
        with pytest.raises(DamagedFileError, match=f"{path.name} is damaged or missing"):
            read_bundle(folder, "bundle")

    def test_a_file_in_place_of_another_is_noticed(self, folder):
        (data,), (model,) = folder.glob("bundle-data-*"), folder.glob("bundle-model-*")
        data.write_bytes(model.read_bytes())
        with pytest.raises(DamagedFileError, match=data.name):
            read_bundle(folder, "bundle")

    @pytest.mark.parametrize("text", ["", "[]", "1", "null", '"x"', "{}", '{"digest": 1}', "[" * 10**5, "\ufeff{}"])
    def test_anything_else_in_place_of_the_bundle_is_noticed(self, folder, text):
        (folder / "bundle.json").write_text(text, encoding="utf-8")
        with pytest.raises(DamagedFileError, match=r"bundle\.json is damaged"):
            read_bundle(folder, "bundle")

    def test_no_file_outside_the_folder_is_read(self, folder, tmp_path_factory):
        other = tmp_path_factory.mktemp("other") / f"bundle-{digest_of(b'other')}.bin"
        other.write_bytes(b"other")
        body = {"content": 1, "files": {"model.bin": str(other)}}
        digest = digest_of(json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
        (folder / "bundle.json").write_text(json.dumps({"digest": digest, **body}))
        with pytest.raises(DamagedFileError, match="missing"):
            read_bundle(folder, "bundle")
