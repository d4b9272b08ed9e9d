"""Loaders of the shipped tables of heart disease and wine quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skada_active.datasets._stacking import load_table

if TYPE_CHECKING:
    from skada_active.datasets._stacking import Table

__all__ = ["load_heart_disease", "load_wine_quality"]


def load_heart_disease(
    source: str | Sequence[str] = "cleveland", target: str | Sequence[str] = "hungarian", *, as_frame: bool = False
) -> Table:
    """Load heart disease patients of four hospitals.

    The task is to tell whether angiography found a coronary artery narrowed by more than half.

    =========== ====== ==== ======= ============== ======================================
    domain      number rows disease missing values hospital
    =========== ====== ==== ======= ============== ======================================
    cleveland   1      303  45.9 %  0.2 %          Cleveland Clinic Foundation
    hungarian   2      294  36.1 %  20.5 %         Hungarian Institute of Cardiology
    switzerland 3      123  93.5 %  17.1 %         University Hospitals Zurich and Basel
    va          4      200  74.5 %  26.9 %         V.A. Medical Center, Long Beach
    =========== ====== ==== ======= ============== ======================================

    Parameters
    ----------
    source : str or sequence of str, default="cleveland"
        Hospitals with known labels, from "cleveland", "hungarian", "switzerland", "va".
    target : str or sequence of str, default="hungarian"
        Hospitals that the model must work on.
    as_frame : bool, default=False
        Whether X is a DataFrame with UCI's feature names (needs pandas).

    Returns
    -------
    X : ndarray or DataFrame of shape (n, 13), float32
        age (years), sex (1 male), cp (chest pain, 1-4), trestbps (resting blood pressure, mm Hg), chol (mg/dl),
        fbs (fasting sugar > 120 mg/dl), restecg (0-2), thalach (highest heart rate, 1/min), exang (angina from
        exercise), oldpeak (ST depression), slope (1-3), ca (vessels coloured, 0-3), thal (3, 6, 7).
        A missing value is NaN.
    y : ndarray of shape (n,), int64
        1 disease (UCI's ``num`` > 0), 0 none, of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The hospital's number for source rows, minus the number for target rows.

    Raises
    ------
    ValueError
        If a hospital is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 1 ms; 52 bytes a row. NaN is concentrated in slope, ca and thal outside Cleveland. A chol of 0 (all rows of
    switzerland, 49 of va) also means missing; it is left as published. Licence: CC BY 4.0.

    References
    ----------
    .. [1] R. Detrano, A. Janosi, W. Steinbrunn, M. Pfisterer, J. Schmid, S. Sandhu, K. Guppy, S. Lee, V. Froelicher,
       "International application of a new probability algorithm for the diagnosis of coronary artery disease",
       American Journal of Cardiology 64, 304-310, 1989.

    Examples
    --------
    >>> from skada_active.datasets import load_heart_disease
    >>> X, y, sample_domain = load_heart_disease(source=["cleveland", "hungarian"], target="va")
    >>> X.shape, sorted(set(sample_domain.tolist())), sorted(set(y.tolist()))
    ((797, 13), [-4, 1, 2], [0, 1])
    """
    numbers = {"cleveland": 1, "hungarian": 2, "switzerland": 3, "va": 4}
    return load_table("heart_disease.npz", numbers, source, target, as_frame)


def load_wine_quality(
    source: str | Sequence[str] = "red", target: str | Sequence[str] = "white", *, as_frame: bool = False
) -> Table:
    """Load chemical measurements of red and white wines with their quality.

    The task is to tell better wines (median grade of the tasters 6 or more, of 10) from the others. All wines are
    Portuguese Vinho Verde.

    ====== ====== ==== =============
    domain number rows quality >= 6
    ====== ====== ==== =============
    red    1      1599 53.5 %
    white  2      4898 66.5 %
    ====== ====== ==== =============

    Parameters
    ----------
    source : {"red", "white"} or a sequence with one of them, default="red"
        The colour with known labels.
    target : {"red", "white"} or a sequence with one of them, default="white"
        The colour that the model must work on.
    as_frame : bool, default=False
        Whether X is a DataFrame with UCI's feature names (needs pandas).

    Returns
    -------
    X : ndarray or DataFrame of shape (n, 11), float32
        fixed acidity, volatile acidity, citric acid, residual sugar, chlorides (g/l), free and total sulfur dioxide
        (mg/l), density (g/ml), pH, sulphates (g/l), alcohol (% by volume).
    y : ndarray of shape (n,), int64
        1 if the grade is at least 6, else 0, of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The colour's number for source rows, minus the number for target rows.

    Raises
    ------
    ValueError
        If a colour is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 2 ms; 44 bytes a row. Some wines occur in several equal rows, as published. Licence: CC BY 4.0.

    References
    ----------
    .. [1] P. Cortez, A. Cerdeira, F. Almeida, T. Matos, J. Reis, "Modeling wine preferences by data mining from
       physicochemical properties", Decision Support Systems 47(4), 547-553, 2009.

    Examples
    --------
    >>> from skada_active.datasets import load_wine_quality
    >>> X, y, sample_domain = load_wine_quality(source="red", target="white")
    >>> X.shape, int((sample_domain == 1).sum()), int((sample_domain == -2).sum())
    ((6497, 11), 1599, 4898)
    """
    return load_table("wine_quality.npz", {"red": 1, "white": 2}, source, target, as_frame)
