from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.query import BADGE, MarginSampling, RandomSampling


@pytest.fixture(autouse=True)
def _agg():
    """Draw without a window, and leave no figure open."""
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot, rc_context

    with rc_context({"backend": "agg"}):
        yield
        pyplot.close("all")


@pytest.fixture(scope="session")
def make_loop(blobs):
    """Return a function that fits a loop on the blobs."""
    X, y, sample_domain = blobs

    def make_loop(seed=0, strategy=None, X=X, y=y, fit=None, **params):
        settings = {"budget": 12, "n_rounds": 3, "random_state": seed, **params}
        strategy = MarginSampling() if strategy is None else strategy
        loop = ActiveAdaptationLoop(LogisticRegression(), strategy, **settings)
        return loop.fit(X, y, sample_domain=sample_domain, **(fit or {}))

    return make_loop


@pytest.fixture(scope="session")
def loops(make_loop):
    return [make_loop(seed, BADGE()) for seed in range(3)]


@pytest.fixture(scope="session")
def audited(make_loop):
    return make_loop(audit=0.5)


@pytest.fixture(scope="session")
def control(make_loop):
    return make_loop(strategy=RandomSampling())


@pytest.fixture
def open_campaign(start, blobs):
    """A session in which two rows of the first round are answered, one is abstained on, and others are open."""
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[:2], y[ids[:2]])
    session.abstain(ids[2])
    session.ask()
    return session


@pytest.fixture
def unseen(blobs):
    """Loop whose oracle knows the answers, while no label to measure by is known."""
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=4, n_rounds=2, random_state=0)
    known = np.where(sample_domain < 0, -1, y)
    return loop.fit(X, known, sample_domain=sample_domain, oracle=lambda ids, rows: y[ids])


@pytest.fixture
def without_matplotlib(monkeypatch):
    """Let matplotlib be missing."""
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
