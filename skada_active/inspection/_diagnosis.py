"""The steps of a diagnosis, each of which reads what those before it found."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest

from skada_active.domains import Roles
from skada_active.inspection._class_shares import ClassShares, estimate_shares, with_labels
from skada_active.inspection._drop import Accuracies, Estimated, explain_drop
from skada_active.inspection._hypotheses import (
    conditional_p,
    moments_p,
    outputs_p,
    shares_p,
    surprise_p,
    within_class_p,
)
from skada_active.inspection._moved_columns import moved_columns
from skada_active.inspection._sample import Seen
from skada_active.inspection._separation import (
    class_proba,
    domain_logits,
    odds_ratio_weights,
    rank_z,
    recalibrated,
    weighted_auc,
)
from skada_active.inspection._strangers import stranger_p_values, strangers_among
from skada_active.inspection._verdict import Evidence, Verdict, decide
from skada_active.inspection.shift_report import ClassShare, ShiftReport, Strangers
from skada_active.metrics.held_out import spread_folds
from skada_active.metrics.label_shift import calibrate_proba

__all__ = ["Diagnosis"]

#: A source row counts for at most so many.
_LARGEST_WEIGHT = 20.0
#: With fewer labelled target rows of known classes, nothing is said of what takes labels.
_MIN_LABELS = 10
#: Of the rows that are flagged as strangers, this share may be usual ones.
_FALSE_STRANGERS = 0.05
#: With fewer effective source rows, the accuracy of weighted ones says little.
_MIN_EFFECTIVE = 50


class Diagnosis:
    """Diagnosis of the shift between the rows of two domains.

    Parameters
    ----------
    seen : Seen
        The rows.
    level, significance : float
        Confidence level of intervals, and p-value below which a test rejects.
    n_folds, n_draws : int
        Folds of the classifiers, and bootstrap samples.
    rng : RandomState
        What all chance is drawn from.
    """

    def __init__(
        self, seen: Seen, level: float, significance: float, n_folds: int, n_draws: int, rng: np.random.RandomState
    ) -> None:
        self.seen, self.level, self.significance = seen, level, significance
        self.n_folds, self.n_draws, self.rng = n_folds, n_draws, rng
        self.is_target, self.is_drawn = seen.sample.roles.is_target, seen.sample.is_drawn
        self.source = np.flatnonzero(~self.is_target)
        self.target = np.flatnonzero(self.is_target & self.is_drawn)
        self.labeled = np.flatnonzero(self.is_target & (seen.codes >= 0))
        self.new_labels = np.flatnonzero(self.is_target & (seen.codes == -2))
        self.has_labels = seen.proba is not None and len(self.labeled) >= _MIN_LABELS
        self.folds = spread_folds(self.is_target.astype(np.int64), n_folds, rng)
        self.seed = int(rng.randint(np.iinfo(np.int32).max))

    @cached_property
    def logits(self) -> NDArray[np.float64]:
        """Held-out log-odds of the target, shape (n,)."""
        return self._domain_logits(np.ones(len(self.is_target)))

    @cached_property
    def shares(self) -> ClassShares | None:
        """Class shares; None without labels."""
        if self.seen.proba is None:
            return None
        proba, codes = self.seen.proba, self.seen.codes[self.source]
        return estimate_shares(proba[self.source], codes, proba[self.target], self.n_draws, self.rng)

    @cached_property
    def class_weight(self) -> NDArray[np.float64]:
        """Weights of the rows that give the source the class shares of the target, shape (n,)."""
        weight = np.ones(len(self.is_target))
        if self.shares is not None:
            weight[self.source] = (self.shares.em / self.shares.source)[self.seen.codes[self.source]]
        return weight

    @cached_property
    def mixture_logits(self) -> NDArray[np.float64]:
        """Held-out log-odds of the target against the source weighted by class, shape (n,)."""
        return self._domain_logits(self.class_weight)

    def _domain_logits(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return domain_logits(self.seen.rows, self.is_target, self.folds, weight * self.is_drawn, self.rng)

    def _auc(self, logits: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
        drawn = self.is_drawn
        return weighted_auc(logits[drawn], self.is_target[drawn], weight[drawn])

    @cached_property
    def auc(self) -> Estimated:
        """Area under the ROC curve of the domains."""
        auc, error = self._auc(self.logits, np.ones(len(self.is_target)))
        half = float(ndtri((1 + self.level) / 2)) * error
        return Estimated(auc, max(0.0, auc - half), min(1.0, auc + half))

    @cached_property
    def evidence(self) -> Evidence:
        """Results of the tests."""
        drawn, proba = self.is_drawn, self.seen.proba
        by_rank = float(ndtr(-rank_z(self.logits[drawn], self.is_target[drawn])))
        p_rows = min(1.0, 2 * min(by_rank, self._moments_p(np.zeros(len(drawn), dtype=np.int64), np.ones(1))))
        if proba is None or self.shares is None:
            return Evidence(p_rows, self.auc.value, self.auc.high)
        auc, error = self._auc(self.mixture_logits, self.class_weight)
        by_rank = float(ndtr(-(auc - 0.5) / max(error, 1e-12)))
        p_mixture = min(1.0, 2 * min(by_rank, self._moments_p(self.seen.codes, self.shares.em)))
        p_outputs = outputs_p(proba[drawn], self.is_target[drawn])
        of_labels = self._tests_of_labels() if self.has_labels else {}
        return Evidence(p_rows, self.auc.value, self.auc.high, p_outputs, p_mixture, auc, **of_labels)

    def _moments_p(self, codes: NDArray[np.int64], shares: NDArray[np.float64]) -> float:
        drawn = self.is_drawn
        return moments_p(self.seen.rows[drawn], self.is_target[drawn], codes[drawn], shares, self.rng)

    def _tests_of_labels(self) -> dict[str, float]:
        assert self.seen.proba is not None
        assert self.shares is not None
        known = np.concatenate([self.source, self.labeled])
        codes, is_target, n_classes = self.seen.codes[known], self.is_target[known], len(self.shares.source)
        folds = spread_folds(2 * codes + is_target, self.n_folds, self.rng)
        proba = class_proba(self.seen.rows[known], codes, n_classes, folds, self.seed)
        proba = calibrate_proba(proba, codes, proba, classes=np.arange(n_classes))[0]
        p_target = recalibrated(self.logits[known], is_target)
        p_conditional, information = conditional_p(proba, self.seen.proba[known], codes, is_target, p_target, self.rng)
        counts = np.bincount(self.seen.codes[self.labeled], minlength=n_classes)
        return {
            "p_shares": shares_p(codes, is_target, n_classes),
            "p_surprise": surprise_p(
                self.seen.proba[self.source], self.seen.codes[self.source], self.seen.proba[self.target], counts
            ),
            "p_within": within_class_p(self.mixture_logits[known], self.seen.proba[known], codes, is_target),
            "p_conditional": p_conditional,
            "information": information,
        }

    @cached_property
    def verdict(self) -> Verdict:
        """Answers for each cause."""
        return decide(self.evidence, self.significance)

    @cached_property
    def accuracies(self) -> Accuracies | None:
        """Accuracies, and the parts of their difference; None without labels."""
        if self.seen.proba is None or self.shares is None:
            return None
        is_right = self.seen.proba.argmax(axis=1) == self.seen.codes
        known = np.concatenate([self.labeled, self.new_labels])  # a label that no source row has is never predicted
        counts = np.bincount(self.seen.codes[self.labeled], minlength=len(self.shares.source))
        shares = with_labels(self.shares, counts if self.has_labels else None, self.rng) / self.shares.source
        by_row, by_both = (
            odds_ratio_weights(logits[self.is_drawn], self.is_target[self.is_drawn], _LARGEST_WEIGHT)
            for logits in (self.logits, self.mixture_logits)
        )
        of_source = ~self.is_target[self.is_drawn]
        return explain_drop(
            is_right[self.source],
            is_right[known] if self.has_labels else None,
            shares[:, self.seen.codes[self.source]],
            by_row[of_source],
            by_both[of_source],
            self.verdict,
            self.level,
            self.n_draws,
            self.rng,
        )

    def report(self, roles: Roles) -> ShiftReport:
        """Return the report; `roles` are those of all rows, drawn or not."""
        drawn = np.flatnonzero(self.is_drawn)
        columns = self.seen.columns or []
        moved = moved_columns([column.take(drawn) for column in columns], self.is_target[drawn], self.level, self.rng)
        return ShiftReport(
            cause=self.verdict.cause,
            verdict=self.verdict,
            auc=self.auc,
            columns=moved,
            class_shares=self._class_shares(),
            accuracies=self.accuracies,
            strangers=self._strangers(),
            evidence=self.evidence,
            n_source=len(roles.source),
            n_target=len(roles.target),
            n_labeled=0 if self.seen.proba is None else len(roles.labeled_target),
            n_source_seen=len(self.source),
            n_target_seen=len(self.target),
            level=self.level,
            significance=self.significance,
            notes=self._notes(roles),
        )

    def _class_shares(self) -> list[ClassShare]:
        if self.shares is None or self.seen.classes is None:
            return []
        of_source = self.seen.codes[self.source]
        listed = []
        for code, label in enumerate(self.seen.classes.tolist()):
            labeled = self._share(self.seen.codes[self.labeled] == code) if self.has_labels else None
            em = self._estimated(self.shares.em[code], self.shares.em_draws[:, code])
            bbse = self._estimated(self.shares.bbse[code], self.shares.bbse_draws[:, code])
            listed.append(ClassShare(label, self._share(of_source == code), em, bbse, labeled))
        return listed

    def _strangers(self) -> Strangers:
        p_values = stranger_p_values(self.seen.places[self.source], self.seen.places[self.target])
        flagged = np.flatnonzero(strangers_among(p_values, _FALSE_STRANGERS))
        flagged = flagged[np.argsort(p_values[flagged], kind="stable")]
        is_flagged = np.isin(np.arange(len(p_values)), flagged)
        return Strangers(self.seen.sample.ids[self.target[flagged]], self._share(is_flagged), p_values[flagged])

    def _estimated(self, value: float, draws: NDArray[np.float64]) -> Estimated:
        low, high = np.quantile(draws, [(1 - self.level) / 2, (1 + self.level) / 2])
        return Estimated(float(value), float(min(low, value)), float(max(high, value)))

    def _share(self, mask: NDArray[np.bool_]) -> Estimated:
        interval = binomtest(int(mask.sum()), len(mask)).proportion_ci(self.level, method="wilson")
        return Estimated(float(mask.mean()), float(interval.low), float(interval.high))

    def _notes(self, roles: Roles) -> list[str]:
        notes = []
        if len(self.source) < len(roles.source) or len(self.target) < len(roles.target):
            notes.append(
                f"{len(self.source)} source rows and {len(self.target)} target rows were looked at, drawn at random."
            )
        if self.seen.proba is None:
            notes.append("Without y, nothing is said of classes, and which kind of shift it is cannot be told.")
        elif not self.has_labels:
            notes.append(
                "Whether P(y | x) changed is not identifiable without labels: "
                f"{len(self.labeled)} target rows have one that the source has, and it takes {_MIN_LABELS}."
            )
        else:
            notes.append("Labelled target rows are taken for a random sample; rows that a query chose are none.")
        if len(self.new_labels):
            notes.append(f"{len(self.new_labels)} labelled target rows have a label that no source row has.")
        if self.accuracies is not None and self.accuracies.n_effective < _MIN_EFFECTIVE:
            notes.append(
                f"The source rows that resemble the target are worth {self.accuracies.n_effective:.0f} rows: what is "
                "said of p(x) alone rests on them."
            )
        return notes
