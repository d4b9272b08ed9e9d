from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from scipy.stats import uniform
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from torch.nn import functional as F

from skada_active import ActiveAdaptationLoop, TargetShuffleSplit, recipes, target_accuracy
from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import GSDA, MCC, AdaptationClassifier, AnchorSet, FeatureNoise
from skada_active.deep.functional import margin_loss
from skada_active.domains import mask_target
from skada_active.io.parameters import describe_parameters
from skada_active.pool import PoolView
from skada_active.query import LAS, SAGE, SDM, MarginSampling, sdm_loss_gradient

LOOPS = {
    "sdm": recipes.sdm,
    "lada": recipes.lada,
    "sage": recipes.sage,
    "gala": recipes.gala,
    "aada": recipes.aada,
    "clue": recipes.clue,
    "tqs": recipes.tqs,
    "eada": recipes.eada,
    "duc": recipes.duc,
    "s3vaada": recipes.s3vaada,
    "lamda": recipes.lamda,
    "mhpl": recipes.mhpl,
    "baseline": lambda **params: recipes.baseline(MarginSampling(), **params),
}
SHORT = {"max_epochs": 2, "round_epochs": 1, "budget": 6, "n_rounds": 2, "random_state": 0}
all_loops = pytest.mark.parametrize("recipe", LOOPS.values(), ids=LOOPS)


@pytest.fixture(scope="module")
def data():
    return make_multi_source_blobs(random_state=0)


@all_loops
def test_a_recipe_is_an_unfitted_loop_that_clones(recipe):
    loop = recipe(random_state=3)
    assert not hasattr(loop, "estimator_")
    assert repr(clone(loop)) == repr(loop)
    assert loop.random_state == 3


@all_loops
def test_the_budget_is_spent_exactly_and_the_same_way_again(recipe, data):
    X, y, sample_domain = data
    first, second = (recipe(**SHORT).fit(X, y, sample_domain=sample_domain) for _ in range(2))
    assert first.n_queries_ == 6
    assert np.array_equal(first.queried_ids_, second.queried_ids_)
    assert (sample_domain[first.queried_ids_] < 0).all()


@all_loops
def test_parameters_of_the_classifier_are_passed_on(recipe):
    loop = recipe(lr=0.5, max_epochs=7)
    assert (loop.estimator.lr, loop.estimator.max_epochs) == (0.5, 7)


def test_sdm_is_the_dynamic_loss_with_gradient_consistency():
    loop = recipes.sdm(margin=0.5, labeled_loss="joint")
    assert loop.estimator.objective.dynamic
    assert (loop.estimator.objective.margin, loop.strategy.margin, loop.strategy.gradient_weight) == (0.5, 0.5, 0.01)
    assert loop.estimator.labeled_loss == "joint"
    static = recipes.sdm(dynamic=False, gradient_weight=0.0)
    assert (static.estimator.objective.dynamic, static.strategy.gradient_weight) == (False, 0.0)


LOSS_PARTS = ("margin", "dynamic", "max_logit", "normalize_logits", "reduction")


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"dynamic": False},
        {"dynamic": False, "max_logit": True},
        {"max_logit": None, "margin": 0.5},
        {"normalize_logits": False, "reduction": "sum", "dynamic": False},
    ],
    ids=str,
)
def test_the_query_of_sdm_looks_at_the_gradient_of_the_training_loss(knobs):
    recipe = recipes.sdm(**knobs)
    objective, query = recipe.estimator.objective, recipe.strategy
    trained = {name: getattr(objective, name) for name in LOSS_PARTS}
    logits = np.random.default_rng(0).normal(size=(6, 4))

    def loss(z):
        proba, labels = z.detach().softmax(1).topk(2)
        total = 0.0
        for p, y in zip(proba.T, labels.T, strict=True):
            total = total + (p * (F.cross_entropy(z, y, reduction="none") + margin_loss(z, y, **trained))).sum()
        return total

    z = torch.tensor(logits, requires_grad=True)
    (expected,) = torch.autograd.grad(loss(z), z)
    asked = {name: getattr(query, name) for name in LOSS_PARTS}
    got = sdm_loss_gradient(logits, query_loss=query.query_loss, **asked)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("query_loss", ["official", "margin"])
def test_the_loss_of_the_query_of_sdm_can_be_named(query_loss):
    strategy = recipes.sdm(query_loss=query_loss, margin=0.5).strategy
    assert repr(strategy) == repr(SDM(query_loss=query_loss, margin=0.5))


def test_the_published_code_of_sdm_trains_and_asks_with_the_static_hinge_and_max_logit():
    recipe = recipes.sdm(dynamic=False, max_logit=True)
    logits = np.random.default_rng(0).normal(size=(6, 4))
    official = SDM()
    view = PoolView(logits=logits, head_weight=np.eye(4))
    np.testing.assert_array_equal(recipe.strategy.utilities(view), official.utilities(view))
    assert recipe.estimator.objective.get_params()["max_logit"] is True


def test_lada_couples_query_and_anchors():
    loop = recipes.lada(n_neighbors=5, confidence=0.8)
    assert isinstance(loop.strategy, LAS)
    assert loop.strategy.n_neighbors == loop.estimator.anchors.n_neighbors == 5
    assert loop.estimator.anchors.confidence == 0.8
    assert loop.estimator.augmentation == "auto"


# Another value of every knob, by recipe; those of an ablation study switch a component off.
KNOBS = {
    "sdm": {
        "margin": 0.5,
        "gradient_weight": 0.0,
        "dynamic": False,
        "max_logit": True,
        "normalize_logits": False,
        "reduction": "sum",
        "query_loss": "official",
        "jacobian": "official",
        "labeled_loss": "joint",
    },
    "lada": {
        "neighbors": None,
        "n_neighbors": 5,
        "oversampling": 0,
        "confidence": 0.8,
        "class_balanced": False,
        "augmentation": None,
        "objective": MCC(),
    },
    "sage": {"regularizer": "mme", "trade_off": 0.5, "max_reversal": 0.1, "projection": None, "diversity": None},
    "gala": {"alpha": 0.2, "mode": "global", "source_aggregation": "min", "base": "dann"},
    "gsda": {
        "alpha": 0.2,
        "beta": 0.0,
        "n_groups": 2,
        "levels": ("domain",),
        "confidence_threshold": 0.5,
        "class_balanced": False,
        "max_reversal": 0.1,
    },
    "aada": {"trade_off": 0.5, "max_reversal": 0.1, "discriminator_input": "logits", "top_fraction": 0.1},
    "clue": {"temperature": 1.0, "trade_off": 0.5, "head": "linear"},
    "tqs": {"n_heads": 3, "domainness": None, "window": 0.5, "labeled_loss": "s+t"},
    "eada": {"trade_off": 0.1, "first_stage": 0.2, "beta": 2.0},
    "duc": {"kl_weight": 0.5, "distributional_weight": 0.5, "data_weight": 0.5, "first_stage": 2},
    "s3vaada": {"alpha": 0.2, "beta": 0.1, "max_pool": 50, "epsilon": 0.5, "domain_weight": 0.1},
    "lamda": {
        "gamma": 0.5,
        "pseudo_label_threshold": 0.5,
        "matching": False,
        "trade_off": 0.5,
        "max_reversal": 0.1,
        "head": "linear",
        "head_temperature": 0.2,
    },
    "mhpl": {"n_neighbors": 5, "trade_off": 0.5},
    "baseline": {},
}
OF_THE_LOOP = {"budget": 7, "n_rounds": 3, "audit": 0.2, "round_epochs": 4, "random_state": 1}
CHANGES = [
    (name, knob, value)
    for name, knobs in KNOBS.items()
    for knob, value in {**knobs, **(OF_THE_LOOP if name in LOOPS else {"random_state": 1})}.items()
]


def make(name, **params):
    return LOOPS.get(name, recipes.gsda)(**params)


def described(recipe):
    """Return what is trained, what asks, and what is bought when."""
    of_loop = {name: repr(value) for name, value in vars(recipe).items() if name in {*OF_THE_LOOP}}
    parts = (
        {}
        if name_of(recipe) == "gsda"
        else describe_parameters(recipe.estimator, "") | {"query": repr(recipe.strategy)}
    )
    return of_loop | parts | {"objective": repr(getattr(recipe, "objective", None))}


def name_of(recipe):
    return type(recipe).FUNCTION


@pytest.mark.parametrize(("name", "knob", "value"), CHANGES)
def test_every_knob_reaches_the_parts_of_its_recipe(name, knob, value):
    assert described(make(name, **{knob: value})) != described(make(name))
    assert make(name, **{knob: value}).get_params()[knob] == value


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_is_in_the_table(name):
    common = {*inspect.signature(AdaptationClassifier).parameters, *inspect.signature(ActiveAdaptationLoop).parameters}
    own = set(make(name).get_params(deep=False)) - common | KNOBS[name].keys()
    assert {*KNOBS[name]} == own - {"query", "preprocessor"}


@pytest.mark.parametrize("name", LOOPS)
def test_a_recipe_has_every_parameter_of_the_loop_and_passes_those_of_the_classifier_on(name):
    recipe, loop, classifier = make(name), ActiveAdaptationLoop(), AdaptationClassifier()
    held = recipe.get_params(deep=False)
    assert loop.get_params(deep=False).keys() - held.keys() == {"estimator", "strategy", "target_weight"}
    decided = {"objective", "anchors", *(("labeled_loss", "head", "head_temperature") if name == "sage" else ())}
    assert classifier.get_params(deep=False).keys() - held.keys() <= decided
    shared = held.keys() & recipe.estimator.get_params(deep=False).keys() - {"verbose", "random_state"}
    for knob in shared:
        value = object()
        setattr(recipe, knob, value)
        assert getattr(recipe.estimator, knob) is value


# The ablation studies: LADA's Table 6, SDM's Table 3, GSDA's Table 1, SAGE's and GALA's parts.
ABLATIONS = [
    *(("lada", {"neighbors": neighbors}) for neighbors in (None, "random")),
    ("lada", {"oversampling": 0}),
    ("lada", {"augmentation": None}),
    ("lada", {"class_balanced": False}),
    ("sdm", {"gradient_weight": 0.0}),
    ("sdm", {"dynamic": False}),
    ("sdm", {"dynamic": False, "max_logit": True}),
    ("sdm", {"max_logit": True}),
    ("sdm", {"normalize_logits": False}),
    ("sage", {"projection": None}),
    *(("sage", {"diversity": diversity}) for diversity in ("kmeans++", None)),
    *(("sage", {"regularizer": regularizer}) for regularizer in ("joint", "mme")),
    *(("gala", {"mode": mode}) for mode in ("global", "local")),
    *(("gsda", {"beta": 0.0, "levels": levels}) for levels in (("domain",), ("domain", "class"))),
    ("gsda", {"beta": 0.0}),
]


# After so little training confident rows are few, and a weight of 0.01 seldom turns the order of two rows around.
AUDIBLE = {
    "lada": {"confidence": 0.5, "round_epochs": 3},
    "sdm": {"gradient_weight": 0.5},
    "gsda": {"confidence_threshold": 0.5},
}


@pytest.mark.parametrize(("name", "change"), ABLATIONS, ids=str)
def test_every_ablation_changes_the_outcome(name, change, data):
    always = AUDIBLE.get(name, {})
    short = {**SHORT, "budget": 16} if name in LOOPS else {"max_epochs": 2, "random_state": 0}
    X, y, sample_domain = data
    if name == "gsda":
        y = mask_target(y, sample_domain)
    full, without = (
        make(name, **short | always | extra).fit(X, y, sample_domain=sample_domain) for extra in ({}, change)
    )
    assert not np.array_equal(full.predict_proba(X), without.predict_proba(X))


def test_without_neighbors_lada_has_neither_anchor_set_nor_augmentation_but_the_given_one():
    assert recipes.lada(neighbors=None).estimator.anchors is None
    assert recipes.lada(neighbors=None).estimator.augmentation is None
    given = FeatureNoise()
    assert recipes.lada(neighbors=None, augmentation=given).estimator.augmentation is given
    assert recipes.lada(neighbors="random").estimator.augmentation == "auto"
    assert isinstance(recipes.lada(neighbors="random").estimator.anchors, AnchorSet)


def test_sage_has_the_three_regularisers_of_the_paper():
    joint, plain, mme = (recipes.sage(regularizer=name).estimator for name in ("joint", "s+t", "mme"))
    assert (joint.labeled_loss, plain.labeled_loss) == ("joint", "s+t")
    assert (mme.head, mme.head_temperature, mme.objective.get_params()["mme__trade_off"]) == ("cosine", 0.05, 0.1)
    assert isinstance(recipes.sage(projection=None, diversity=None).strategy, SAGE)
    with pytest.raises(ValueError, match=r'regularizer must be "s\+t", "joint" or "mme", got "?\'?ssda'):
        recipes.sage(regularizer="ssda")


def test_gala_has_the_bases_of_the_paper():
    bases = [type(recipes.gala(base=base).estimator.objective).__name__ for base in (None, "dann", "m3sda")]
    assert bases == ["NoneType", "DANN", "M3SDA"]
    assert recipes.gala(base="dann").estimator.objective.discriminator == "per_source"
    with pytest.raises(ValueError, match="base must be"):
        recipes.gala(base="cdan")


@pytest.mark.parametrize("base", ["dann", "m3sda"])
def test_gala_runs_on_every_base(base, data):
    X, y, sample_domain = data
    assert recipes.gala(base=base, **SHORT).fit(X, y, sample_domain=sample_domain).n_queries_ == 6


def test_gsda_is_a_classifier_that_needs_no_target_label(data):
    X, y, sample_domain = data
    model = recipes.gsda(beta=2.0, max_epochs=2, random_state=0)
    assert isinstance(model, AdaptationClassifier)
    assert isinstance(model.objective, GSDA)
    assert model.objective.beta == 2.0
    model.fit(X, mask_target(y, sample_domain), sample_domain)
    assert model.predict(X).shape == y.shape


def test_a_baseline_needs_a_strategy():
    with pytest.raises(TypeError, match="query must be a query strategy"):
        recipes.baseline("margin")


def test_a_recipe_is_searched_by_the_knobs_of_the_paper_one_name_each(data):
    X, y, sample_domain = data
    search = GridSearchCV(
        recipes.lada(**SHORT),
        {"n_neighbors": [3, 5], "confidence": [0.9]},
        cv=TargetShuffleSplit(1, random_state=0),
        scoring=target_accuracy,
    )
    search.fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    best = search.best_estimator_
    assert best.strategy_.n_neighbors == best.estimator_.anchors.n_neighbors == search.best_params_["n_neighbors"]


def test_random_search_turns_one_margin(data):
    X, y, sample_domain = data
    search = RandomizedSearchCV(
        recipes.sdm(**SHORT),
        {"margin": uniform(0.2, 2)},
        n_iter=2,
        cv=TargetShuffleSplit(1, random_state=0),
        random_state=0,
    )
    search.fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    best = search.best_estimator_
    assert best.strategy_.margin == best.estimator_.objective.margin == best.margin


def test_the_parts_of_a_recipe_are_no_parameters_of_it():
    with pytest.raises(ValueError, match="Invalid parameter 'strategy'"):
        recipes.lada().set_params(strategy__n_neighbors=5)
    with pytest.raises(AttributeError):
        recipes.lada().strategy = LAS()


@pytest.mark.parametrize("name", KNOBS)
def test_a_class_without_source_rows_is_learned_from_its_answers(name, data):
    X, y, sample_domain = data
    kept = (sample_domain < 0) | (y != 2)
    X, y, sample_domain = X[kept], y[kept], sample_domain[kept]
    if name in LOOPS:
        model = make(name, **{**SHORT, "budget": 40}).fit(X, y, sample_domain=sample_domain)
    else:
        known = mask_target(y, sample_domain)
        known[np.flatnonzero(sample_domain < 0)[:40]] = y[sample_domain < 0][:40]
        model = make(name, max_epochs=2, random_state=0).fit(X, known, sample_domain)
    assert model.classes_.tolist() == [0, 1, 2]
    assert 2 in model.predict(X[sample_domain < 0])


@all_loops
def test_a_pool_smaller_than_the_budget_is_bought_whole(recipe, data):
    X, y, sample_domain = (part[260:] for part in data)
    n_pool = int((sample_domain < 0).sum())
    loop = recipe(**{**SHORT, "budget": 10 * n_pool}).fit(X, y, sample_domain=sample_domain)
    assert (loop.n_queries_, loop.termination_condition_) == (n_pool, "pool")


@all_loops
def test_labels_that_were_not_bought_change_nothing(recipe, data):
    X, y, sample_domain = data
    first = recipe(**SHORT).fit(X, y, sample_domain=sample_domain)
    hidden = sample_domain < 0
    hidden[first.queried_ids_] = False
    poisoned = np.where(hidden, (y + 1) % 3, y)
    second = recipe(**SHORT).fit(X, poisoned, sample_domain=sample_domain)
    assert np.array_equal(first.queried_ids_, second.queried_ids_)
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
