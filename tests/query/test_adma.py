"""ADMA: distinctiveness against a plain loop, the trade-off, and the strategy in a loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import softmax
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.query import ADMA, EntropySampling, Prefilter, distinctiveness

EARLY = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]])
LATE = np.array([[0.0], [1.0], [9.0]])


def make_fields(n=25, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    inputs, source_inputs = rng.normal(size=(n, 6)), rng.normal(size=(40, 6))
    weight = rng.normal(size=(6, 4))
    return {
        "inputs": inputs,
        "features": np.tanh(inputs @ weight),
        "proba": softmax(rng.normal(size=(n, n_classes)), axis=1),
        "source_inputs": source_inputs,
        "source_features": np.tanh(source_inputs @ weight),
        "source_y": np.arange(40) % n_classes,
    }


def naive_distinctiveness(inputs, features, proba, source_inputs, source_features, source_y):
    """Return the distinctiveness row by row and class by class."""
    layers = []
    for rows, source in ((inputs, source_inputs), (features, source_features)):
        mean, deviation = source.mean(axis=0), source.std(axis=0)
        layers.append(((rows - mean) / deviation, (source - mean) / deviation))
    late = layers[1][1]
    classes = sorted(set(source_y.tolist()))
    landmarks = []
    for label in classes:
        numbers = np.flatnonzero(source_y == label)
        center = late[numbers].mean(axis=0)
        landmarks.append(min(numbers, key=lambda number: np.linalg.norm(late[number] - center)))

    def pattern(place):
        found = np.zeros(len(classes))
        for sign, (rows, source) in zip((1, -1), layers, strict=True):
            pairs = [np.sum((source[a] - source[b]) ** 2) for a in landmarks for b in landmarks if a != b]
            row = place(rows, source)
            found += sign * np.array([np.sum((row - source[a]) ** 2) for a in landmarks]) / np.mean(pairs)
        return found

    typical = [pattern(lambda rows, source, number=number: source[number]) for number in landmarks]
    values = []
    for i in range(len(inputs)):
        share = proba[i, classes] / proba[i, classes].sum()
        expected = sum(p * t for p, t in zip(share, typical, strict=True))
        tau = kendalltau(pattern(lambda rows, source, i=i: rows[i]), expected).statistic
        values.append((1 - tau) / 2)
    return np.array(values)


@pytest.mark.parametrize("n_classes", [3, 5, 8])
def test_distinctiveness_is_that_of_a_plain_loop(n_classes):
    fields = make_fields(n_classes=n_classes)
    np.testing.assert_allclose(distinctiveness(**fields), naive_distinctiveness(**fields), atol=1e-12)


def test_of_two_rows_as_near_to_the_mean_the_first_is_the_landmark():
    fields = make_fields(n=200)
    rows = np.random.default_rng(1).permutation(40)[:10]
    fields |= {name: fields[name][rows] for name in ("source_inputs", "source_features", "source_y")}
    fields["source_y"] = np.arange(10) // 2
    expected = distinctiveness(**fields)
    for offset in (0.1, 0.3, 1 / 7):
        shifted = {name: fields[name] + offset for name in ("features", "source_features")}
        np.testing.assert_allclose(distinctiveness(**fields | shifted), expected)


def test_a_class_without_source_rows_counts_for_nothing():
    fields = make_fields(n_classes=5)
    kept = fields["source_y"] != 2
    fields |= {name: fields[name][kept] for name in ("source_inputs", "source_features", "source_y")}
    np.testing.assert_allclose(distinctiveness(**fields), naive_distinctiveness(**fields), atol=1e-12)


def test_a_landmark_with_a_certain_prediction_is_not_distinctive():
    fields = make_fields(n=3, n_classes=3)
    found = distinctiveness(EARLY, LATE, np.eye(3), EARLY, LATE, [0, 1, 2])
    np.testing.assert_array_equal(found, 0.0)
    assert (distinctiveness(**fields) > 0).any()


def test_a_pattern_that_is_reversed_has_distinctiveness_one():
    # Against the pattern (0, .73, -.91) of the first landmark.
    found = distinctiveness([[3.0, 1.0]], [[8.0]], [[1.0, 0.0, 0.0]], EARLY, LATE, [0, 1, 2])
    np.testing.assert_array_equal(found, 1.0)


def test_tied_distances_count_as_in_kendalls_tau_b():
    # The row is as far from the second landmark as from the third, in both representations.
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    stretched = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -2.0]])
    found = distinctiveness([[0.5, 0.5]], [[0.3, 0.1]], [[0.2, 0.5, 0.3]], corners, stretched, [0, 1, 2])
    expected = naive_distinctiveness(
        np.array([[0.5, 0.5]]), np.array([[0.3, 0.1]]), np.array([[0.2, 0.5, 0.3]]), corners, stretched, np.arange(3)
    )
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_the_embedding_is_the_input_in_other_units_no_row_is_distinctive(dtype):
    fields = make_fields()
    scale, offset = np.array([1, 3, 0.2, 50, 1e-3, 7]), np.arange(6)
    for name in ("", "source_"):
        fields[name + "features"] = ((fields[name + "inputs"] + offset) * scale).astype(dtype)
    np.testing.assert_array_equal(distinctiveness(**fields), 0.5)


def test_without_a_source_row_there_are_no_landmarks():
    fields = make_fields()
    fields |= {name: fields[name][:0] for name in ("source_inputs", "source_features", "source_y")}
    with pytest.raises(ValueError, match="source_y is empty"):
        distinctiveness(**fields)


@pytest.mark.parametrize(("n_labeled", "share", "weight"), [(0, 0.1, 0.0), (3, 0.2, 0.6), (5, 0.2, 1.0), (9, 0.2, 1.0)])
def test_doubt_takes_over_as_labels_come_in(n_labeled, share, weight):
    fields = make_fields()
    view = PoolView(**fields, labeled_y=np.zeros(n_labeled, dtype=int), n_initial=25)
    doubt = EntropySampling().utilities(view) / np.log(5)
    expected = (1 - weight) * distinctiveness(**fields) + weight * doubt
    np.testing.assert_allclose(ADMA(full_doubt_share=share).utilities(view), expected)


def test_the_default_estimator_leaves_rows_equally_distinctive():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    fitted = ADMA(random_state=0).fit(X, mask_target(y, domain), domain)
    np.testing.assert_array_equal(fitted.utilities(fitted.pool_), 0.5)


def test_frames_and_sparse_rows_are_read_as_arrays_are():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    known = mask_target(y, domain)
    for other in (pd.DataFrame(X), sparse.csr_matrix(X)):
        fitted = ADMA(estimator=LogisticRegression()).fit(other, known, domain)
        np.testing.assert_allclose(fitted.pool_.inputs, X[domain < 0])
        np.testing.assert_allclose(fitted.pool_.source_inputs, X[domain > 0])


def test_words_are_refused_with_a_remedy():
    _, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    X = pd.DataFrame({"word": np.where(y % 2 == 0, "a", "b")})
    model = make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False), LogisticRegression())
    with pytest.raises(ValueError, match=r"X holds columns that are no numbers.*encode X beforehand"):
        ADMA(estimator=model).fit(X, mask_target(y, domain), domain)


def test_it_works_behind_a_prefilter():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=30, random_state=0)
    strategy = Prefilter(ADMA(), n_candidates=12, random_state=0)
    assert len(set(strategy.fit(X, mask_target(y, domain), domain).query(5).tolist())) == 5


def test_a_query_of_minutes_is_announced(monkeypatch):
    monkeypatch.setattr("skada_active.query.adma._SECONDS_A_PAIR", 1.0)
    with pytest.warns(UserWarning, match=r"ADMA will take about .* for 2 of 25 candidates"):
        ADMA().select(PoolView(**make_fields()), 2)


def test_a_loop_on_a_network_and_a_dataset_spends_its_budget():
    torch = pytest.importorskip("torch")
    from skada_active.deep import AdaptationClassifier

    X, y, domain = make_shifted_blobs(n_source=40, n_target=40, random_state=0)
    chosen = []
    for rows in (X.astype(np.float32), torch.utils.data.TensorDataset(torch.as_tensor(X, dtype=torch.float32))):
        model = AdaptationClassifier(max_epochs=2, random_state=0)
        loop = ActiveAdaptationLoop(model, ADMA(), budget=6, n_rounds=2, random_state=0)
        chosen.append(loop.fit(rows, y, sample_domain=domain).queried_ids_.tolist())
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 6
    assert (domain[chosen[0]] < 0).all()


def test_a_network_makes_some_rows_more_distinctive_than_others():
    pytest.importorskip("torch")
    from skada_active.deep import AdaptationClassifier

    X, y, domain = make_shifted_blobs(n_source=40, n_target=40, n_classes=4, random_state=0)
    model = AdaptationClassifier(max_epochs=2, random_state=0)
    fitted = ADMA(estimator=model).fit(X, mask_target(y, domain), domain)
    assert len(np.unique(fitted.utilities(fitted.pool_))) > 1
