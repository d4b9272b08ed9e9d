from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skada_active import ActiveAdaptationLoop
from skada_active.inspection import LearningCurveDisplay
from skada_active.inspection.learning_curve import _aligned
from skada_active.metrics import mean_interval
from skada_active.query import CoreSet

draw = LearningCurveDisplay.from_loops


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def band(polygons):
    """Return the lower and upper end of a band at each place, by the places."""
    vertices = polygons.get_paths()[0].vertices
    places = np.unique(vertices[:, 0])
    return {x: (vertices[vertices[:, 0] == x, 1].min(), vertices[vertices[:, 0] == x, 1].max()) for x in places}


def test_the_line_is_the_mean_over_the_seeds_and_the_band_its_interval(loops):
    display = draw({"margin": loops})
    values = np.stack([loop.learning_curve("unqueried")[1] for loop in loops])
    mean, half = mean_interval(values)
    line = display.lines_["margin"]
    np.testing.assert_array_equal(line.get_xdata(), [0, 4, 8, 12])
    np.testing.assert_allclose(line.get_ydata(), mean)
    assert half[-1] > 0
    ends = band(display.bands_["margin"])
    np.testing.assert_allclose([ends[x] for x in (0, 4, 8, 12)], np.stack([mean - half, mean + half], axis=1))
    assert legend_of(display) == ["margin, mean of 3"]


def test_one_run_has_no_band(loops):
    display = draw(loops[0])
    assert display.bands_ == {}
    assert list(display.lines_) == ["BADGE"]


def test_methods_have_lines_of_their_own(loops, make_loop):
    display = draw({"margin": loops, "core set": make_loop(strategy=CoreSet())})
    first, second = display.lines_.values()
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_many_methods_are_told_apart(loops):
    display = draw({f"method {number}": loops[0] for number in range(20)})
    assert len({(line.get_color(), line.get_marker()) for line in display.lines_.values()}) == 20


def test_the_control_is_a_grey_dashed_line_that_is_named(loops, control):
    display = draw({"margin": loops}, control=control)
    line = display.control_line_
    np.testing.assert_array_equal(line.get_ydata(), control.learning_curve("unqueried")[1])
    assert line.get_linestyle() == "--"
    assert len(set(line.get_color()[1:3] + line.get_color()[3:5])) <= 2
    assert legend_of(display)[0] == "random"


def test_a_control_of_another_strategy_is_not_called_random(loops, make_loop):
    display = draw({"margin": loops}, control=[make_loop(strategy=CoreSet())])
    assert legend_of(display)[0] == "control: CoreSet"


def test_a_control_may_be_called_as_a_method_is(loops, control):
    display = draw({"random": loops}, control=control)
    assert display.control_line_ is not display.lines_["random"]


def test_the_audit_is_a_band_of_its_interval(audited):
    display = draw(audited)
    estimates = [entry["accuracy"]["audit"] for entry in [audited.initial_, *audited.history_]]
    ends = band(display.audit_bands_["MarginSampling"])
    for n_queries, estimate in zip([0, 4, 8, 12], estimates, strict=True):
        np.testing.assert_allclose(ends[n_queries], [estimate.low, estimate.high])
    assert draw(audited, audit=False).audit_bands_ == {}


def test_the_audit_of_several_seeds_is_what_one_of_them_sees(make_loop):
    group = [make_loop(seed, audit=0.5) for seed in (0, 1)]
    ends = band(draw({"margin": group}).audit_bands_["margin"])
    last = [loop.accuracy_ for loop in group]
    np.testing.assert_allclose(
        ends[12], [np.mean([estimate.low for estimate in last]), np.mean([estimate.high for estimate in last])]
    )


def test_the_estimates_of_the_audit_can_be_the_curve(audited):
    display = draw(audited, accuracy="audit")
    assert display.lines_["MarginSampling"].get_ydata()[-1] == audited.accuracy_.value
    assert "audited rows" in display.ax_.get_ylabel()


def test_before_anything_is_audited_there_is_no_interval_from_0_to_1(start, blobs, finish):
    session = finish(start(audit=0.5), blobs[1])
    fresh = start(audit=0.5)
    assert draw(session).audit_bands_
    with pytest.raises(ValueError, match="nothing is known"):
        draw(fresh)


def test_a_session_whose_accuracy_nobody_knows_shows_its_audit_alone(start, blobs, finish):
    display = draw({"people": finish(start(audit=0.5), blobs[1])})
    assert display.lines_ == {}
    assert legend_of(display) == ["people, audit"]


def test_a_run_that_was_stopped_keeps_its_last_value():
    long, short = (np.arange(4), np.array([0.1, 0.2, 0.3, 0.4])), (np.arange(2), np.array([0.5, 0.6]))
    n_queries, values = _aligned("margin", [short, long])
    assert n_queries.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [[0.5, 0.6, 0.6, 0.6], [0.1, 0.2, 0.3, 0.4]]


def test_runs_of_different_budgets_have_no_common_axis(loops, make_loop):
    with pytest.raises(ValueError, match=r"margin: a run bought .* give loops of one budget"):
        draw({"margin": [loops[0], make_loop(budget=9)]})


@pytest.mark.parametrize(
    ("change", "of"),
    [
        ({"accuracy": "transductive"}, lambda display: display.lines_["margin"].get_ydata().tolist()),
        ({"metric": "balanced_accuracy"}, lambda display: display.lines_["margin"].get_ydata().tolist()),
        ({"confidence": 0.5}, lambda display: band(display.bands_["margin"])),
        ({"line_kw": {"color": "black", "label": "mine"}}, legend_of),
    ],
)
def test_every_argument_changes_the_picture(loops, change, of):
    assert of(draw({"margin": loops})) != of(draw({"margin": loops}, **change))


def test_given_axes_are_drawn_on(loops):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    display = draw(loops, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_shares_are_in_percent_and_other_metrics_are_not(make_loop):
    loop = make_loop(scoring=["neg_log_loss"])
    display = draw(loop)
    display.figure_.canvas.draw()
    assert all(text.get_text().endswith("%") for text in display.ax_.get_yticklabels())
    display = draw(loop, metric="neg_log_loss")
    display.figure_.canvas.draw()
    assert not any(text.get_text().endswith("%") for text in display.ax_.get_yticklabels())
    assert display.ax_.get_ylabel().startswith("neg log loss on")


@pytest.mark.parametrize("name", ["$x^{", "_hidden", "<script>", "a\nb"])
def test_names_are_only_names(loops, name):
    display = draw({name: loops[0]})
    display.figure_.canvas.draw()
    (shown,) = legend_of(display)
    assert shown.replace(r"\$", "$").strip("\u200b") == name.replace("\n", " ")


@pytest.mark.parametrize(
    ("loops", "error", "words"),
    [
        ([], ValueError, "loops holds no loop"),
        ({}, ValueError, "loops is an empty dict"),
        ({"margin": []}, ValueError, r"loops\['margin'\] holds no loop"),
        ("loop", TypeError, "loops must be a fitted ActiveAdaptationLoop .* got str"),
        (ActiveAdaptationLoop(), NotFittedError, "not fitted"),
    ],
)
def test_what_is_no_loop_is_refused(loops, error, words):
    with pytest.raises(error, match=words):
        draw(loops)


def test_an_accuracy_that_nobody_knows_is_an_error_with_the_remedy(unseen, audited):
    with pytest.raises(ValueError, match=r"nothing is known .* eval_set, or buy an audit"):
        draw(unseen)
    with pytest.raises(ValueError, match="control: nothing is known"):
        draw(audited, control=unseen)
    with pytest.raises(ValueError, match="accuracy must be one of"):
        draw(audited, accuracy="guessed")


def test_without_matplotlib_the_error_names_the_extra(loops, without_matplotlib):
    with pytest.raises(ImportError, match=r"pip install 'skada-active\[plot\]'"):
        draw(loops)
    with pytest.raises(ImportError, match=r"LearningCurveDisplay\.plot"):
        LearningCurveDisplay(curves={"a": (np.arange(2), np.zeros((1, 2)))}).plot()
