from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import domain_step, module_of

from skada_active.datasets import make_multi_source_blobs, make_shifted_blobs
from skada_active.deep import M3SDA, AdaptationClassifier
from skada_active.deep.functional import moment_matching_loss
from skada_active.domains import mask_target


def loss_of(step, **params):
    return module_of(M3SDA(**params), n_domains=4)(step)


def test_domains_of_a_batch_are_told_apart_by_their_positions():
    step = domain_step([0, 2, 1, 0, 2, 0], [3, 3, 3])
    rows = step.features
    expected = moment_matching_loss([rows[[0, 3, 5]], rows[[2]], rows[[1, 4]]], [rows[8:]], n_moments=3)
    loss = loss_of(step, n_moments=3, trade_off=0.5)
    torch.testing.assert_close(loss, 0.5 * expected)
    torch.testing.assert_close(step.batch.terms["moment_loss"], expected.detach())


def test_a_source_that_the_batch_lacks_is_left_out():
    step = domain_step([0, 2, 2], [3, 3])
    rows = step.features
    expected = moment_matching_loss([rows[:1], rows[1:3]], [rows[5:]])
    torch.testing.assert_close(loss_of(step, trade_off=1.0), expected)


def test_every_target_is_compared_with_every_source():
    step = domain_step([0, 0, 1], [2, 3, 3])
    rows = step.features
    expected = moment_matching_loss([rows[:2], rows[2:3]], [rows[5:6], rows[6:]])
    torch.testing.assert_close(loss_of(step, trade_off=1.0), expected)


def test_labelled_target_rows_take_no_part():
    step = domain_step([0, 1], [2, 2])
    loss_of(step).backward()
    assert not step.features.grad[2:4].any()


@pytest.mark.parametrize(("source", "target"), [([], [1, 1]), ([0, 0], [])])
def test_one_side_alone_costs_nothing(source, target):
    assert loss_of(domain_step(source, target)).item() == 0.0


def test_training_brings_the_moments_of_all_domains_closer():
    X, y, sample_domain = make_multi_source_blobs(random_state=0)

    def distance(trade_off):
        model = AdaptationClassifier(M3SDA(trade_off=trade_off), max_epochs=5, random_state=0)
        model.fit(X, mask_target(y, sample_domain), sample_domain)
        rows = torch.as_tensor(model.transform(X))
        sources = [rows[sample_domain == number] for number in np.unique(sample_domain[sample_domain > 0])]
        return moment_matching_loss(sources, [rows[sample_domain < 0]]).item()

    assert distance(0.1) < 0.9 * distance(0.0)


def test_a_single_source_works():
    X, y, sample_domain = make_shifted_blobs(random_state=0)
    model = AdaptationClassifier(M3SDA(), max_epochs=2, random_state=0)
    assert np.isfinite(model.fit(X, mask_target(y, sample_domain), sample_domain).predict_proba(X)).all()
