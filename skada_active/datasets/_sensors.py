"""Loaders of the shipped tables of sensor readings: gases, a room, the air of a city."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skada_active.datasets._stacking import load_table, read_archive

if TYPE_CHECKING:
    from skada_active.datasets._stacking import Table

__all__ = ["load_beijing_air", "load_gas_drift", "load_occupancy"]


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
    X, codes, sample_domain = load_table("gas_drift.npz", numbers, source, target, as_frame)
    return X, class_names[codes], sample_domain


def load_occupancy(
    source: str | Sequence[str] = "closed", target: str | Sequence[str] = "open", *, as_frame: bool = False
) -> Table:
    """Load readings of the sensors in an office room, occupied or not.

    The task is to tell whether somebody is in the room. The domains are three spells of days in the same month: in two
    of them the door was mostly closed while somebody was there, in one mostly open.

    ============ ====== ==== ======== ============================
    domain       number rows occupied UCI's file
    ============ ====== ==== ======== ============================
    closed       1      8143 21.2 %   training (door closed)
    open         2      2665 36.5 %   first test (door open)
    closed_later 3      9752 21.0 %   second test (door closed)
    ============ ====== ==== ======== ============================

    Parameters
    ----------
    source : str or sequence of str, default="closed"
        Spells with known labels, from "closed", "open", "closed_later".
    target : str or sequence of str, default="open"
        Spells that the model must work on.
    as_frame : bool, default=False
        Whether X is a DataFrame with UCI's feature names (needs pandas).

    Returns
    -------
    X : ndarray or DataFrame of shape (n, 5), float32
        Temperature (degrees Celsius), Humidity (relative, %), Light (lux), CO2 (ppm), HumidityRatio (kg of water vapour
        per kg of air).
    y : ndarray of shape (n,), int64
        1 occupied, 0 empty, of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The spell's number for source rows, minus the number for target rows.

    Raises
    ------
    ValueError
        If a spell is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 2 ms; 20 bytes a row. Rows are minutes in order, so that neighbours are nearly equal: shuffle before
    splitting. Light tells nearly everything; without it (``np.delete(X, 2, axis=1)``) boosted trees that are right on
    98 % of shuffled rows of "closed" are right on 67 % of "open". Licence: CC BY 4.0.

    References
    ----------
    .. [1] L. M. Candanedo, V. Feldheim, "Accurate occupancy detection of an office room from light, temperature,
       humidity and CO2 measurements using statistical learning models", Energy and Buildings 112, 28-39, 2016.

    Examples
    --------
    >>> from skada_active.datasets import load_occupancy
    >>> X, y, sample_domain = load_occupancy(source=["closed", "closed_later"], target="open")
    >>> X.shape, sorted(set(sample_domain.tolist())), int(y.sum())
    ((20560, 5), [-2, 1, 3], 4750)
    """
    return load_table("occupancy.npz", {"closed": 1, "open": 2, "closed_later": 3}, source, target, as_frame)


def load_beijing_air(
    source: str | Sequence[str] = "aotizhongxin", target: str | Sequence[str] = "huairou", *, as_frame: bool = False
) -> Table:
    """Load hours of air and weather at four stations in Beijing.

    The task is to tell hours of much fine dust (PM2.5 above 75 micrograms per cubic metre) by the other pollutants, the
    weather, the month and the hour. The domains are stations: two in the city, two on its northern outskirts.

    ============ ====== ==== ======== ============== =========
    domain       number rows above 75 missing values where
    ============ ====== ==== ======== ============== =========
    aotizhongxin 1      5690 40.2 %   0.8 %          city
    dingling     2      5715 31.0 %   0.9 %          outskirts
    dongsi       3      5719 42.5 %   1.2 %          city
    huairou      4      5686 33.9 %   0.8 %          outskirts
    ============ ====== ==== ======== ============== =========

    Rows are every sixth of those hours from March 2013 to February 2017 whose PM2.5 is known.

    Parameters
    ----------
    source : str or sequence of str, default="aotizhongxin"
        Stations with known labels, from "aotizhongxin", "dingling", "dongsi", "huairou".
    target : str or sequence of str, default="huairou"
        Stations that the model must work on.
    as_frame : bool, default=False
        Whether X is a DataFrame with the feature names (needs pandas).

    Returns
    -------
    X : ndarray or DataFrame of shape (n, 11), float32
        SO2, NO2, CO, O3 (micrograms per cubic metre), TEMP (degrees Celsius), PRES (hPa), DEWP (dew point, degrees
        Celsius), RAIN (mm), WSPM (wind, m/s), month (1-12), hour (0-23). A missing value is NaN.
    y : ndarray of shape (n,), int64
        1 if PM2.5 is above 75, else 0, of the target rows too.
    sample_domain : ndarray of shape (n,), int64
        The station's number for source rows, minus the number for target rows.

    Raises
    ------
    ValueError
        If a station is unknown, named twice, or source and target at once, or if none is given.

    Notes
    -----
    About 3 ms; 44 bytes a row. Rows are in order of time, and stations have the same weather: a mild shift. Licence: CC
    BY 4.0.

    References
    ----------
    .. [1] S. Zhang, B. Guo, A. Dong, J. He, Z. Xu, S. X. Chen, "Cautionary tales on air-quality improvement in
       Beijing", Proceedings of the Royal Society A 473(2205), 20170457, 2017.

    Examples
    --------
    >>> from skada_active.datasets import load_beijing_air
    >>> X, y, sample_domain = load_beijing_air(source=["aotizhongxin", "dongsi"], target="huairou")
    >>> X.shape, sorted(set(sample_domain.tolist())), sorted(set(y.tolist()))
    ((17095, 11), [-4, 1, 3], [0, 1])
    """
    numbers = {"aotizhongxin": 1, "dingling": 2, "dongsi": 3, "huairou": 4}
    return load_table("beijing_air.npz", numbers, source, target, as_frame)
