"""Encoders by name: models of timm and sentence-transformers, and what an argument stands for."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skada_active.deep._seeding import run_seeded
from skada_active.embedding.encoders import Encoder, FunctionEncoder, ModuleEncoder, copied
from skada_active.embedding.identity import digest, folder_hash, module_hash, weights_hash
from skada_active.embedding.rows import is_image

__all__ = ["make_encoder"]

#: Prefixes of named encoders.
_TIMM, _SENTENCES = "timm:", "sentence-transformers:"
#: Models that are loaded, while any `Embedding` holds them: clones share one.
_LOADED: WeakValueDictionary[tuple[str, ...], nn.Module] = WeakValueDictionary()
#: Batches that go to a model of texts at once, which sorts them by length.
_BATCHES_AT_ONCE = 8


class _TimmEncoder(ModuleEncoder):
    def __init__(self, encoder: str, preprocess: Callable[[Any], Any] | None, device: str, batch_size: int) -> None:
        super().__init__(encoder, preprocess, device, batch_size)
        self.name = encoder

    def hashes(self) -> dict[str, str | None]:
        # The model's own steps are in its configuration.
        return {**super().hashes(), "steps": repr(self._steps)}

    def prepare(self, row: Any, number: int) -> Any:
        if isinstance(row, np.ndarray) and row.dtype.kind in "ub":
            row = _as_image(row, number)
        if self.preprocess is None and is_image(row):
            return self._steps(row.convert("RGB"))
        return super().prepare(row, number)

    def model(self) -> nn.Module:
        return self._working

    def _hash(self) -> str | None:
        return module_hash(self._working)

    @cached_property
    def _working(self) -> nn.Module:
        return _loaded((self.encoder, self.device), self._create)

    def _create(self) -> nn.Module:
        timm, name = _optional("timm", self.encoder), self.encoder.removeprefix(_TIMM)
        try:
            model = timm.create_model(name, pretrained=True, num_classes=0)
        except RuntimeError as error:
            raise ValueError(
                f"encoder={self.encoder!r}: {error}. timm.list_models(pretrained=True) names the models that there are."
            ) from error
        except OSError as error:
            raise _no_weights(
                self.encoder,
                error,
                f"encoder=timm.create_model({name!r}, checkpoint_path=FILE, num_classes=0), and what its images need "
                "as preprocess, or the folder of a model that timm has saved, "
                'encoder="timm:local-dir:/path/to/folder"',
            ) from error
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _steps(self) -> Any:
        data = import_module("timm.data")
        return data.create_transform(**data.resolve_model_data_config(self._working), is_training=False)


class _SentenceEncoder(Encoder):
    """Encoder of texts: a model of sentence-transformers, by its name or folder, or made by the user."""

    def __init__(self, encoder: Any, preprocess: Callable[[Any], Any] | None, device: str, batch_size: int) -> None:
        super().__init__(encoder, preprocess, device, batch_size)
        if not isinstance(encoder, nn.Module):
            self.name = str(encoder)

    @property
    def rows_at_once(self) -> int:
        return self.batch_size * _BATCHES_AT_ONCE

    def prepare(self, row: Any, number: int) -> Any:
        row = super().prepare(row, number)
        if not isinstance(row, str) and not is_image(row):
            raise TypeError(
                f"X holds {type(row).__name__} as row {number}, and encoder={self.name!r} reads texts; give it a list, "
                "a Series or a column of texts."
            )
        return row

    def encode(self, rows: list[Any]) -> Any:
        def forward() -> Any:
            return self._working.encode(rows, batch_size=self.batch_size, show_progress_bar=False)

        return run_seeded(forward, 0, self.device)

    def model(self) -> nn.Module | None:
        return None if isinstance(self.encoder, nn.Module) else vars(self).get("_working")

    def _hash(self) -> str | None:
        if isinstance(self.encoder, nn.Module):
            return None  # what it holds besides its weights differs from process to process
        return self._folder_hash if self._folder is not None else digest(*self._revision)

    @cached_property
    def _folder(self) -> str | None:
        """The folder of the model, None where it has a name in the hub."""
        is_named = isinstance(self.encoder, str) and self.encoder.startswith(_SENTENCES)
        path = os.path.expanduser(self.name.removeprefix(_SENTENCES))
        return path if not is_named or os.path.isdir(path) else None

    @cached_property
    def _folder_hash(self) -> str:
        return folder_hash(self._folder or "")

    @cached_property
    def _revision(self) -> tuple[str, str]:
        """Name and commit of a model of the hub; it is fetched if it is not there."""
        if (found := self._cached_revision()) is None:
            self._fetched = self._create(None)
            found = self._cached_revision()
        return found or (self.name, weights_hash(self._fetched))

    def _cached_revision(self) -> tuple[str, str] | None:
        hub = _optional("huggingface_hub", self.encoder)
        name, _, revision = self.name.removeprefix(_SENTENCES).partition("@")
        for repository in (name, f"sentence-transformers/{name}"):  # models of that owner go by their bare name
            try:
                path = hub.snapshot_download(repository, revision=revision or None, local_files_only=True)
            except (OSError, ValueError):  # not there, or no name that could be
                continue
            return repository, os.path.basename(path)
        return None

    @cached_property
    def _working(self) -> Any:
        if isinstance(self.encoder, nn.Module):
            return copied(self.encoder, self.device)
        key = ("folder", self._folder_hash) if self._folder is not None else self._revision
        return _loaded((*key, self.device), lambda: self._fetched or self._create(key[1]))

    _fetched: Any = None

    def _create(self, revision: str | None) -> nn.Module:
        library = _optional("sentence_transformers", self.encoder)
        name, _, asked = self.name.removeprefix(_SENTENCES).partition("@")
        load = partial(library.SentenceTransformer, device=self.device)
        try:
            if self._folder is not None:
                return load(self._folder).eval()
            if revision is not None:
                with suppress(OSError):  # some of its files may be missing
                    return load(name, revision=revision, local_files_only=True).eval()
            return load(name, revision=revision or asked or None).eval()
        except OSError as error:
            raise _no_weights(
                self.name,
                error,
                'the folder that SentenceTransformer.save(folder) has written elsewhere, encoder="/path/to/folder"',
            ) from error


def make_encoder(encoder: Any, preprocess: Any, device: str, batch_size: int) -> Encoder:
    """Return the encoder that an argument stands for; nothing is loaded yet.

    Raises
    ------
    ValueError
        If a text is neither the name of an encoder nor a folder.
    """
    kind: type[Encoder] = FunctionEncoder
    if isinstance(encoder, nn.Module):
        kind = _SentenceEncoder if callable(getattr(encoder, "encode", None)) else ModuleEncoder
    elif isinstance(encoder, str) and encoder.startswith(_TIMM):
        kind = _TimmEncoder
    elif isinstance(encoder, str | os.PathLike):
        if not (os.path.isdir(os.path.expanduser(encoder)) or str(encoder).startswith(_SENTENCES)):
            raise ValueError(
                f"encoder={encoder!r} is neither a folder nor a name such as 'timm:resnet18' or "
                "'sentence-transformers:all-MiniLM-L6-v2'."
            )
        kind = _SentenceEncoder
    return kind(encoder, preprocess, device, batch_size)


def _as_image(row: NDArray[Any], number: int) -> Any:
    """Return bytes (C, H, W) as the image of PIL that they came from."""
    from PIL import Image

    if row.ndim != 3 or row.shape[0] > 4:
        raise ValueError(f"X holds an array of shape {row.shape} as row {number}; images have (C, H, W), C up to 4.")
    return Image.fromarray(row[0] if row.shape[0] == 1 else np.ascontiguousarray(np.moveaxis(row, 0, -1)))


def _loaded(key: tuple[str, ...], load: Callable[[], nn.Module]) -> nn.Module:
    if (model := _LOADED.get(key)) is None:
        model = _LOADED[key] = load()
    return model


def _optional(library: str, encoder: Any) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise ImportError(
            f"encoder={encoder!r} needs {library}, which is not installed: pip install 'skada-active[embedding]'."
        ) from error


def _no_weights(encoder: Any, error: Exception, remedy: str) -> OSError:
    reason = str(error).strip().partition("\n")[0]
    try:
        where = import_module("huggingface_hub.constants").HF_HUB_CACHE
    except ImportError:
        where = "the cache of its library"
    return OSError(
        f"encoder={encoder!r}: its weights are not in {where}, and they could not be fetched ({reason}). Without a "
        f"network, give {remedy}. HF_HUB_OFFLINE=1 keeps it from trying."
    )
