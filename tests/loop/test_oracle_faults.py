"""An oracle that fails, hangs up or answers nonsense: a clear error, and what was answered before is kept."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.loop import ArrayOracle


class Faulty:
    """Answer right but at the second call, where `reply` decides."""

    def __init__(self, y, reply):
        self.y, self.reply, self.calls = y, reply, 0

    def __call__(self, ids, X_rows):
        self.calls += 1
        return self.reply(ids, self.y[ids]) if self.calls == 2 else self.y[ids]


def hang_up(ids, labels):
    raise ConnectionResetError("the line went dead")


def interrupt(ids, labels):
    raise KeyboardInterrupt


def end_of_input(ids, labels):
    raise EOFError("no more input")


FAULTS = {
    "hangs up": (hang_up, ConnectionResetError, "the line went dead"),
    "Ctrl-C": (interrupt, KeyboardInterrupt, None),
    "end of input": (end_of_input, EOFError, "no more input"),
    "nothing": (lambda ids, labels: None, ValueError, "oracle returned None; it must return one label per row"),
    "too few": (lambda ids, labels: labels[:-1], ValueError, "one label for each of the 5 ids, got 4"),
    "too many": (lambda ids, labels: [*labels, 0], ValueError, "one label for each of the 5 ids, got 6"),
    "one for all": (lambda ids, labels: 1, ValueError, "one label for each of the 5 ids, got 1"),
    "a generator": (lambda ids, labels: (label for label in labels), ValueError, "one label for each of the 5 ids"),
    "probabilities": (lambda ids, labels: np.eye(3)[labels], ValueError, "1d array"),
    "another type": (lambda ids, labels: labels.astype(str), ValueError, r"labels must be of the type of y \(int64\)"),
    "fractions": (lambda ids, labels: labels + 0.5, ValueError, "labels must be of the type of y"),
    "infinity": (lambda ids, labels: labels + np.inf, ValueError, "labels must be of the type of y"),
    "NaN": (lambda ids, labels: np.where(labels == labels[0], np.nan, labels), ValueError, "labels holds NaN at"),
    "an unknown class": (lambda ids, labels: labels + 3, ValueError, "which is none of the 3 classes"),
}


@pytest.fixture
def loop():
    return ActiveAdaptationLoop(LogisticRegression(), budget=15, n_rounds=3, random_state=0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_an_error_that_costs_nothing(loop, blobs, name):
    X, y, sample_domain = blobs
    known, (reply, error, message) = mask_target(y, sample_domain), FAULTS[name]
    with pytest.raises(error, match=message):
        loop.fit(X, known, sample_domain=sample_domain, oracle=Faulty(y, reply))
    assert loop.n_queries_ == loop.session_.budget - loop.session_.remaining == 5
    whole = ActiveAdaptationLoop(**loop.get_params(deep=False))
    whole.fit(X, known, sample_domain=sample_domain, oracle=ArrayOracle(y))
    loop.resume(ArrayOracle(y))
    assert loop.queried_ids_.tolist() == whole.queried_ids_.tolist()
    np.testing.assert_array_equal(loop.estimator_.coef_, whole.estimator_.coef_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids: [*ids[:-1], ids[0]], "ids names a row twice"),
        (lambda ids: [*ids[:-1], 3], "row 3, which is not an open question"),
        (lambda ids: [*ids[:-1], 10**7], "row 10000000, which is not an open question"),
        (lambda ids: [*ids[:-1], -1], "row -1, which is not an open question"),
        (lambda ids: ids.astype(float), "ids must be row numbers"),
        (lambda ids: ids[:, None], "ids must be a list of row numbers"),
    ],
    ids=["twice", "source", "beyond", "negative", "floats", "two-dimensional"],
)
@pytest.mark.parametrize("verb", ["tell", "abstain"])
def test_ids_that_were_not_asked_about_cost_nothing(start, blobs, verb, change, message):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[:1], y[ids[:1]])
    with pytest.raises(ValueError, match=message):
        getattr(session, verb)(change(ids[1:]), *([y[ids[1:]]] if verb == "tell" else []))
    assert session.open_ids.tolist() == ids[1:].tolist()
    assert session.remaining == 9


def test_an_oracle_may_do_to_its_rows_what_it_likes(loop, blobs):
    X, y, sample_domain = blobs

    def reverses(ids, X_rows):
        labels = y[ids]
        ids[:] = ids[::-1].copy()
        X_rows[:] = 0
        return labels

    whole = ActiveAdaptationLoop(**loop.get_params(deep=False)).fit(X, y, sample_domain=sample_domain)
    loop.fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=reverses)
    np.testing.assert_array_equal(loop.estimator_.coef_, whole.estimator_.coef_)


def test_a_new_class_is_learned_where_it_may_be(loop, blobs):
    X, y, sample_domain = blobs
    loop.set_params(new_classes="learn")
    loop.fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=lambda ids, _: y[ids] + 2)
    assert loop.classes_.tolist() == sorted({*y.tolist(), *(y[loop.queried_ids_] + 2).tolist()})


def test_labels_that_were_given_beforehand_are_all_learned(loop, blobs):
    X, y, sample_domain = blobs
    shifted = np.where(sample_domain < 0, y + 2, y)
    assert set(loop.fit(X, shifted, sample_domain=sample_domain).classes_) > {0, 1, 2}
