from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier

from skada_active.pool import PoolView
from skada_active.query import (
    SDM,
    MarginSampling,
    margin_uncertainty,
    sdm_loss_gradient,
    sdm_margin_gradient,
    sdm_scores,
)

torch = pytest.importorskip("torch")
functional = pytest.importorskip("skada_active.deep.functional")

SHAPES = [(3, 5), (5, 3), (4, 4), (2, 6), (2, 1), (7, 2)]
LOSSES = [("official", 1.0), ("official", 0.3), ("official", 2.0), ("margin", 1.0), ("margin", 4.0)]


def eq_1(values, label, margin):
    hinges = torch.relu(margin - values[label] + values)
    return hinges.sum() - hinges[label]


def loss_terms(logits, label, margin):
    unit = torch.nn.functional.normalize(logits, dim=0)
    cross_entropy = torch.nn.functional.cross_entropy(logits, torch.tensor(label))
    return cross_entropy, eq_1(unit, label, margin) / len(logits), unit[label]


def query_loss(logits, label, kind, margin):
    if kind == "margin":
        return eq_1(logits, label, margin)
    cross_entropy, hinge, max_logit = loss_terms(logits, label, margin)
    return cross_entropy + hinge - max_logit


def expected_loss(logits, kind, margin):
    proba, labels = torch.softmax(logits, 0).detach().topk(2)
    return sum(p * query_loss(logits, int(label), kind, margin) for p, label in zip(proba, labels, strict=True))


def margin_score(logits):
    top = torch.softmax(logits, 0).topk(2).values
    return 1 - (top[0] - top[1])


def gradient(function, values):
    values = values.clone().requires_grad_()
    (result,) = torch.autograd.grad(function(values), values, allow_unused=True)
    return torch.zeros_like(values) if result is None else result


def make_head(n_classes, width, *, cosine=False, n=30, seed=0):
    rng = np.random.default_rng(seed)
    features, weight, bias = (
        rng.normal(size=(n, width)),
        rng.normal(size=(n_classes, width)),
        rng.normal(size=n_classes),
    )
    if cosine:
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        weight /= 0.5 * np.linalg.norm(weight, axis=1, keepdims=True)
        bias = np.zeros(n_classes)
    return features, weight, bias, features @ weight.T + bias


def test_loss_terms_of_the_worked_example():
    logits = torch.tensor([2.0, 1.5, -1.0], dtype=torch.float64)
    assert eq_1(logits, 0, 1.0).item() == pytest.approx(0.5)
    _, hinge, max_logit = loss_terms(logits, 0, 1.0)
    assert hinge.item() == pytest.approx(0.271435, abs=1e-6)
    assert max_logit.item() == pytest.approx(0.742781, abs=1e-6)


@pytest.mark.parametrize(("kind", "margin"), LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_the_loss_gradient_is_that_of_autograd(kind, margin, n_classes):
    logits = 2 * np.random.default_rng(1).normal(size=(40, n_classes))
    expected = [gradient(lambda z: expected_loss(z, kind, margin), row).numpy() for row in torch.tensor(logits)]
    np.testing.assert_allclose(sdm_loss_gradient(logits, query_loss=kind, margin=margin), expected, atol=1e-12)


OPTIONS = [
    dict(zip(("dynamic", "max_logit", "normalize_logits", "reduction"), values, strict=True))
    for values in itertools.product(*[(False, True)] * 3, ("mean_over_classes", "sum"))
]


def training_loss(kind, margin, options):
    """Return the loss of a row of logits and a label that a network with this margin loss is trained with."""

    def loss(z, label):
        target = torch.tensor([label])
        cross_entropy = torch.nn.functional.cross_entropy(z[None], target) if kind == "official" else 0.0
        return cross_entropy + functional.margin_loss(z[None], target, margin=margin, **options)[0]

    return loss


def expected_gradient(logits, loss):
    def expected(z):
        proba, labels = torch.softmax(z, 0).detach().topk(2)
        return sum(p * loss(z, int(label)) for p, label in zip(proba, labels, strict=True))

    return [gradient(expected, row).numpy() for row in torch.tensor(logits)]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(map(str, options.values())))
@pytest.mark.parametrize("kind", ["official", "margin"])
def test_the_gradient_of_every_training_loss_is_that_of_autograd(kind, options):
    logits = 2 * np.random.default_rng(1).normal(size=(12, 5))
    for margin in (0.4, 1.3):
        got = sdm_loss_gradient(logits, query_loss=kind, margin=margin, **options)
        expected = expected_gradient(logits, training_loss(kind, margin, options))
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_the_gradient_of_the_squared_hinge_is_that_of_a_loop():
    z, m = np.array([2.0, 1.5, -1.0]), 1.0
    p = np.exp(z) / np.exp(z).sum()
    expected = np.zeros(3)
    for y in (0, 1):
        for i in {0, 1, 2} - {y}:
            slope = 2 * max(0, m - z[y] + z[i]) / m
            expected += p[y] * slope * (np.eye(3)[i] - np.eye(3)[y])
        expected -= p[y] * np.eye(3)[y]
    got = sdm_loss_gradient([z], query_loss="margin", margin=m, dynamic=True, max_logit=True)
    np.testing.assert_allclose(got, [expected], atol=1e-15)


def test_parts_that_nobody_names_are_those_of_the_named_loss():
    logits = np.random.default_rng(5).normal(size=(9, 4))
    official = {"dynamic": False, "max_logit": True, "normalize_logits": True, "reduction": "mean_over_classes"}
    eq_1_ = {"dynamic": False, "max_logit": False, "normalize_logits": False, "reduction": "sum"}
    for kind, options in (("official", official), ("margin", eq_1_)):
        named = sdm_loss_gradient(logits, query_loss=kind, **options)
        np.testing.assert_array_equal(named, sdm_loss_gradient(logits, query_loss=kind))


@pytest.mark.parametrize(("name", "value"), [("query_loss", "hinge"), ("reduction", "mean")])
def test_an_unknown_loss_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, got '{value}'"):
        sdm_loss_gradient([[0.0, 1.0]], **{name: value})


@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_the_exact_margin_gradient_is_that_of_autograd(n_classes):
    logits = 2 * np.random.default_rng(2).normal(size=(40, n_classes))
    expected = [gradient(margin_score, row).numpy() for row in torch.tensor(logits)]
    np.testing.assert_allclose(sdm_margin_gradient(logits), expected, atol=1e-14)


def test_the_official_margin_gradient_lacks_the_cross_term():
    logits = np.random.default_rng(3).normal(size=(20, 4))
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-proba, axis=1)
    for row, (p, (first, second, *rest)) in enumerate(zip(proba, order, strict=True)):
        expected = np.zeros(4)
        expected[first] = -p[first] * (1 - p[first])
        expected[second] = p[second] * (1 - p[second])
        expected[rest] = (p[first] - p[second]) * p[rest]
        np.testing.assert_allclose(sdm_margin_gradient(logits, jacobian="official")[row], expected, atol=1e-14)


@pytest.mark.parametrize(("n_classes", "width"), SHAPES)
@pytest.mark.parametrize(("kind", "margin"), LOSSES)
@pytest.mark.parametrize("cosine", [False, True])
def test_scores_are_those_of_autograd_with_respect_to_the_embedding(n_classes, width, kind, margin, cosine):
    features, weight, bias, logits = make_head(n_classes, width, cosine=cosine)
    head = [torch.tensor(values) for values in (weight, bias)]
    expected = []
    for f in torch.tensor(features):
        loss = gradient(lambda f: expected_loss(head[0] @ f + head[1], kind, margin), f)
        query = gradient(lambda f: margin_score(head[0] @ f + head[1]), f)
        norms = loss.norm() * query.norm()
        cosine_ = (loss @ query / norms).item() if min(loss.norm(), query.norm()) >= 1e-12 else 0.0
        expected.append(margin_score(head[0] @ f + head[1]).item() + 0.7 * cosine_)
    scores = sdm_scores(logits, weight, gradient_weight=0.7, query_loss=kind, margin=margin)
    np.testing.assert_allclose(scores, expected, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 7), st.integers(0, 10**6), st.floats(0.01, 30.0))
def test_the_cosine_stays_between_minus_one_and_one(n_classes, width, seed, scale):
    _, weight, _, logits = make_head(n_classes, width, n=8, seed=seed)
    scores = sdm_scores(scale * logits, weight, gradient_weight=1.0)
    assert (np.abs(scores - sdm_scores(scale * logits, weight, gradient_weight=0)) <= 1 + 1e-12).all()


def test_blocks_of_rows_change_nothing(monkeypatch):
    _, weight, _, logits = make_head(4, 6)
    expected = sdm_scores(logits, weight)
    monkeypatch.setattr("skada_active.query.sdm._BLOCK_BYTES", 7 * 4 * 8)
    np.testing.assert_allclose(sdm_scores(logits, weight), expected, atol=1e-15)


def test_float32_agrees_with_float64():
    _, weight, _, logits = make_head(5, 8)
    single = sdm_scores(logits.astype(np.float32), weight.astype(np.float32), gradient_weight=1.0)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, sdm_scores(logits, weight, gradient_weight=1.0), atol=1e-4)


def test_confident_predictions_keep_their_direction_in_float32():
    logits = np.array([[30.0, 2.0, 1.0], [0.0, 25.0, -3.0]])
    weight = np.random.default_rng(0).normal(size=(3, 4))
    cosines = [sdm_scores(logits.astype(t), weight.astype(t), gradient_weight=1.0) for t in (np.float32, np.float64)]
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-5)


@pytest.mark.parametrize("kind", ["official", "margin"])
def test_one_class_has_no_gradient(kind):
    assert sdm_scores([[2.0], [0.0]], [[1.0, 3.0]], query_loss=kind).tolist() == [0.0, 0.0]
    assert sdm_margin_gradient([[2.0]]).tolist() == [[0.0]]


def test_a_vanishing_gradient_has_cosine_zero():
    assert sdm_scores([[0.0, 0.0], [1.0, 2.0]], np.zeros((2, 3)), gradient_weight=5.0).tolist() == pytest.approx(
        margin_uncertainty([[0.5, 0.5], [0.26894142, 0.73105858]]).tolist()
    )


def test_zero_logits_have_a_finite_score():
    assert np.isfinite(sdm_scores(np.zeros((3, 4)), np.random.default_rng(0).normal(size=(4, 2)))).all()


def test_the_loss_of_two_classes_is_all_on_the_normalised_logits():
    # The expected cross-entropy gradient p1 (p - e1) + p2 (p - e2) cancels out for two classes.
    gradient_ = sdm_loss_gradient([[1.0, 0.5]])
    assert gradient_ @ [1.0, 0.5] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_weight": -1.0},
        {"query_loss": "margin"},
        {"margin": 0.2},
        {"jacobian": "official"},
        {"dynamic": True},
        {"max_logit": False},
        {"normalize_logits": False},
        {"reduction": "sum"},
    ],
)
def test_every_parameter_changes_the_scores(change):
    _, weight, _, logits = make_head(4, 6)
    view = PoolView(logits=logits, head_weight=weight)
    base = SDM(gradient_weight=1.0)
    assert not np.allclose(base.utilities(view), SDM(**{"gradient_weight": 1.0, **change}).utilities(view))


def test_weight_zero_is_margin_sampling_and_reads_only_proba():
    strategy = SDM(gradient_weight=0)
    view = PoolView(proba=np.random.default_rng(0).dirichlet(np.ones(4), size=20))
    assert strategy.needs == {"proba"}
    np.testing.assert_array_equal(strategy.select(view, 7), MarginSampling().select(view, 7))
    assert SDM().needs == {"logits", "head_weight"}


def test_a_model_without_a_linear_head_is_refused_before_any_training():
    class Untrainable(RandomForestClassifier):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("fit was called")

    X, y = np.arange(8.0)[:, None], [0, 1, 0, 1, 0, 1, -1, -1]
    with pytest.raises(ValueError, match=r"cannot supply 'head_weight'.*Use a linear model such as LogisticRegression"):
        SDM(estimator=Untrainable()).fit(X, y, sample_domain=[1] * 4 + [-1] * 4)


def test_a_linear_model_without_probabilities_will_do():
    X, y = np.array([[0.0], [1.0], [4.0], [5.0], [0.5], [2.6]]), [0, 0, 1, 1, -1, -1]
    strategy = SDM(estimator=RidgeClassifier()).fit(X, y, sample_domain=[1, 1, 1, 1, -1, -1])
    assert strategy.query().tolist() == [5]


@pytest.mark.parametrize(
    "parameters",
    [
        {"gradient_weight": "much"},
        {"query_loss": "hinge"},
        {"margin": 0},
        {"jacobian": "none"},
        {"dynamic": "yes"},
        {"max_logit": 2},
        {"normalize_logits": "yes"},
        {"reduction": "mean"},
    ],
)
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    _, weight, _, logits = make_head(3, 2)
    with pytest.raises(ValueError, match=f"'{name}' parameter of SDM must be"):
        SDM(**parameters).utilities(PoolView(logits=logits, head_weight=weight))
