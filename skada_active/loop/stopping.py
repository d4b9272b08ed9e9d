"""Stopping rules: when a loop has bought enough labels, and the reason in words."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from scipy.special import betaincinv
from scipy.stats import hypergeom
from sklearn.base import BaseEstimator

from skada_active.utils._sklearn import BaseComposition, Interval
from skada_active.utils.shares import n_in_share

__all__ = ["AnyOf", "SmallGain", "StablePredictions", "StoppingRule", "TargetAccuracy"]

History = Sequence[Mapping[str, Any]]


class StoppingRule(BaseEstimator):
    """Rule that reads the history of a loop after every round: base class of all stopping rules.

    A subclass has `_check`. Rules are combined by ``|``: the loop stops when any of them says so.

    Notes
    -----
    A history is a list of entries, the first for the model before any purchase. Rules read of an entry, where it is
    there:

    ``"audit_counts"``
        ``(n_correct, n_audit, n_pool)``: on how many of the audited rows its model is right, and of how many rows that
        the model was not trained on they are an equal-probability sample.
    ``"stability"``
        None for the first, else a dict: ``changed``, the share of these `n_pool` rows that the model before predicted
        otherwise; ``kappa``, Cohen's kappa between both predictions; ``audit_pairs``,
        ``(n_better, n_worse, n_changed)``: of how many audited rows the prediction became right, became wrong, changed.

    Examples
    --------
    >>> from skada_active.loop.stopping import StoppingRule
    >>> class AtMost(StoppingRule):
    ...     def __init__(self, n_queries=100):
    ...         self.n_queries = n_queries
    ...     def _check(self, history):
    ...         bought = history[-1]["n_queries"]
    ...         return f"{bought} labels were bought" if bought >= self.n_queries else None
    >>> AtMost(20).check([{"n_queries": 0}, {"n_queries": 25}])
    '25 labels were bought'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def check(self, history: History) -> str | None:
        """Return why to stop after the last round of a history, in words, or None.

        Parameters
        ----------
        history : list of dict
            Entries of all models so far, the first for the one before any purchase.

        Returns
        -------
        str or None
            The reason; None to go on, as for a history without a round.

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        self._validate_params()
        return self._check(history)

    def outlook(self, history: History) -> str | None:
        """Return what it would take to stop, in words, for a loop that ended otherwise; None where nobody can say.

        Parameters
        ----------
        history : list of dict
            Entries of all models so far, as for `check`.

        Returns
        -------
        str or None
            What is missing.
        """
        return None

    @abstractmethod
    def _check(self, history: History) -> str | None:
        """Return why to stop, or None; parameters are checked."""

    def __or__(self, other: Any) -> AnyOf:
        return _any_of(self, other)


class TargetAccuracy(StoppingRule):
    """Stop when the accuracy is certified to be at least a target.

    Parameters
    ----------
    at_least : float
        Accuracy to reach on the target rows that the model is not trained on, in (0, 1].
    confidence : float, default=0.95
        Probability that a loop is not stopped at a model below `at_least`, over all rounds together.

    See Also
    --------
    SmallGain : Stop when more labels are not worth it.

    Notes
    -----
    Reads ``audit_counts``: without audit it never stops. Every round tests its own model, by the audited labels of all
    rounds so far: were it right on fewer than ``at_least * n_pool`` rows, so many right answers had a hypergeometric
    probability of at most ``(1 - confidence) / (k (k + 1))`` in the k-th test. These levels add up to
    ``1 - confidence``, so looking every round costs nothing of the guarantee. Rounds in which not even right answers
    alone would pass are no tests, and spend nothing: that depends on the counts of rows alone.

    The guarantee is exact for audited rows drawn at random. Those of a loop are drawn systematically along the
    confidence, which makes the count vary less where confidence tells anything of the errors.

    Examples
    --------
    >>> from skada_active.loop.stopping import TargetAccuracy
    >>> rule = TargetAccuracy(at_least=0.85)
    >>> rule.check([{}, {"audit_counts": (88, 90, 1000)}])
    '88 of 90 audited labels are right: the accuracy is at least 0.85 with confidence 0.95'
    >>> history = [{}, {"audit_counts": (18, 20, 1000)}]
    >>> rule.check(history) is None, rule.needed(history)
    (True, 178)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "at_least": [Interval(Real, 0, 1, closed="right")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, at_least: float, confidence: float = 0.95) -> None:
        self.at_least = at_least
        self.confidence = confidence

    def needed(self, history: History) -> int | None:
        """Return how many audited labels would certify the target in the next round, were the same share of them right.

        Parameters
        ----------
        history : list of dict
            Entries of all models so far, as for `check`.

        Returns
        -------
        int or None
            A count; None where the share of right answers is below the target, so that no count would do, or nothing
            was audited.
        """
        self._validate_params()
        counts = [counts for entry in history if (counts := _counts(entry))]
        if not counts:
            return None
        n_correct, n_audit, n_pool = counts[-1]
        level = self._levels(counts)[1]
        if n_correct * n_pool < self._n_to_reach(n_pool) * n_audit:
            return None
        low, high = 0, n_pool  # a census certifies what it finds
        while high - low > 1:
            middle = (low + high) // 2
            passes = self._probability(n_correct * middle // n_audit, middle, n_pool) <= level
            low, high = (low, middle) if passes else (middle, high)
        return high

    def outlook(self, history: History) -> str | None:
        """Return how many audited labels would certify the target, in words; see `StoppingRule.outlook`."""
        if not history or not (counts := _counts(history[-1])):
            return f"an accuracy of {self.at_least:g} cannot be certified without audited labels; set audit=0.2"
        found = f"{counts[0]} of {counts[1]} audited labels are right, which does not certify {self.at_least:g}"
        needed = self.needed(history)
        if needed is None:
            return f"{found}: the share of right answers is below it"
        return f"{found}: about {needed} audited labels would, were the same share of them right"

    def _check(self, history: History) -> str | None:
        counts = [counts for entry in history if (counts := _counts(entry))]
        if not history or not _counts(history[-1]):
            return None
        n_correct, n_audit, n_pool = counts[-1]
        level = self._levels(counts)[0]
        if level is None or self._probability(n_correct, n_audit, n_pool) > level:
            return None
        return (
            f"{n_correct} of {n_audit} audited labels are right: the accuracy is at least {self.at_least:g} with "
            f"confidence {self.confidence:g}"
        )

    def _levels(self, counts: list[tuple[int, int, int]]) -> tuple[float | None, float]:
        """Return the levels of the last round's test (None: it is none), and of the one after it."""
        spent, level = 0, None
        for _, n_audit, n_pool in counts:
            level = _level(self.confidence, spent)
            if self._probability(n_audit, n_audit, n_pool) > level:
                level = None
            else:
                spent += 1
        return level, _level(self.confidence, spent)

    def _n_to_reach(self, n_pool: int) -> int:
        return int(n_in_share(self.at_least, n_pool, up=True))

    def _probability(self, n_correct: int, n_audit: int, n_pool: int) -> float:
        """Return the largest probability of so many right answers in a pool below the target."""
        return float(hypergeom.sf(n_correct - 1, n_pool, self._n_to_reach(n_pool) - 1, n_audit))


class SmallGain(StoppingRule):
    """Stop when the last round gained less accuracy than its labels are worth.

    Parameters
    ----------
    points : float
        Percentage points of accuracy that a round has to gain, in (0, 100].
    confidence : float, default=0.95
        Probability that a loop is not stopped after a round that gained `points` or more, over all rounds together.

    See Also
    --------
    StablePredictions : Stop when predictions hardly change.

    Notes
    -----
    Reads ``stability``. A model gains no more than the share of predictions that it changed: below `points`, no label
    is needed to know. Otherwise the audited rows among the changed ones tell: the gain is the share of changed
    predictions times the mean of +1 (became right), -1 (became wrong) and 0 over them. Its upper bound is that of
    Clopper and Pearson for a share of ``(1 + mean) / 2``, since no variable in [0, 1] varies more than one of 0 and 1.
    In the k-th round in which that bound could be below `points` at all its level is
    ``(1 - confidence) / (k (k + 1))``.

    The gain is that of the last round. Later rounds may gain more: early in a loop a few labels of one class can change
    nothing, until the next ones do.

    Examples
    --------
    >>> from skada_active.loop.stopping import SmallGain
    >>> rule = SmallGain(points=1)
    >>> rule.check([{"stability": None}, {"stability": {"changed": 0.004, "kappa": 0.99}}])
    'the last round changed 0.4 % of the predictions, and so gained less than 1 point(s)'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "points": [Interval(Real, 0, 100, closed="right")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, points: float, confidence: float = 0.95) -> None:
        self.points = points
        self.confidence = confidence

    def _check(self, history: History) -> str | None:
        spent, bound, changed = 0, math.inf, math.inf
        for stability in (entry.get("stability") for entry in history):
            bound = changed = math.inf
            if stability is None:
                continue
            changed = 100 * stability["changed"]
            n_better, n_worse, n_changed = stability.get("audit_pairs") or (0, 0, 0)
            level = _level(self.confidence, spent)
            if _mean_bound(0, n_changed, n_changed, level) * changed < self.points:
                spent += 1
                bound = _mean_bound(n_better, n_worse, n_changed, level) * changed
        if changed < self.points:
            return f"the last round changed {changed:.2g} % of the predictions, and so gained less than {self._words}"
        if bound < self.points:
            return (
                f"the last round gained at most {bound:.2g} point(s) with confidence {self.confidence:g}, less than "
                f"{self._words}"
            )
        return None

    @property
    def _words(self) -> str:
        return f"{self.points:g} point(s)"


class StablePredictions(StoppingRule):
    """Stop when the predictions on the target have settled.

    Parameters
    ----------
    kappa : float, default=0.99
        Agreement of the predictions before and after a round to reach, in (-1, 1].
    rounds : int, default=3
        Number of rounds over which the agreement is averaged.

    See Also
    --------
    SmallGain : Stop when the last round gained little.

    Notes
    -----
    Reads Cohen's kappa in ``stability``. No label is needed, and nothing is promised of the accuracy: predictions
    settle where a strategy asks for rows that teach the model nothing, too.

    References
    ----------
    .. [1] Bloodgood and Vijay-Shanker, "A Method for Stopping Active Learning Based on Stabilizing Predictions and the
       Need for User-Adjustable Stopping", CoNLL 2009.

    Examples
    --------
    >>> from skada_active.loop.stopping import StablePredictions
    >>> history = [{"stability": None}, *({"stability": {"kappa": kappa}} for kappa in (0.98, 1.0, 0.995))]
    >>> StablePredictions(rounds=3).check(history)
    'the predictions of the last 3 round(s) agree with those before, with a kappa of 0.992 on average'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "kappa": [Interval(Real, -1, 1, closed="right")],
        "rounds": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, kappa: float = 0.99, rounds: int = 3) -> None:
        self.kappa = kappa
        self.rounds = rounds

    def _check(self, history: History) -> str | None:
        last = [entry.get("stability") for entry in history[-self.rounds :]]
        if len(last) < self.rounds or any(stability is None for stability in last):
            return None
        mean = math.fsum(stability["kappa"] for stability in last if stability) / self.rounds
        if not mean >= self.kappa:
            return None
        return (
            f"the predictions of the last {self.rounds} round(s) agree with those before, with a kappa of {mean:.3f} "
            "on average"
        )


class AnyOf(BaseComposition):
    """Stop when any of several rules says so, made by ``|``.

    Parameters
    ----------
    rules : list of (str, StoppingRule)
        The rules with their names, which reach their parameters: ``smallgain__points``.

    Examples
    --------
    >>> from skada_active.loop.stopping import SmallGain, StablePredictions
    >>> rule = SmallGain(points=1) | StablePredictions(rounds=2)
    >>> rule.set_params(smallgain__points=0.5).rules
    [('smallgain', SmallGain(points=0.5)), ('stablepredictions', StablePredictions(rounds=2))]
    """

    def __init__(self, rules: list[tuple[str, StoppingRule]]) -> None:
        self.rules = rules

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the rules by their names."""
        return self._get_params("rules", deep=deep)

    def set_params(self, **params: Any) -> AnyOf:
        """Set parameters of the rules (``smallgain__points=1``) or whole rules (``smallgain=SmallGain(1)``)."""
        return self._set_params("rules", **params)

    def check(self, history: History) -> str | None:
        """Return why to stop, as the first rule says that does, or None; see `StoppingRule.check`."""
        for name, rule in self.rules:
            if not isinstance(rule, StoppingRule | AnyOf):
                raise TypeError(f"rules must hold stopping rules such as SmallGain(1), got {rule!r} for {name!r}.")
        return next((reason for _, rule in self.rules if (reason := rule.check(history))), None)

    def outlook(self, history: History) -> str | None:
        """Return what it would take for any of the rules to stop, in words; see `StoppingRule.outlook`."""
        return "; ".join(words for _, rule in self.rules if (words := rule.outlook(history))) or None

    def __or__(self, other: Any) -> AnyOf:
        return _any_of(self, other)


def _any_of(*rules: Any) -> AnyOf:
    """Return the combination, flat, each rule named by its class in lower case (``-1``, ``-2`` if it comes twice)."""
    flat: list[StoppingRule] = []
    for rule in rules:
        if not isinstance(rule, StoppingRule | AnyOf):
            return NotImplemented
        flat += [part for _, part in rule.rules] if isinstance(rule, AnyOf) else [rule]
    names = [type(rule).__name__.lower() for rule in flat]
    total, seen = Counter(names), Counter[str]()
    named = []
    for name, rule in zip(names, flat, strict=True):
        seen[name] += 1
        named.append((f"{name}-{seen[name]}" if total[name] > 1 else name, rule))
    return AnyOf(named)


def _counts(entry: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Return the counts of right answers, audited rows and rows of an entry that audited any."""
    counts = entry.get("audit_counts")
    return counts if counts and counts[1] else None


def _level(confidence: float, n_spent: int) -> float:
    """Return the error that the next of infinitely many tests may make, which add up to 1 - confidence."""
    return (1 - confidence) / ((n_spent + 1) * (n_spent + 2))


def _mean_bound(n_plus: int, n_minus: int, n: int, level: float) -> float:
    """Return an upper bound for the mean of a variable in [-1, 1] that was +1, -1 and 0 in n draws."""
    right = (n + n_plus - n_minus) / 2
    return 1.0 if right >= n else 2 * float(betaincinv(right + 1, n - right, 1 - level)) - 1
