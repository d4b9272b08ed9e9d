"""Training whose numbers are not finite ends by an error that says so, wherever it was started."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from torch import nn
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, MCC, MME, TSF, AdaptationClassifier, Objective
from skada_active.domains import mask_target
from skada_active.exceptions import TrainingError
from skada_active.query import MarginSampling, RandomSampling

DIVERGES = {"optimizer": "sgd", "lr": 1e10}


def classifier(objective=None, **params):
    return AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 16, "random_state": 0, **params})


class WithoutNumber(Objective):
    """Be NaN in the second epoch."""

    def loss(self, step):
        return step.logits.sum() * (torch.nan if step.iteration >= 10 else 0.0)


class LogsNaN(Objective):
    def loss(self, step):
        step.log("of_no_row", torch.tensor(torch.nan))
        return step.logits.square().mean()


class LosesWeights(nn.Module):
    """Have a finite loss and weights that are not."""

    def __init__(self):
        super().__init__()
        self.linear, self.unused = nn.Linear(4, 3), nn.Parameter(torch.zeros(2))

    def forward(self, X):
        self.unused.data.fill_(torch.inf)
        return self.linear(X)


class FarRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, X):
        output = self.linear(X)
        return output if self.training else output * torch.where(X[:, :1] > 3, torch.nan, 1.0)


class Rows(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index]


@pytest.mark.parametrize("objective", [None, MCC(), MME(), DANN(), TSF(), DANN() + MCC()], ids=repr)
def test_a_loss_that_is_not_finite_names_model_epoch_and_remedy(make_data, objective):
    model = classifier(objective, **DIVERGES)
    with pytest.raises(TrainingError, match=r"in epoch 1, train_loss is (nan|inf), labeled.*Lower lr") as caught:
        model.fit(*make_data())
    assert f"objective={objective!r}" in str(caught.value) or objective is None or "ObjectiveSum" in str(caught.value)
    assert "lr=1e+10, optimizer SGD" in str(caught.value)


def test_a_term_of_an_objective_that_is_not_a_number_is_named(make_data):
    with pytest.raises(TrainingError, match=r"in epoch 2, train_loss is nan,.* without_number_loss is nan \(lr"):
        classifier(WithoutNumber()).fit(*make_data())


def test_a_logged_value_that_no_loss_depends_on_may_be_missing(make_data):
    assert np.isnan(classifier(LogsNaN()).fit(*make_data()).loss_terms_["of_no_row"])


def test_weights_that_are_not_finite_are_named(make_data):
    with pytest.raises(TrainingError, match=r"backbone\.unused is not finite"):
        classifier(module=LosesWeights()).fit(*make_data())


def test_running_statistics_that_are_not_finite_are_named(make_data):
    X, y, domain = make_data()
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(TrainingError, match="running_var is not finite"):
        classifier(module=module).fit(X * np.float32(1e25), y, domain)


def test_masks_may_hold_infinities(make_data):
    module = nn.Linear(4, 3)
    module.register_buffer("mask", torch.full((2,), -torch.inf))
    model = classifier(module=module).fit(*make_data())
    assert np.isfinite(model.predict_proba(make_data()[0])).all()


def test_infinite_rows_of_a_dataset_end_training(make_data):
    X, y, domain = make_data()
    X[0, 0] = np.inf
    with pytest.raises((TrainingError, ValueError), match=r"finite|nan|infinity"):
        classifier(module=nn.Linear(4, 3)).fit(Rows(X), y, domain)


def test_going_on_may_diverge_too(make_data):
    model = classifier(module=nn.Linear(4, 3)).fit(*make_data())
    model.net_.set_params(lr=1e38)
    with pytest.raises(TrainingError, match="Training diverged: in epoch 3"):
        model.partial_fit(*make_data())


def test_a_validation_loss_that_is_not_finite_ends_training(make_data):
    from skorch.dataset import ValidSplit

    X, y, domain = make_data()
    X[y == 0, 0] = 10.0
    with pytest.raises(TrainingError, match="valid_loss is nan"):
        classifier(module=FarRows(), standardize=False, net_params={"train_split": ValidSplit(4)}).fit(X, y, domain)


def test_a_prediction_that_is_not_finite_names_the_row(make_data):
    X, y, domain = make_data()
    model = classifier(module=FarRows()).fit(X, y, domain)
    rows = np.zeros((5, 4), dtype=np.float32)
    model.predict(rows)
    rows[3, 0] = 4.0
    for method in (model.predict, model.predict_proba, model.decision_function, model.transform):
        with pytest.raises(TrainingError, match=r"1 of 5 rows, first for row 3, are NaN or infinite"):
            method(rows)
    rows[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"X holds NaN or infinity in 1 of its rows, first in row 3"):
        model.predict(Rows(rows))


def test_a_search_scores_a_candidate_that_diverges_as_failed(make_data):
    X, y, _ = make_data()
    grid = {"lr": [1e-3, 1e10]}
    search = GridSearchCV(classifier(optimizer="sgd"), grid, cv=2, error_score=-1.0)
    with pytest.warns(FitFailedWarning, match="TrainingError"):
        search.fit(X[y >= 0], y[y >= 0])
    assert search.cv_results_["mean_test_score"][1] == -1.0
    assert search.best_params_ == {"lr": 1e-3}


@pytest.mark.parametrize("strategy", [RandomSampling(), MarginSampling()], ids=repr)
def test_a_loop_buys_nothing_for_a_model_that_diverges(blobs, strategy):
    X, y, domain = blobs
    loop = ActiveAdaptationLoop(classifier(MCC(), **DIVERGES), strategy, budget=5, n_rounds=1, random_state=0)
    with pytest.raises(TrainingError, match=r"^AdaptationClassifier\(.*Training diverged"):
        loop.fit(X, y, sample_domain=domain)


class LaterNaN(WithoutNumber):
    """Be NaN in the training of the second round."""

    def loss(self, step):
        return step.logits.sum() * (torch.nan if step.iteration >= 30 else 0.0)


def test_a_session_keeps_the_answers_and_does_not_blame_them(open_session, blobs):
    y = blobs[1]
    session = open_session(classifier(LaterNaN()))
    ids = session.ask()
    session.tell(ids, y[ids])
    more = session.ask()
    with pytest.raises(TrainingError, match=r"^The answers are recorded, and state.y holds them.*diverged") as caught:
        session.tell(more, y[more])
    assert "correct(" not in str(caught.value)
    assert session.queried_ids_.tolist() == [*ids, *more]
    with pytest.warns(UserWarning, match="The answers are recorded, and state.y holds them"):
        again = open_session(classifier(LaterNaN()))
    assert again.queried_ids_.tolist() == [*ids, *more]
    assert again.state.y[more].tolist() == y[more].tolist()


def test_a_session_whose_first_training_diverges_does_not_open(blobs):
    X, y, domain = blobs
    loop = ActiveAdaptationLoop(classifier(**DIVERGES), budget=5, n_rounds=1, random_state=0)
    with pytest.raises(TrainingError, match=r"^AdaptationClassifier"):
        loop.session(X, mask_target(y, domain), sample_domain=domain)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0, "heavy", None])
def test_a_class_weight_that_is_no_weight_is_refused_by_its_class(make_data, weight):
    model = classifier(class_weight={0: 1.0, 1: weight, 2: 1.0})
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"class_weight must hold finite numbers >= 0, got .* for the class 1"):
            method(*make_data())
    assert not hasattr(model, "net_")


def test_steps_of_one_row_are_refused_where_batches_are_normalised(make_data):
    X, y, _ = make_data()
    X, y = X[y >= 0], y[y >= 0]
    with pytest.raises(ValueError, match=r"batch_size=1 leaves a single row .*BatchNorm1d.*Use batch_size=2"):
        classifier(batch_size=1).fit(X, y)
    classifier(batch_size=1, module=nn.Linear(4, 3)).fit(X, y)
    classifier(batch_size=1).fit(X[:1], y[:1])
    classifier(MCC(), batch_size=1).fit(*make_data())


def test_no_epoch_trains_nothing_and_is_no_error(make_data):
    assert np.isfinite(classifier(max_epochs=0, **DIVERGES).fit(*make_data()).predict_proba(make_data()[0])).all()


@pytest.fixture(scope="module")
def unscaled():
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32) * 1e6
    return X, np.arange(60) % 3, np.repeat([1, -1], 30)


def test_a_loss_far_beyond_that_of_guessing_is_told(unscaled):
    X, y, sample_domain = unscaled
    with pytest.warns(UserWarning, match=r"labelled loss of the last epoch is .* guessing 1.1\. Lower lr"):
        classifier(module=nn.Linear(4, 3)).fit(X, mask_target(y, sample_domain), sample_domain)


def test_the_weight_of_the_source_does_not_look_like_a_bad_loss(unscaled, recwarn):
    X, y, sample_domain = unscaled
    classifier(source_weight=1e6).fit(X, mask_target(y, sample_domain), sample_domain)
    assert not recwarn


@pytest.mark.parametrize("params", [{"source_weight": 0}, {"class_weight": {0: 0, 1: 0.0, 2: 0}}])
def test_labels_that_all_weigh_nothing_are_told(unscaled, params):
    X, y, sample_domain = unscaled
    with pytest.warns(UserWarning, match="No label counts"):
        classifier(**params).fit(X, mask_target(y, sample_domain), sample_domain)


@pytest.mark.parametrize("params", [{"source_weight": 0}, {"class_weight": {0: 0, 1: 0.0, 2: 1}}])
def test_some_labels_that_count_are_enough(unscaled, params, recwarn):
    X, y, sample_domain = unscaled
    classifier(**params).fit(X, y, sample_domain)
    assert not recwarn
