"""AFN and BSP: their losses on a step, and which rows they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import AFN, BSP, CDAN, DANN, AdaptationClassifier
from skada_active.deep.functional import adaptive_feature_norm, batch_spectral_penalty
from skada_active.exceptions import TrainingError


@pytest.mark.parametrize("delta", [1.0, 0.3])
def test_afn_lengthens_source_and_target_rows(delta):
    module, step = module_of(AFN(delta=delta, trade_off=0.5)), leaf_step()
    loss = module(step)
    assert loss.item() == pytest.approx(0.5 * 2 * delta**2)
    torch.testing.assert_close(
        loss / 0.5,
        adaptive_feature_norm(step.features[:6], delta) + adaptive_feature_norm(step.features[9:], delta),
    )
    (gradient,) = torch.autograd.grad(loss, step.features)
    # Half of it (the trade-off), in the mean over 6 source and over 5 target rows; labelled target rows stay.
    share = torch.tensor([1 / 6] * 6 + [0.0] * 3 + [1 / 5] * 5, dtype=torch.float64)[:, None]
    expected = -0.5 * 2 * delta * share * step.features / step.features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(gradient, expected)


def test_afn_without_source_rows_is_that_of_the_target():
    assert module_of(AFN(trade_off=1.0))(leaf_step(0, 3, 5)).item() == pytest.approx(1.0)
    assert module_of(AFN())(leaf_step(6, 3, 0)) == 0


def test_afn_makes_the_embedding_longer(make_data):
    X, y, domain = make_data()
    norms = []
    for objective in (None, AFN(trade_off=0.3)):
        model = AdaptationClassifier(objective, max_epochs=10, batch_size=16, random_state=0).fit(X, y, domain)
        norms.append(np.linalg.norm(model.transform(X), axis=1).mean())
    assert norms[1] > norms[0] + 0.5


@pytest.mark.parametrize("k", [1, 3])
def test_bsp_penalises_the_largest_singular_values_of_both_domains(k):
    module, step = module_of(BSP(k=k, trade_off=0.5)), leaf_step()
    rows = [step.features[block].detach().numpy() for block in (slice(0, 6), slice(9, 14))]
    expected = sum(np.square(np.linalg.svd(block, compute_uv=False)[:k]).sum() for block in rows)
    assert module(step).item() == pytest.approx(0.5 * expected)
    assert step.batch.terms["bsp_loss"].item() == pytest.approx(expected)


def test_bsp_takes_as_many_singular_values_as_there_are():
    step = leaf_step(6, 0, 2)
    expected = batch_spectral_penalty(step.features[:6], step.features[6:], k=2)
    torch.testing.assert_close(module_of(BSP(k=9, trade_off=1.0))(step), expected)


def test_bsp_moves_all_but_the_labelled_target_rows():
    step = leaf_step()
    module_of(BSP(k=2))(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).tolist() == [True] * 6 + [False] * 3 + [True] * 5


@pytest.mark.parametrize("sizes", [(0, 3, 5), (6, 3, 0)])
def test_bsp_needs_both_domains(sizes):
    assert module_of(BSP())(leaf_step(*sizes)) == 0


@pytest.mark.parametrize("adversarial", [DANN(), CDAN()], ids=str)
def test_bsp_stands_beside_an_adversarial_loss(adversarial):
    total, step = module_of(adversarial + BSP()), leaf_step()
    parts = [part(leaf_step()) for part in total.parts.values()]
    torch.testing.assert_close(total(step), parts[0] + parts[1])
    assert (adversarial + BSP()).supplies == {"source_logit"}


def test_training_that_diverges_under_bsp_says_so(make_data):
    with pytest.raises(TrainingError, match="Training diverged"):
        AdaptationClassifier(BSP(), max_epochs=1, lr=1e30, random_state=0).fit(*make_data())


def test_bsp_lowers_the_share_of_the_largest_singular_value(make_data):
    X, y, domain = make_data()
    shares = []
    for objective in (None, BSP(trade_off=0.01)):
        model = AdaptationClassifier(objective, max_epochs=10, batch_size=16, random_state=0).fit(X, y, domain)
        squares = np.square(np.linalg.svd(model.transform(X[domain > 0]), compute_uv=False))
        shares.append(squares[0] / squares.sum())
    assert shares[1] < shares[0]
