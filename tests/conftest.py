"""One thread per test process: small matrices gain nothing from more, and idle threads of BLAS and OpenMP spin."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import contextlib  # noqa: E402
import json  # noqa: E402
import sqlite3  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.svm import LinearSVC  # noqa: E402

from skada_active import ActiveAdaptationLoop  # noqa: E402
from skada_active.datasets import make_shifted_blobs  # noqa: E402
from skada_active.domains import mask_target  # noqa: E402


class OnDevice(torch.Tensor):
    """Stand for a tensor in the memory of an accelerator.

    It refuses to become an ndarray, or to be computed with other tensors, but by an explicit copy.
    """

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError("a tensor on a device is no ndarray; copy it to the host first.")
        with torch._C.DisableTorchFunctionSubclass():
            operands = [a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point() and a.ndim]
            if func is not torch.Tensor.to and any(not isinstance(a, OnDevice) for a in operands):
                raise RuntimeError(f"{func.__name__} got tensors on two devices.")
            if func is torch.Tensor.cpu:
                return args[0].as_subclass(torch.Tensor)
        return super().__torch_function__(func, types, args, kwargs)


def _to_accelerator(array):
    if not (hasattr(torch, "accelerator") and torch.accelerator.is_available()):
        pytest.skip("no accelerator")
    return torch.as_tensor(np.array(array), device=torch.accelerator.current_accelerator())


_LIBRARIES = {
    "tensor": torch.tensor,
    "stand-in": lambda array: torch.as_tensor(np.array(array)).as_subclass(OnDevice),
    "accelerator": _to_accelerator,
}


@pytest.fixture(params=_LIBRARIES)
def to_tensor(request):
    """Return a function from an array to a tensor: on the host, as if on a device, and on one where there is one."""
    return _LIBRARIES[request.param]


@pytest.fixture
def to_device():
    """Return a function from an array to a tensor that behaves as if it were on a device."""
    return _LIBRARIES["stand-in"]


@pytest.fixture(scope="session")
def blobs():
    """Return read-only X, y, sample_domain: 60 source and 60 target rows of 3 classes."""
    data = make_shifted_blobs(60, 60, n_features=3, random_state=0)
    for array in data:
        array.flags.writeable = False
    return data


@pytest.fixture
def start(blobs):
    """Return a function that starts a session on the blobs; its keywords go to the loop."""
    X, y, sample_domain = blobs
    settings = {"budget": 10, "n_rounds": 2, "round_epochs": 1, "random_state": 0}

    def start(y=y, estimator=None, strategy=None, **params):
        estimator = LogisticRegression() if estimator is None else estimator
        loop = ActiveAdaptationLoop(estimator, strategy, **{**settings, **params})
        known = mask_target(y, sample_domain)
        known.flags.writeable = False
        return loop.session(X, known, sample_domain=sample_domain)

    return start


@pytest.fixture
def no_training(monkeypatch):
    """Make any training of a model that is not a network an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("the estimator was trained")

    for model in (LogisticRegression, RandomForestClassifier, LinearSVC):
        monkeypatch.setattr(model, "fit", refuse)


@pytest.fixture(scope="session")
def finish():
    """Return a function that runs a session to its end with the labels `y`, and returns it."""

    def finish(session, y):
        y = np.asarray(y)
        while len(ids := session.ask()):
            session.tell(ids, y[ids])
        return session

    return finish


@pytest.fixture
def open_session(blobs, tmp_path):
    """Return a function that opens a session on ``labels.db``; keywords go to the loop or the session."""
    X, y, sample_domain = blobs
    opened = []

    def open_session(estimator=None, strategy=None, X=X, y=y, session=None, **params):
        for earlier in opened:
            earlier.close()
        estimator = LogisticRegression() if estimator is None else estimator
        settings = {"budget": 10, "n_rounds": 2, "round_epochs": 1, "random_state": 0}
        loop = ActiveAdaptationLoop(estimator, strategy, **settings | params)
        known = mask_target(y, sample_domain)
        opened.append(
            loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db", **(session or {}))
        )
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture(scope="session")
def lines_of():
    """Return a function that reads the start and the events of a session's journal."""

    def lines_of(session):
        with contextlib.closing(sqlite3.connect(session.store.path)) as connection:
            rows = connection.execute("SELECT content FROM entries ORDER BY number").fetchall()
        return [json.loads(content) for (content,) in rows]

    return lines_of
