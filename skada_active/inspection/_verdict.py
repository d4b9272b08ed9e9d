"""The verdict on the causes of a shift, from tests of what stayed the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Answer", "Evidence", "Verdict", "decide"]

Answer = Literal["yes", "no", "cannot tell"]

#: With fewer rows than these that speak to P(y | x), it not being seen to change says little.
_MIN_INFORMATION = 60.0
#: A p(x) whose AUC may be as large as this may have moved, seen or not.
_LARGEST_UNSEEN_AUC = 0.65
#: Of the excess of the AUC over 1/2, label shift may leave this part where it is taken for the whole of the shift.
_LEFT_OVER = 0.5
#: Between two kinds of shift that no test rejects, one that is this many times less far from it decides.
_HINT = 10.0


@dataclass(frozen=True)
class Evidence:
    """Results of the tests: p-values of what is supposed to have stayed the same.

    Parameters
    ----------
    p_rows : float
        p(x) did: held-out rows of the domains cannot be told apart.
    auc, auc_high : float
        Area under the ROC curve of the domains, and the upper end of its interval.
    p_outputs : float or None
        The distribution of the classifier's predictions did. None, here and in the next two: no labels at all.
    p_mixture : float or None
        p(x) is a mixture of the source's classes: they cannot be told apart after the source is weighted by class.
    auc_mixture : float or None
        The area under the ROC curve after that.
    p_shares : float or None
        The shares of the labels did. None, here and below: too few labels of target rows are known.
    p_surprise : float or None
        The labels have the shares that were estimated from the rows.
    p_within : float or None
        p(x | y) did.
    p_conditional : float or None
        P(y | x) did.
    information : float
        How many rows speak to the latter.
    """

    p_rows: float
    auc: float
    auc_high: float
    p_outputs: float | None = None
    p_mixture: float | None = None
    auc_mixture: float | None = None
    p_shares: float | None = None
    p_surprise: float | None = None
    p_within: float | None = None
    p_conditional: float | None = None
    information: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the tests say of the three causes, and which of them by itself explains all.

    Parameters
    ----------
    covariate, label, concept : {"yes", "no", "cannot tell"}
        Whether p(x) moved by more than class shares say, whether these did, and whether P(y | x) changed by more.
    cause : {"covariate", "label", "concept", "several", "none", "cannot tell"}
        The cause that explains what is seen.
    """

    covariate: Answer
    label: Answer
    concept: Answer
    cause: str


def decide(evidence: Evidence, significance: float) -> Verdict:
    """Return the verdict; `significance` is the p-value below which a test rejects."""
    moved = 2 * min(evidence.p_rows, _given(evidence.p_outputs)) < significance
    if evidence.p_conditional is None:
        return _without_labels(evidence, moved, significance)
    if not moved:
        return _unmoved(evidence, significance)
    return _moved(evidence, significance)


def _without_labels(evidence: Evidence, moved: bool, significance: float) -> Verdict:
    if not moved:
        unseen: Answer = "cannot tell" if evidence.auc_high > _LARGEST_UNSEEN_AUC else "no"
        return Verdict(unseen, unseen, "cannot tell", "cannot tell")
    if evidence.p_mixture is not None and evidence.p_mixture < significance:
        return Verdict("yes", "cannot tell", "cannot tell", "covariate")
    if _is_explained(evidence):
        return Verdict("no", "yes", "cannot tell", "label")
    return Verdict("cannot tell", "cannot tell", "cannot tell", "cannot tell")


def _unmoved(evidence: Evidence, significance: float) -> Verdict:
    """Return the verdict where p(x) is not seen to move: a change is one of the labels."""
    shares, within = _given(evidence.p_shares), _given(evidence.p_within)
    conditional, surprise = _given(evidence.p_conditional), _given(evidence.p_surprise)
    unseen: Answer = "cannot tell" if evidence.auc_high > _LARGEST_UNSEEN_AUC else "no"
    if min(within, conditional, surprise) < significance:
        if min(within, surprise) >= significance and shares < significance:
            return Verdict(unseen, "yes", "no", "label")
        return Verdict(unseen, "no", "yes", "concept")
    if shares < significance:
        return Verdict(unseen, "yes", "no", "label")
    if evidence.information < _MIN_INFORMATION or unseen == "cannot tell":
        return Verdict(unseen, "cannot tell", "cannot tell", "cannot tell")
    return Verdict("no", "no", "no", "none")


def _moved(evidence: Evidence, significance: float) -> Verdict:
    conditional, within = _given(evidence.p_conditional), _given(evidence.p_within)
    by_label = min(_given(evidence.p_mixture), within, _given(evidence.p_surprise)) >= significance
    by_rows = conditional >= significance
    speaks = evidence.information >= _MIN_INFORMATION
    if by_label and (not by_rows or _is_explained(evidence)):
        return Verdict("no", "yes", "no", "label")
    if by_label and _given(evidence.p_mixture) >= _HINT * significance:
        return Verdict("cannot tell", "cannot tell", "no" if speaks else "cannot tell", "cannot tell")
    if by_rows:
        return Verdict("yes", "no" if speaks else "cannot tell", "no" if speaks else "cannot tell", "covariate")
    if _given(evidence.p_mixture) < significance:
        return Verdict("yes", "cannot tell", "yes", "several")
    return Verdict("cannot tell", "yes", "yes", "several")


def _is_explained(evidence: Evidence) -> bool:
    """Tell whether class shares explain most of what sets the domains apart."""
    return evidence.auc_mixture is not None and evidence.auc_mixture - 0.5 < _LEFT_OVER * (evidence.auc - 0.5)


def _given(p_value: float | None) -> float:
    return 1.0 if p_value is None else p_value
