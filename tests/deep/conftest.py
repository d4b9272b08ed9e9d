from __future__ import annotations

import numpy as np
import pytest
import torch

N_SOURCE, N_TARGET = 40, 24


def _make_data(seed=0, n_classes=3):
    rng = np.random.default_rng(seed)
    y = np.arange(N_SOURCE + N_TARGET) % n_classes
    X = (rng.normal(size=(len(y), 4)) + 3 * np.eye(4)[y]).astype(np.float32)
    X[N_SOURCE:] += 0.5
    y[N_SOURCE + 6 :] = -1
    return X, y, np.repeat([1, -1], [N_SOURCE, N_TARGET])


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Networks this small only wait for their threads, for minutes where the cores are busy.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def make_data():
    """Return a maker of X, y, sample_domain: 40 source rows, 24 target rows, the first 6 of them labelled."""
    return _make_data
