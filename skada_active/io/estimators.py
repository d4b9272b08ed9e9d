"""Estimators, strategies and plain values as one skops file each, made again only from a strict list of types."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

from skada_active.exceptions import DamagedFileError, UnsaveableError, UntrustedFileError

__all__ = ["check_loadable", "dumps", "errors_of", "is_loadable", "load", "loads", "read_bytes", "save", "write_bytes"]

#: Modules of this package whose estimators may be made from a file.
_OWN = re.compile(r"skada_active(\.(?!testing\b|cli\b|interop\b|__)\w+)+")
#: Settings by which an estimator reads pickles from a folder, or runs a compiler, when it is fitted.
_RUN_CODE = frozenset({"compile", "memory", "torch_load_kwargs"})
#: How many values the state of a compiled class has, which reads them without counting.
_STATE_SIZES = {
    "sklearn.metrics._dist_metrics": 3,
    "sklearn.neighbors._ball_tree": 13,
    "sklearn.neighbors._kd_tree": 13,
}
#: How many times its size, or how many bytes, a compressed matrix may hold.
_INFLATED_RATIO, _INFLATED_BYTES = 100, 2**26


def dumps(value: Any) -> bytes:
    """Return an estimator, a strategy or a container of plain values and arrays as the bytes of a skops file.

    Raises
    ------
    UnsaveableError
        If something in it has no form without pickle.
    """
    from skops.io import dumps  # only here: it imports all of scikit-learn, which takes a second

    try:
        return dumps(value)
    except Exception as error:  # skops lets whatever a foreign object raises pass
        raise UnsaveableError(f"{type(value).__name__} cannot be written without pickle: {error}") from error


def loads(data: bytes, trusted: str | type | Iterable[str | type] = (), origin: str = "") -> Any:
    """Return what `dumps` wrote; see `load`.

    Parameters
    ----------
    data : bytes
        The file.
    trusted : sequence of str or type, default=()
        Types that may be made besides those of the list.
    origin : str, default=""
        How errors begin.

    Raises
    ------
    DamagedFileError
        If it is no skops file, or does not hold what was written.
    UntrustedFileError
        If it names other types; nothing of it was made.
    """
    import skops.io

    trusted = [trusted] if isinstance(trusted, str | type) else trusted
    own = {name if isinstance(name, str) else f"{name.__module__}.{name.__name__}" for name in trusted}
    with errors_of("the file is damaged or no skops file", origin):
        return skops.io.loads(data, trusted=check_loadable(data, own))


def check_loadable(data: bytes, trusted: Collection[str] = ()) -> list[str]:
    """Return all names that skops may make of a file, whose sizes and settings are sound; nothing of it is made.

    Raises
    ------
    UntrustedFileError
        If it names types that are neither on the list nor trusted, or holds a setting that runs code.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if any(member.compress_type for member in members) or sum(member.file_size for member in members) > len(data):
            raise DamagedFileError("its parts are compressed, or larger than the file; no such file was saved here.")
        items: list[dict[str, Any]] = []

        def keep(item: dict[str, Any]) -> dict[str, Any]:
            items.append(item)
            return item

        schema = json.loads(archive.read("schema.json"), object_hook=keep)
        # Files of older protocols keep names elsewhere.
        if schema["protocol"] < 2 or len({member.filename for member in members}) < len(members):
            raise DamagedFileError("it has two parts of one name, or the form of an old version of skops.")
        nodes = [item for item in items if "__loader__" in item]
        names = {(node["__loader__"], f"{node['__module__']}.{node['__class__']}") for node in nodes}
        if refused := sorted({name for loader, name in names if not (name in trusted or _is_allowed(loader, name))}):
            raise UntrustedFileError(
                f"the file names {', '.join(refused)}, which could run code. Where you trust its origin, pass "
                f"trusted={refused}."
            )
        _check_nodes(archive, items, nodes)
    return sorted({*trusted, *(name for _, name in names)})


def is_loadable(value: Any) -> bool:
    """Tell whether a value can be written, and made again from a file without any other type being trusted."""
    with suppress(UnsaveableError, UntrustedFileError, DamagedFileError):
        loads(dumps(value))
        return True
    return False


def save(value: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator or a strategy, configured or fitted, to a skops file.

    Parameters
    ----------
    value : estimator
        An estimator of scikit-learn or of this package; others are written, too, where skops can. A fitted loop goes
        into a file by its own method, `ActiveAdaptationLoop.save`.
    path : str or path
        The file; its folder is made if it is not there. It is replaced all at once: whoever reads it meanwhile reads
        the old or the new one.

    Raises
    ------
    UnsaveableError
        If something in it has no form without pickle, or is a fitted loop.

    Examples
    --------
    >>> import tempfile
    >>> from skada_active.io import load, save
    >>> from skada_active.query import LAS
    >>> path = tempfile.mkdtemp() + "/strategy.skops"
    >>> save(LAS(n_neighbors=5), path)
    >>> load(path)
    LAS(n_neighbors=5)
    """
    data = dumps(value)
    if b'"__class__": "AdaptationSession"' in data:
        raise UnsaveableError(f"{type(value).__name__} holds a fitted loop; save that by loop.save(path).")
    write_bytes(Path(path), data)


def load(path: str | os.PathLike[str], *, trusted: str | type | Iterable[str | type] = ()) -> Any:
    """Return what `save` wrote; no code of the file runs.

    What may be made is a literal list: estimators of scikit-learn and of this package, the containers, losses, kernels,
    splitters and random states that they hold, and arrays. Every name is checked before anything is imported or made,
    every size before anything is read.

    Parameters
    ----------
    path : str or path
        The file.
    trusted : sequence of str or type, default=()
        Types of yours that may be made too, themselves or their full names.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is no skops file, or does not hold what was written.
    UntrustedFileError
        If it names other types, which the message lists; nothing of it was made.

    Notes
    -----
    The list keeps a file from running code, it does not make a model right. A crafted model predicts what its maker
    wants, and may crash the process: compiled code follows numbers inside fitted models of scikit-learn (nearest
    neighbours, support vectors) without looking. Of those, the links of decision trees and the indices of sparse
    matrices are checked, the features that trees ask about are not.
    """
    return loads(read_bytes(Path(path)), trusted, f"{path}: ")


@contextmanager
def errors_of(words: str, origin: str) -> Iterator[None]:
    """Let any error in what a file holds be one that begins with its origin, a `DamagedFileError` unless it is known.

    What reads the file stays outside: that a file is not there is no damage.
    """
    try:
        yield
    except (DamagedFileError, UntrustedFileError) as error:
        raise type(error)(f"{origin}{error}") from error
    except Exception as error:
        raise DamagedFileError(f"{origin}{words} ({type(error).__name__}: {error}).") from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; a `DamagedFileError` for a folder, a device or a pipe."""
    if path.exists() and not path.is_file():
        raise DamagedFileError(f"{path}: it is no regular file.")
    return path.read_bytes()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it when it is on the disk: it is there whole or not at all."""
    path = path.resolve()  # a link goes on pointing at its file
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file that could be replaced.")
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")  # two that save at once have one each
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@cache
def _allowed() -> frozenset[tuple[str, str]]:
    lines = (line.split() for line in (files(__package__) / "loadable.txt").read_text("utf-8").splitlines())
    return frozenset((line[0], f"{line[1]}.{name}") for line in lines if line[0] != "#" for name in line[2:])


def _is_allowed(loader: str, name: str) -> bool:
    """Tell whether a name is on the list, an estimator of scikit-learn or this package, or a ufunc."""
    module, _, attribute = name.rpartition(".")
    if loader == "ObjectNode" and _OWN.fullmatch(module):
        with suppress(ImportError):
            import_module(module)
    # No other module is imported: with skops, all that hold estimators are there.
    found = getattr(sys.modules.get(module), "__dict__", {}).get(attribute)
    package = module.partition(".")[0]
    if module == "_loss" and (losses := sys.modules.get("sklearn._loss._loss")) is sys.modules.get("_loss"):
        name = f"sklearn._loss.{name}" if losses is not None else name  # what scikit-learn 1.6 calls its losses
    if loader == "FunctionNode" and isinstance(found, np.ufunc):
        return package in ("numpy", "scipy")
    if loader == "ObjectNode" and isinstance(found, type) and issubclass(found, BaseEstimator):
        return package in ("sklearn", "skada_active") and found.__module__ == module
    return (loader, name) in _allowed()


def _check_nodes(archive: zipfile.ZipFile, items: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> None:
    pairs = [(key, value) for item in items for key, value in item.items()]
    settings = {value["__id__"]: key for key, value in pairs if key.rpartition("__")[2] in _RUN_CODE}
    owners: dict[str, Any] = {}
    for node in nodes:
        number, loader = node["__id__"], node["__loader__"]
        # What has an id is made once, however often it is named; so nothing small can fill the memory.
        if not number or owners.setdefault(node.get("file", number), number) != number:
            raise DamagedFileError("its parts have no ids, or share what they hold.")
        if number in settings and not (loader == "JsonNode" and node["content"] in ("null", "false")):
            raise UntrustedFileError(f"the file sets {settings[number]!r}, by which a fitted estimator can run code.")
        if loader == "JsonNode" and isinstance(json.loads(node["content"]), dict | list):
            raise DamagedFileError("a plain value holds others.")
        size = _STATE_SIZES.get(node["__module__"]) if loader == "ObjectNode" else None
        if size and (node["content"]["__loader__"] != "TupleNode" or len(node["content"]["content"]) != size):
            raise DamagedFileError(f"the state of a {node['__class__']} is not what it has.")
        if loader == "NdArrayNode" and "file" in node:
            _check_array(archive.read(node["file"]))
        if loader == "SparseMatrixNode":
            _check_matrix(archive.read(node["file"]))


def _check_array(data: bytes) -> None:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data) - file.tell():
        raise DamagedFileError(f"an array of shape {shape} and type {dtype} is not what it says.")
    if dtype.names is not None:
        _check_links(np.load(io.BytesIO(data), allow_pickle=False), dtype.names)


def _check_links(nodes: NDArray[Any], fields: tuple[str, ...]) -> None:
    """Refuse a decision tree with children outside it or before their parents: compiled code would follow them."""
    if ("Record", f"fields.{','.join(fields)}") not in _allowed():
        raise DamagedFileError(f"an array has the fields {fields}, which no model has.")
    for side in {"left", "right", "left_child", "right_child"}.intersection(fields):
        inner = nodes["left_child"] != -1 if side.endswith("child") else nodes["is_leaf"] == 0
        children = nodes[side][inner].astype(np.int64)
        if not ((np.flatnonzero(inner) < children) & (children < len(nodes))).all():
            raise DamagedFileError("a decision tree links to what is not in it.")


def _check_matrix(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as arrays:
        if sum(member.file_size for member in arrays.infolist()) > max(_INFLATED_BYTES, _INFLATED_RATIO * len(data)):
            raise DamagedFileError(f"a sparse matrix of {len(data)} bytes is larger than such a matrix can be.")
    matrix = sparse.load_npz(io.BytesIO(data))
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # compiled code follows its indices without looking
