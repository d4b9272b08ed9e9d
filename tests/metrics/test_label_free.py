"""Accuracies estimated from outputs alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from skada_active.metrics import (
    average_thresholded_confidence,
    committee_agreement,
    difference_of_confidences,
    label_shift_accuracy,
)


@pytest.fixture(scope="module")
def outputs():
    rng = np.random.default_rng(0)
    source, target = (rng.dirichlet([1.0] * 3, size=n) for n in (200, 150))
    y = np.array([rng.choice(3, p=proba) for proba in source])
    return source, y, target


@pytest.mark.parametrize("score", ["max_confidence", "neg_entropy"])
def test_atc_takes_the_threshold_that_leaves_as_many_source_rows_as_are_right(outputs, score):
    source, y, target = outputs
    scores = [p.max(axis=1) if score == "max_confidence" else (p * np.log(p)).sum(axis=1) for p in (source, target)]
    n_right = (source.argmax(axis=1) == y).sum()
    threshold = np.sort(scores[0])[-n_right]
    expected = (scores[1] >= threshold).mean()
    assert average_thresholded_confidence(source, y, target, score=score) == pytest.approx(expected)


def test_the_two_scores_of_atc_differ(outputs):
    by_score = {average_thresholded_confidence(*outputs, score=score) for score in ("max_confidence", "neg_entropy")}
    assert len(by_score) == 2


@pytest.mark.parametrize("estimate", [average_thresholded_confidence, difference_of_confidences], ids=["atc", "doc"])
def test_the_source_itself_has_its_own_accuracy(outputs, estimate):
    source, y, _ = outputs
    accuracy = (source.argmax(axis=1) == y).mean()
    assert estimate(source, y, source) == pytest.approx(accuracy)
    # As nearest neighbours and trees have them: few distinct values, so that many rows tie with the threshold.
    coarse = np.round(source * 4)
    coarse = coarse / coarse.sum(axis=1, keepdims=True)
    assert estimate(coarse, y, coarse) == pytest.approx((coarse.argmax(axis=1) == y).mean())


def test_a_class_without_source_rows_is_no_obstacle():
    proba = [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2]]
    assert average_thresholded_confidence(proba, [0, 1], proba, classes=[0, 1, 2]) == 1
    assert difference_of_confidences(proba, ["a", "b"], proba, classes=["a", "b", "c"]) == 1


def test_atc_of_a_model_that_is_never_right_is_0_and_of_one_that_always_is_1():
    proba = [[0.9, 0.1], [0.2, 0.8]]
    assert average_thresholded_confidence(proba, [1, 0], proba) == 0
    assert average_thresholded_confidence(proba, [0, 1], proba) == 1


def test_difference_of_confidences_is_that_of_the_means(outputs):
    source, y, target = outputs
    accuracy = (source.argmax(axis=1) == y).mean()
    expected = accuracy - source.max(axis=1).mean() + target.max(axis=1).mean()
    assert difference_of_confidences(source, y, target) == pytest.approx(expected)


def test_estimates_stay_between_0_and_1():
    sure, unsure = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5]]
    assert difference_of_confidences(sure, [1, 0], unsure) == 0
    assert difference_of_confidences([[0.6, 0.4], [0.4, 0.6]], [0, 1], sure) == 1


def test_agreement_is_that_of_the_pairs_of_members():
    predictions = np.random.default_rng(0).integers(3, size=(4, 30))
    expected = np.mean([(a == b).mean() for a, b in combinations(predictions, 2)])
    assert committee_agreement(predictions) == pytest.approx(expected)
    assert committee_agreement(np.array(["a", "b", "c"])[predictions]) == pytest.approx(expected)


def test_agreement_is_corrected_by_what_it_misses_in_the_source():
    rng = np.random.default_rng(1)
    target, source, y = rng.integers(3, size=(4, 30)), rng.integers(3, size=(4, 40)), rng.integers(3, size=40)
    expected = committee_agreement(target) + (source == y).mean() - committee_agreement(source)
    assert committee_agreement(target, source, y) == pytest.approx(np.clip(expected, 0, 1))


def test_a_committee_has_two_members_and_labels_for_its_source_rows():
    with pytest.raises(ValueError, match="M >= 2 members"):
        committee_agreement([[0, 1]])
    with pytest.raises(ValueError, match="belong together"):
        committee_agreement([[0, 1], [0, 1]], [[0], [1]])
    with pytest.raises(ValueError, match="one label for each of 1"):
        committee_agreement([[0, 1], [0, 1]], [[0], [1]], [0, 1])


@pytest.mark.parametrize("shares", ["em", "bbse"])
def test_under_label_shift_the_recalls_are_weighed_by_the_shares(shares):
    rng = np.random.default_rng(0)
    sides, recalls = [], np.array([0.95, 0.6])
    for proportions in ([0.5, 0.5], [0.1, 0.9]):
        y = rng.choice(2, 20_000, p=proportions)
        is_first = np.where(y == 0, rng.random(len(y)) < recalls[0], rng.random(len(y)) > recalls[1])
        # The posteriors of a model that says one of two things.
        first = np.where(is_first, 0.95 / (0.95 + 0.4), 0.05 / (0.05 + 0.6))
        sides.append((np.column_stack([first, 1 - first]), y))
    (source, y), (target, hidden) = sides
    truth = (target.argmax(axis=1) == hidden).mean()
    assert label_shift_accuracy(source, y, target, shares=shares) == pytest.approx(truth, abs=0.02)


def test_unknown_options_are_errors(outputs):
    with pytest.raises(ValueError, match="score must be"):
        average_thresholded_confidence(*outputs, score="margin")
    with pytest.raises(ValueError, match="shares must be"):
        label_shift_accuracy(*outputs, shares="rlls")
