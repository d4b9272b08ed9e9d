"""Estimators, strategies and plain values as one skops file each, made again only from a strict list of types."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skada_active.exceptions import DamagedFileError, UnsaveableError, UntrustedFileError

__all__ = ["dumps", "errors_name", "is_loadable", "load", "loads", "save", "write_bytes"]

# Beside what skops trusts by itself: containers, numpy's types of numbers, ufuncs and generators, scikit-learn's
# estimators. Each of these only holds values; none opens a file, imports, or calls what it is given.
_KERNELS = (
    "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern PairwiseKernel Product RBF "
    "RationalQuadratic Sum WhiteKernel"
)
_SPLITTERS = (
    "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut PredefinedSplit "
    "RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit "
    "TimeSeriesSplit"
)
_METRICS = (
    "BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Mahalanobis Manhattan Minkowski "
    "RogersTanimoto RussellRao SEuclidean SokalSneath"
)
_OPTIMIZERS = "adadelta.Adadelta adagrad.Adagrad adam.Adam adamw.AdamW nadam.NAdam radam.RAdam rmsprop.RMSprop sgd.SGD"
_TRUSTED = frozenset(
    [
        "numpy.dtype",
        "numpy.mean",
        "scipy.interpolate._bsplines.BSpline",
        *(f"scipy.sparse._{form}.{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("array", "matrix")),
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        *(f"sklearn.feature_selection._univariate_selection.{name}" for name in ("chi2", "f_classif", "f_regression")),
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS.split()),
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _METRICS.split() for bits in (32, 64)),
        *(f"sklearn.model_selection._split.{name}" for name in _SPLITTERS.split()),
        "sklearn.multiclass._ConstantPredictor",
        *(f"sklearn.neighbors._ball_tree.BallTree{bits}" for bits in ("", 32, 64)),
        *(f"sklearn.neighbors._kd_tree.KDTree{bits}" for bits in ("", 32, 64)),
        *(f"sklearn.neural_network._stochastic_optimizers.{name}Optimizer" for name in ("Adam", "SGD")),
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "skada_active.model_selection.TargetShuffleSplit",
        "skada_active.pool.view.PoolView",
        "skorch.dataset.ValidSplit",
        *(f"torch.optim.{name}" for name in _OPTIMIZERS.split()),
    ]
)
#: Modules of this package whose estimators may be made from a file.
_OWN = re.compile(r"skada_active(\.(?!testing\b|cli\b|interop\b|__)\w+)+")
#: How many times its size, or how many bytes, a file may hold inflated.
_INFLATED_RATIO, _INFLATED_BYTES = 100, 2**26


def dumps(value: Any) -> bytes:
    """Return an estimator, a strategy or a container of plain values and arrays as the bytes of a skops file.

    Raises
    ------
    UnsaveableError
        If something in it has no form without pickle.
    """
    from skops.io import dumps

    try:
        return dumps(value)
    except Exception as error:  # skops lets whatever a foreign object raises pass
        raise UnsaveableError(f"{type(value).__name__} cannot be written without pickle: {error}") from error


def loads(data: bytes, trusted: Sequence[str | type] = ()) -> Any:
    """Return what `dumps` wrote.

    Names are checked before anything is imported, sizes before anything is inflated.

    Parameters
    ----------
    data : bytes
        The file.
    trusted : sequence of str or type, default=()
        Types that may be made besides estimators of scikit-learn and of this package, by their full names.

    Raises
    ------
    DamagedFileError
        If it is no skops file, or does not hold what was written.
    UntrustedFileError
        If it names other types; nothing of it was made.
    """
    import skops.io

    names = [name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}" for name in trusted]
    try:
        schema = _checked_schema(data)
        _refuse_cache_folders(schema)
        untrusted = [name for name in skops.io.get_untrusted_types(data=data) if name not in names]
        refused = [name for name in untrusted if name not in _TRUSTED and not _is_own_estimator(name)]
        if refused:
            raise UntrustedFileError(
                f"the file names {', '.join(refused)}, which may not be made from a file: it could run code. Where you "
                f"trust its origin, pass trusted={refused}."
            )
        return skops.io.loads(data, trusted=[*untrusted, *names])
    except (DamagedFileError, UntrustedFileError):
        raise
    except Exception as error:
        raise DamagedFileError(f"the file is damaged or no skops file ({type(error).__name__}: {error}).") from error


def is_loadable(value: Any) -> bool:
    """Tell whether a value can be written, and made again from a file without any other type being trusted."""
    try:
        loads(dumps(value))
    except (UnsaveableError, UntrustedFileError, DamagedFileError):
        return False
    return True


def save(value: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator, a strategy or a loop, configured or fitted, to a skops file.

    Parameters
    ----------
    value : estimator
        An estimator of scikit-learn or of this package; others are written, too, where skops can.
    path : str or path
        The file; its folder is made if it is not there. It is replaced all at once: whoever reads it meanwhile reads
        the old or the new one.

    Raises
    ------
    UnsaveableError
        If something in it has no form without pickle.

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
    write_bytes(Path(path), dumps(value))


def load(path: str | os.PathLike[str], *, trusted: Sequence[str | type] = ()) -> Any:
    """Return what `save` wrote, see `loads`; a FileNotFoundError if there is no such file."""
    with errors_name(path):
        return loads(Path(path).read_bytes(), trusted)


@contextmanager
def errors_name(path: Any) -> Iterator[None]:
    """Let errors of a file begin with its path."""
    try:
        yield
    except (DamagedFileError, UntrustedFileError) as error:
        raise type(error)(f"{path}: {error}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it when it is on the disk: it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)  # as readable as any new file
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _checked_schema(data: bytes) -> Any:
    """Return the tree of names of a skops file whose parts are no larger, inflated, than the file allows."""
    most = max(_INFLATED_BYTES, _INFLATED_RATIO * len(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_sizes(archive, most)
        for name in archive.namelist():
            if name.endswith(".npy"):
                _check_array(archive, name)
            elif name.endswith(".npz"):
                with zipfile.ZipFile(io.BytesIO(archive.read(name))) as arrays:
                    _check_sizes(arrays, most)
                    for member in arrays.namelist():
                        _check_array(arrays, member)
        return json.loads(archive.read("schema.json"))


def _check_sizes(archive: zipfile.ZipFile, most: int) -> None:
    size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise DamagedFileError(f"its parts take {size} bytes, more than such a file can hold; it is no file of skops.")


def _check_array(archive: zipfile.ZipFile, name: str) -> None:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject or size > archive.getinfo(name).file_size:
        raise DamagedFileError(f"its array {name} of shape {shape} and type {dtype} is not what it says.")


def _refuse_cache_folders(schema: Any) -> None:
    # A `memory` that is a path is a folder of pickles, which scikit-learn reads when it fits.
    for node in _nodes(schema):
        memory = node.get("memory")
        if isinstance(memory, dict) and str(memory.get("content", "null")) != "null":
            raise UntrustedFileError(f"the file names a folder of pickles, memory={memory['content']}; it is refused.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
        if isinstance(node, dict | list):
            pending += [
                item for item in (node.values() if isinstance(node, dict) else node) if isinstance(item, dict | list)
            ]


def _is_own_estimator(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if not _OWN.fullmatch(module):
        return False
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__ == module
