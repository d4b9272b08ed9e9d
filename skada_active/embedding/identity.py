"""Identity of an encoder: hashes that change when its weights, settings or code do."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from joblib.hashing import NumpyHasher
from torch import Tensor, nn

__all__ = ["digest", "folder_hash", "module_hash", "weights_hash"]

#: Bytes of a file that are read at once.
_BLOCK = 2**20


def digest(*parts: str | bytes) -> str:
    """Return a hash of texts, which tells ("ab", "c") and ("a", "bc") apart."""
    encoded = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return sha256(b"".join(len(part).to_bytes(8, "little") + part for part in encoded)).hexdigest()[:32]


def module_hash(module: nn.Module) -> str | None:
    """Return a hash of weights, buffers, attributes and code of a network; None where an attribute has no hash.

    The mode (training or not), device and layout in memory, and whether weights are trained, do not count. The code is
    that of the methods of its classes, and of functions that it holds, not of what they call elsewhere.
    """
    try:
        return _ModuleHasher("md5").hash(module)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError, NotImplementedError):
        return None


def weights_hash(module: nn.Module) -> str:
    """Return a hash of weights and buffers of a network."""
    return digest(*(part for name, values in module.state_dict().items() for part in (name, *_described(values))))


def folder_hash(folder: str | os.PathLike[str]) -> str:
    """Return a hash of names and contents of all files in a folder, hidden ones left out."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    parts: list[str | bytes] = []
    for path in files:
        name = path.relative_to(root)
        if not any(part.startswith(".") for part in name.parts):
            parts += [name.as_posix(), _file_digest(path)]
    return digest(*parts)


class _ModuleHasher(NumpyHasher):
    """Hasher of joblib that reads networks, tensors and functions by what they hold."""

    def save(self, obj: Any) -> None:
        if isinstance(obj, Tensor):
            obj = ("tensor", *_described(obj))
        elif isinstance(obj, nn.Module):
            held = {name: value for name, value in vars(obj).items() if name != "training"}
            obj = ("module", [*map(_class_code, type(obj).__mro__)], held)
        elif isinstance(obj, FunctionType):
            cells = [cell.cell_contents for cell in obj.__closure__ or ()]
            obj = ("function", _name(obj), _code(obj.__code__), obj.__defaults__, obj.__kwdefaults__, cells)
        super().save(obj)


def _described(values: Any) -> tuple[str, str]:
    """Return type and shape of a tensor, and a hash of its numbers; of extra state of a module its text."""
    if not isinstance(values, Tensor):
        return "state", repr(values)
    numbers = values.detach().cpu().contiguous().reshape(-1)
    content = numbers.view(torch.uint8).numpy().data if len(numbers) else b""
    return f"{values.dtype} {tuple(values.shape)}", sha256(content).hexdigest()


def _class_code(kind: type) -> tuple[str, list[Any]]:
    if kind in (nn.Module, object):
        return _name(kind), []
    return _name(kind), [(name, _code(code)) for name, value in sorted(vars(kind).items()) for code in _codes(value)]


def _codes(value: Any) -> Iterator[CodeType]:
    """Yield the code of a method, of whatever kind it is."""
    accessors = [getattr(value, name, None) for name in ("fget", "fset", "__func__")]
    for function in (value, *accessors):
        if isinstance(function, FunctionType):
            yield function.__code__


def _code(code: CodeType) -> tuple[Any, ...]:
    """Return what a function does, without the names of its file and variables and the numbers of its lines."""
    constants = [_code(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return code.co_code, code.co_names, constants


def _constant(value: Any) -> str:
    # The order of a set differs from process to process.
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _file_digest(path: Path) -> bytes:
    state = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.digest()
