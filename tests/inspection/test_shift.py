"""Diagnosis of a shift: verdicts, intervals, rows of every kind, and what it says where it cannot know."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skada_active.datasets import make_label_shift
from skada_active.domains import mask_target
from skada_active.inspection import diagnose_shift


def task(cause, n=400, seed=0):
    """Return rows of two classes whose target differs by one cause."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n, 4))
    if cause == "covariate":
        X[n:, 1] += 1
        X[n:, 0] *= 0.5
    y = (X[:, 0] + X[:, 1] + 0.5 * rng.normal(size=2 * n) > 0).astype(int)
    if cause == "concept":
        y[n:] = (X[n:, 0] - X[n:, 1] + 0.5 * rng.normal(size=n) > 0).astype(int)
    return X, y, np.repeat([1, -2], n)


def diagnose(X, y, sample_domain, **params):
    return diagnose_shift(X, sample_domain, y, **{"n_bootstrap": 20, "cv": 2, "random_state": 0, **params})


@pytest.fixture(scope="module")
def reports():
    found = {cause: diagnose(*task(cause)) for cause in ("covariate", "concept", "none")}
    return found | {"label": diagnose(*make_label_shift(400, 400, random_state=1))}


@pytest.mark.parametrize("cause", ["covariate", "label", "concept", "none"])
def test_the_cause_is_named(reports, cause):
    verdict = reports[cause].verdict
    assert reports[cause].cause == verdict.cause == cause
    answers = {name: getattr(verdict, name) for name in ("covariate", "label", "concept")}
    assert answers == {name: "yes" if name == cause else "no" for name in answers}


def test_the_parts_of_the_drop_add_up_and_go_to_the_cause(reports):
    for cause in ("covariate", "label", "concept", "none"):
        found = reports[cause].accuracies
        parts = {name: getattr(found, name).value for name in ("covariate", "label", "concept")}
        assert sum(parts.values()) == pytest.approx(found.target.value - found.source.value)
        assert all(value == 0 for name, value in parts.items() if name not in (cause, "concept"))
    assert reports["concept"].accuracies.concept.high < -0.2
    assert abs(reports["label"].accuracies.concept.value) < 0.05


def test_every_estimate_lies_in_its_interval(reports):
    for report in reports.values():
        accuracies = report.accuracies
        names = ("source", "target", "if_label", "if_covariate", "label", "covariate", "concept")
        estimates = [report.auc, report.strangers.share, *(getattr(accuracies, name) for name in names)]
        for share in report.class_shares:
            estimates += [share.source, share.em, share.bbse, share.labeled]
        for estimate in estimates:
            assert estimate.low <= estimate.value <= estimate.high
        assert all(column.low <= column.effect <= column.high for column in report.columns)


def test_shares_of_a_label_shift_are_found(reports):
    for share, (source, target) in zip(
        reports["label"].class_shares, [(0.6, 0.1), (0.3, 0.3), (0.1, 0.6)], strict=True
    ):
        assert share.source.value == pytest.approx(source, abs=0.01)
        assert share.em.value == pytest.approx(target, abs=0.08)
        assert share.bbse.value == pytest.approx(target, abs=0.08)
        assert share.labeled.low <= target <= share.labeled.high


def test_the_column_that_moved_comes_first(reports):
    columns = reports["covariate"].columns
    assert [column.rank for column in columns] == [1, 2, 3, 4]
    assert (columns[0].name, round(columns[0].effect)) == ("1", 1)
    assert columns[0].p_value < 0.001 < columns[-1].p_value
    assert columns[0].kind == "number"


def test_without_labels_of_the_target_what_takes_them_is_not_said():
    for cause, named in (("covariate", "covariate"), ("concept", "cannot tell"), ("none", "cannot tell")):
        X, y, sample_domain = task(cause)
        report = diagnose(X, mask_target(y, sample_domain), sample_domain)
        assert (report.cause, report.verdict.concept) == (named, "cannot tell")
        assert report.accuracies.target is report.accuracies.concept is None
        assert report.class_shares[0].labeled is None
        assert "not identifiable without labels" in repr(report)
        assert report.n_labeled == 0
        assert "follow them as before" not in repr(report) or "is not known" in repr(report)
    X, y, sample_domain = make_label_shift(400, 400, random_state=1)
    assert diagnose(X, mask_target(y, sample_domain), sample_domain).cause == "label"


def test_without_any_label_rows_are_compared_all_the_same():
    X, _, sample_domain = task("covariate")
    report = diagnose(X, None, sample_domain)
    assert report.auc.low > 0.6
    assert report.cause == "cannot tell"
    assert (report.accuracies, report.class_shares) == (None, [])
    assert "Without y" in repr(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_few_labels_are_enough_for_a_large_change_and_too_few_are_said_to_be():
    X, y, sample_domain = task("concept")
    known = mask_target(y, sample_domain)
    target = np.flatnonzero(sample_domain < 0)
    known[target[:60]] = y[target[:60]]
    assert diagnose(X, known, sample_domain).cause == "concept"
    known[target[9:60]] = -1
    report = diagnose(X, known, sample_domain)
    assert report.verdict.concept == "cannot tell"
    assert "9 target rows have one" in report.notes[0]


def test_labels_are_looked_at_though_their_rows_are_not_drawn():
    X, y, sample_domain = task("concept", n=2000)
    known = mask_target(y, sample_domain)
    known[2000:2080] = y[2000:2080]
    report = diagnose(X, known, sample_domain, max_rows=600)
    assert (report.n_source_seen, report.n_target_seen, report.n_labeled) == (300, 300, 80)
    assert report.cause == "concept"
    assert "were looked at" in report.notes[0]


def test_a_seed_repeats_the_report_and_parameters_change_it():
    X, y, sample_domain = task("covariate", n=60)
    known = mask_target(y, sample_domain)  # with labels it takes twice as long

    def found(**params):
        return diagnose(X, known, sample_domain, **params).to_dict()

    first = found()
    assert found() == first
    assert found(random_state=1)["auc"] != first["auc"]
    assert found(cv=3)["auc"] != first["auc"]
    assert found(level=0.5)["auc"]["low"] > first["auc"]["low"]
    assert found(n_bootstrap=40)["accuracies"]["source"] != first["accuracies"]["source"]
    assert found(max_rows=100)["n_source_seen"] == 50
    assert found(significance=1e-40)["cause"] != first["cause"]
    assert found(estimator=DecisionTreeClassifier())["accuracies"]["source"] != first["accuracies"]["source"]


def test_a_generator_is_a_source_of_chance_and_the_global_one_is_left_alone():
    X, y, sample_domain = task("none", n=60)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    y = mask_target(y, sample_domain)
    found = [diagnose(X, y, sample_domain, random_state=np.random.default_rng(0)).to_dict() for _ in range(2)]
    diagnose(X, y, sample_domain, random_state=None)
    assert found[0] == found[1]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.fixture(scope="module")
def mixed():
    """Return a table of numbers with gaps, texts and categories, of which the texts moved."""
    rng, n = np.random.default_rng(0), 150
    moved = np.repeat([0.5, 0.8], n)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(2 * n) < 0.1, np.nan, rng.normal(size=2 * n)),
            "place": np.where(rng.random(2 * n) < moved, "Paris", "Rome"),
            "grade": pd.Categorical(rng.choice(["low", "high"], 2 * n)),
            "gone": np.where(np.arange(2 * n) < n, rng.normal(size=2 * n), np.nan),
            "empty": np.nan,
            "constant": 3,
        }
    )
    frame.loc[4, "place"] = None
    return frame, np.array(["no", "yes"], dtype=object)[rng.integers(2, size=2 * n)], np.repeat([1, -2], n)


def test_a_table_of_texts_categories_and_gaps_is_compared_column_by_column(mixed):
    frame, y, sample_domain = mixed
    report = diagnose(frame, y, sample_domain)
    columns = {column.name: column for column in report.columns}
    assert [column.name for column in report.columns[:2]] == ["gone", "place"]
    assert (columns["gone"].missing_source, columns["gone"].missing_target) == (0, 1)
    assert np.isnan(columns["gone"].effect)
    assert columns["place"].kind == columns["grade"].kind == "category"
    assert columns["place"].low < 0.3 < columns["place"].high
    assert columns["constant"].effect == columns["constant"].distance == 0
    assert columns["empty"].p_value == 1
    assert [share.label for share in report.class_shares] == ["no", "yes"]
    json.dumps(report.to_dict(), allow_nan=False)


def test_objects_and_sparse_rows_are_tables_too(mixed):
    frame, y, sample_domain = mixed
    of_objects = diagnose(frame.to_numpy(dtype=object), y, sample_domain)
    assert {column.kind for column in of_objects.columns} == {"number", "category"}
    X, y, sample_domain = task("covariate", n=50)
    y = mask_target(y, sample_domain)
    found = [diagnose(rows, y, sample_domain).to_dict() for rows in (X, sparse.csr_matrix(X), X.tolist())]
    assert found[0] == found[1] == found[2]


def test_units_and_outliers_do_not_count():
    X, y, sample_domain = task("covariate", n=200)
    X[0, 2], X[1, 2] = 1e300, -1e300
    y = mask_target(y, sample_domain)
    report = diagnose(X, y, sample_domain)
    scaled = diagnose(X * [1e-9, 1e6, 1e-3, 1] + [0, 0, 1, 0], y, sample_domain)
    assert report.auc == scaled.auc
    assert all(np.isfinite(column.effect) for column in report.columns)
    assert report.columns[0].name == "1"


def test_single_precision_and_duplicates_are_welcome():
    X, y, sample_domain = task("none", n=100)
    report = diagnose(np.repeat(X[::10], 10, axis=0).astype(np.float32), y, sample_domain)
    assert 0 <= report.auc.low <= report.auc.high <= 1


def test_domains_of_equal_rows_cannot_be_told_apart():
    y, sample_domain = np.arange(100) % 2, np.repeat([1, -2], 50)
    report = diagnose(np.ones((100, 3)), y, sample_domain)
    assert report.auc.value == 0.5
    assert report.verdict.covariate != "yes"
    assert len(report.strangers.ids) == 0


def test_rows_of_a_new_class_are_named():
    X, y, sample_domain = task("none")
    strangers = np.arange(700, 760)
    X[strangers] += 8
    known = mask_target(y, sample_domain)
    report = diagnose(X, known, sample_domain)
    assert set(strangers.tolist()) <= set(report.strangers.ids.tolist())
    assert len(report.strangers.ids) < 80
    assert report.strangers.share.low < 60 / 400 < report.strangers.share.high
    assert (np.diff(report.strangers.p_values) >= 0).all()


def test_labels_that_no_source_row_has_are_counted_and_never_right():
    X, y, sample_domain = task("none")
    texts = np.array(["a", "b"], dtype=object)[y]
    texts[700:] = "c"
    report = diagnose(X, texts, sample_domain)
    assert "100 labelled target rows have a label that no source row has." in report.notes
    assert report.accuracies.target.value < report.accuracies.source.value - 0.15
    assert [share.label for share in report.class_shares] == ["a", "b"]


def test_a_frozen_estimator_is_explained_as_it_is():
    X, y, sample_domain = task("concept", n=200)
    model = LogisticRegression().fit(X[:100], y[:100])
    rows = np.arange(100, 400)
    report = diagnose(X[rows], y[rows], sample_domain[rows], estimator=FrozenEstimator(model))
    assert report.accuracies.source.value == model.score(X[100:200], y[100:200])
    assert report.accuracies.target.value == model.score(X[200:], y[200:])


class Flattened(TransformerMixin, BaseEstimator):
    """Rows of an image as one row."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X).reshape(len(X), -1)

    def __sklearn_is_fitted__(self):
        return True


def test_images_are_compared_by_the_features_of_the_estimator():
    X, y, sample_domain = task("covariate")
    images = X.reshape(-1, 1, 2, 2)
    model = make_pipeline(Flattened(), LogisticRegression())
    report = diagnose(images, y, sample_domain, estimator=model)
    assert (report.cause, report.columns) == ("covariate", [])
    assert (report.n_source, report.n_source_seen) == (400, 200)  # the model was trained on the other half
    assert report.strangers.ids.max(initial=0) < 800
    fitted = make_pipeline(Flattened(), LogisticRegression()).fit(images[:100], y[:100])
    report = diagnose(images[100:], None, sample_domain[100:], estimator=FrozenEstimator(fitted))
    assert report.auc.low > 0.6
    with pytest.raises(ValueError, match="X is no table of columns"):
        diagnose(images, y, sample_domain)
    with pytest.raises(ValueError, match="there is no y to fit it on"):
        diagnose(images, None, sample_domain, estimator=model)


def test_wide_rows_are_compared_by_their_principal_components():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 120)) + 0.1 * rng.normal(size=(200, 120))
    X[100:] += X[:100].std() * np.sign(X[0])
    report = diagnose(X, np.arange(200) % 2, np.repeat([1, -2], 100))
    assert report.auc.low > 0.6
    assert len(report.columns) == 120


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sample_domain": None}, "there is one domain"),
        ({"sample_domain": np.repeat([0, 1], 50)}, "number"),
        ({"sample_domain": np.repeat([1, -2], [95, 5])}, "5 target row"),
        ({"sample_domain": np.repeat([1, -2], [100, 0])}, "0 target row"),
        ({"y": np.repeat(0, 100)}, "two"),
        ({"level": 95}, "level must be"),
        ({"significance": 0}, "significance must be"),
        ({"cv": 1}, "cv must be"),
        ({"max_rows": 10}, "max_rows must be"),
        ({"n_bootstrap": 1.5}, "n_bootstrap must be"),
        ({"X": np.full((100, 2), np.inf)}, "infinity"),
        ({"X": np.full((100, 2), "a")}, "array of texts"),
        ({"X": pd.DataFrame({"day": pd.date_range("2020-01-01", periods=100)})}, "dates"),
        ({"X": np.empty((100, 0))}, "no columns"),
    ],
)
def test_what_cannot_be_compared_is_an_error(params, message):
    X, y, sample_domain = task("none", n=50)
    arguments = {"X": X, "y": y, "sample_domain": sample_domain, **params}
    with pytest.raises(ValueError, match=message):
        diagnose_shift(**arguments)


def test_the_report_shows_as_text_and_as_html_that_needs_nothing_else(reports, mixed):
    for cause, report in reports.items():
        assert repr(report).startswith("Shift of 400 target rows, 400 of them labelled")
        html = report._repr_html_()
        assert report.cause == cause
        assert "http" not in html
        assert "<script" not in html
    frame, y, sample_domain = mixed
    named = diagnose(frame.rename(columns={"size": "<b>size</b>"}), y, sample_domain)
    assert "&lt;b&gt;size" in named._repr_html_()
    assert "<b>size" not in named._repr_html_()


def test_the_report_is_plain_values(reports):
    values = reports["label"].to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["cause"] == values["verdict"]["cause"] == "label"
    assert set(values["auc"]) == {"value", "low", "high"}
