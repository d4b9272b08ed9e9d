import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC

from skada_active.domains import resolve_roles
from skada_active.utils.fitting import fit_estimator
from skada_active.utils.weights import fit_weighted, labeled_weights, repeated_rows, weight_parameters

# Every sixth row is of the target, which the last column tells.
N = 72
IS_TARGET = np.arange(N) % 6 == 0
RNG = np.random.RandomState(0)
Y = RNG.randint(2, size=N)
X = np.column_stack([RNG.randn(N) + Y, RNG.randn(N) - 2 * Y * IS_TARGET, IS_TARGET])
WEIGHTS = np.where(IS_TARGET, 5.0, 1.0)
ROWS = np.repeat(np.arange(N), WEIGHTS.astype(int))

SHARES = []  # of the target in what each fit of a classifier below was given


class Weighable(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        SHARES.append(np.average(np.asarray(X)[:, -1], weights=sample_weight))
        return super().fit(X, y, sample_weight=sample_weight)


class Unweighable(LogisticRegression):
    def fit(self, X, y):
        SHARES.append(np.mean(np.asarray(X)[:, -1]))
        return super().fit(X, y)


class Refusing(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        if sample_weight is not None:
            raise ValueError("This solver does not support sample weights.")
        SHARES.append(np.mean(np.asarray(X)[:, -1]))
        return super().fit(X, y)


def weights_of(n_source, n_target, target_weight, n_pool=3):
    domain = np.repeat([1, -1], [n_source, n_target + n_pool])
    y = np.repeat([0, -1], [n_source + n_target, n_pool])
    return labeled_weights(resolve_roles(y, domain), target_weight)


# The weights.


@pytest.mark.parametrize(("n_source", "n_target"), [(70, 3), (3, 70), (1, 2)])
def test_balanced_gives_both_halves_the_same_sum_and_source_rows_one(n_source, n_target):
    weights = weights_of(n_source, n_target, "balanced")
    assert (weights[:n_source] == 1).all()
    assert weights[n_source:].sum() == pytest.approx(n_source)


def test_a_number_is_the_weight_of_a_labelled_target_row():
    assert weights_of(2, 1, 2.5).tolist() == [1, 1, 2.5]


def test_weights_are_in_the_order_of_the_labelled_rows():
    roles = resolve_roles([1, -1, 0, 1], [-1, -1, 3, 4])
    assert labeled_weights(roles, "balanced").tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("n_source", "n_target", "weight"),
    [(4, 2, None), (4, 0, "balanced"), (0, 4, "balanced"), (0, 4, 2.0), (3, 3, "balanced"), (4, 2, 1)],
)
def test_there_is_nothing_to_weigh_where_all_rows_count_the_same(n_source, n_target, weight):
    assert weights_of(n_source, n_target, weight) is None


# Estimators that take weights.


def weighted(estimator, **params):
    return clone(estimator).fit(X, Y, **params).predict_proba(X)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (LogisticRegression(class_weight="balanced"), ["sample_weight"]),
        (Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())]), ["clf__sample_weight"]),
        (
            Pipeline([("select", SelectKBest(k=2)), ("rest", make_pipeline(StandardScaler(), LogisticRegression()))]),
            ["rest__logisticregression__sample_weight"],
        ),
        (GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}), ["sample_weight"]),
        (
            RandomizedSearchCV(make_pipeline(LogisticRegression()), {"logisticregression__C": [1]}, n_iter=1),
            ["logisticregression__sample_weight"],
        ),
        (VotingClassifier([("a", LogisticRegression()), ("b", "drop")], voting="soft"), ["sample_weight"]),
        (StackingClassifier([("a", LogisticRegression())]), ["sample_weight"]),
        (RandomForestClassifier(3, random_state=0), ["sample_weight"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else "",
)
@pytest.mark.parametrize("routing", [False, True])
def test_weights_go_where_scikit_learn_takes_them_with_routing_on_or_off(estimator, names, routing):
    with config_context(enable_metadata_routing=routing):
        found = fit_weighted(clone(estimator), X, Y, WEIGHTS).predict_proba(X)
    expected = weighted(estimator, **dict.fromkeys(names, WEIGHTS))
    np.testing.assert_array_equal(found, expected)
    assert not np.allclose(found, weighted(estimator))


@pytest.mark.parametrize("inner", [Weighable(), Unweighable()], ids=lambda inner: type(inner).__name__)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: inner,
        lambda inner: make_pipeline(StandardScaler(with_mean=False, with_std=False), make_pipeline(inner)),
        lambda inner: CalibratedClassifierCV(inner, cv=2),
        lambda inner: CalibratedClassifierCV(make_pipeline(inner), cv=2),
        lambda inner: make_pipeline(CalibratedClassifierCV(make_pipeline(inner), cv=2)),
        lambda inner: BaggingClassifier(inner, 3, random_state=0),
        lambda inner: BaggingClassifier(make_pipeline(inner), 3, bootstrap=False, random_state=0),
        lambda inner: VotingClassifier([("a", LogisticRegression()), ("b", inner)], voting="soft"),
        lambda inner: VotingClassifier([("a", make_pipeline(inner))], voting="soft"),
        lambda inner: StackingClassifier([("a", inner)], cv=2),
        lambda inner: OneVsRestClassifier(inner),
        lambda inner: OneVsOneClassifier(inner),
        lambda inner: SelfTrainingClassifier(inner),
        lambda inner: GridSearchCV(inner, {"C": [1]}, cv=2),
        lambda inner: GridSearchCV(make_pipeline(inner), {"memory": [None]}, cv=2),
        lambda inner: GridSearchCV(Pipeline([("clf", LogisticRegression())]), {"clf": [Weighable(), inner]}, cv=2),
        lambda inner: GradientBoostingClassifier(init=inner, n_estimators=1),
    ],
)
@pytest.mark.parametrize("routing", [False, True])
def test_nothing_inside_is_fitted_without_weights(wrap, inner, routing):
    SHARES.clear()
    with config_context(enable_metadata_routing=routing), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="y contains no unlabeled samples")
        fit_weighted(wrap(inner), X, Y, WEIGHTS)
    # Half of the weight, against a sixth of the rows.
    assert np.abs(np.array(SHARES) - 0.5).max() < 0.2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: inner,
        lambda inner: make_pipeline(inner),
        lambda inner: CalibratedClassifierCV(inner, cv=2),
        lambda inner: VotingClassifier([("a", inner)], voting="soft"),
        lambda inner: GridSearchCV(inner, {"C": [1]}, cv=2),
    ],
)
def test_what_refuses_weights_when_it_is_fitted_is_given_repeated_rows(wrap):
    SHARES.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit_weighted(wrap(Refusing()), X, Y, WEIGHTS)
    assert np.abs(np.array(SHARES) - 0.5).max() < 0.2


def test_bagging_without_a_bootstrap_repeats_rows():
    bagging = BaggingClassifier(LogisticRegression(), 2, bootstrap=False, random_state=0)
    found = fit_weighted(bagging, X, Y, WEIGHTS).predict_proba(X)
    np.testing.assert_allclose(found, clone(bagging).fit(X[ROWS], Y[ROWS]).predict_proba(X))


def test_a_request_that_a_user_set_is_left_as_it_is():
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), LogisticRegression().set_fit_request(sample_weight=False))
        fitted = fit_weighted(pipeline, X, Y, WEIGHTS)
    expected = weighted(
        make_pipeline(StandardScaler(), LogisticRegression()), logisticregression__sample_weight=WEIGHTS
    )
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert fitted[-1].get_metadata_routing().fit.requests == {"sample_weight": False}


def test_a_pipeline_that_transforms_metadata_keeps_routing_and_repeats_rows():
    with config_context(enable_metadata_routing=True):
        pipeline = Pipeline([("clf", LogisticRegression())], transform_input=["X_val"])
        found = fit_weighted(pipeline, X, Y, WEIGHTS).predict_proba(X)
    np.testing.assert_allclose(found, weighted(LogisticRegression(), sample_weight=WEIGHTS), atol=1e-3)


def test_calibration_of_a_frozen_classifier_is_weighted_without_a_warning():
    frozen = FrozenEstimator(LogisticRegression().fit(X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = fit_weighted(CalibratedClassifierCV(frozen), X, Y, WEIGHTS).predict_proba(X)
    with pytest.warns(UserWarning, match="sample_weight"):
        expected = weighted(CalibratedClassifierCV(frozen), sample_weight=WEIGHTS)
    np.testing.assert_array_equal(found, expected)


def test_a_search_over_calibrations_of_pipelines_is_weighted_without_a_warning():
    search = GridSearchCV(CalibratedClassifierCV(make_pipeline(Weighable()), cv=2), {"method": ["sigmoid"]}, cv=2)
    SHARES.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit_weighted(search, X, Y, WEIGHTS)
    assert np.abs(np.array(SHARES) - 0.5).max() < 0.2


def test_a_pipeline_that_ends_in_no_estimator_takes_no_weights():
    assert weight_parameters(Pipeline([("scale", StandardScaler()), ("last", "passthrough")])) is None


def test_a_frozen_last_step_learns_nothing():
    pipeline = make_pipeline(StandardScaler(), FrozenEstimator(LogisticRegression().fit(X, Y)))
    assert weight_parameters(pipeline) == []
    fit_weighted(pipeline, X, Y, WEIGHTS).predict(X)


def test_candidates_of_a_search_that_take_weights_by_other_names_are_given_repeated_rows():
    candidates = {"clf": [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]}
    search = GridSearchCV(Pipeline([("clf", LogisticRegression())]), candidates, error_score="raise")
    assert weight_parameters(search) is None
    fit_weighted(search, X, Y, WEIGHTS)


def test_other_errors_of_an_estimator_are_not_taken_for_a_refusal():
    class Failing(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, sample_weight=None):
            raise ValueError(f"no data for {'them' if sample_weight is None else 'us'}")

    with pytest.raises(ValueError, match="no data for us"):
        fit_weighted(Failing(), X, Y, WEIGHTS)


def test_without_weights_fit_is_called_as_ever():
    class Strict(LogisticRegression):
        def fit(self, *args, **params):
            assert not params
            return super().fit(*args)

    np.testing.assert_array_equal(
        fit_weighted(Strict(), X, Y, None).coef_, LogisticRegression().fit(X, Y).coef_, strict=True
    )


# Repeated rows.


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(3),
        LinearDiscriminantAnalysis(),
        OneVsRestClassifier(LogisticRegression()),
        AdaBoostClassifier(LogisticRegression(), n_estimators=1),
        VotingClassifier([("a", KNeighborsClassifier()), ("b", LogisticRegression())], voting="soft"),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=StratifiedKFold(3)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_repeated_rows_are_what_whole_weights_mean(estimator):
    found = fit_weighted(clone(estimator), X, Y, WEIGHTS).predict_proba(X)
    np.testing.assert_allclose(found, clone(estimator).fit(X[ROWS], Y[ROWS]).predict_proba(X), atol=1e-3)


@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        ([1, 1, 3], [0, 1, 2, 2, 2]),
        ([1, 1, 0.5], [0, 0, 1, 1, 2]),
        ([1, 1.49], [0, 1]),
        ([1, 1.5], [0, 1, 1]),
        ([4, 4], [0, 1]),
        (np.float32([2, 1]), [0, 0, 1]),
    ],
)
def test_the_heavier_rows_stand_as_often_as_the_rounded_ratio(weights, rows):
    assert repeated_rows(np.array(weights)).tolist() == rows


@pytest.mark.parametrize(("n_source", "n_target"), [(99, 2), (2, 99), (5, 3), (3, 2), (1000, 1), (1, 1000), (7, 4)])
def test_balanced_halves_are_near_each_other_and_less_than_double_the_rows(n_source, n_target):
    rows = repeated_rows(weights_of(n_source, n_target, "balanced"))
    of_source = np.count_nonzero(rows < n_source)
    assert len(rows) < 2 * (n_source + n_target)
    assert abs(2 * of_source - len(rows)) <= min(n_source, n_target) / 2
    assert set(rows) == set(range(n_source + n_target))


@pytest.mark.parametrize("weight", [1000.0, 1e-6, 5e-324, 1e308])
def test_a_weight_that_would_take_too_much_memory_is_cut_with_a_warning(weight):
    with pytest.warns(UserWarning, match=r"KNN takes no sample_weight.*repeated \d+ times"):
        rows = repeated_rows(weights_of(20, 10, weight), "KNN")
    assert 250 < len(rows) <= 300
    assert set(rows) == set(range(30))


def test_tables_and_labels_of_text_are_repeated_too():
    pd = pytest.importorskip("pandas")
    roles = resolve_roles(np.where(Y, "yes", "no"), np.where(IS_TARGET, -1, 1))
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = fit_estimator(KNeighborsClassifier(1), table, np.where(Y, "yes", "no"), roles, "balanced")
    assert fitted.n_samples_fit_ == 60 + 60
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert set(fitted.classes_) == {"no", "yes"}


def test_calibration_of_a_margin_in_a_pipeline_weighs_both():
    model = CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()), cv=2)
    assert weight_parameters(model) == ["linearsvc__sample_weight", "sample_weight"]
