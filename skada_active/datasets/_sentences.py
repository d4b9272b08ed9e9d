"""Loader of the shipped sentences: reviews of products, films and restaurants as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._stacking import Arrays, Dataset, load_domains, read_archive

__all__ = ["load_sentences"]

_FILE = "sentences.npz"
_NUMBERS = {"amazon": 1, "imdb": 2, "yelp": 3}


@overload
def load_sentences(
    source: str | Sequence[str] = ..., target: str | Sequence[str] = ..., *, return_texts: Literal[False] = ...
) -> Dataset: ...
@overload
def load_sentences(
    source: str | Sequence[str] = ..., target: str | Sequence[str] = ..., *, return_texts: Literal[True]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], NDArray[np.str_]]: ...
def load_sentences(
    source: str | Sequence[str] = "amazon", target: str | Sequence[str] = "imdb", *, return_texts: bool = False
) -> Any:
    """Load sentences of reviews, praise or blame, as vectors of a language model.

    ====== ====== ==== ======== =====================
    domain number rows positive reviews of
    ====== ====== ==== ======== =====================
    amazon 1      1000 50 %     phones and accessories
    imdb   2      1000 50 %     films
    yelp   3      1000 50 %     restaurants
    ====== ====== ==== ======== =====================

    Parameters
    ----------
    source : str or sequence of str, default="amazon"
        Sites with known labels, from "amazon", "imdb", "yelp".
    target : str or sequence of str, default="imdb"
        Sites that the model must work on.
    return_texts : bool, default=False
        Whether the sentences themselves are returned, too.

    Returns
    -------
    X : ndarray of shape (n, 384), float32
        Vectors of length 1 (rounded to half precision): the mean over the tokens of all-MiniLM-L6-v2, a model of
        sentences that was trained on other texts.
    y : ndarray of shape (n,), int64
        1 positive, 0 negative, of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The site's number for source rows, minus the number for target rows.
    texts : ndarray of shape (n,), str
        The sentences, as published. Only with ``return_texts=True``.

    Raises
    ------
    ValueError
        If a site is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 20 ms; 1.5 kB a row, and up to 2 kB for a sentence. Some sentences occur twice, as published. Licence: CC BY
    4.0; the model is under Apache 2.0.

    References
    ----------
    .. [1] D. Kotzias, M. Denil, N. de Freitas, P. Smyth, "From Group to Individual Labels using Deep Features", KDD
       2015.
    .. [2] N. Reimers, I. Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP-IJCNLP 2019,
       for the way the model was trained.
    .. [3] W. Wang, F. Wei, L. Dong, H. Bao, N. Yang, M. Zhou, "MiniLM: Deep Self-Attention Distillation for
       Task-Agnostic Compression of Pre-Trained Transformers", NeurIPS 2020, for the network.

    Examples
    --------
    >>> from skada_active.datasets import load_sentences
    >>> X, y, sample_domain, texts = load_sentences(source=["amazon", "imdb"], target="yelp", return_texts=True)
    >>> X.shape, sorted(set(sample_domain.tolist()))
    ((3000, 384), [-3, 1, 2])
    >>> print(texts[-1000], y[-1000])
    Wow... Loved this place. 1
    """
    X, y, sample_domain = load_domains(source, target, _NUMBERS, _read)
    if not return_texts:
        return X, y, sample_domain
    sites = {number: site for site, number in _NUMBERS.items()}
    order = dict.fromkeys(np.abs(sample_domain).tolist())  # every site's rows lie together
    return X, y, sample_domain, np.concatenate(read_archive(_FILE, *(f"text_{sites[number]}" for number in order)))


def _read(site: str) -> Arrays:
    X, y = read_archive(_FILE, f"X_{site}", f"y_{site}")
    return X.astype(np.float32), y.astype(np.int64)
