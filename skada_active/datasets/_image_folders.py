"""Folders of images, one per domain and one sub-folder per class, as files, labels and domains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._image_files import ImageFiles
from skada_active.datasets._stacking import load_domains

__all__ = ["image_folders"]

_SHOWN = 5  # names that an error lists


def image_folders(
    folders: Mapping[str, Any],
    *,
    source: str | Sequence[str],
    target: str | Sequence[str],
    image_size: int | tuple[int, int] = 224,
    resize: int | tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[ImageFiles, NDArray[Any], NDArray[np.int64]]:
    """Return the images in one folder per domain, with one sub-folder per class, as ``X, y, sample_domain``.

    Parameters
    ----------
    folders : dict of name to path
        The folder of every domain. In it, each sub-folder is a class and holds its images, in sub-folders of its own,
        too, as in torchvision's ``ImageFolder``.
    source : str or sequence of str
        Domains with known labels, from `folders`.
    target : str or sequence of str
        Domains that the model must work on. Images that lie directly in the folder of a target have no label.
    image_size, resize
        Size at which images are read, see `ImageFiles`.
    classes : sequence of str, default=None
        Sub-folders to read, in every domain that has them; ``None``: all.

    Returns
    -------
    X : ImageFiles
        The files: sources first, each in the order given; in a domain by class and path, as in ``ImageFolder``, and
        last those without a label.
    y : ndarray of shape (n,)
        Names of the classes; of objects, with None where a label is missing, if any is.
    sample_domain : ndarray of shape (n,), int64
        The k-th entry of `folders` has the number k (from 1) where it is a source, and -k where it is a target.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If a folder is missing or is none.
    ValueError
        If a domain or a class has no image, an image of a source lies in no class, a target has a class that no source
        has, or `source`, `target` or `classes` name what there is not.

    Notes
    -----
    A source may have classes that the target lacks (partial adaptation): they are kept, and `classes` leaves them out.

    Images are files whose names end as those of ``ImageFolder`` do, or in ``.gif``; others, and whatever has a name
    that begins with a dot, are passed over. Links are followed. No image is opened: 100,000 files take about a second.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skada_active.datasets import image_folders
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ["shop/cat", "shop/dog", "phone"]:
    ...     (root / name).mkdir(parents=True)
    ...     Image.new("RGB", (40, 30)).save(root / name / "1.png")
    >>> folders = {"shop": root / "shop", "phone": root / "phone"}
    >>> X, y, sample_domain = image_folders(folders, source="shop", target="phone", image_size=32)
    >>> len(X), X[0].shape, y, sample_domain
    (3, (3, 32, 32), array(['cat', 'dog', None], dtype=object), array([ 1,  1, -2]))
    """
    if not isinstance(folders, Mapping):
        raise TypeError(
            'folders must be a dict of names to paths, such as {"amazon": "data/amazon"}, got a '
            f"{type(folders).__name__}."
        )
    kept = None if classes is None else _as_classes(classes)
    sources = np.atleast_1d(np.asarray(source, dtype=object)).tolist()
    numbers = {name: number for number, name in enumerate(folders, start=1)}
    found: dict[str, set[str]] = {}

    def read(domain: str) -> tuple[Any, Any]:
        files, labels = _list_domain(domain, folders[domain], kept, is_source=domain in sources)
        found[domain] = {label for label in labels if label is not None}
        return ImageFiles(files, image_size=image_size, resize=resize), np.array(labels, dtype=object)

    X, y, sample_domain = load_domains(source, target, numbers, read)
    _check_classes(found, folders, sources, kept)
    return cast(ImageFiles, X), y, sample_domain


def _as_classes(classes: Any) -> list[str]:
    kept = [] if isinstance(classes, str) else list(classes)
    if not kept or not all(isinstance(name, str) for name in kept):
        raise ValueError(f'classes={classes!r} must list names of sub-folders, such as ["bike", "mug"].')
    return kept


def _list_domain(
    domain: str, folder: Any, classes: list[str] | None, *, is_source: bool
) -> tuple[list[str], list[str | None]]:
    """Return the images of a domain and their labels."""
    from torchvision.datasets.folder import IMG_EXTENSIONS  # here, for the package imports without torch

    extensions = (*IMG_EXTENSIONS, ".gif")
    folder = os.path.expanduser(folder)
    where = f"folders[{domain!r}]={folder!r}"
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise NotADirectoryError(f"{where} is no folder; give the one that holds a sub-folder for each class.")
        raise FileNotFoundError(f"{where} does not exist (looked for from {os.getcwd()!r}).")
    with os.scandir(folder) as entries:
        is_folder = {entry.name: entry.is_dir() for entry in entries if not entry.name.startswith(".")}
    names = sorted(name for name in is_folder if is_folder[name] and (classes is None or name in classes))
    loose = sorted(name for name in is_folder if not is_folder[name] and name.lower().endswith(extensions))
    if is_source and loose:
        raise ValueError(
            f"{where} is a source, but {len(loose)} of its images, {loose[0]!r} first, lie in no sub-folder, so that "
            "they have no label; put them into that of their class, or away."
        )
    files: list[str] = []
    labels: list[str | None] = []
    for name in names:
        of_class = _images_in(os.path.join(folder, name), extensions)
        if not of_class:
            raise ValueError(
                f"{where}: the class {name!r} holds no image (no name ends in {', '.join(extensions)}); delete its "
                "sub-folder, or name the others in classes."
            )
        files += of_class
        labels += [name] * len(of_class)
    files += [os.path.join(folder, name) for name in loose]
    labels += [None] * len(loose)
    if not files:
        chosen = (
            "" if classes is None else f" in the sub-folders that classes={classes!r} names; it has {_some(is_folder)}"
        )
        raise ValueError(f"{where} holds no image{chosen} (no name ends in {', '.join(extensions)}).")
    return files, labels


def _images_in(folder: str, extensions: tuple[str, ...]) -> list[str]:
    """Return the images in a folder and those below it, in the order of torchvision's ``ImageFolder``."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (os.path.join(root, name) for name in folders):
            if os.path.islink(path) and f"{os.path.realpath(root)}/".startswith(f"{os.path.realpath(path)}/"):
                raise ValueError(
                    f"{path!r} is a link to a folder that it lies in, and would be read for ever; delete it."
                )
        found.append((root, sorted(name for name in names if name[0] != "." and name.lower().endswith(extensions))))
    return [os.path.join(root, name) for root, names in sorted(found) for name in names]


def _raise(error: OSError) -> None:
    raise error  # a folder that cannot be read would be passed over


def _check_classes(
    found: Mapping[str, set[str]], folders: Mapping[str, Any], sources: list[str], classes: list[str] | None
) -> None:
    """Raise a ValueError if a target has a class that no source has, or `classes` names one that there is not."""
    known = set().union(*(found[domain] for domain in sources))
    for domain in found:
        if new := found[domain] - known:
            shared = sorted(found[domain] & known)
            remedy = (
                f"leave it out by classes={shared}"
                if shared
                else "if they are no classes, give its files by ImageFiles, and both domains to stack_domains"
            )
            raise ValueError(
                f"folders[{domain!r}]={os.fspath(folders[domain])!r} has {len(new)} class(es) that no source has, "
                f"{_some(new)}; the sources {sources} have {_some(known)}. Rename the sub-folders, or {remedy}."
            )
    if absent := set(classes or ()) - known:
        raise ValueError(
            f"classes names {_some(absent)}, which is no sub-folder of the sources, which have {_some(known)}."
        )


def _some(names: Any) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{listed[:_SHOWN]}{more}"
