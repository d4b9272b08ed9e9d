from __future__ import annotations

import base64
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skada_active import ActiveAdaptationLoop, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.inspection import diagnose_shift, report
from skada_active.loop import StoppingRule
from skada_active.query import MarginSampling, RandomSampling

EVIL = np.array(["<script>alert(1)</script>", "$x^{", '_"onload="x'], dtype=object)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Page that was written: its tables by caption, its texts, tags, attributes and pictures."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.tables, self.texts, self.pictures, self.headings = {}, [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "caption":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] == "style":
            return
        self.texts.append(data)
        if self.open[-1] == "caption":
            self.tables[data] = self.rows
        elif self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open[-1] in ("h1", "h2"):
            self.headings.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def table(self, caption):
        head, *rows = next(rows for name, rows in self.tables.items() if name.startswith(caption))
        return [dict(zip(head, row, strict=True)) for row in rows]

    def svg(self, number):
        return base64.b64decode(self.pictures[number]["src"].partition("base64,")[2]).decode()


@pytest.fixture
def write(tmp_path, found):
    """Return a function that writes a report and reads the page; the shift is that of the blobs, diagnosed once."""
    return lambda fitted, **options: Page(report(fitted, tmp_path / "report.html", **{"shift": found, **options}))


@pytest.fixture(scope="module")
def found(blobs):
    X, y, sample_domain = blobs
    return diagnose_shift(X, sample_domain, y, level=0.8, n_bootstrap=20, cv=2, random_state=0)


@pytest.fixture(scope="module")
def page(audited, control, tmp_path_factory):
    pytest.importorskip("matplotlib")
    return Page(report(audited, tmp_path_factory.mktemp("page") / "report.html", control=control))


@pytest.fixture(scope="module")
def plain(loops, found, tmp_path_factory):
    """The page of a loop without a control."""
    pytest.importorskip("matplotlib")
    return Page(report(loops[0], tmp_path_factory.mktemp("plain") / "report.html", shift=found))


def refers_to_the_network(page):
    """Return attributes and style rules by which a browser would fetch something."""
    names = ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
    fetching = [attribute for attribute in page.attributes if attribute[1] in names]
    return [a for a in fetching if not a[2].startswith("data:")] + re.findall(r"url\(|@import", page.source)


def test_the_page_has_its_sections_and_one_heading(page):
    assert page.headings[0] == "LogisticRegression, asked by MarginSampling"
    wanted = ["Shift", "Learning curve", "How good the model is", "What was asked", "Classes", "The run", "Settings"]
    assert [heading for heading in page.headings if heading in wanted] == wanted
    assert page.tags.count("h1") == 1


def test_the_page_needs_neither_network_nor_scripts(page):
    assert refers_to_the_network(page) == []
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    policy = dict(a[1:] for a in page.attributes if a[0] == "meta" and a[1] == "content")["content"]
    assert policy is not None
    assert "default-src 'none'" in page.source
    for number in range(len(page.pictures)):
        svg = page.svg(number)
        assert "<script" not in svg
        assert not re.findall(r'href="(?!data:image/png|#)', svg)


def test_the_page_can_be_read_without_seeing_its_pictures(page):
    assert ("html", "lang", "en") in page.attributes
    alts = [picture["alt"] for picture in page.pictures]
    assert len(alts) == 3
    assert re.search(r"tells the domains apart with an AUC .* The columns that moved most: 2 by", alts[0])
    assert re.match(r"Line chart: accuracy on the target rows never bought, [\d.]+ % before", alts[1])
    assert "The control, random, ends at" in alts[1]
    assert "12 answered ones stand out" in alts[2]
    heads = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(heads) == page.tags.count("th")


def test_dark_screens_and_paper_have_their_colours(page):
    assert "@media (prefers-color-scheme: dark)" in page.source
    assert "@media print" in page.source


def test_the_headline_is_what_the_audit_says(page, audited):
    estimate = audited.accuracy_
    headline = next(text for text in page.texts if text.startswith("Accuracy on"))
    before = audited.initial_["accuracy"]["audit"]
    assert headline == (
        f"Accuracy on the pool, by audited rows: {estimate}, a 95 % interval from {estimate.n_audit} audited label(s); "
        f"source model {before}."
    )


def test_estimates_are_those_of_the_history(page, audited):
    rows = {(row["metric"], row["on"]): row for row in page.table("Before any purchase")}
    never = audited.history_[-1]["balanced_accuracy"]["unqueried"]
    assert rows["balanced_accuracy", "target rows never bought"]["last model"] == f"{100 * never:.1f} %"
    assert rows["accuracy", "pool, by audited rows"]["last model"] == str(audited.accuracy_)
    assert ("accuracy", "held-out rows") not in rows


def test_held_out_rows_and_other_metrics_are_there(write, make_loop, blobs):
    page = write(make_loop(scoring=["f1_macro"], fit={"eval_set": blobs[:2]}))
    rows = {(row["metric"], row["on"]) for row in page.table("Before any purchase")}
    assert {("f1_macro", "held-out rows"), ("accuracy", "held-out rows")} <= rows
    assert page.text.count("Accuracy on the held-out rows:") == 1


def test_the_learning_curve_is_a_table_too(page, audited):
    rows = page.table("Accuracy by labels")
    values = audited.learning_curve("unqueried")[1]
    assert [row["labels bought"] for row in rows] == ["0", "4", "8", "12"]
    assert [row["accuracy on target rows never bought"] for row in rows] == [f"{100 * value:.1f} %" for value in values]


def test_every_answer_has_its_row(page, audited, blobs):
    rows = page.table("Labels bought, in order")
    assert [int(row["row"]) for row in rows] == audited.queried_ids_.tolist()
    assert [row["label"] for row in rows] == [str(label) for label in blobs[1][audited.queried_ids_]]
    measuring = {int(row["row"]) for row in rows if row["use"] == "measures"}
    assert measuring == set(audited.session_.state.audited_ids)


def test_rounds_are_counted(page, audited):
    rows = page.table("Round by round")
    assert [int(row["labels"]) for row in rows] == [4, 4, 4]
    assert [int(row["audited"]) for row in rows] == [len(entry["audit_ids"]) for entry in audited.history_]


def test_classes_settings_versions_and_seconds_are_there(page, blobs):
    classes = {row["class"]: row for row in page.table("Shares of the classes")}
    share = np.mean(blobs[1][:60] == 0)
    assert classes["0"]["source"] == f"{100 * share:.1f} %"
    assert sum(int(row["labels bought"]) for row in classes.values()) == 12
    settings = {row["name"]: row["value"] for row in page.table("Parameters")}
    assert settings["estimator__C"] == "1.0"
    assert settings["audit"] == "0.5"
    assert "numpy" in {row["package"] for row in page.table("Versions")}
    assert [row["round"] for row in page.table("Seconds by round")] == ["0", "1", "2", "3", "all"]
    assert "done: the budget is spent" in page.text


def test_the_shift_is_on_the_page_by_audited_labels_alone(page, audited):
    assert "Verdict:" in page.text
    assert f"60 target rows, {len(audited.session_.state.audited_ids)} of them labelled" in page.text
    assert "intervals of 95 %" in page.text


def test_a_diagnosis_of_ones_own_takes_the_place(plain):
    assert "60 target rows, 60 of them labelled" in plain.text
    assert "intervals of 80 %" in plain.text


class Enough(StoppingRule):
    """Stopping rule that always holds."""

    def _check(self, history):
        return "it was <enough>" if len(history) > 1 else None


def test_the_reason_to_stop_is_given(write, make_loop):
    assert "it was <enough>." in write(make_loop(stopping=Enough())).text


def test_without_a_control_the_page_says_so(plain):
    assert "No control" in plain.text


def test_the_control_is_drawn_and_nothing_is_run(write, loops, control, monkeypatch):
    monkeypatch.setattr(ActiveAdaptationLoop, "fit", None)
    page = write(loops[0], control=[control, control])
    assert "No control" not in page.text
    assert "random, mean of 2" in page.svg(1)
    assert "2 run(s)" in page.text


def test_a_control_of_other_rows_is_refused(write, loops, blobs):
    X, y, sample_domain = (values[:100] for values in blobs)
    other = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=4, random_state=0)
    with pytest.raises(ValueError, match=r"control was fitted on other rows: 100, of the target 40"):
        write(loops[0], control=other.fit(X, y, sample_domain=sample_domain))


def test_a_control_whose_accuracy_is_unknown_leaves_the_curve_out(write, audited, unseen):
    assert "There is no picture of the curve: control: nothing is known" in write(audited, control=unseen).text


def test_whatever_names_hold_is_text(write, blobs):
    pd = pytest.importorskip("pandas")
    X, y, sample_domain = blobs
    frame = pd.DataFrame(X, columns=["<img src=x onerror=alert(1)>", "$a", "c"], index=[f"<i>{i}" for i in range(120)])
    loop = ActiveAdaptationLoop(LogisticRegression(), MarginSampling(), budget=6, n_rounds=2, audit=0.5, random_state=0)
    session = loop.session(frame, mask_target(EVIL[y], sample_domain), sample_domain=sample_domain, n_annotators=2)
    while len(ids := session.ask()):
        for name in ("<script>", "b"):
            session.tell(ids, EVIL[y[ids]], annotator=name)
    page = write(session)
    assert not {"script", "i"} & set(page.tags)
    assert page.tags.count("img") == 3
    assert {row["class"] for row in page.table("Shares of the classes")} == set(EVIL)
    rows = page.table("Labels bought")
    assert rows[0]["name"] == f"<i>{rows[0]['row']}"
    assert rows[0]["votes"].startswith("<script>: ")


def test_costs_are_shown(write, start, blobs):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), MarginSampling(), budget=6, n_rounds=2, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, costs=np.full(120, 1.5))
    ids = session.ask()
    session.tell(ids, y[ids])
    page = write(session)
    assert page.table("Round by round")[0]["cost"] == f"{1.5 * len(ids):.4g}"
    assert {row["cost"] for row in page.table("Labels bought")} == {"1.5"}


def test_a_session_may_be_unfinished(write, open_campaign):
    page = write(open_campaign)
    assert len(page.pictures) == 2
    (row,) = page.table("Round by round")
    assert (row["labels"], row["abstained"], row["open"]) == ("2", "1", str(len(open_campaign.open_ids)))
    assert "waiting for answers" in page.text
    assert "is not known" in page.text


def test_a_session_may_not_have_begun(write, start):
    assert "Nothing yet." in write(start()).text


def test_who_answers_cannot_see_which_open_questions_are_audited(write, start, blobs):
    session = start(audit=0.5)
    ids = session.ask()
    session.tell(ids[:1], blobs[1][ids[:1]])
    (row,) = write(session).table("Round by round")
    assert int(row["audited"]) <= 1


def test_loops_and_their_sessions_have_one_page(write, plain, loops):
    first, second = (re.sub(r"\d\d:\d\d UTC", "", page.source) for page in (plain, write(loops[0].session_)))
    assert first == second


def images(X):
    return np.random.default_rng(0).normal(size=(len(X), 1, 6, 6)).astype(np.float32)


KINDS = {
    "sparse": (sparse.csr_matrix, LogisticRegression),
    "images": (images, lambda: AdaptationClassifier(max_epochs=1, device="cpu")),
    "no probabilities": (np.asarray, SVC),
    "constant": (np.zeros_like, LogisticRegression),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_any_rows_and_models_have_a_page(write, blobs, found, kind):
    change, model = KINDS[kind]
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(model(), RandomSampling(), budget=4, n_rounds=2, round_epochs=1, random_state=0)
    page = write(loop.fit(change(X), y, sample_domain=sample_domain), shift=None if kind == "images" else found)
    assert len(page.pictures) == 3


def test_rows_that_are_no_numbers_have_no_picture_and_a_reason(write, blobs):
    pd = pytest.importorskip("pandas")
    from sklearn.dummy import DummyClassifier

    _, y, sample_domain = blobs
    frame = pd.DataFrame({"text": ["a", "b"] * 60})
    loop = ActiveAdaptationLoop(DummyClassifier(), RandomSampling(), budget=4, n_rounds=2, random_state=0)
    page = write(loop.fit(frame, y, sample_domain=sample_domain))
    assert len(page.pictures) == 2
    assert "There is no picture of the rows: X holds non-numeric columns" in page.text


def test_a_loop_without_target_has_a_page(write, blobs):
    loop = ActiveAdaptationLoop(LogisticRegression(), MarginSampling(), budget=0).fit(*blobs[:2])
    page = write(loop, shift=None)
    assert "there are no target rows" in page.text
    assert "There is no diagnosis" in page.text


def test_a_loop_loaded_without_its_rows_has_a_page(write, loops, monkeypatch):
    from copy import copy

    loop = copy(loops[0])
    loop.session_ = copy(loops[0].session_)
    loop.session_.X = None
    page = write(loop, shift=None)
    assert "There is no diagnosis: the loop was loaded without its rows" in page.text
    assert "There is no picture of the rows: The loop was loaded without its rows" in page.text


def test_many_rows_take_seconds_and_less_than_a_megabyte(tmp_path):
    rng = np.random.default_rng(0)
    X, sample_domain = rng.normal(size=(50_000, 20)), np.repeat([1, -1], 25_000)
    y = (X[:, 0] > 0) + 2 * (X[:, 1] > 0)
    X[25_000:, 0] += 0.5
    loop = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=500, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    start = time.perf_counter()
    path = report(loop, tmp_path / "report.html")
    assert time.perf_counter() - start < 10
    assert path.stat().st_size < 1_000_000
    assert "200 more are not shown" in path.read_text(encoding="utf-8")


def test_the_file_is_replaced_and_may_have_a_title_of_ones_own(loops, tmp_path):
    path = tmp_path / "new" / "report.html"
    path.parent.mkdir()
    path.write_text("before")
    assert report(loops[0], str(path), title="<b>Mine</b> $x") == path
    page = Page(path)
    assert page.headings[0] == "<b>Mine</b> $x"
    assert "b" not in page.tags
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_the_style_of_a_user_changes_neither_the_page_nor_is_it_changed(write, loops, plain):
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert write(loops[0]).svg(0) == plain.svg(0)
        assert matplotlib.rcParams["font.size"] == 30


def test_what_is_no_loop_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"fitted must be a fitted ActiveAdaptationLoop or recipe, .* got str"):
        report("loop", tmp_path / "report.html")


def test_without_matplotlib_the_error_names_the_extra(loops, tmp_path, without_matplotlib):
    with pytest.raises(ImportError, match=r"inspection\.report draws with matplotlib; .* 'skada-active\[plot\]'"):
        report(loops[0], tmp_path / "report.html")
