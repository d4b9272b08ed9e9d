from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop, AdaptationClassifier
from skada_active.inspection import QueryDisplay
from skada_active.query import RandomSampling

draw = QueryDisplay.from_loop


def legend_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def places(points):
    return np.asarray(points.get_offsets())


def test_every_row_is_shown_once_by_its_kind(loops, blobs):
    display = draw(loops[0])
    asked = loops[0].queried_ids_
    kinds = dict(zip(display.ids.tolist(), display.kind.tolist(), strict=True))
    assert len(kinds) == len(blobs[1])
    assert {row for row, kind in kinds.items() if kind == "asked"} == set(asked.tolist())
    assert all((kind == "source") == (blobs[2][row] >= 0) for row, kind in kinds.items())
    assert len(places(display.points_["source"])) == 60
    assert len(places(display.points_["pool"])) == 60 - len(asked)


def test_asked_rows_have_the_colour_of_their_round(loops):
    display = draw(loops[0])
    rounds = loops[0].query_round_[display.ids[display.kind == "asked"]]
    assert display.points_["asked"].get_array().tolist() == rounds.tolist()
    display.figure_.canvas.draw()
    colors = display.points_["asked"].get_facecolors()
    assert len(np.unique(colors, axis=0)) == 3
    assert "round" in [ax.get_ylabel() for ax in display.figure_.axes]


def test_a_single_round_is_drawn(make_loop):
    display = draw(make_loop(budget=[4]))
    display.figure_.canvas.draw()
    assert set(display.points_["asked"].get_array().tolist()) == {1}


def test_asked_rows_have_the_colour_of_their_class(make_loop, blobs):
    names = np.array(["ant", "bee", "cat"])[blobs[1]]
    loop = make_loop(y=names)
    display = draw(loop, by="class")
    bought = names[loop.queried_ids_]
    assert {name: len(places(points)) for name, points in display.class_points_.items()} == {
        name: (bought == name).sum() for name in sorted(set(bought))
    }
    assert len({points.get_facecolor().tobytes() for points in display.class_points_.values()}) == len(set(bought))


def test_the_rarest_of_many_classes_share_a_style(make_loop, blobs):
    y = np.arange(len(blobs[1])) % 12
    display = draw(make_loop(strategy=RandomSampling(), y=y, budget=60), by="class")
    assert legend_of(display)[-1] == "5 more"
    assert len(display.class_points_) == 8
    assert sum(len(places(points)) for points in display.class_points_.values()) == 60


def test_audited_rows_have_a_ring(audited):
    display = draw(audited)
    ids = set(audited.session_.state.audited_ids)
    assert ids
    assert set(display.ids[display.kind == "audited"].tolist()) == ids
    assert len(places(display.points_["audited"])) == len(ids)
    assert display.points_["audited"].get_facecolor().size == 0
    assert len(display.points_["asked"].get_array()) == 12


def test_an_open_session_shows_what_waits_and_what_nobody_could_tell(open_campaign):
    display = draw(open_campaign)
    shown = {kind: set(display.ids[display.kind == kind].tolist()) for kind in ("open", "abstained", "asked")}
    assert shown["open"] == set(open_campaign.open_ids.tolist())
    assert shown["abstained"] == set(open_campaign.abstained_ids.tolist())
    assert shown["asked"] == set(open_campaign.queried_ids_.tolist())
    assert {"asked, no answer yet", "nobody could tell"} <= set(legend_of(display))


def test_who_answers_cannot_see_which_open_questions_are_audited(start):
    session = start(audit=0.5)
    session.ask()
    assert "audited" not in draw(session).points_


def test_before_any_question_the_domains_are_shown(start):
    assert set(draw(start()).points_) == {"source", "pool"}
    assert set(draw(start(), by="class").points_) == {"pool"}


def test_labels_known_from_the_start_are_told_from_answers(make_loop, blobs):
    known = np.zeros(len(blobs[1]), dtype=bool)
    known[[60, 61]] = True
    display = draw(make_loop(fit={"labeled_target": known}))
    assert display.ids[display.kind == "known"].tolist() == [60, 61]
    assert "known from the start" in legend_of(display)


def test_two_coordinates_are_taken_as_they_are(loops):
    given = np.random.default_rng(0).normal(size=(120, 2))
    display = draw(loops[0], coordinates=given)
    np.testing.assert_array_equal(display.points, given[display.ids])
    assert display.ax_.get_xlabel() == "first coordinate"


def test_more_coordinates_are_projected(loops):
    given = np.zeros((120, 5))
    given[:, 3] = np.arange(120)
    display = draw(loops[0], coordinates=given)
    assert abs(np.corrcoef(display.points[:, 0], given[display.ids, 3])[0, 1]) > 0.999
    assert display.ax_.get_xlabel() == "first principal component (100 %)"


def test_a_network_shows_its_embedding(blobs):
    X, y, sample_domain = blobs
    model = AdaptationClassifier(max_epochs=1, device="cpu")
    loop = ActiveAdaptationLoop(model, budget=4, n_rounds=2, round_epochs=1, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    display = draw(loop)
    given = draw(loop, coordinates=loop.transform(X))
    np.testing.assert_allclose(display.points, given.points, atol=1e-6)


@pytest.mark.parametrize("max_points", [0, 11, 50, 1000])
def test_at_most_so_many_others_are_drawn_and_all_that_were_asked(loops, max_points):
    display = draw(loops[0], max_points=max_points)
    assert len(display.ids) == min(120, 12 + max_points)
    assert set(loops[0].queried_ids_.tolist()) <= set(display.ids.tolist())
    if max_points == 50:
        assert (display.kind == "source").sum() == 25


def test_the_draw_is_repeated_by_its_seed(loops):
    first, again, other = (draw(loops[0], max_points=20, random_state=seed).ids.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_rows_far_away_leave_the_others_visible(loops):
    given = np.random.default_rng(0).normal(size=(120, 2))
    given[0] = 1e6
    display = draw(loops[0], coordinates=given)
    assert display.ax_.get_xlim()[1] < 10
    assert display.ax_.get_title(loc="right").endswith("outside of the picture")


@pytest.mark.parametrize("by", ["round", "class"])
@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.where(np.arange(len(X))[:, None] % 3 == 0, np.nan, X),
        np.zeros_like,
        lambda X: X * 1e150,
        lambda X: X.astype(np.float32),
        lambda X: X[:, :1],
    ],
    ids=["missing", "constant", "huge", "float32", "one column"],
)
@pytest.mark.filterwarnings("error")
def test_any_numbers_have_a_place(blobs, change, by):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=4, n_rounds=2, random_state=0)
    display = draw(loop.fit(X, y, sample_domain=sample_domain), coordinates=change(X), by=by)
    assert np.isfinite(display.points).all()
    display.figure_.canvas.draw()


def test_units_of_columns_do_not_choose_the_axes(make_loop, blobs):
    X = blobs[0]
    first, second = (draw(make_loop(strategy=RandomSampling(), X=X * scale)) for scale in (1, [1, 10, 0.1]))
    np.testing.assert_allclose(np.abs(first.points), np.abs(second.points), rtol=1e-6)


@pytest.mark.parametrize("label", ["<script>", "$x^{", "_hidden"])
def test_classes_may_be_called_anything(make_loop, blobs, label):
    names = np.array([label, "b", "c"], dtype=object)[blobs[1]]
    display = draw(make_loop(y=names), by="class")
    display.figure_.canvas.draw()
    assert label in [text.strip("\u200b").replace(r"\$", "$") for text in display.class_points_]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"by": "domain"}, "by must be one of"),
        ({"coordinates": np.zeros((3, 2))}, "a row for each of the 120 rows, got 3"),
        ({"coordinates": np.zeros(120)}, "coordinates must be an array of numbers"),
        ({"coordinates": np.full((120, 2), "x")}, "coordinates must be an array of numbers"),
        ({"max_points": -1}, "max_points must be an integer >= 0"),
    ],
)
def test_bad_arguments_are_refused(loops, bad, words):
    with pytest.raises(ValueError, match=words):
        draw(loops[0], **bad)


def test_without_matplotlib_the_error_names_the_extra(loops, without_matplotlib):
    with pytest.raises(ImportError, match=r"QueryDisplay\.from_loop .* pip install 'skada-active\[plot\]'"):
        draw(loops[0])
