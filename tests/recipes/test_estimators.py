"""Recipes are estimators: loops of their own class, whatever scikit-learn, files and sessions do with them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.io import load, save
from skada_active.query import BADGE, MarginSampling

LOOPS = [recipes.LADA, recipes.SDMLoop, recipes.SAGELoop, recipes.GALALoop, recipes.Baseline, recipes.LAMDALoop]
SHORT = {"max_epochs": 1, "round_epochs": 1, "budget": 4, "n_rounds": 2, "random_state": 0, "device": "cpu"}
every_loop = pytest.mark.parametrize("recipe", LOOPS)


@pytest.fixture(scope="module")
def data():
    return make_multi_source_blobs(2, 30, 30, random_state=0)


@pytest.mark.parametrize("recipe", [recipes.LADA, recipes.GSDAClassifier])
@pytest.mark.filterwarnings("ignore:There is a budget", "ignore:objective=")
def test_scikit_learns_checks_pass(recipe):
    check_estimator(recipe(max_epochs=4, lr=0.02, device="cpu"))


@every_loop
def test_a_recipe_is_a_loop_and_has_no_name_of_a_strategy_or_an_objective(recipe):
    assert issubclass(recipe, ActiveAdaptationLoop)
    assert isinstance(recipe().estimator, AdaptationClassifier)
    assert recipe.__name__ not in {"SDM", "SAGE", "GALA", "GSDA", "LAS"}


@every_loop
def test_a_fitted_recipe_is_cloned_copied_and_pickled(recipe, data):
    X, y, sample_domain = data
    fitted = recipe(**SHORT).fit(X, y, sample_domain=sample_domain)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert type(twin) is recipe
        assert np.array_equal(twin.predict_proba(X), fitted.predict_proba(X))
    assert clone(fitted).get_params() == recipe(**SHORT).get_params()


@every_loop
def test_a_saved_recipe_is_loaded_as_itself_and_goes_on(recipe, data, tmp_path):
    X, y, sample_domain = data
    fitted = recipe(**SHORT).fit(X, y, sample_domain=sample_domain)
    fitted.save(tmp_path / "recipe.skops")
    for loader in (recipe, ActiveAdaptationLoop):
        loaded = loader.load(tmp_path / "recipe.skops")
        assert type(loaded) is recipe
        assert repr(loaded) == repr(fitted)
        assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.resume(budget=2, n_rounds=1).n_queries_ == 6


def test_a_file_of_another_class_is_refused_by_name(data, tmp_path):
    X, y, sample_domain = data
    recipes.SDMLoop(**SHORT).fit(X, y, sample_domain=sample_domain).save(tmp_path / "sdm.skops")
    with pytest.raises(ValueError, match=r"holds a SDMLoop, not a LADA; use SDMLoop\.load"):
        recipes.LADA.load(tmp_path / "sdm.skops")
    ActiveAdaptationLoop(recipes.SDMLoop(max_epochs=1).estimator, budget=2).fit(X, y, sample_domain=sample_domain).save(
        tmp_path / "loop.skops"
    )
    with pytest.raises(ValueError, match="holds no LADA; use ActiveAdaptationLoop"):
        recipes.LADA.load(tmp_path / "loop.skops")


def test_a_module_of_ones_own_is_given_again_with_the_estimator(data, tmp_path):
    X, y, sample_domain = data
    knobs = {**SHORT, "module": torch.nn.Linear(2, 4)}
    fitted = recipes.LADA(**knobs).fit(X, y, sample_domain=sample_domain)
    fitted.save(tmp_path / "lada.skops")
    with pytest.raises(ValueError, match="estimator__module"):
        recipes.LADA.load(tmp_path / "lada.skops")
    loaded = recipes.LADA.load(tmp_path / "lada.skops", estimator=recipes.LADA(**knobs).estimator)
    assert loaded.module is not None
    assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


@every_loop
def test_a_session_of_a_recipe_gives_the_recipe_back(recipe, data, tmp_path):
    X, y, sample_domain = data
    known = mask_target(y, sample_domain)
    with recipe(**SHORT).session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
        ids = session.ask()
        session.tell(ids, y[ids])
    with recipe(**SHORT).session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
        assert session.queried_ids_.tolist() == ids.tolist()
        assert type(session.loop_) is recipe
        fitted = recipe.from_session(session)
        assert (type(fitted), fitted.budget) == (recipe, [2, 2])
        assert type(ActiveAdaptationLoop.from_session(session)) is ActiveAdaptationLoop


def test_a_journal_knows_the_knobs_of_a_recipe(data, tmp_path):
    X, y, sample_domain = data
    known = mask_target(y, sample_domain)
    with recipes.LADA(**SHORT).session(
        X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db"
    ) as session:
        session.ask()
    with pytest.raises(ValueError, match="strategy__n_neighbors was 10, is 5"):
        recipes.LADA(**SHORT, n_neighbors=5).session(
            X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db"
        )


def test_a_session_of_something_else_makes_no_recipe(data):
    X, y, sample_domain = data
    session = recipes.SDMLoop(**SHORT).session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    with pytest.raises(TypeError, match="started by SDMLoop, not by LADA"):
        recipes.LADA.from_session(session)


def test_a_gsda_classifier_is_saved_pickled_and_goes_on_training(data, tmp_path):
    X, y, sample_domain = data
    known = mask_target(y, sample_domain)
    fitted = recipes.GSDAClassifier(max_epochs=1, random_state=0, device="cpu").fit(X, known, sample_domain)
    save(fitted, tmp_path / "gsda.skops")
    for twin in (load(tmp_path / "gsda.skops"), pickle.loads(pickle.dumps(fitted))):
        assert type(twin) is recipes.GSDAClassifier
        assert np.array_equal(twin.predict_proba(X), fitted.predict_proba(X))
        assert twin.partial_fit(X, known, sample_domain, epochs=1).predict(X).shape == y.shape


def test_a_gsda_classifier_goes_into_a_loop(data):
    X, y, sample_domain = data
    model = recipes.gsda(max_epochs=1, device="cpu")
    loop = ActiveAdaptationLoop(model, BADGE(), budget=4, n_rounds=2, round_epochs=1, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert isinstance(loop.estimator_, recipes.GSDAClassifier)
    assert len(loop.estimator_.net_.history) == 3  # it went on training


@every_loop
def test_rounds_go_on_training_the_network(recipe, data):
    X, y, sample_domain = data
    assert len(recipe(**SHORT).fit(X, y, sample_domain=sample_domain).estimator_.net_.history) == 3


def test_the_estimator_of_a_recipe_goes_into_a_loop_of_ones_own(data):
    X, y, sample_domain = data
    recipe = recipes.sdm(**SHORT)
    rounds = {name: SHORT[name] for name in ("budget", "n_rounds", "round_epochs", "random_state")}
    by_hand = ActiveAdaptationLoop(recipe.estimator, recipe.strategy, **rounds)
    first, second = (loop.fit(X, y, sample_domain=sample_domain) for loop in (recipe, by_hand))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))


@pytest.mark.parametrize(("knob", "value"), [("lr", "fast"), ("max_epochs", -1), ("new_classes", "no")])
def test_a_wrong_value_is_refused_by_the_name_of_the_recipe_before_any_training(knob, value, data):
    X, y, sample_domain = data
    with pytest.raises(ValueError, match=f"The '{knob}' parameter of LADA must"):
        recipes.lada(**{knob: value}).fit(X, y, sample_domain=sample_domain)


def test_a_baseline_asks_by_margin_unless_told_otherwise():
    assert isinstance(recipes.Baseline().strategy, MarginSampling)


def test_a_pipeline_around_a_recipe_routes_the_domains(data):
    X, y, sample_domain = data
    pipeline = make_pipeline(StandardScaler(), recipes.lada(**SHORT))
    assert pipeline.fit(X, y, lada__sample_domain=sample_domain)[-1].n_queries_ == 4
