from __future__ import annotations

import pytest
import torch
from torch import nn

from skada_active.deep.batches import Batch
from skada_active.deep.step import Step


def _make_step(
    n_source=6, n_labeled_target=3, n_target=5, *, known=(), n_features=4, n_classes=3, shift=0.0, seed=0, **options
):
    generator = torch.Generator().manual_seed(seed)
    n_labeled = n_source + n_labeled_target
    n_rows = n_labeled + n_target
    features = torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)
    features[n_source:] += shift
    features.requires_grad_()
    weight = torch.randn(n_classes, n_features, generator=generator, dtype=torch.float64)
    labels = torch.arange(n_rows) % n_classes
    labels[[row for row in range(n_labeled, n_rows) if row - n_labeled not in known]] = -1
    batch = Batch(labels, (torch.arange(n_rows) >= n_source).long(), n_source, n_labeled)
    options = {"progress": 0.5, "iteration": 700, **options}
    return Step(features, features, features @ weight.T, batch, head=None, forward=None, **options)


def _module_of(objective, n_features=4, n_classes=3, n_domains=2) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return objective.build(n_features, n_classes, n_domains).double()


@pytest.fixture(scope="session")
def make_step():
    """Return a maker of float64 steps of 3 classes: 6 source rows, 3 labelled target rows and 5 of the target batch.

    The features are leaves of the graph; of the target batch the rows `known` have a label.
    """
    return _make_step


@pytest.fixture(scope="session")
def module_of():
    """Return a maker of an objective's module in float64, the same every time."""
    return _module_of
