"""Each rule of the contract is broken once, and the check names it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active.pool.fields import FIELDS, Field
from skada_active.query import MarginSampling, QueryStrategy
from skada_active.testing import check_strategy
from skada_active.testing._views import make_fields, view_of


class Largest(QueryStrategy):
    """Ask first where the first feature is largest: a strategy as the guide has it, which its subclasses break."""

    needs = frozenset({"features"})

    def _utilities(self, view):
        return view.features[:, 0].astype(np.float64)


class OfOneHalf(Largest):
    def _utilities(self, view):
        return super()._utilities(view).astype(np.float32)


class Undefined(Largest):
    def _utilities(self, view):
        utilities = super()._utilities(view)
        return np.where(utilities == utilities.max(), np.nan, utilities)


class TooFew(Largest):
    def _utilities(self, view):
        return super()._utilities(view)[1:]


class Restless(Largest):
    def _utilities(self, view):
        return super()._utilities(view) + np.random.default_rng().normal(size=len(view))


class Short(Largest):
    def _select(self, view, n_queries, rng):
        return np.arange(n_queries - 1)


class Repeating(Largest):
    def _select(self, view, n_queries, rng):
        return np.minimum(np.arange(n_queries), len(view) - 2)


class FailsOnDuplicates(Largest):
    def _select(self, view, n_queries, rng):
        if len(np.unique(view.features, axis=0)) < len(view):
            raise FloatingPointError("the matrix is singular")
        return np.arange(n_queries)


class Unseeded(Largest):
    def _select(self, view, n_queries, rng):
        return np.random.default_rng().permutation(len(view))[:n_queries]


class OverTheWholeWorld(Largest):
    def _select(self, view, n_queries, rng):
        np.random.seed(0)  # noqa: NPY002
        return np.random.permutation(len(view))[:n_queries]  # noqa: NPY002


class OverTheWholeOfTorch(Largest):
    def _select(self, view, n_queries, rng):
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        return torch.randperm(len(view))[:n_queries].numpy()


class Writing(Largest):
    def _select(self, view, n_queries, rng):
        base = view.features.base
        base[...] = np.sort(base, axis=0)
        return np.arange(n_queries)


class Scribbling(Largest):
    def _select(self, view, n_queries, rng):
        view.features[0] = 0
        return np.arange(n_queries)


class Learning(Largest):
    def __init__(self, last=None, estimator=None, random_state=None):
        super().__init__(estimator=estimator, random_state=random_state)
        self.last = last

    def _select(self, view, n_queries, rng):
        self.last = n_queries
        return np.arange(n_queries)


class ByPosition(Largest):
    def _select(self, view, n_queries, rng):
        assert view.features is not None
        return np.arange(n_queries)


class StableSort(Largest):
    def _select(self, view, n_queries, rng):
        return np.argsort(-self._utilities(view), kind="stable")[:n_queries]


class ReadsMore(Largest):
    def _utilities(self, view):
        return view.proba[:, 0].astype(np.float64)


class ReadsAnswers(Largest):
    def _utilities(self, view):
        return super()._utilities(view) - len(view.labeled_y)


class NeedsMore(Largest):
    needs = frozenset({"features", "head_bias"})


class NeedsAList(Largest):
    needs = ["features"]  # noqa: RUF012


class NeedsNoField(Largest):
    needs = frozenset({"features", "embedding"})


class FillsWhatItDoesNotNeed(Largest):
    fills = frozenset({"committee_proba"})


class WithoutSeed(QueryStrategy):
    def __init__(self, estimator=None):
        self.estimator = estimator

    def _select(self, view, n_queries, rng):
        return np.arange(n_queries)


class Rounding(Largest):
    def __init__(self, share=0.5, estimator=None, random_state=None):
        super().__init__(estimator=estimator, random_state=random_state)
        self.share = round(share, 1) + 0.0


class ReadsLabels(Largest):
    """Ask by the true labels, which it keeps from `fit_model`."""

    def fit_model(self, X, y, roles):
        self._y = y
        return super().fit_model(X, y, roles)

    def _utilities(self, view):
        utilities = super()._utilities(view)
        return np.where(self._y[view.index] > 0, -utilities, utilities) if hasattr(self, "_y") else utilities


class FitsNothing(Largest):
    def fit(self, X, y, sample_domain=None):
        super().fit(X, y, sample_domain)


class FailsInALoop(Largest):
    def _utilities(self, view):
        if view.n_initial > len(view):
            raise KeyError("the pool has shrunk")
        return super()._utilities(view)


BROKEN = [
    (OfOneHalf(), "utilities are .* float64 .*the dtype is float32"),
    (Undefined(), "utilities are .* without NaN"),
    (TooFew(), "utilities are .* float64 .* must return one number for each of the 12 candidate"),
    (Restless(), "utilities .* repeat themselves, on an ordinary view: a second call gives others"),
    (Short(), r"select\(view, 1\) returns 1 distinct int64 positions, on an ordinary view: .* must return 1"),
    (Repeating(), r"select\(view, 12\) returns 12 distinct int64 positions, on an ordinary view"),
    (FailsOnDuplicates(), "on every row three times: FloatingPointError: the matrix is singular"),
    (Unseeded(), "the same view and seed give the same choice"),
    (OverTheWholeWorld(), "uses no global random state: a global generator has moved"),
    (OverTheWholeOfTorch(), "uses no global random state: a global generator has moved"),
    (Writing(), "writes to nothing .*: features of the view is another one afterwards"),
    (Scribbling(), "ValueError: assignment destination is read-only"),
    (Learning(), "writes to nothing .*: the strategy is Learning.* afterwards"),
    (ByPosition(), "the order of the candidates changes no choice"),
    (StableSort(), r"the seed decides, not the position: positions \[4, 5, .* are never chosen, .*top_k\("),
    (ReadsMore(), r"needs names what is read .*\['proba'\] is read, and needs is \['features'\]"),
    (ReadsAnswers(), r"\['labeled_y'\] is read, and needs is \['features'\]"),
    (NeedsMore(), r"\['head_bias'\] in needs is never read"),
    (NeedsAList(), r"needs is \['features'\]"),
    (NeedsNoField(), r"needs names \['embedding'\]"),
    (FillsWhatItDoesNotNeed(), r"fills names \['committee_proba'\], which needs does not"),
    (WithoutSeed(), "__init__ has no random_state"),
    (Rounding(), "its parameters are those of __init__, stored as they are: RuntimeError: Cannot clone"),
    (ReadsLabels(), "labels that are hidden never matter"),
    (FitsNothing(), "fit returns something else"),
    (FailsInALoop(), "in a loop of two rounds the budget is spent exactly: KeyError: 'the pool has shrunk'"),
    (object(), "it is a QueryStrategy"),
]


@pytest.mark.parametrize(("strategy", "message"), BROKEN, ids=[type(strategy).__name__ for strategy, _ in BROKEN])
def test_a_broken_rule_is_named(strategy, message):
    with pytest.raises(AssertionError, match=message) as found:
        check_strategy(strategy)
    assert type(strategy).__name__ in str(found.value)


def test_a_sound_strategy_passes():
    check_strategy(Largest())


def test_the_strategy_itself_is_neither_fitted_nor_changed():
    strategy = MarginSampling(LogisticRegression())
    check_strategy(strategy)
    assert set(vars(strategy)) == {"estimator", "random_state"}
    assert not hasattr(strategy.estimator, "coef_")


def test_a_new_field_needs_nothing_but_its_line_in_the_table(monkeypatch):
    monkeypatch.setitem(FIELDS, "drift", Field("drift", "nH", "output", remedy="a model of one's own"))
    fields = make_fields(n=7)
    assert fields["drift"].shape == (7, 6)
    assert view_of(fields, {"drift"}).drift is not None
