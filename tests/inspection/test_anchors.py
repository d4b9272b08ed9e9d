from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop, AdaptationClassifier
from skada_active.deep import AnchorSet
from skada_active.domains import mask_target
from skada_active.inspection import AnchorDisplay
from skada_active.query import RandomSampling

NAMES = np.array(["ant", "bee", "<script>$"], dtype=object)
draw = AnchorDisplay.from_loop


@pytest.fixture(scope="module")
def make_network(blobs):
    X, y, sample_domain = blobs

    def make_network(wrap=lambda model: model, **params):
        model = AdaptationClassifier(anchors=AnchorSet(confidence=0.4), max_epochs=4, device="cpu", **params)
        loop = ActiveAdaptationLoop(wrap(model), RandomSampling(), budget=9, n_rounds=3, round_epochs=4, random_state=0)
        return loop.fit(X, NAMES[y], sample_domain=sample_domain)

    return make_network


@pytest.fixture(scope="module")
def loop(make_network):
    return make_network()


def places(points):
    return np.asarray(points.get_offsets())


def test_every_anchor_is_drawn_in_the_colour_of_its_label(loop):
    display, anchors = draw(loop), loop.estimator_.anchor_set_
    assert len(anchors) > 9
    drawn = {name.replace(r"\$", "$"): len(places(points)) for name, points in display.points_.items()}
    drawn.pop("wrong")
    labels = anchors["label"].tolist()
    assert drawn == {label: labels.count(label) for label in set(labels)}


def test_answers_are_larger_than_what_joined(loop):
    display = draw(loop)
    sizes = np.concatenate([points.get_sizes() for name, points in display.points_.items() if name != "wrong"])
    assert (sizes == sizes.max()).sum() == 9


def test_wrong_labels_are_crossed(loop, blobs):
    anchors = loop.estimator_.anchor_set_
    is_wrong = anchors["label"] != NAMES[blobs[1]][anchors["row"]]
    display = draw(loop)
    assert is_wrong.any()
    np.testing.assert_array_equal(display.is_right.astype(bool), ~is_wrong)
    assert len(places(display.points_["wrong"])) == is_wrong.sum()


def test_truth_may_be_given_and_may_be_missing(loop, blobs):
    anchors = loop.estimator_.anchor_set_
    nobody_knows = mask_target(NAMES[blobs[1]], blobs[2])
    display = draw(loop, y=nobody_knows)
    assert display.is_right.tolist() == [None] * len(anchors)
    assert "wrong" not in display.points_
    assert set(draw(loop, y=nobody_knows, kind="confidence").bars_) == {"unknown"}


def test_counts_are_drawn_pass_by_pass(loop):
    display = draw(loop, kind="counts")
    counts = loop.estimator_.anchor_counts_
    assert len(display.lines_) == 3
    for line, of_class in zip(display.lines_, counts.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), of_class)


def test_confidences_of_what_joined_are_counted(loop):
    display, anchors = draw(loop, kind="confidence"), loop.estimator_.anchor_set_
    joined = anchors["joined"] > 0
    heights = {name: sum(bar.get_height() for bar in bars) for name, bars in display.bars_.items()}
    right = display.is_right[joined].astype(bool)
    assert heights == {"right": right.sum(), "wrong": (~right).sum()}


def test_coordinates_and_number_of_points_can_be_chosen(loop):
    given = np.random.default_rng(0).normal(size=(120, 2))
    display = draw(loop, coordinates=given, max_points=5, random_state=1)
    np.testing.assert_array_equal(display.points, given[display.ids])
    assert len(display.ids) == len(loop.estimator_.anchor_set_) + 5
    assert draw(loop, coordinates=given, max_points=5, random_state=2).ids.tolist() != display.ids.tolist()


def test_the_network_may_be_the_end_of_a_pipeline(make_network):
    loop = make_network(lambda model: make_pipeline(StandardScaler(), model))
    assert len(draw(loop).anchors) == len(loop.estimator_[-1].anchor_set_)


def test_without_an_epoch_there_is_nothing_to_draw_and_no_error(make_network, blobs):
    X, y, sample_domain = blobs
    model = AdaptationClassifier(anchors=AnchorSet(), max_epochs=0, device="cpu")
    loop = ActiveAdaptationLoop(model, RandomSampling(), budget=0).fit(X, y, sample_domain=sample_domain)
    for kind in ("rows", "counts", "confidence"):
        display = draw(loop, kind=kind)
        display.figure_.canvas.draw()
        assert len(display.anchors) == 0


def test_models_without_anchors_and_bad_arguments_are_refused(loop, loops):
    with pytest.raises(ValueError, match=r"fitted has no anchors: its model is LogisticRegression; .* recipes\.lada"):
        draw(loops[0])
    with pytest.raises(ValueError, match="kind must be one of"):
        draw(loop, kind="bars")
    with pytest.raises(ValueError, match="y must have a label for each of the 120 rows, got 2"):
        draw(loop, y=["ant", "bee"])
    with pytest.raises(TypeError, match="fitted must be a fitted ActiveAdaptationLoop"):
        draw(loop.estimator_)


def test_without_matplotlib_the_error_names_the_extra(loop, without_matplotlib):
    with pytest.raises(ImportError, match=r"AnchorDisplay\.from_loop .* pip install 'skada-active\[plot\]'"):
        draw(loop)
