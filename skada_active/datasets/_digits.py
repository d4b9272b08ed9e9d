"""Two sets of handwritten digits as one domain pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skada_active.datasets._stacking import Arrays, Dataset, load_domains, read_archive

__all__ = ["load_digits_pair"]

SIDE = 28


def load_digits_pair(source: str | Sequence[str] = "mnist", target: str | Sequence[str] = "optdigits") -> Dataset:
    """Load handwritten digits as grey images of two origins.

    ========== ====== ==== =====================================================================
    domain     number rows what it is
    ========== ====== ==== =====================================================================
    optdigits  1      1797 Optical Recognition of Handwritten Digits (test part), 8 x 8 pixels,
                           17 grey levels, enlarged here to 28 x 28 by bilinear interpolation
    mnist      2      2000 MNIST test images, 28 x 28 pixels, 256 grey levels: a fixed
                           class-stratified subset of the images 5000 to 8999
    ========== ====== ==== =====================================================================

    Classes: the digits 0 to 9, about equally frequent (8.8 % to 11.1 % of a domain). A digit of optdigits fills
    its image, a digit of MNIST fills the inner 20 x 20 pixels: scale, stroke and sharpness differ.

    Parameters
    ----------
    source, target : {"optdigits", "mnist"} or a sequence with one of them, default="mnist", "optdigits"
        Which domain is the labelled one and which one the model must work on.

    Returns
    -------
    X : ndarray of shape (n, 1, 28, 28), float32
        Grey levels in [0, 1], ink is 1.
    y : ndarray of shape (n,), int64
        The digits, those of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The domain's number for source rows, minus the number for target rows.

    Raises
    ------
    ValueError
        If a domain is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 60 ms; the default result takes 12 MB. Both domains are in the order of their original, in which the
    classes are mixed. MNIST: Yann LeCun, Corinna Cortes and Christopher Burges, CC BY-SA 3.0. optdigits:
    E. Alpaydin and C. Kaynak, CC BY 4.0; it is read from scikit-learn.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proceedings of the IEEE 86(11), 2278-2324, 1998.
    .. [2] E. Alpaydin, C. Kaynak, "Cascading classifiers", Kybernetika 34(4), 369-374, 1998.

    Examples
    --------
    >>> from skada_active.datasets import load_digits_pair
    >>> X, y, sample_domain = load_digits_pair(source="mnist", target="optdigits")
    >>> X.shape, X.dtype
    ((3797, 1, 28, 28), dtype('float32'))
    >>> int((sample_domain == 2).sum()), int((sample_domain == -1).sum())
    (2000, 1797)
    """
    readers = {"optdigits": _optdigits, "mnist": _mnist}
    numbers = {name: number for number, name in enumerate(readers, start=1)}
    return load_domains(source, target, numbers, lambda domain: readers[domain]())


def _optdigits() -> Arrays:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    factor = SIDE / images.shape[1]
    # grid_mode treats pixels as areas: without it the outer half pixels would be lost and the digit shifted.
    enlarged = zoom(images, (1, factor, factor), order=1, grid_mode=True, mode="nearest")
    return enlarged[:, np.newaxis], digits.target.astype(np.int64)


def _mnist() -> Arrays:
    images, y = read_archive("mnist.npz", "X_mnist", "y_mnist")
    return images[:, np.newaxis].astype(np.float32) / 255, y.astype(np.int64)
