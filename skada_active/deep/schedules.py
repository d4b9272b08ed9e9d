"""Schedules of the weight of adversarial terms over training."""

from __future__ import annotations

import math

__all__ = ["reversal_coefficient"]


def reversal_coefficient(schedule: str, progress: float, iteration: int) -> float:
    """Return the coefficient of a gradient reversal.

    Parameters
    ----------
    schedule : {"dann", "tll", "constant"}
        ``"dann"``: 2 / (1 + exp(-10 p)) - 1 over the progress p of the current call of training [1]_. ``"tll"``:
        2 / (1 + exp(-i / 1000)) - 1 over the iterations i since the network was made, the warm start of the Transfer
        Learning Library. ``"constant"``: 1.
    progress : float
        Share of the current call of training that is done, in [0, 1].
    iteration : int
        Training steps since the network was made.

    Returns
    -------
    float
        Coefficient in [0, 1].

    Raises
    ------
    ValueError
        If `schedule` is unknown.

    References
    ----------
    .. [1] Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, section 5.2.2.

    Examples
    --------
    >>> from skada_active.deep.schedules import reversal_coefficient
    >>> round(reversal_coefficient("dann", 0.5, 0), 4), reversal_coefficient("constant", 0.5, 0)
    (0.9866, 1.0)
    """
    if schedule == "constant":
        return 1.0
    if schedule == "dann":
        return math.tanh(5 * progress)  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
    if schedule == "tll":
        return math.tanh(iteration / 2000)
    raise ValueError(f'schedule must be "dann", "tll" or "constant", got {schedule!r}.')
