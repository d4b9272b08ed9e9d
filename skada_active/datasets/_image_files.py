"""Dataset of image files, decoded one by one when they are read."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._image_reading import checked_sizes, read_image

__all__ = ["ImageFiles", "UnreadableFile"]

#: Files that a call of `ImageFiles.check` hands to a thread at a time.
_CHECKED_AT_ONCE = 64


class UnreadableFile(NamedTuple):
    """Row number and path of a file that could not be read, and the reason."""

    row: int
    path: str
    reason: str


class ImageFiles:
    """Files of images as rows: each is decoded, resized and cropped when it is read.

    ``X[3]`` is an array (3, H, W) of bytes, RGB from 0 to 255; a slice, a list of row numbers or a mask give another
    `ImageFiles`, which reads no file. scikit-learn takes rows in the same way, so that `train_test_split` and
    cross-validation leave the files on disk.

    Parameters
    ----------
    paths : sequence of str or path
        The files, row by row. None is opened before it is read.
    image_size : int or (height, width), default=224
        Pixels of every row.
    resize : int, (height, width) or None, default=None
        Size of an image before its centre of `image_size` is cut out, as in ``torchvision.transforms.Resize``: the
        short side, or both sides exactly, whatever the proportions. ``None``: as small as the crop allows. Pretrained
        networks of torchvision were mostly measured with ``image_size=224, resize=256``.

    Attributes
    ----------
    paths : ndarray of shape (n,), object
        The files, as str. `index` is the same: a session puts the path of each file into its table of questions.

    Raises
    ------
    TypeError
        If `paths` is a single path, or holds something else than paths.
    ValueError
        If there is no path, or sizes are no positive integers or `resize` is smaller than `image_size`.

    See Also
    --------
    image_folders : Files and labels from folders of classes.

    Notes
    -----
    An image is turned upright by its EXIF orientation; grey, palette and CMYK images become RGB, of 16 bits the upper
    eight count, and what is transparent becomes white. Of an animation the first frame is read. Images of 32 bits a
    channel are refused, for their range is not known. Pillow decodes all of it, so that rows do not depend on the
    version of torchvision.

    Rows are the same at every reading. They are those of torchvision's ``Resize`` (bilinear) and ``CenterCrop`` but for
    rounding, by at most 2 of 255 levels, except that a JPEG whose short side is at least four times as long as it is
    resized to is decoded at 1/2, 1/4 or 1/8 of its size, which takes a fraction of the time and shifts a level by about
    one on average. What is random, such as crops and flips, belongs into the ``train_transform`` of
    `AdaptationClassifier`, which gets a batch (n, 3, H, W) of floats from 0 to 255.

    `AdaptationClassifier` standardises the channels for its default network. A `module` of one's own reads 0 to 255;
    what it was pretrained with goes in front of it (see the examples). Worker processes that read ahead come from
    ``net_params={"iterator_train__num_workers": 4, "iterator_valid__num_workers": 4}``, training and prediction apart.

    Memory: about 100 bytes a file beside its path. A file that cannot be read is an `OSError` that names it and its
    row; where rows were taken, that is the row number in the `ImageFiles` that they come from. `check` finds all of
    them.

    A journal knows the rows by file names without folders, sizes in bytes and the content of at most 64 files spread
    over them: folders can move and be renamed between two sessions.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skada_active.datasets import ImageFiles
    >>> folder = Path(tempfile.mkdtemp())
    >>> for number in range(4):
    ...     Image.new("RGB", (40, 30), (60 * number, 0, 0)).save(folder / f"{number}.png")
    >>> X = ImageFiles(sorted(folder.glob("*.png")), image_size=16)
    >>> len(X), X[3].shape, X[3][:, 8, 8]
    (4, (3, 16, 16), array([180,   0,   0], dtype=uint8))
    >>> len(X[[0, 2]]), X.check()
    (2, [])

    Random crops and flips, a draw for each image:

    >>> import torch
    >>> from torchvision.transforms import v2
    >>> from skada_active.deep import AdaptationClassifier
    >>> views = v2.Compose([v2.RandomResizedCrop(16, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()])
    >>> def train_transform(images):
    ...     return torch.stack([views(image) for image in images])
    >>> model = AdaptationClassifier(train_transform=train_transform, max_epochs=1, random_state=0)
    >>> model.fit(X, ["dark", "dark", "red", "red"]).predict(X).shape
    (4,)

    The mean and deviation that torchvision's networks were trained with:

    >>> from skada_active.networks import Standardize, torchvision_backbone
    >>> mean, scale = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]) * 255
    >>> module = torch.nn.Sequential(Standardize(mean, scale), torchvision_backbone("resnet18"))
    """

    paths: NDArray[np.object_]

    def __init__(
        self, paths: Any, *, image_size: int | tuple[int, int] = 224, resize: int | tuple[int, int] | None = None
    ) -> None:
        self.paths = _as_paths(paths)
        self.image_size, self.resize = checked_sizes(image_size, resize)
        #: Row numbers in the files as first given, for errors.
        self._rows = np.arange(len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            key = np.asarray(key)
            if key.ndim == 0 and key.dtype.kind in "iu":
                return self._read(int(key))
            if key.ndim != 1 or (key.size and key.dtype.kind not in "iub"):
                raise IndexError(
                    "an ImageFiles is indexed by a row number, a slice, a list of row numbers or a mask, got "
                    f"{key.dtype} of shape {key.shape}."
                )
            key = key if key.size else key.astype(np.int64)
        part = copy.copy(self)
        part.paths, part._rows = self.paths[key], self._rows[key]
        return part

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return map(self._read, range(len(self)))

    def __repr__(self) -> str:
        first = f", first {self.paths[0]!r}" if len(self) else ""
        return f"ImageFiles({len(self)} files{first}, image_size={self.image_size}, resize={self.resize})"

    @property
    def index(self) -> NDArray[np.object_]:
        """Names of the rows, as a table has them: the paths."""
        return self.paths

    @property
    def iloc(self) -> ImageFiles:
        """The files themselves, indexed by position; scikit-learn looks for it before it takes rows one by one."""
        return self

    @property
    def loc(self) -> ImageFiles:
        """The files themselves; scikit-learn takes the rows of a mask in this way."""
        return self

    def take(self, indices: Any, axis: int = 0) -> ImageFiles:
        """Return the files of some rows, in the way that scikit-learn asks for them.

        Parameters
        ----------
        indices : array-like of int
            Row numbers.
        axis : int, default=0
            Rows are the only axis.

        Returns
        -------
        ImageFiles
        """
        if axis:
            raise ValueError(f"axis={axis!r}, but an ImageFiles has rows alone, axis=0.")
        return self[np.asarray(indices, dtype=np.int64)]

    def join_rows(self, *others: ImageFiles) -> ImageFiles:
        """Return these files followed by those of `others`, which `stack_domains` does.

        Parameters
        ----------
        *others : ImageFiles
            Files to be read at the same sizes.

        Returns
        -------
        ImageFiles

        Raises
        ------
        ValueError
            If sizes differ.
        """
        for other in others:
            if (self.image_size, self.resize) != (other.image_size, other.resize):
                raise ValueError(f"{self!r} and {other!r} differ in image_size or resize; make both alike.")
        joined = copy.copy(self)
        joined.paths = np.concatenate([self.paths, *(other.paths for other in others)])
        joined._rows = np.arange(len(joined.paths))
        return joined

    def check(self, n_jobs: int | None = None) -> list[UnreadableFile]:
        """Read all files and return those that cannot be read.

        Parameters
        ----------
        n_jobs : int, default=None
            Number of threads, as in scikit-learn; ``None``: 1.

        Returns
        -------
        list of UnreadableFile
            Named tuples ``(row, path, reason)`` in the order of the rows, which are those of this `ImageFiles`.

        Notes
        -----
        Costs a pass over the data, and keeps none of the images. The rows without these files are
        ``X[np.delete(np.arange(len(X)), [file.row for file in X.check()])]``; take the same rows of the labels.
        """
        from joblib import Parallel, delayed

        starts = range(0, len(self), _CHECKED_AT_ONCE)
        found = Parallel(n_jobs, prefer="threads")(delayed(self._unreadable)(start) for start in starts)
        return [file for files in found for file in files]

    @property
    def row_type(self) -> str:
        """Type of a row and how it is resized, for the fingerprint of the data of a session."""
        return f"uint8, resize={self.resize}"

    def fingerprint_rows(self, start: int, stop: int) -> list[NDArray[Any]]:
        """Return what identifies some rows, for the fingerprint of the data of a session.

        Parameters
        ----------
        start, stop : int
            The first row, and the one after the last.

        Returns
        -------
        list of ndarray
            Bytes of the names of the files, their sizes, and the content of the first of them.
        """
        paths = self.paths[start:stop]
        names = b"\0".join(os.fsencode(os.path.basename(path)) for path in paths)
        sizes = np.array([os.path.getsize(path) for path in paths], dtype=np.int64)
        with open(paths[0], "rb") as file:
            return [np.frombuffer(part, dtype=np.uint8) for part in (names, file.read())] + [sizes]

    def row_content(self, row: int) -> bytes:
        """Return what determines a row, for the cache of `Embedding`: sizes, and the content of the file, undecoded."""
        with open(self.paths[row], "rb") as file:
            return f"{self.image_size} {self.resize} ".encode() + file.read()

    def _read(self, row: int) -> NDArray[np.uint8]:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} is none of the {len(self)} files.")
        try:
            return read_image(self.paths[row], self.image_size, self.resize)
        except MemoryError:
            raise
        except Exception as error:  # a broken file makes Pillow's readers raise errors of all kinds
            raise OSError(
                f"{self.paths[row]}, row {self._rows[row]} of X, could not be read: "
                f"{_reason(self.paths[row], error)}. X.check() finds all such files."
            ) from error

    def _unreadable(self, start: int) -> list[UnreadableFile]:
        found = []
        for row in range(start, min(start + _CHECKED_AT_ONCE, len(self))):
            try:
                self._read(row)
            except OSError as error:
                found.append(UnreadableFile(row, self.paths[row], _reason(self.paths[row], error.__cause__)))
        return found


def _reason(path: str, error: Any) -> str:
    if getattr(error, "strerror", None):  # of the operating system, whose full text names the file again
        return str(error.strerror)
    with open(path, "rb") as file:
        if not file.read(1):
            return "the file is empty"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image of a format that Pillow knows"
    return f"{error or type(error).__name__}"


def _as_paths(paths: Any) -> NDArray[np.object_]:
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(
            f"paths={paths!r} is one path; give a list of files, such as sorted(Path(folder).glob('*.jpg')), or use "
            "image_folders for folders of classes."
        )
    listed = list(paths)
    if not listed:
        raise ValueError("paths is empty; give at least one file (a glob that finds nothing gives none).")
    for number, path in enumerate(listed):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"paths must hold str or path objects, got {type(path).__name__} as item {number}.")
    # Objects: an array of strings would take four bytes for each character of the longest one.
    array = np.empty(len(listed), dtype=object)
    array[:] = [os.fspath(path) for path in listed]
    return array
