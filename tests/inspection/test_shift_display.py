from __future__ import annotations

import numpy as np
import pytest

from skada_active.inspection import ShiftDisplay, diagnose_shift

draw = ShiftDisplay.from_report


@pytest.fixture(scope="module")
def found():
    """Report of a label shift: two numbers, a category and a column without a value in the target."""
    pd = pytest.importorskip("pandas")
    rng, n = np.random.default_rng(0), 300
    sample_domain = np.where(np.arange(n) < 200, 1, -1)
    ill = rng.random(n) < np.where(sample_domain > 0, 0.2, 0.7)
    frame = pd.DataFrame(
        {
            "$age": rng.normal(size=n) + 2 * ill,
            "size": rng.normal(size=n),
            "town": np.where(ill, "here", "there"),
            "gone": np.where(sample_domain > 0, 1.0, np.nan),
        }
    )
    labels = np.array(["well", "<ill>"])[ill.astype(int)]
    return diagnose_shift(frame, sample_domain, labels, n_bootstrap=20, cv=2, random_state=0)


def names_of(display):
    return [text.get_text().replace(r"\$", "$") for text in display.ax_.get_yticklabels()]


def xs(bars):
    return bars.lines[0].get_xdata().tolist()


def ends(bars):
    return [(segment[0, 0], segment[-1, 0]) for segment in bars.lines[2][0].get_segments() if segment.size]


def test_the_columns_that_moved_most_are_on_top_with_their_intervals(found):
    display = draw(found)
    assert display.kind_ == "columns"
    expected = [column.name + (" (no values)" if column.name == "gone" else "") for column in found.columns]
    assert names_of(display) == expected
    numbers = [column for column in found.columns if column.kind == "number"]
    np.testing.assert_array_equal(xs(display.bars_["number"]), [column.effect for column in numbers])
    seen = [(column.low, column.high) for column in numbers if np.isfinite(column.effect)]
    np.testing.assert_allclose([pair for pair in ends(display.bars_["number"]) if np.isfinite(pair[0])], seen)
    low, high = display.ax_.get_ylim()
    assert low > high


def test_categories_are_told_from_numbers(found):
    bars = draw(found).bars_
    town = next(column for column in found.columns if column.name == "town")
    assert xs(bars["category"]) == [town.effect]
    assert bars["category"].lines[0].get_marker() != bars["number"].lines[0].get_marker()


def test_class_shares_of_both_domains_have_their_intervals(found):
    display = draw(found, kind="classes")
    shares = {str(share.label): share for share in found.class_shares}
    names = names_of(display)
    assert set(names) == {"well", "<ill>"}
    for key, field in (("source", "source"), ("target", "em"), ("labeled", "labeled")):
        estimates = [getattr(shares[name], field) for name in names]
        np.testing.assert_allclose(xs(display.bars_[key]), [one.value for one in estimates])
        np.testing.assert_allclose(ends(display.bars_[key]), [(one.low, one.high) for one in estimates])


def test_the_title_says_how_well_the_domains_are_told_apart(found):
    auc = found.auc
    assert draw(found).ax_.get_title(loc="left") == (
        f"Domains told apart: AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})"
    )
    assert xs(draw(found, kind="auc").bars_["auc"]) == [auc.value]


def test_the_first_ones_are_shown(found):
    assert len(names_of(draw(found, max_shown=2))) == 2
    assert len(names_of(draw(found, kind="classes", max_shown=1))) == 1


def test_without_columns_or_labels_there_is_what_is_left(found):
    from dataclasses import replace

    plain = replace(found, columns=[])
    assert draw(plain).kind_ == "classes"
    assert draw(replace(plain, class_shares=[])).kind_ == "auc"
    with pytest.raises(ValueError, match="kind='columns': the report has none; give diagnose_shift a table"):
        draw(plain, kind="columns")


@pytest.mark.parametrize("bad", [{"kind": "rows"}, {"max_shown": 0}, {"max_shown": 1.5}])
def test_bad_arguments_are_refused_by_name(found, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        draw(found, **bad)


def test_without_matplotlib_the_error_names_the_extra(found, without_matplotlib):
    with pytest.raises(ImportError, match=r"ShiftDisplay\.from_report .* pip install 'skada-active\[plot\]'"):
        draw(found)
