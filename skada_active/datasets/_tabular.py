"""Loaders of the shipped tables: gas sensors, heart disease, wine quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._stacking import Arrays, Dataset, Domain, load_domains, read_archive

if TYPE_CHECKING:
    import pandas as pd

    Table: TypeAlias = tuple[NDArray[np.float32] | pd.DataFrame, NDArray[Any], NDArray[np.int64]]

__all__ = ["load_gas_drift", "load_heart_disease", "load_wine_quality"]


def load_gas_drift(
    source: int | Sequence[int] = (1, 2), target: int | Sequence[int] = (8,), *, as_frame: bool = False
) -> Table:
    """Load gas sensor measurements whose sensors drift over three years.

    Sixteen metal-oxide sensors were exposed to six gases at many concentrations; the classes are the gases. The
    domains are batches in time, and the sensors age from batch to batch.

    ====== ============ ============= ===========
    batch  months       rows shipped  rows at UCI
    ====== ============ ============= ===========
    1      1, 2         445           445
    2      3, 4, 8-10   1244          1244
    3      11-13        200           1586
    4      14, 15       80            161
    5      16           100           197
    6      17-20        600           2300
    8      22, 23       294           294
    9      24, 30       160           470
    ====== ============ ============= ===========

    Rows are measurements as published. Where only some are shipped, they are a fixed class-stratified choice.
    Batches 7 and 10 are not shipped. Batches 3, 4 and 5 hold no Toluene, batch 2 five rows of it.

    Parameters
    ----------
    source : int or sequence of int, default=(1, 2)
        Batches with known labels, from 1, 2, 3, 4, 5, 6, 8, 9.
    target : int or sequence of int, default=(8,)
        Batches that the model must work on.
    as_frame : bool, default=False
        Whether X is a DataFrame with UCI's feature names (needs pandas).

    Returns
    -------
    X : ndarray or DataFrame of shape (n, 128), float32
        Eight features of each of 16 sensors, ``DR_1, |DR|_1, EMAi0.001_1, ..., EMAd0.1_16``: the steady-state
        resistance change (up to 1e6), the same normalised, and the extremes of six exponential moving averages of the
        rising and the falling response. Scale them before fitting.
    y : ndarray of shape (n,), str
        "Ethanol", "Ethylene", "Ammonia", "Acetaldehyde", "Acetone" or "Toluene", of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The batch number for source rows, minus the batch number for target rows.

    Raises
    ------
    ValueError
        If a batch is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 6 ms; 0.5 kB a row. Rows are in UCI's order, in which long runs share a class: shuffle before splitting.
    Licence: the UCI page says CC BY 4.0, while the description on the same page, which is older, says "exclusively
    for research purposes"; it asks for both papers to be cited.

    References
    ----------
    .. [1] A. Vergara, S. Vembu, T. Ayhan, M. A. Ryan, M. L. Homer, R. Huerta, "Chemical gas sensor drift
       compensation using classifier ensembles", Sensors and Actuators B 166-167, 320-329, 2012.
    .. [2] I. Rodriguez-Lujan, J. Fonollosa, A. Vergara, M. Homer, R. Huerta, "On the calibration of sensor arrays
       for pattern recognition using the minimal number of experiments", Chemometrics and Intelligent Laboratory
       Systems 130, 123-134, 2014.

    Examples
    --------
    >>> from skada_active.datasets import load_gas_drift
    >>> X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
    >>> X.shape, sorted(set(sample_domain.tolist()))
    ((1983, 128), [-8, 1, 2])
    >>> print(y[0], y[-1])
    Ethanol Ethylene
    """
    (class_names,) = read_archive("gas_drift.npz", "class_names")
    numbers = {batch: batch for batch in (1, 2, 3, 4, 5, 6, 8, 9)}
    X, codes, sample_domain = _load_table("gas_drift.npz", numbers, source, target, as_frame)
    return X, class_names[codes], sample_domain


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
    return _load_table("heart_disease.npz", numbers, source, target, as_frame)


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
    return _load_table("wine_quality.npz", {"red": 1, "white": 2}, source, target, as_frame)


def _load_table(
    file_name: str,
    numbers: Mapping[Domain, int],
    source: Domain | Sequence[Domain],
    target: Domain | Sequence[Domain],
    as_frame: bool,
) -> Table:
    def read(domain: Domain) -> Arrays:
        X, y = read_archive(file_name, f"X_{domain}", f"y_{domain}")
        return X, y.astype(np.int64)

    dataset = load_domains(source, target, numbers, read)
    return _with_frame(dataset, file_name) if as_frame else dataset


def _with_frame(dataset: Dataset, file_name: str) -> Table:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("as_frame=True needs pandas: install it, or use as_frame=False") from error
    (feature_names,) = read_archive(file_name, "feature_names")
    X, y, sample_domain = dataset
    return pd.DataFrame(X, columns=feature_names.tolist()), y, sample_domain
