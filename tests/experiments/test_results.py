"""Results of comparisons: numbers, tables and tests, by hand where they can be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel, wilcoxon

from skada_active.experiments import Results
from skada_active.experiments.paired_tests import holm
from skada_active.metrics import mean_interval

ACCURACY = {"a": [[0.5, 0.7, 0.9], [0.4, 0.8, 0.8]], "b": [[0.2, 0.2, 0.4], [0.3, 0.3, 0.5]]}


def run(method, task, seed, values, **more):
    curves = {"accuracy": {"transductive": values, "unqueried": [value / 2 for value in values]}}
    record = {"method": method, "task": task, "seed": seed, "n_queries": [0, 10, 30], "curves": curves, "seconds": 2.0}
    return {**record, **more}


def made(shift=0.1):
    records = []
    for task, of_task in ACCURACY.items():
        for seed, values in enumerate(of_task):
            records.append(run("margin", task, seed, [value + shift for value in values]))
            records.append(run("random", task, seed, values))
    return Results(records)


def many(rng, n_tasks=8, n_seeds=3):
    return Results(
        [
            run(method, f"task {task}", seed, [0.0, 0.0, float(rng.random() + gain)])
            for method, gain in {"good": 0.4, "same": 0.0, "random": 0.0}.items()
            for task in range(n_tasks)
            for seed in range(n_seeds)
        ]
    )


def test_curves_are_those_of_the_seeds():
    n_queries, values = made().curves("a")["random"]
    assert n_queries.tolist() == [0, 10, 30]
    np.testing.assert_array_equal(values, ACCURACY["a"])
    np.testing.assert_array_equal(made().curves("a", group="unqueried")["random"][1], np.array(ACCURACY["a"]) / 2)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("first", 0.5), ("last", 0.9), ("gain", 0.4), ("area", (10 * 0.6 + 20 * 0.8) / 30), ("seconds", 2.0)],
)
def test_measures_are_numbers_of_a_curve(measure, expected):
    assert made().values(measure)[1, 0, 0] == pytest.approx(expected)


def test_the_rows_that_were_set_aside_count_where_there_are_some():
    record = run("margin", "a", 0, [0.1, 0.2, 0.3])
    record["curves"]["accuracy"]["holdout"] = [0.7, 0.7, 0.7]
    assert Results([record]).values("area")[0, 0, 0] == pytest.approx(0.7)


def test_tests_are_those_of_scipy_with_holms_correction():
    results = many(np.random.default_rng(0))
    means = results.values("last").mean(axis=2)
    comparison = results.test("random", "last")
    assert (comparison.methods, comparison.pairs) == (["good", "same"], "tasks")
    for row in range(2):
        mean, width = mean_interval(means[row] - means[2])
        assert (comparison.difference[row], comparison.half_width[row]) == (pytest.approx(mean), pytest.approx(width))
    t = np.array([ttest_rel(means[row], means[2]).pvalue for row in range(2)])
    rank = np.array([wilcoxon(means[row], means[2]).pvalue for row in range(2)])
    np.testing.assert_allclose(comparison.p_t, holm(t))
    np.testing.assert_allclose(comparison.p_wilcoxon, holm(rank))
    np.testing.assert_array_equal(comparison.wins + comparison.ties + comparison.losses, [8, 8])


def test_the_seeds_of_a_single_task_are_the_pairs():
    results = Results([r for r in made().runs if r["task"] == "a"])
    results.runs[0]["curves"]["accuracy"]["transductive"][-1] += 0.05
    comparison = results.test("random", "last")
    assert comparison.pairs == "seeds"
    assert comparison.difference[0] == pytest.approx(np.mean([0.15, 0.1]))


def test_wins_are_tasks_whose_interval_lies_above_zero():
    comparison = made().test("random", "last")
    assert (comparison.wins, comparison.ties, comparison.losses) == (2, 0, 0)
    assert made(-0.1).test("random", "last").losses == 2
    assert made(0.0).test("random", "last").ties == 2


def test_equal_methods_differ_by_nothing():
    comparison = made(0.0).test("random", "last")
    assert (comparison.p_t, comparison.p_wilcoxon, comparison.difference) == (1.0, 1.0, 0.0)


def test_holms_correction_multiplies_by_the_tests_that_are_left():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.9])), [0.09, 0.04, 0.09, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_the_best_method_of_a_task_has_rank_one():
    np.testing.assert_array_equal(made().ranks("last"), [[1, 2], [1, 2]])
    np.testing.assert_array_equal(made(0.0).ranks("last"), [[1.5, 1.5], [1.5, 1.5]])
    np.testing.assert_array_equal(made(-0.2).ranks("last"), [[2, 1], [2, 1]])


def test_the_long_table_has_a_row_for_every_value():
    table = made().table()
    assert len(table) == 8 * 3 * 2
    assert table[1] == {
        **{"method": "margin", "task": "a", "seed": 0, "n_queries": 10},
        **{"metric": "accuracy", "group": "transductive", "value": 0.7 + 0.1},
    }
    pandas = pytest.importorskip("pandas")
    frame = made().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    means = frame.query("group == 'transductive' and n_queries == 30").groupby("method")["value"].mean()
    assert means["margin"] - means["random"] == pytest.approx(0.1)


def test_markdown_shows_means_with_intervals_in_percent():
    lines = made().to_markdown("last").splitlines()
    assert lines[0].split("|")[1:-1] == [" method ", " a           ", " b           ", " mean "]
    assert set(lines[1]) == {"|", "-"}
    assert len({len(line) for line in lines}) == 1
    assert "85.0 ± 63.5" in lines[3]
    assert lines[3].endswith("| 65.0 |")


def test_latex_is_escaped_and_the_best_is_bold():
    records = [run("50 % of_both", "a & b", 0, [0.5, 0.5, 0.5]), run("random", "a & b", 0, [0.4, 0.4, 0.4])]
    assert Results(records).to_latex("last").splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"method & a \& b & mean \\",
        r"\midrule",
        r"50 \% of\_both & \textbf{50.0} & \textbf{50.0} \\",
        r"random & 40.0 & 40.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_run_that_failed_is_a_gap():
    records = made().runs[:-1]
    broken = {name: made().runs[-1][name] for name in ("method", "task", "seed")}
    results = Results([*records, {**broken, "error": "Traceback ..."}])
    assert repr(results) == "<Results of 7 runs: 2 methods, 2 tasks, 2 seeds, 1 failed>"
    assert np.isnan(results.values()).sum() == 1
    assert np.isfinite(results.test("random", "last").difference).all()
    assert len(results.curves("b")["random"][1]) == 1
    nothing = Results([{**record, "error": "Traceback ..."} for record in made().runs])
    with pytest.raises(ValueError, match="no run succeeded"):
        nothing.values()


def test_a_metric_that_one_method_has_is_a_gap_of_the_others():
    with_cost = run("margin", "a", 0, [0.1, 0.2, 0.3])
    with_cost["curves"] = {"cost": {"transductive": [3.0, 2.0, 1.0]}, **with_cost["curves"]}
    results = Results([with_cost, run("random", "a", 0, [0.1, 0.2, 0.2])])
    np.testing.assert_array_equal(results.values("last", metric="cost")[:, 0, 0], [1.0, np.nan])
    assert list(results.curves("a", metric="cost")) == ["margin"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda results: results.curves("c"), r"task must be one of \['a', 'b'\], got 'c'"),
        (lambda results: results.values("median"), "measure must be one of"),
        (lambda results: results.values(metric="f1"), r"metric must be one of \['accuracy'\]"),
        (lambda results: results.values(group="holdout"), "group must be one of"),
        (lambda results: results.test("margins"), "control must be one of"),
        (lambda results: Results(results.runs[:2]).test("random"), "have 1 seeds in common"),
        (lambda results: Results([*results.runs, results.runs[0]]), "more than once"),
    ],
)
def test_what_there_is_not_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(made())


def test_a_file_that_there_is_not_is_no_store(tmp_path):
    with pytest.raises(FileNotFoundError):
        Results.from_store(tmp_path / "runs.db")
    assert not list(tmp_path.iterdir())
