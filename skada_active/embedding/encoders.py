"""Encoders that the user gives: functions and networks, behind one form."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skada_active.deep._seeding import run_seeded
from skada_active.embedding.identity import module_hash, weights_hash
from skada_active.utils.arrays import to_host
from skada_active.utils.rows import as_row

__all__ = ["Encoder", "FunctionEncoder", "ModuleEncoder", "copied"]


class Encoder:
    """Encoder of rows: prepares them one by one, and maps a list of them to vectors.

    Parameters
    ----------
    encoder : object
        What the user gave.
    preprocess : callable or None
        Maps a row to what the encoder takes.
    device : str
        Name of the device.
    batch_size : int
        Rows of a batch.
    """

    #: Whether a text is the name of a file.
    names_files: ClassVar[bool] = False
    #: The encoder in words.
    name: str

    def __init__(self, encoder: Any, preprocess: Callable[[Any], Any] | None, device: str, batch_size: int) -> None:
        self.encoder, self.preprocess, self.device, self.batch_size = encoder, preprocess, device, batch_size
        self.name = f"{type(encoder).__module__}.{getattr(encoder, '__qualname__', type(encoder).__qualname__)}"

    @property
    def rows_at_once(self) -> int:
        """Number of rows of one call of `encode`."""
        return self.batch_size

    def hashes(self) -> dict[str, str | None]:
        """Return hashes of all that a vector depends on, by argument; None where there is none."""
        hashes = {"encoder": self._hash()}
        if hashes["encoder"] is None and isinstance(self.encoder, nn.Module):
            hashes["weights"] = weights_hash(self.encoder)  # so much is known besides the key that the user gives
        if self.preprocess is not None:
            hashes["preprocess"] = module_hash(self.preprocess) if isinstance(self.preprocess, nn.Module) else None
        return hashes

    def prepare(self, row: Any, number: int) -> Any:
        """Return a row as `encode` takes it."""
        return row if self.preprocess is None else self.preprocess(row)

    def encode(self, rows: list[Any]) -> Any:
        """Return the vectors (n, D) of prepared rows."""
        raise NotImplementedError

    def model(self) -> nn.Module | None:
        """Return the model that was loaded by its name, which whoever holds it keeps; None if there is none."""
        return None

    def _hash(self) -> str | None:
        return None


class FunctionEncoder(Encoder):
    """Encoder that is a function of a batch."""

    def encode(self, rows: list[Any]) -> Any:
        """Return what the function does, of an array where the rows are arrays, otherwise of a list."""
        return self.encoder(_stack(rows) if all(isinstance(row, np.ndarray | torch.Tensor) for row in rows) else rows)


class ModuleEncoder(Encoder):
    """Encoder that is a network on rows of floats."""

    names_files = True

    def prepare(self, row: Any, number: int) -> Any:
        """Return a row as an array or tensor."""
        row = super().prepare(row, number)
        if isinstance(row, str):
            raise TypeError(
                f"X holds the text {row[:40]!r} as row {number}, and a network reads numbers; give texts to "
                'encoder="sentence-transformers:NAME" or to a function of a list of texts.'
            )
        return row if isinstance(row, torch.Tensor) else as_row(row, number)

    def encode(self, rows: list[Any]) -> Any:
        """Return what the network, in evaluation mode, makes of the rows."""
        batch = torch.as_tensor(_stack(rows))

        def forward() -> Any:
            with torch.no_grad():
                return self._working(batch.to(self.device, self._dtype))

        # A network that draws numbers draws the same each time, and leaves torch's generators as they were.
        return run_seeded(forward, 0, self.device)

    def _hash(self) -> str | None:
        return module_hash(self.encoder)

    @cached_property
    def _working(self) -> nn.Module:
        """Copy of the network, in evaluation mode on the device: the given one is left as it is."""
        return copied(self.encoder, self.device)

    @cached_property
    def _dtype(self) -> torch.dtype:
        parameters = (parameter.dtype for parameter in self._working.parameters())
        return next((dtype for dtype in parameters if dtype.is_floating_point), torch.float32)


def copied(module: nn.Module, device: str) -> nn.Module:
    """Return a copy of a network on the device, in evaluation mode and without gradients."""
    try:
        twin = copy.deepcopy(module)
    except Exception as error:
        raise TypeError(
            f"encoder is a {type(module).__name__} that cannot be copied ({error}), and an Embedding computes with a "
            "copy, so that the mode and device of yours stay; give a function that calls it."
        ) from error
    return twin.eval().requires_grad_(False).to(device)


def _stack(rows: list[Any]) -> NDArray[Any]:
    arrays = [to_host(row) for row in rows]
    if (other := next((row.shape for row in arrays if row.shape != arrays[0].shape), None)) is not None:
        raise ValueError(
            f"X holds rows of several shapes, such as {arrays[0].shape} and {other}, and the encoder takes them in "
            "batches; crop or resize them to one, in preprocess=..."
        )
    return np.stack(arrays)
