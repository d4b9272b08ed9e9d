"""D3GU: the gradient utility against autograd, what each parameter changes, and the strategy in a loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView, snapshot
from skada_active.query import D3GU, gradient_utility

torch = pytest.importorskip("torch")

from skada_active.deep import CDAN, DANN, TSF, AdaptationClassifier  # noqa: E402


def make_view(n=60, n_classes=4, width=5, seed=0):
    rng = np.random.default_rng(seed)
    return PoolView(
        proba=softmax(2 * rng.normal(size=(n, n_classes)), axis=1),
        features=rng.normal(size=(n, width)),
        head_weight=rng.normal(size=(n_classes, width)),
        domain_grad=rng.normal(size=(n, width)),
    )


def naive_utilities(features, head, logit_of_source):
    """Return the utilities row by row, both gradients by autograd."""
    utilities = []
    for row in features:
        z = row.clone().requires_grad_()
        logits = head(z)
        g = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, logits.argmax()), z)[0]
        a = torch.autograd.grad(-torch.nn.functional.logsigmoid(logit_of_source(z)), z)[0]
        utilities.append(g.norm() * (1 + g @ a / (g.norm() * a.norm())))
    return torch.stack(utilities).numpy()


def test_the_worked_example_by_hand():
    # Rows: g = (-.5, .5), cos 1, so 2 sqrt(.5); g = (-.25, .25), cos 0.
    found = gradient_utility([[0.5, 0.5], [0.75, 0.25]], np.eye(2), [[-1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_allclose(found, [2 * np.sqrt(0.5), np.sqrt(0.125)])


def test_the_utility_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(30, 6, dtype=torch.float64, generator=generator)
    weight, bias = (torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((4, 6), (4,)))
    first, last = (torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((9, 6), (9,)))

    def head(z):
        return z @ weight.T + bias

    def logit_of_source(z):
        return torch.relu(z @ first.T) @ last

    rows = features.clone().requires_grad_()
    loss = -torch.nn.functional.logsigmoid(logit_of_source(rows)).sum()
    domain_grad = torch.autograd.grad(loss, rows)[0]
    found = gradient_utility(head(features).softmax(dim=1).numpy(), weight.numpy(), domain_grad.numpy())
    np.testing.assert_allclose(found, naive_utilities(features, head, logit_of_source), rtol=1e-10)


def test_the_length_of_the_domain_gradient_does_not_count():
    view = make_view()
    found = gradient_utility(view.proba, view.head_weight, 1e-3 * view.domain_grad)
    np.testing.assert_allclose(found, gradient_utility(view.proba, view.head_weight, view.domain_grad))


def test_without_a_domain_gradient_the_utility_is_the_length_of_the_other():
    view = make_view()
    found = gradient_utility(view.proba, view.head_weight, np.zeros((60, 5)))
    residual = view.proba - np.eye(4)[view.proba.argmax(axis=1)]
    np.testing.assert_allclose(found, np.linalg.norm(residual @ view.head_weight, axis=1))


def test_a_power_of_the_utility_draws_the_centroid():
    # Ten rows on a line, the last one in doubt: p = .5 / .5, the others .9 / .1.
    proba = np.array([[0.9, 0.1]] * 9 + [[0.5, 0.5]])
    view = PoolView(
        proba=proba,
        features=np.arange(10.0)[:, None] ** 1.1,
        head_weight=[[1.0], [-1.0]],
        domain_grad=-np.ones((10, 1)),
    )
    chosen = [int(D3GU(weight_power=power).select(view, 1, random_state=0)[0]) for power in (0, 1, 2, 20)]
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == 4
    assert chosen[-1] == 9


def test_without_diversity_the_largest_utilities_are_chosen():
    view = make_view()
    expected = np.argsort(-D3GU().utilities(view))[:7]
    np.testing.assert_array_equal(D3GU(diversity=None).select(view, 7), expected)


def test_more_starts_change_the_clustering():
    view = make_view(200)
    few, many = (D3GU(n_init=n_init).select(view, 12, random_state=1).tolist() for n_init in (1, 8))
    assert few != many


@pytest.mark.parametrize(
    "objective", [DANN(), DANN(discriminator_input="proba"), DANN(discriminator="per_source"), CDAN(), TSF() + DANN()]
)
def test_the_field_is_the_gradient_of_the_network_s_own_discriminator(objective):
    X, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    known = mask_target(y, domain)
    model = AdaptationClassifier(objective, max_epochs=1, random_state=0).fit(X, known, domain)
    view = snapshot(model, X, resolve_roles(known, domain), {"features", "domain_grad"})
    term = model.net_.criterion_.objective
    rows = torch.as_tensor(np.array(view.features)).to(model.device_).requires_grad_()
    logit = term.source_logit(rows, model.net_.module_.classify(rows))
    expected = torch.autograd.grad(-torch.nn.functional.logsigmoid(logit).sum(), rows)[0]
    assert view.domain_grad.shape == view.features.shape
    assert np.abs(view.domain_grad).max() > 0
    np.testing.assert_allclose(view.domain_grad, expected.cpu().numpy(), rtol=1e-4, atol=1e-7)


def test_before_a_cosine_head_the_field_is_the_gradient_of_the_embedding_at_its_length():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    known = mask_target(y, domain)
    model = AdaptationClassifier(DANN(), head="cosine", max_epochs=1, random_state=0).fit(X, known, domain)
    outputs = model.pool_outputs(X, {"embedding", "features", "domain_grad"})
    rows = torch.as_tensor(outputs["embedding"]).to(model.device_).requires_grad_()
    logit = model.net_.criterion_.objective.source_logit(rows, model.net_.module_.classify(rows))
    expected = torch.autograd.grad(-torch.nn.functional.logsigmoid(logit).sum(), rows)[0]
    np.testing.assert_allclose(outputs["domain_grad"], expected.cpu().numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(outputs["features"], axis=1), 1, rtol=1e-5)
    assert D3GU(estimator=model, random_state=0).fit(X, known, domain).query(4).shape == (4,)


def test_a_model_without_a_domain_discriminator_is_refused_before_training():
    X, y, domain = make_shifted_blobs(n_source=30, n_target=20, random_state=0)
    strategy = D3GU(estimator=AdaptationClassifier(TSF()))
    with pytest.raises(ValueError, match=r"cannot supply 'domain_grad'.*such as DANN"):
        strategy.fit(X, mask_target(y, domain), domain)


def test_an_untrained_discriminator_is_refused():
    X, y, domain = make_shifted_blobs(n_source=30, n_target=20, random_state=0)
    strategy = D3GU(estimator=AdaptationClassifier(DANN(trade_off=0), max_epochs=1))
    with pytest.raises(ValueError, match="domain discriminator is untrained"):
        strategy.fit(X, mask_target(y, domain), domain)


def test_a_loop_with_two_target_domains_spends_its_budget():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=40, random_state=0)
    domain = np.where((domain < 0) & (np.arange(len(y)) % 2 == 0), -2, domain)
    model = AdaptationClassifier(DANN(), max_epochs=2, random_state=0)
    loop = ActiveAdaptationLoop(model, D3GU(), budget=6, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert len(set(loop.queried_ids_.tolist())) == 6
    assert (domain[loop.queried_ids_] < 0).all()
