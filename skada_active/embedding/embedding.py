"""Embedding: a transformer that encodes images or texts once, and keeps the vectors on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from torch import nn

from skada_active.deep._builder import device_name
from skada_active.embedding.cache import VectorCache
from skada_active.embedding.encoders import Encoder
from skada_active.embedding.identity import digest
from skada_active.embedding.named import make_encoder
from skada_active.embedding.passes import embed
from skada_active.embedding.rows import Rows, check_rows
from skada_active.utils._sklearn import Interval

__all__ = ["Embedding"]

#: Changes when what is kept under a key does.
_FORMAT = "1"


class Embedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embedding of images, texts or arrays by a ready-made encoder, computed once for every distinct row.

    Put it at the head of a `Pipeline`: a loop transforms its rows in every round, and only the first time costs
    anything where there is a `cache`.

    Parameters
    ----------
    encoder : nn.Module, str, path or callable
        Makes the vectors; it is never trained.

        * A network, which maps rows as floats (n, ...) to (n, D): images of PIL and files become their pixels
          (n, C, H, W) from 0 to 255. A copy of it computes, in evaluation mode and without gradients. A network with a
          method ``encode``, such as a ``SentenceTransformer``, gets lists of texts by it.
        * ``"timm:NAME"``, a pretrained model of timm without its classifier. Images, files and bytes (C, H, W) go
          through the model's own steps of preparation; arrays of floats are taken as they are.
        * ``"sentence-transformers:NAME"``, or with a commit ``"sentence-transformers:NAME@REVISION"``.
        * The folder of a model that sentence-transformers has saved.
        * A function of a batch: of a list of texts or images of PIL, or of an array (n, ...); it returns (n, D).

        The libraries of named ones are the extra ``embedding``. Weights are loaded, or fetched if they have to be, by
        the first call that computes a vector, never by ``__init__``.
    cache : str or path, default=None
        Folder that keeps the vectors, made if it is not there; to clear it, delete it. ``None``: every call computes.
    cache_key : str, default=None
        Your name for what a hash cannot tell, needed for a `cache` where the encoder or `preprocess` is a function:
        change it whenever they, or what they call, change.
    preprocess : callable, default=None
        Maps a row to what the encoder takes of it, an array or tensor for a network. A row is a text, an array, or an
        image of PIL, which files are opened as, in RGB. It must not draw anything at random.
    batch_size : int, default=64
        Rows of a batch. A finished batch is kept whatever happens then; models of texts finish eight at a time.
    device : str, default="auto"
        Torch device of networks; ``"auto"``: CUDA where available, else the CPU.
    n_jobs : int, default=None
        Threads that read and prepare rows; ``None``: one, or as ``joblib.parallel_config`` says.
    dtype : dtype, default=numpy.float32
        Type of the result: float16, float32 or float64.
    verbose : int, default=0
        Whether to show a bar.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns, where rows are those of a table or array.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where they are texts.

    See Also
    --------
    skada_active.deep.AdaptationClassifier : Trains a network on the rows instead.

    Notes
    -----
    **Rows** are texts (a list, an array, a Series, or a table of one column), images of PIL, arrays (n, C, H, W),
    tables of numbers, datasets by index, or files of images: paths for any encoder, their names as texts for networks
    and timm. A label that a dataset yields beside the row is not read. A dataset is read whole in every call to hash
    its rows, unless it has a method ``row_content(number)``, which returns bytes that determine the row, such as the
    content of its file: then only what has to be encoded is read.

    **What a vector is kept by.** The hash of the row: its text, its bytes with shape and type, or the content of the
    file, wherever it lies. And the identity of the encoder, one file of the folder each: weights, buffers, attributes
    and code of the classes of a network (not functions that these call from elsewhere, for which `cache_key` is there),
    all files of a folder, the commit of a model of the hub; `preprocess`; `cache_key`. A function has no hash to trust
    and is refused without `cache_key`, and so is a network with an attribute that has none, such as a
    ``SentenceTransformer``: give the folder that it was saved to instead. Neither the device nor versions of libraries
    count.

    **Precision.** With a `cache` vectors are rounded to half precision, whether they were computed now or before: by at
    most 2^-11 (0.05 %) of a number, or 3e-8 below 6e-5. A row whose largest number is beyond 65504, or below 6e-5, is
    kept in single precision. NaN and infinity are refused. Whoever computed a vector first is right: the result of a
    network differs in its last digits with the size of the batch and the device, the one that is kept does not.

    **Cost.** Two bytes a number and 10 to 25 % more on disk. Reading 50,000 vectors of 768 numbers for texts takes
    0.8 s, and hardly more memory than the result. Hashing takes a second for 1.7 GB of rows, and of weights in every
    call; the copy of a network takes its memory again while it computes. A ResNet-18 on one core needs 29 s for 500
    images of 224 pixels, 0.12 s when they come again, and 0.2 s where one of them has changed
    (``benchmarks/embedding_cache.py``).

    **Kills and company.** Each batch is committed to a SQLite file; whatever kills the process, what is in the file is
    whole. Processes and threads of one machine may share a folder on a disk of that machine; network drives do not keep
    SQLite's locks reliably. No file is open between two calls.

    It learns nothing, so that ``transform`` works without ``fit``, which encodes the first row to know the number of
    columns, for `get_feature_names_out`. A loop that holds a function or a network can be pickled, not saved to a file
    of skops; one that holds a name or a folder can.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skada_active.embedding import Embedding
    >>> def counts(texts):
    ...     print(len(texts), "computed")
    ...     return np.array([[text.count(letter) for letter in "aeiou"] for text in texts])
    >>> embedding = Embedding(counts, cache=tempfile.mkdtemp(), cache_key="vowels")
    >>> embedding.fit_transform(["tea", "coffee", "tea"])
    2 computed
    array([[1., 1., 0., 0., 0.],
           [0., 2., 0., 1., 0.],
           [1., 1., 0., 0., 0.]], dtype=float32)
    >>> model = make_pipeline(embedding, LogisticRegression()).fit(["tea", "coffee"], ["no", "yes"])
    >>> model.predict(["tea", "mocco"]).tolist()
    1 computed
    ['no', 'yes']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "encoder": [nn.Module, str, os.PathLike, callable],
        "cache": [str, os.PathLike, None],
        "cache_key": [str, None],
        "preprocess": [callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "n_jobs": [Integral, None],
        "dtype": "no_validation",
        "verbose": ["verbose"],
    }

    #: Keeps a model that was loaded by its name, for the calls to come.
    _model: nn.Module | None = None

    def __init__(
        self,
        encoder: nn.Module | str | os.PathLike[str] | Callable[[Any], Any],
        *,
        cache: str | os.PathLike[str] | None = None,
        cache_key: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        batch_size: int = 64,
        device: str = "auto",
        n_jobs: int | None = None,
        dtype: DTypeLike = np.float32,
        verbose: int = 0,
    ) -> None:
        self.encoder = encoder
        self.cache = cache
        self.cache_key = cache_key
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.device = device
        self.n_jobs = n_jobs
        self.dtype = dtype
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Embedding:
        """Learn the number of columns, by the vector of the first row.

        Parameters
        ----------
        X : texts, images, array of shape (n, ...), table or dataset
            The rows.
        y : ignored
            Not read.

        Returns
        -------
        Embedding
            The transformer.

        Raises
        ------
        ValueError
            As of `transform`.
        """
        encoder = self._checked_encoder()
        rows = check_rows(self, X, reset=True, names_files=encoder.names_files)
        self._n_features_out = self._embed(replace(rows, n_rows=1), encoder).shape[1]
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Return the vectors (n, D), and learn their width; parameters and errors as of `fit`."""
        encoder = self._checked_encoder()
        vectors = self._embed(check_rows(self, X, reset=True, names_files=encoder.names_files), encoder)
        self._n_features_out = vectors.shape[1]
        return vectors

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the vectors of rows.

        Parameters
        ----------
        X : texts, images, array of shape (n, ...), table or dataset
            The rows, at least one.

        Returns
        -------
        ndarray of shape (n, D)
            The vectors, in `dtype`.

        Raises
        ------
        ValueError
            If a row is missing, the encoder does not return one finite vector a row, or a `cache_key` is needed.
        TypeError
            If `X` has no rows that can be taken by number, or the encoder cannot read such rows.
        FileNotFoundError
            If the file of an image is not there.
        ImportError
            If the library of a named encoder is not installed.
        OSError
            If weights have to be fetched and cannot be, or the folder of the cache cannot be written to.
        DamagedFileError
            If a file of the cache is damaged.
        """
        encoder = self._checked_encoder()
        return self._embed(check_rows(self, X, reset=False, names_files=encoder.names_files), encoder)

    def _checked_encoder(self) -> Encoder:
        self._validate_params()
        if np.dtype(self.dtype).kind != "f" or np.dtype(self.dtype).itemsize > 8:
            raise ValueError(f"dtype must be float16, float32 or float64, got {self.dtype!r}.")
        return make_encoder(self.encoder, self.preprocess, device_name(self.device), self.batch_size)

    def _embed(self, rows: Rows, encoder: Encoder) -> NDArray[Any]:
        with self._open_cache(encoder) as cache:
            dtype, verbose = np.dtype(self.dtype), bool(self.verbose)
            vectors = embed(rows, encoder, cache, dtype=dtype, n_jobs=self.n_jobs, verbose=verbose)
        if (model := encoder.model()) is not None:
            self._model = model
        return vectors

    def _open_cache(self, encoder: Encoder) -> Any:
        if self.cache is None:
            return nullcontext()
        hashes = encoder.hashes()
        if self.cache_key is None and (unknown := [name for name, value in hashes.items() if value is None]):
            raise ValueError(
                f"cache={self.cache!r} needs cache_key=...: what {' and '.join(unknown)} ({encoder.name}) does cannot "
                "be read off it, and a changed one would be given the vectors of the old. Give a text that you change "
                'whenever it does something else, such as cache_key="tfidf, 2nd version", or no cache.'
            )
        # The name of a function tells two apart that go by one cache_key.
        parts = [f"{name}={value or encoder.name}" for name, value in sorted(hashes.items())]
        identity = digest(_FORMAT, *parts, f"cache_key={self.cache_key!r}")
        return VectorCache(self.cache, identity, encoder.name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = [np.dtype(self.dtype).name]
        return tags
