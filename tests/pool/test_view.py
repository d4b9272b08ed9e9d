from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skada_active.domains import resolve_roles
from skada_active.pool import PoolView, snapshot
from skada_active.pool.fields import FIELDS
from skada_active.selection import nearest_neighbors

LOGITS = np.array([[2.0, 0.0, -1.0], [0.2, 0.1, 0.0]])
# One hidden layer of 5 units between an embedding of width 4 and 3 classes.
DISCRIMINATOR = (np.ones((5, 4)), np.ones(5), np.ones((3, 5)), np.ones(3))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    y = np.arange(30) % 3
    domain = np.repeat([1, 2, -1], 10)
    y[24:] = -1
    return X, y, domain


def test_index_and_n_initial_default_to_the_candidates():
    view = PoolView(proba=[[0.5, 0.5], [1.0, 0.0]])
    assert view.index.tolist() == [0, 1]
    assert view.n_initial == 2
    assert len(view) == 2


def test_proba_derives_from_logits():
    np.testing.assert_allclose(PoolView(logits=LOGITS).proba, softmax(LOGITS, axis=1))


def test_given_proba_wins_over_logits():
    assert PoolView(logits=LOGITS, proba=np.full((2, 3), 1 / 3)).proba[0, 0] == pytest.approx(1 / 3)


def test_log_proba_of_logits_does_not_underflow():
    logits = np.array([[0.0, -2000.0]])
    np.testing.assert_array_equal(PoolView(logits=logits).log_proba, log_softmax(logits, axis=1))


def test_log_proba_of_proba_is_minus_infinity_at_zero():
    assert PoolView(proba=[[1.0, 0.0]]).log_proba.tolist() == [[0.0, -np.inf]]


def test_entropy_and_margin_are_float64_even_for_float32():
    view = PoolView(proba=np.array([[0.7, 0.2, 0.1]], dtype=np.float32))
    assert view.entropy.dtype == view.margin.dtype == np.float64
    assert view.entropy[0] == pytest.approx(0.801819, abs=1e-6)
    assert view.margin[0] == pytest.approx(0.5)


def test_entropy_of_a_one_hot_prediction_is_zero():
    assert PoolView(proba=[[1.0, 0.0]]).entropy.tolist() == [0.0]


def test_margin_of_a_single_class_takes_the_second_as_zero():
    assert PoolView(proba=[[1.0], [1.0]]).margin.tolist() == [1.0, 1.0]


def test_normalized_features_keep_zero_rows():
    view = PoolView(features=[[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(view.normalized_features, [[0.6, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_of_the_features_and_looked_for_once(metric):
    features = np.random.default_rng(0).normal(size=(9, 3))
    view = PoolView(features=features)
    values, positions = view.neighbors(4, metric)
    expected = nearest_neighbors(features, 4, metric=metric)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(positions, expected[1])
    assert view.neighbors(4, metric)[0] is values
    assert view.neighbors(2, metric)[0].shape == (9, 2)
    assert not values.flags.writeable


def test_energies_are_negative_logits():
    np.testing.assert_array_equal(PoolView(logits=LOGITS).energies, -LOGITS)


def test_derived_arrays_are_computed_once():
    view = PoolView(logits=LOGITS)
    assert view.proba is view.proba
    assert view.entropy is view.entropy


def test_arrays_are_read_only_views_not_copies():
    proba = np.array([[0.5, 0.5]])
    view = PoolView(proba=proba)
    assert np.shares_memory(view.proba, proba)
    assert proba.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view.proba[0, 0] = 1


def test_the_view_is_frozen_and_has_no_field_for_labels_of_the_pool():
    view = PoolView(proba=[[0.5, 0.5]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.proba = None
    assert {field.name for field in dataclasses.fields(PoolView) if "y" in field.name.split("_")} == {
        "labeled_y",
        "source_y",
    }


def test_reading_an_unfilled_field_says_what_to_do():
    with pytest.raises(AttributeError, match=r"features was not filled.*needs.*PoolView\(features="):
        _ = PoolView(proba=[[0.5, 0.5]]).features


def test_reading_an_unknown_name_is_an_ordinary_attribute_error():
    view = PoolView(proba=[[0.5, 0.5]])
    with pytest.raises(AttributeError, match="no attribute 'probabilities'"):
        _ = view.probabilities
    assert not hasattr(view, "y")


def test_a_derived_array_says_which_field_it_lacks():
    with pytest.raises(AttributeError, match=r"PoolView.proba was not filled"):
        _ = PoolView(features=[[1.0]]).margin
    with pytest.raises(AttributeError, match=r"PoolView.logits was not filled"):
        _ = PoolView(proba=[[1.0]]).energies


@pytest.mark.parametrize("wide", ["features", "source_features", "head_weight"])
def test_without_revealed_rows_their_features_have_the_width_of_the_others(wide):
    view = PoolView(**{"index": [0, 1], wide: np.ones((2, 5), dtype=np.float32)})
    assert view.labeled_features.shape == (0, 5)
    assert view.labeled_features.dtype == np.float32
    assert view.labeled_y.shape == (0,)
    assert view.labeled_y.dtype == np.int64
    assert not view.labeled_features.flags.writeable


@pytest.mark.parametrize("name", ["proba", "logits"])
def test_without_revealed_rows_their_probabilities_have_the_classes_of_the_others(name):
    view = PoolView(**{name: np.full((2, 4), 0.25, dtype=np.float32)})
    assert view.labeled_proba.shape == (0, 4)
    assert view.labeled_proba.dtype == np.float32
    with pytest.raises(AttributeError, match="labeled_proba was not filled"):
        _ = PoolView(index=[0, 1]).labeled_proba


def test_features_without_revealed_rows_stay_where_the_others_are(to_tensor):
    assert type(PoolView(features=to_tensor(np.ones((2, 5)))).labeled_features) is type(to_tensor(np.ones((2, 5))))


def test_revealed_rows_are_not_none_where_half_of_them_is_filled():
    with pytest.raises(AttributeError, match="labeled_y was not filled"):
        _ = PoolView(features=[[1.0]], labeled_features=[[2.0]]).labeled_y
    with pytest.raises(AttributeError, match="labeled_features was not filled"):
        _ = PoolView(features=[[1.0]], labeled_y=[0]).labeled_features
    with pytest.raises(AttributeError, match="labeled_proba was not filled"):
        _ = PoolView(proba=[[1.0]], labeled_y=[0]).labeled_proba
    with pytest.raises(AttributeError, match="labeled_features was not filled"):
        _ = PoolView(index=[0]).labeled_features


def test_gradients_derive_from_the_discriminator_and_the_features():
    rng = np.random.default_rng(0)
    parts = tuple(rng.normal(size=shape) for shape in ((5, 4), (5,), (3, 5), (3,)))
    view = PoolView(features=rng.normal(size=(7, 4)), class_discriminator=parts)
    w1, b1, w2, b2 = map(torch.as_tensor, parts)
    for row in (6, 0):
        z = torch.tensor(view.features[row])

        def losses(z):
            return -torch.nn.functional.logsigmoid(w2 @ torch.relu(w1 @ z + b1) + b2)

        expected = torch.autograd.functional.jacobian(losses, z)
        np.testing.assert_allclose(view.class_domain_grad(np.array([row]))[0], expected, rtol=1e-9)
    np.testing.assert_array_equal(
        view.take([3]).class_domain_grad(np.array([0])), view.class_domain_grad(np.array([3]))
    )


def test_gradients_of_features_on_a_device_are_computed_there(to_tensor):
    rng = np.random.default_rng(0)
    parts = tuple(rng.normal(size=shape) for shape in ((5, 4), (5,), (3, 5), (3,)))
    features = rng.normal(size=(7, 4))
    expected = PoolView(features=features, class_discriminator=parts).class_domain_grad(np.arange(7))
    found = PoolView(features=to_tensor(features), class_discriminator=parts).class_domain_grad(np.arange(7))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.cpu(), expected)


def test_the_annotations_are_the_fields_of_the_table():
    assert list(PoolView.__annotations__) == list(FIELDS)
    assert {field.name for field in dataclasses.fields(PoolView)} == set(FIELDS)


def test_a_view_without_rows_per_candidate_is_refused():
    with pytest.raises(ValueError, match="one row per candidate"):
        PoolView(head_weight=[[1.0]])


def test_repr_names_the_filled_fields():
    assert repr(PoolView(proba=[[0.5, 0.5]])) == "PoolView(n=1, filled=['index', 'n_initial', 'proba'])"


def test_a_callable_class_domain_grad_is_kept():
    view = PoolView(index=[0, 1], class_domain_grad=lambda index: np.zeros((len(index), 2, 3)))
    assert view.class_domain_grad(np.array([0])).shape == (1, 2, 3)


def full_view():
    return PoolView(logits=LOGITS, class_domain_grad=np.ones((2, 3, 4)), class_discriminator=DISCRIMINATOR)


@pytest.mark.parametrize(
    "rebuilt",
    [lambda view: view, copy.copy, copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))],
    ids=["as made", "copy", "deepcopy", "pickle"],
)
def test_every_array_is_read_only_in_copies_too(rebuilt):
    view = rebuilt(full_view())
    for array in (view.index, view.logits, view.class_domain_grad, *view.class_discriminator):
        assert not array.flags.writeable
    np.testing.assert_array_equal(view.proba, full_view().proba)
    assert DISCRIMINATOR[0].flags.writeable


def test_the_previous_probabilities_are_the_present_ones_where_none_are_given():
    proba = np.array([[0.6, 0.4], [0.3, 0.7]])
    np.testing.assert_array_equal(PoolView(proba=proba).previous_proba, proba)
    np.testing.assert_allclose(PoolView(logits=np.log(proba)).previous_proba, proba)
    np.testing.assert_array_equal(PoolView(proba=proba, previous_proba=proba[::-1]).previous_proba, proba[::-1])
    with pytest.raises(AttributeError, match="previous_proba was not filled"):
        _ = PoolView(index=[0, 1]).previous_proba


def every_field():
    rng = np.random.default_rng(0)
    numbers = {
        "index": [10, 11, 12, 13, 14],
        "target_domain": [-1, -2, -1, -2, -1],
        "source_y": [0, 2],
        "source_domain": [1, 2],
        "labeled_y": [1],
        "n_initial": 9,
    }
    return {
        **numbers,
        "proba": rng.dirichlet(np.ones(3), size=5),
        "previous_proba": rng.dirichlet(np.ones(3), size=5),
        "logits": rng.normal(size=(5, 3)),
        "features": rng.normal(size=(5, 4)),
        "head_weight": rng.normal(size=(3, 4)),
        "head_bias": rng.normal(size=3),
        "source_logit": rng.normal(size=5),
        "domain_grad": rng.normal(size=(5, 4)),
        "class_domain_grad": rng.normal(size=(5, 3, 4)),
        "class_discriminator": DISCRIMINATOR,
        "labeled_features": rng.normal(size=(1, 4)),
        "labeled_proba": rng.dirichlet(np.ones(3), size=1),
        "source_features": rng.normal(size=(2, 4)),
        "inputs": rng.normal(size=(5, 6)),
        "source_inputs": rng.normal(size=(2, 6)),
        "source_mean": rng.normal(size=(2, 4)),
        "source_std": rng.random((2, 4)),
        "source_count": [1, 1],
        "committee_proba": rng.dirichlet(np.ones(3), size=(5, 5)),
        "committee_logits": rng.normal(size=(5, 5, 3)),
        "virtual_divergence": rng.random(5),
    }


# Which axis of a field counts the candidates.
CANDIDATE_AXES = {
    **dict.fromkeys(("index", "target_domain", "proba", "previous_proba", "logits", "features"), 0),
    **dict.fromkeys(("inputs", "source_logit", "domain_grad", "class_domain_grad", "virtual_divergence"), 0),
    **dict.fromkeys(("committee_proba", "committee_logits"), 1),
}


def test_take_takes_the_candidates_of_every_field_and_shares_the_others():
    fields = every_field()
    assert set(fields) == set(PoolView.__annotations__)
    view = PoolView(**fields)
    part = view.take([3, 0])
    assert len(part) == 2
    assert set(vars(part)) == set(fields)
    for name in fields:
        if name in CANDIDATE_AXES:
            expected = np.take(fields[name], [3, 0], axis=CANDIDATE_AXES[name])
            np.testing.assert_array_equal(getattr(part, name), expected, err_msg=name)
        elif isinstance(fields[name], np.ndarray):
            assert np.shares_memory(getattr(part, name), fields[name]), name
    assert part.n_initial == 9
    assert all(np.shares_memory(*pair) for pair in zip(part.class_discriminator, DISCRIMINATOR, strict=True))


def test_take_computes_again_what_derives_from_the_fields():
    view = PoolView(logits=np.random.default_rng(0).normal(size=(6, 3)), features=np.eye(6))
    derived = view.proba, view.entropy, view.neighbors(2)
    part = view.take([5, 1])
    np.testing.assert_array_equal(part.proba, derived[0][[5, 1]])
    np.testing.assert_array_equal(part.entropy, derived[1][[5, 1]])
    assert part.neighbors(2)[0].shape == (2, 1)


def test_take_composes_a_callable_class_domain_grad():
    blocks = np.arange(24.0).reshape(4, 2, 3)
    view = PoolView(index=[5, 6, 7, 8], class_domain_grad=blocks.__getitem__)
    part = view.take([3, 2, 0]).take([2, 1])
    np.testing.assert_array_equal(part.class_domain_grad(np.array([1, 0, 1])), blocks[[2, 0, 2]])


def test_take_of_all_candidates_in_order_is_the_view_itself():
    view = PoolView(**every_field())
    assert view.take(range(5)) is view
    assert view.take([4, 3, 2, 1, 0]).index.tolist() == [14, 13, 12, 11, 10]
    assert len(view.take([])) == 0


@pytest.mark.parametrize("positions", [[True, False, True, False, False], [0.0, 1.0], [[0, 1]], 2, [5], [-1, 0]])
def test_take_refuses_what_are_no_positions(positions):
    with pytest.raises(ValueError, match="positions must be"):
        PoolView(**every_field()).take(positions)


def test_snapshot_fills_what_is_needed_and_nothing_else(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    view = snapshot(model, X, roles, {"proba"})
    assert set(vars(view)) == {"index", "n_initial", "proba"}
    assert view.index.tolist() == list(range(24, 30))
    np.testing.assert_array_equal(view.proba, model.predict_proba(X[24:]))


def test_snapshot_fills_the_labelled_groups(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    needs = {"features", "labeled_features", "labeled_y", "source_features", "source_y", "source_domain"}
    view = snapshot(model, X, roles, needs, y=y)
    np.testing.assert_array_equal(view.features, X[24:])
    np.testing.assert_array_equal(view.labeled_features, X[20:24])
    np.testing.assert_array_equal(view.source_features, X[:20])
    np.testing.assert_array_equal(view.source_y, y[:20])
    np.testing.assert_array_equal(view.labeled_y, y[20:24])
    np.testing.assert_array_equal(view.source_domain, domain[:20])


def test_snapshot_reads_source_features_without_the_features_of_the_pool(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    view = snapshot(model, X, roles, {"proba", "source_features"})
    assert "features" not in vars(view)
    assert view.proba.shape == (6, 3)
    np.testing.assert_array_equal(view.source_features, X[:20])


def test_snapshot_names_the_targets_of_the_candidates_alone(data):
    X, y, domain = data
    domain = np.where(np.arange(len(X)) == 27, -5, domain)
    roles = resolve_roles(y, domain).exclude([24])
    model = RandomForestClassifier(2).fit(X[roles.labeled], y[roles.labeled])
    view = snapshot(model, X, roles, {"target_domain"})
    np.testing.assert_array_equal(view.target_domain, domain[25:])


def test_snapshot_labels_are_column_positions(data):
    X, y, domain = data
    names = np.array(["ant", "bee", "cow", None], dtype=object)[y]
    roles = resolve_roles(names, domain)
    model = LogisticRegression().fit(X[roles.labeled], names[roles.labeled])
    view = snapshot(model, X, roles, {"source_y", "labeled_y"}, y=names)
    np.testing.assert_array_equal(view.source_y, y[:20])
    np.testing.assert_array_equal(view.labeled_y, y[20:24])


def test_snapshot_of_an_empty_pool_has_only_an_index(data):
    X, y, domain = data
    y = np.where(y == -1, 0, y)
    view = snapshot(LogisticRegression().fit(X, y), X, resolve_roles(y, domain), {"proba", "features"})
    assert len(view) == 0
    assert view.index.dtype == np.int64


def test_snapshot_takes_fields_from_elsewhere_and_n_initial(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    committee = np.full((2, 6, 3), 1 / 3)
    view = snapshot(model, X, roles, {"committee_proba"}, n_initial=10, committee_proba=committee)
    assert view.committee_proba.shape == (2, 6, 3)
    assert view.n_initial == 10


def test_snapshot_reads_no_label_of_the_pool(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    poisoned = np.where(roles.is_labeled, y, 999)
    needs = {"proba", "features", "labeled_features", "labeled_y", "source_y"}
    clean, other = (snapshot(model, X, roles, needs, y=labels) for labels in (y, poisoned))
    assert set(vars(clean)) == set(vars(other))
    for name, value in vars(clean).items():
        np.testing.assert_array_equal(value, vars(other)[name])


def test_snapshot_refuses_a_need_that_the_model_cannot_meet(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    with pytest.raises(ValueError, match=r"cannot supply 'source_logit'.*domain discriminator"):
        snapshot(model, X, roles, {"source_logit"})


@pytest.mark.parametrize("name", ["labeled_y", "source_y"])
def test_snapshot_refuses_to_fill_labels_without_y(data, name):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    with pytest.raises(ValueError, match=f"needs names '{name}', but y is None"):
        snapshot(model, X, roles, {name})


def test_snapshot_refuses_a_string_for_the_names_of_the_fields(data):
    X, y, domain = data
    with pytest.raises(TypeError, match="needs must be a collection of field names, got the string 'proba'"):
        snapshot(LogisticRegression(), X, resolve_roles(y, domain), "proba")


def test_snapshot_refuses_a_name_that_is_no_field(data):
    X, y, domain = data
    with pytest.raises(TypeError, match="no field 'probs'"):
        snapshot(LogisticRegression(), X, resolve_roles(y, domain), {"probs"})


def test_snapshot_refuses_a_label_that_is_no_class(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[:2], y[:2])
    with pytest.raises(ValueError, match="not among the 2 classes"):
        snapshot(model, X, roles, {"source_y"}, y=y)


def test_a_view_that_is_restricted_twice_knows_the_pool():
    view = PoolView(index=np.arange(10, 20))
    inner = view.restrict([1, 3, 5, 7]).restrict([3, 1])
    pool, positions = inner.surroundings
    assert pool is view
    np.testing.assert_array_equal(positions, [7, 3])
    np.testing.assert_array_equal(inner.index, [17, 13])
