"""SAGE: worked numbers, closed forms against plain loops, and the strategy in a loop."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView
from skada_active.query import SAGE, positive_orthogonal_projection, sage_embedding

torch = pytest.importorskip("torch")

GRADIENTS = np.array([[[1.0, 0.0], [-1.0, 1.0]]])
PROBA = np.array([[0.75, 0.25]])
projections = pytest.mark.parametrize("projection", ["pop", None])


def make_pool(n=60, n_classes=4, width=5, hidden=7, seed=0, dtype=np.float64):
    """Return probabilities, features and the four parameters of a discriminator with one hidden layer."""
    rng = np.random.default_rng(seed)
    shapes = ((hidden, width), (hidden,), (n_classes, hidden), (n_classes,))
    discriminator = tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
    proba = softmax(2 * rng.normal(size=(n, n_classes)), axis=1).astype(dtype)
    return {
        "proba": proba,
        "features": rng.normal(size=(n, width)).astype(dtype),
        "class_discriminator": discriminator,
    }


def gradients_of(features, class_discriminator, **_):
    """Return the gradients of -ln d_c, row by row and class by class, in double precision."""
    w1, b1, w2, b2 = (part.astype(np.float64) for part in class_discriminator)
    gradients = np.empty((len(features), len(w2), len(w1[0])))
    for row, z in enumerate(features.astype(np.float64)):
        active = (w1 @ z + b1 > 0).astype(float)
        logit = w2 @ (active * (w1 @ z + b1)) + b2
        for c in range(len(w2)):
            gradients[row, c] = -(1 - expit(logit[c])) * (w2[c] * active) @ w1
    return gradients


def naive_embedding(proba, gradients, projection="pop"):
    """Return the explicit embeddings, (n, C D)."""
    embedding = np.empty_like(gradients)
    for row, (h, g) in enumerate(zip(proba.astype(np.float64), gradients, strict=True)):
        expected = sum(h[c] * g[c] for c in range(len(h)))
        for c in range(len(h)):
            share = abs(g[c] @ expected) / (expected @ expected) if projection == "pop" and expected.any() else 0.0
            embedding[row, c] = np.sqrt(h[c]) * (g[c] - share * expected)
    return embedding.reshape(len(proba), -1)


def naive_picks(embedding, n_queries):
    """Return the picks of Algorithm 1, in a plain loop."""
    picks = [int(np.square(embedding).sum(axis=1).argmax())]
    while len(picks) < n_queries:
        distances = np.min([np.square(embedding - embedding[pick]).sum(axis=1) for pick in picks], axis=0)
        distances[picks] = -1
        picks.append(int(distances.argmax()))
    return picks


def views(fields, dtype=np.float64):
    """Return views that hold the same discriminator as parameters, gradients, and a function."""
    gradients = gradients_of(**fields).astype(dtype)
    given = {name: fields[name] for name in ("proba", "features")}
    return [
        PoolView(**fields),
        PoolView(**given, class_domain_grad=gradients),
        PoolView(**given, class_domain_grad=lambda rows: gradients[rows]),
    ]


# The projection


def test_projection_of_the_worked_example():
    np.testing.assert_allclose(
        positive_orthogonal_projection(GRADIENTS, PROBA), [[[0.2, -0.4], [-1.4, 0.8]]], atol=1e-12
    )


def test_an_aligned_gradient_loses_its_part_along_the_expected_one_and_an_opposed_one_has_it_doubled():
    rng = np.random.default_rng(0)
    gradients, proba = rng.normal(size=(50, 4, 6)), rng.dirichlet(np.ones(4), size=50)
    expected = np.einsum("nc,ncd->nd", proba, gradients)
    along = np.einsum("ncd,nd->nc", gradients, expected)
    squares = np.square(along) / np.square(expected).sum(axis=1, keepdims=True)
    factor = np.where(along > 0, -1.0, 3.0)
    assert (along > 0).any()
    assert (along < 0).any()
    projected = np.square(positive_orthogonal_projection(gradients, proba)).sum(axis=2)
    np.testing.assert_allclose(projected, np.square(gradients).sum(axis=2) + factor * squares)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 6))
def test_what_is_left_has_no_part_in_the_direction_of_the_expected_gradient(seed, n_classes, width):
    rng = np.random.default_rng(seed)
    gradients, proba = rng.normal(size=(3, n_classes, width)), rng.dirichlet(np.ones(n_classes), size=3)
    expected = np.einsum("nc,ncd->nd", proba, gradients)
    along = np.einsum("ncd,nd->nc", positive_orthogonal_projection(gradients, proba), expected)
    assert (along <= 1e-12 * np.abs(gradients).max() ** 2).all()


def test_without_an_expected_gradient_there_is_nothing_to_project_on():
    gradients = np.array([[[2.0, 0.0], [-2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(positive_orthogonal_projection(gradients, np.full((2, 2), 0.5)), gradients)


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15])
def test_the_projection_is_finite_for_gradients_of_any_size(size):
    gradients = (size * np.random.default_rng(0).normal(size=(9, 3, 4))).astype(np.float32)
    assert np.isfinite(positive_orthogonal_projection(gradients, np.full((9, 3), 1 / 3, dtype=np.float32))).all()


# The embedding


def test_embedding_of_the_worked_example():
    embedding = sage_embedding(PROBA, np.zeros((1, 2)), GRADIENTS)
    expected = [[0.173205, -0.346410, -0.7, 0.4]]
    np.testing.assert_allclose(embedding.rows(np.array([0])), expected, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(embedding.sq_norms()), [0.894427], atol=1e-6)


def test_embedding_of_the_worked_example_without_projection():
    view = PoolView(proba=PROBA, features=np.zeros((1, 2)), class_domain_grad=GRADIENTS)
    np.testing.assert_allclose(SAGE(projection=None).utilities(view), [1.118034], atol=1e-6)
    np.testing.assert_allclose(SAGE().utilities(view), [0.894427], atol=1e-6)


@projections
@pytest.mark.parametrize("hidden", [3, 7], ids=["fewer units than features", "more units than features"])
def test_the_norm_is_that_of_the_explicit_embedding(projection, hidden):
    fields = make_pool(hidden=hidden)
    explicit = naive_embedding(fields["proba"], gradients_of(**fields), projection)
    for view in views(fields):
        utilities = SAGE(projection=projection).utilities(view)
        np.testing.assert_allclose(utilities, np.linalg.norm(explicit, axis=1), rtol=1e-10)


@projections
def test_coordinates_times_the_first_layer_are_the_embedding(projection):
    fields = make_pool()
    embedding = sage_embedding(*fields.values(), projection=projection)
    rows = np.array([5, 0, 5, 59])
    vectors = embedding.rows(rows).reshape(4, 4, 7) @ embedding.basis
    explicit = naive_embedding(fields["proba"], gradients_of(**fields), projection)
    np.testing.assert_allclose(vectors.reshape(4, -1), explicit[rows], atol=1e-12)


def test_the_closed_form_of_the_parameters_is_what_autograd_finds():
    fields = make_pool()
    w1, b1, w2, b2 = (torch.tensor(part) for part in fields["class_discriminator"])
    logsigmoid, relu = torch.nn.functional.logsigmoid, torch.relu
    jacobian = torch.func.vmap(torch.func.jacrev(lambda z: -logsigmoid(w2 @ relu(w1 @ z + b1) + b2)))
    gradients = jacobian(torch.tensor(fields["features"])).numpy()
    np.testing.assert_allclose(gradients_of(**fields), gradients, atol=1e-12)
    explicit = naive_embedding(fields["proba"], gradients)
    np.testing.assert_allclose(SAGE().utilities(PoolView(**fields)), np.linalg.norm(explicit, axis=1), rtol=1e-10)


def test_a_certain_prediction_has_no_embedding():
    fields = {**make_pool(), "proba": np.eye(4)[np.arange(60) % 4]}
    assert np.abs(SAGE().utilities(views(fields)[0])).max() < 1e-12
    assert np.abs(SAGE().utilities(views(fields)[1])).max() < 1e-12
    # But for the few rows without an active hidden unit.
    assert (SAGE(projection=None).utilities(views(fields)[0]) > 1e-3).mean() > 0.9


def test_one_class_has_no_embedding():
    assert np.abs(SAGE().utilities(PoolView(**make_pool(n_classes=1)))).max() < 1e-12


def test_a_discriminator_that_is_sure_of_the_target_has_no_gradient_and_one_sure_of_the_source_a_finite_one():
    fields = make_pool()
    *layers, bias = fields["class_discriminator"]
    for shift, has_gradient in ((1e4, False), (-1e4, True)):
        view = PoolView(**{**fields, "class_discriminator": (*layers, bias + shift)})
        utilities = SAGE().utilities(view)
        assert np.isfinite(utilities).all()
        assert (utilities > 0).any() == has_gradient
        assert len(set(SAGE().select(view, 10).tolist())) == 10


def test_integers_and_lists_are_taken_too():
    fields = make_pool(n=3)
    lists = [part.tolist() for part in fields["class_discriminator"]]
    embedding = sage_embedding(fields["proba"].tolist(), fields["features"].tolist(), tuple(lists))
    np.testing.assert_allclose(embedding.sq_norms(), np.square(SAGE().utilities(PoolView(**fields))))
    whole = sage_embedding([[1, 0]], [[0, 0]], [[[1, 2], [3, 4]]], projection=None)
    assert whole.sq_norms().tolist() == [5.0]


def test_precision_is_that_of_the_most_precise_argument_and_no_array_is_converted():
    fields = make_pool(n=2000, n_classes=6, width=20, dtype=np.float32)
    gradients = gradients_of(**fields)
    embedding = sage_embedding(fields["proba"], fields["features"], gradients)
    assert embedding.dtype == np.float64
    assert embedding.keys[0] is gradients
    exact = sage_embedding(fields["proba"].astype(np.float64), fields["features"], gradients.astype(np.float32))
    assert exact.dtype == np.float64
    assert exact.keys[0].dtype == np.float32
    assert sage_embedding(*fields.values()).dtype == np.float32


def test_arguments_of_the_embedding_are_checked():
    fields = make_pool()
    with pytest.raises(ValueError, match='projection must be "pop" or None'):
        sage_embedding(*fields.values(), projection="orthogonal")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        sage_embedding(fields["proba"][1:], fields["features"], fields["class_discriminator"])


@pytest.mark.parametrize("part", range(4))
def test_parameters_of_another_shape_are_refused(part):
    fields = make_pool()
    layers = list(fields["class_discriminator"])
    layers[part] = layers[part][1:]
    with pytest.raises(ValueError, match=r"discriminator must be \(W1, b1, W2, b2\) .* got \["):
        sage_embedding(fields["proba"], fields["features"], tuple(layers))


def test_too_few_parameters_are_refused():
    fields = make_pool()
    with pytest.raises(ValueError, match=r"discriminator must be \(W1, b1, W2, b2\)"):
        sage_embedding(fields["proba"], fields["features"], fields["class_discriminator"][:2])


@pytest.mark.parametrize(("gradients", "proba"), [((2, 3), (2, 3)), ((2, 3, 4), (2, 2)), ((2, 3, 4), (1, 3))])
def test_gradients_and_probabilities_that_do_not_fit_are_refused(gradients, proba):
    with pytest.raises(ValueError, match="gradients and proba must have shapes"):
        positive_orthogonal_projection(np.ones(gradients), np.ones(proba))


@pytest.mark.parametrize("shape", [(60, 4, 3), (60, 3, 5), (60, 4), (1, 4, 5)])
def test_gradients_of_another_shape_are_refused(shape):
    fields = make_pool()
    gradients = np.ones(shape)
    view = PoolView(proba=fields["proba"], features=fields["features"], class_domain_grad=lambda rows: gradients)
    with pytest.raises(ValueError, match=r"gradients of 60 rows must have shape \(60, 4, 5\)"):
        SAGE().utilities(view)


@pytest.mark.parametrize("position", range(4))
def test_a_discriminator_that_diverged_is_refused(position):
    fields = make_pool()
    parts = [part.copy() for part in fields["class_discriminator"]]
    parts[position].flat[1] = np.nan
    with pytest.raises(ValueError, match=r"class_discriminator of the pool view holds NaN.*Lower its lr"):
        SAGE().select(PoolView(**{**fields, "class_discriminator": tuple(parts)}), 3)


def test_a_function_whose_gradients_are_not_finite_is_refused():
    fields = make_pool(n=4)
    view = PoolView(
        proba=fields["proba"],
        features=fields["features"],
        class_domain_grad=lambda rows: np.full((len(rows), 4, 5), np.nan),
    )
    with pytest.raises(ValueError, match="vector of row 0 contains NaN"):
        SAGE().utilities(view)


# The choice


@projections
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(60, 4, 5, 7), (150, 10, 6, 3), (40, 2, 12, 9)])
def test_picks_are_those_of_the_plain_loop(projection, dtype, sizes):
    fields = make_pool(*sizes, dtype=dtype)
    picks = naive_picks(naive_embedding(fields["proba"], gradients_of(**fields), projection), 25)
    for view in views(fields, dtype):
        assert SAGE(projection=projection).select(view, 25).tolist() == picks


def test_picks_are_those_of_the_plain_loop_when_few_rows_fit_into_memory(monkeypatch):
    from skada_active.selection import _on_demand, _on_demand_geometry

    monkeypatch.setattr(_on_demand, "BLOCK_BYTES", 1)
    monkeypatch.setattr(_on_demand_geometry, "HELD_BYTES", 2000)
    monkeypatch.setattr(_on_demand_geometry, "PASS_BYTES", 2000)
    fields = make_pool(n=200)
    picks = naive_picks(naive_embedding(fields["proba"], gradients_of(**fields)), 80)
    for view in views(fields):
        assert SAGE().select(view, 80).tolist() == picks


@pytest.mark.parametrize("diversity", ["farthest_first", "kmeans++", None])
def test_the_longest_embedding_comes_first(diversity):
    for view in views(make_pool()):
        assert SAGE(diversity=diversity).select(view, 4, random_state=0)[0] == SAGE().utilities(view).argmax()


def test_without_diversity_the_longest_embeddings_are_chosen():
    view = PoolView(**make_pool())
    order = np.argsort(-SAGE().utilities(view), kind="stable")
    np.testing.assert_array_equal(SAGE(diversity=None).select(view, 9), order[:9])


def test_every_option_changes_the_choice():
    view = PoolView(**make_pool(n=200))
    options = [{}, {"projection": None}, {"diversity": "kmeans++"}, {"diversity": None}]
    assert len({tuple(SAGE(**option).select(view, 12, random_state=0).tolist()) for option in options}) == 4


def test_of_identical_rows_the_first_is_chosen():
    fields = make_pool(n=30)
    twice = {**fields, **{name: np.tile(fields[name], (2, 1)) for name in ("proba", "features")}}
    for view in views(twice):
        utilities = SAGE().utilities(view)
        assert utilities[:30].tolist() == utilities[30:].tolist()
        assert SAGE().select(view, 25).max() < 30
        assert SAGE(diversity=None).select(view, 60).tolist() == np.argsort(-utilities, kind="stable").tolist()


@pytest.mark.parametrize("parameters", [{"projection": "orthogonal"}, {"diversity": "kmeans"}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of SAGE must be"):
        SAGE(**parameters).select(PoolView(**make_pool()), 1)


def test_no_array_of_all_embeddings_is_made():
    n, n_classes, width = 3000, 40, 64
    view = PoolView(**make_pool(n, n_classes, width, 64, dtype=np.float32))
    explicit_bytes = 4 * n * n_classes * width
    tracemalloc.start()
    SAGE().select(view, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A third of the rows, 1024 of them, are held apart while rows are picked among them.
    assert peak < explicit_bytes / 2


# The model behind it


class Model(ClassifierMixin, BaseEstimator):
    """A model that supplies fields through the interface of `ModelReader`."""

    classes_ = np.arange(4)

    def __init__(self, supplied):
        self.supplied = supplied

    @property
    def pool_supplies(self):
        return frozenset({"proba", *self.supplied})

    def fit(self, X, y):
        raise AssertionError("fit was called")

    def pool_outputs(self, X, names):
        outputs = {"proba": np.full((len(X), 4), 0.25), "features": X}
        return {name: outputs[name] for name in names}

    def pool_field(self, name):
        return self.supplied[name]


def supplying(*names):
    fields = make_pool()
    ways = {
        "class_discriminator": fields["class_discriminator"],
        "class_domain_grad": lambda features: gradients_of(features, fields["class_discriminator"]),
    }
    return Model({name: ways[name] for name in names})


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("class_discriminator", "class_domain_grad"), "class_discriminator"),
        (("class_discriminator",), "class_discriminator"),
        (("class_domain_grad",), "class_domain_grad"),
    ],
)
def test_parameters_are_read_where_the_model_has_them_and_gradients_otherwise(names, read):
    X = make_pool()["features"]
    y, domain = np.where(np.arange(60) < 20, 0, -1), np.where(np.arange(60) < 20, 1, -1)
    strategy, model = SAGE(), supplying(*names)
    strategy.check_model(model)
    view = strategy.view(model, X, y, resolve_roles(y, domain))
    assert {"class_discriminator", "class_domain_grad"} & set(vars(view)) == {read}
    explicit = naive_embedding(view.proba, gradients_of(view.features, make_pool()["class_discriminator"]))
    assert strategy.select(view, 12).tolist() == naive_picks(explicit, 12)


@pytest.mark.parametrize("model", [LogisticRegression(), supplying()])
def test_a_model_without_a_class_wise_discriminator_is_refused_before_any_training(model):
    X, y, domain = make_shifted_blobs(30, 30, random_state=0)
    message = r"cannot supply 'class_domain_grad'.*class-wise domain discriminator, such as TSF"
    with pytest.raises(ValueError, match=message):
        SAGE(estimator=model).fit(X, mask_target(y, domain), domain)
    with pytest.raises(ValueError, match=message):
        ActiveAdaptationLoop(LogisticRegression(), SAGE(), budget=2).fit(X, y, sample_domain=domain)


def network(objective=None, **params):
    from skada_active.deep import TSF, AdaptationClassifier

    objective = TSF(hidden=(8,)) if objective is None else objective
    return AdaptationClassifier(objective, **{"max_epochs": 2, "random_state": 0, **params})


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)])
def test_embeddings_of_a_trained_network_are_those_of_autograd(hidden):
    from skada_active.deep import TSF

    X, y, domain = make_shifted_blobs(40, 40, random_state=0)
    strategy = SAGE(estimator=network(TSF(hidden=hidden))).fit(X, mask_target(y, domain), domain)
    discriminator = strategy.estimator_.net_.criterion_.objective.discriminator.double()
    jacobian = torch.func.jacrev(lambda z: -torch.nn.functional.logsigmoid(discriminator(z)))
    gradients = torch.func.vmap(jacobian)(torch.tensor(strategy.pool_.features.astype(np.float64))).detach().numpy()
    explicit = naive_embedding(strategy.pool_.proba, gradients)
    np.testing.assert_allclose(
        strategy.utilities(strategy.pool_), np.linalg.norm(explicit, axis=1), rtol=1e-3, atol=1e-6
    )


def test_the_default_estimator_trains_a_class_wise_discriminator():
    from skada_active.deep import TSF, AdaptationClassifier

    for X in (np.zeros((2, 3)), np.zeros((2, 1, 8, 8))):
        estimator = SAGE(random_state=3)._default_estimator(X)
        assert isinstance(estimator, AdaptationClassifier)
        assert isinstance(estimator.objective, TSF)
        assert estimator.random_state == 3


def test_the_strategy_alone_trains_what_it_reads():
    X, y, domain = make_shifted_blobs(40, 40, random_state=0)
    ids = [SAGE(random_state=0).fit(X, mask_target(y, domain), domain).query(5).tolist() for _ in range(2)]
    assert ids[0] == ids[1]
    assert (domain[ids[0]] < 0).all()


def test_an_untrained_discriminator_is_refused_when_queried():
    from skada_active.deep import TSF

    X, y, domain = make_shifted_blobs(20, 20, random_state=0)
    with pytest.raises(ValueError, match="discriminator is untrained"):
        SAGE(estimator=network(TSF(trade_off=0))).fit(X, mask_target(y, domain), domain)
    source_only = network().fit(X[domain > 0], y[domain > 0], domain[domain > 0])
    with pytest.raises(ValueError, match="discriminator is untrained"):
        SAGE(estimator=FrozenEstimator(source_only)).fit(X, mask_target(y, domain), domain)


@pytest.mark.parametrize("hidden", [(8,), (8, 8)])
def test_a_fitted_strategy_is_pickled_with_its_view(hidden):
    from skada_active.deep import TSF

    X, y, domain = make_shifted_blobs(20, 20, random_state=0)
    strategy = SAGE(estimator=network(TSF(hidden=hidden))).fit(X, mask_target(y, domain), domain)
    again = pickle.loads(pickle.dumps(strategy))
    np.testing.assert_array_equal(again.query(5), strategy.query(5))


@pytest.mark.parametrize("hidden", [(8,), ()])
@pytest.mark.parametrize("diversity", ["farthest_first", "kmeans++", None])
def test_a_loop_from_end_to_end(hidden, diversity):
    from skada_active.deep import MME, TSF

    X, y, domain = make_shifted_blobs(60, 60, random_state=0)

    def run():
        estimator = network(TSF(hidden=hidden) + MME(trade_off=0.1), head="cosine", random_state=None)
        loop = ActiveAdaptationLoop(
            estimator, SAGE(diversity=diversity), budget=9, n_rounds=3, round_epochs=1, random_state=0
        )
        return loop.fit(X, y, sample_domain=domain)

    loop, again = run(), run()
    assert loop.n_queries_ == len(set(loop.queried_ids_.tolist())) == 9
    assert (domain[loop.queried_ids_] < 0).all()
    assert np.isfinite([entry["utilities"] for entry in loop.history_]).all()
    np.testing.assert_array_equal(loop.queried_ids_, again.queried_ids_)


def test_a_pipeline_that_ends_in_a_network_is_read_through_its_steps():
    from sklearn.pipeline import make_pipeline

    X, y, domain = make_shifted_blobs(40, 40, random_state=0)
    strategy = SAGE(estimator=make_pipeline(StandardScaler(), network())).fit(X, mask_target(y, domain), domain)
    assert strategy.pool_.features.shape == (40, 256)
    assert len(strategy.query(5)) == 5
