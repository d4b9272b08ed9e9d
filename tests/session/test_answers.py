"""Answers that come in a table, perhaps by way of a spreadsheet."""

from __future__ import annotations

import csv
import io
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.session.answers import LabelReader
from skada_active.session.events import Told

ANIMALS = ["cat", "dog", "eel"]


@pytest.fixture
def begin(blobs):
    """Return a function from classes to a session that has asked about five rows."""
    X, y, sample_domain = blobs

    def begin(classes=ANIMALS, n_annotators=1, **params):
        numbers = all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in classes)
        labels = np.array(classes, dtype=None if numbers else object)[y]
        loop = ActiveAdaptationLoop(LogisticRegression(), budget=10, n_rounds=2, random_state=0, **params)
        session = loop.session(
            X, mask_target(labels, sample_domain), sample_domain=sample_domain, n_annotators=n_annotators
        )
        session.ask()
        return session

    return begin


def filled(session, labels=ANIMALS):
    """Return the questions with the labels in turn; the second is left blank."""
    table = session.questions()
    table["label"] = pd.Series([labels[i % len(labels)] if i != 1 else None for i in range(len(table))], dtype=object)
    return table


def first(session, cell):
    return session.questions()[:1].assign(label=pd.Series([cell], dtype=object))


def text_of(table, **how):
    return io.StringIO(table.to_csv(**{"index": False, **how}))


WAYS = {
    "as it is": lambda table: table,
    "csv": lambda table: pd.read_csv(text_of(table)),
    "csv of text": lambda table: pd.read_csv(text_of(table), dtype=str),
    "csv without missing values": lambda table: pd.read_csv(text_of(table), keep_default_na=False),
    "csv with the index": lambda table: pd.read_csv(text_of(table, index=True)),
    "csv with a blank row": lambda table: pd.read_csv(
        io.StringIO(text_of(table).read() + "," * (table.shape[1] - 1) + "\n")
    ),
    "csv of semicolons": lambda table: pd.read_csv(text_of(table, sep=";"), sep=";"),
    "nullable": lambda table: pd.read_csv(text_of(table), dtype_backend="numpy_nullable"),
    "csv module, byte order mark": lambda table: list(csv.DictReader(io.StringIO("\ufeff" + text_of(table).read()))),
    "upside down": lambda table: table[::-1],
    "two columns": lambda table: table[["label", "id"]],
    "id as the index": lambda table: table.set_index("id"),
    "columns": lambda table: table.to_dict("list"),
    "records": lambda table: table.to_dict("records"),
    "structured array": lambda table: table.to_records(),
    "twice": lambda table: pd.concat([table, table]),
    "category": lambda table: table.astype({"label": "category"}),
}
CLASSES = {
    "text": ANIMALS,
    "integers": [0, 1, 2],
    "floats": [0.0, 1.0, 2.0],
    "digits": ["1", "2", "10"],
    "leading zeros": ["01", "02", "10"],
    "truth values": [False, True, True],
    "text of truth values": ["true", "False", "maybe"],
    "exponents": ["1e5", "2E3", "7"],
    "dates": ["2024-01-02", "1-2", "MAR1"],
    "punctuation": ["a,b", 'c"d', " e;\nf"],
    "only in case": ["a", "A", "b"],
    "Unicode": ["ä", "ß", "漢字"],
}


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
def test_a_table_goes_round_without_loss(begin, classes):
    for way in WAYS.values():
        session = begin(classes)
        table = filled(session, classes)
        assert session.tell_table(way(table)) == 4
        told = table[table["label"].notna()]
        assert session.state.y[told["id"]].tolist() == told["label"].tolist()
        assert session.open_ids.tolist() == table["id"][1:2].tolist()


@pytest.mark.parametrize("classes", [[2**60, 2**60 + 1, 5], [str(2**60), str(2**60 + 1), "5"]], ids=["int", "str"])
def test_labels_that_lost_digits_are_refused_and_whole_ones_taken(begin, classes):
    session = begin(classes)
    table = filled(session, classes)
    with pytest.raises(ValueError, match="has lost its last digits"):
        session.tell_table(pd.read_csv(text_of(table)))
    session.tell_table(pd.read_csv(text_of(table), dtype=str))
    assert session.state.y[table["id"][0]] == classes[0]


@pytest.mark.parametrize("cell", ["", "  ", None, np.nan, pd.NA, pd.NaT], ids=repr)
def test_a_blank_is_no_answer_yet(begin, cell):
    session = begin()
    assert session.tell_table(first(session, cell)) == 0
    assert len(session.open_ids) == 5


@pytest.mark.parametrize(("cell", "skip"), [("skip", "skip"), (" SKIP", "skip"), ("?", "?")])
def test_the_skip_mark_abstains(begin, cell, skip):
    session = begin()
    assert session.tell_table(first(session, cell), skip=skip) == 1
    assert len(session.abstained_ids) == 1


@pytest.mark.parametrize(
    ("classes", "cell", "label"),
    [
        ([0, 1, 2], "1", 1),
        ([0, 1, 2], "1.0", 1),
        ([0, 1, 2], 1.0, 1),
        ([0, 1, 2], np.int8(1), 1),
        (["1", "2", "3"], 1.0, "1"),
        (["01", "1", "x"], "01", "01"),
        (["true", "no", "x"], "TRUE", "true"),
    ],
    ids=repr,
)
def test_a_cell_is_read_by_its_value(begin, classes, cell, label):
    session = begin(classes)
    table = first(session, cell)
    session.tell_table(table)
    assert session.state.y[table["id"][0]] == label


@pytest.mark.parametrize(
    ("classes", "cell", "message"),
    [
        (ANIMALS, "catt", "'catt' is none of the 3 classes.*the nearest is 'cat'"),
        (ANIMALS, "Cat", "from 'cat' it differs by case or blanks alone"),
        (ANIMALS, "cat ", "from 'cat' it differs by case or blanks alone"),
        (ANIMALS, 3, "3 is none of the 3 classes"),
        (ANIMALS, pd.Timestamp(2020, 1, 1), "none of the 3 classes"),
        ([0, 1, 2], 1.5, "1.5 is none of the 3 classes"),
        ([0, 1, 2], -1, "-1 is none of the 3 classes"),
        ([0, 1, 2], "TRUE", "'TRUE' is none"),
        ([0, 1, 2], True, "True is none"),
        ([0, 1, 10], "1_0", "'1_0' is none"),
        ([0, 1, 2], "1e999999999", "has lost its last digits"),
        (["01", "1", "x"], "1", "'1' may be '01' or '1'"),
        (["01", "1", "x"], 1, "1 may be '01' or '1'"),
    ],
    ids=repr,
)
def test_what_is_no_class_is_refused_by_row_and_column(begin, classes, cell, message):
    session = begin(classes)
    table = first(session, cell)
    with pytest.raises(ValueError, match=rf"(?s)row 1 \(id {table['id'][0]}\), column 'label': .*{message}"):
        session.tell_table(table)
    assert len(session.open_ids) == 5


def test_one_bad_cell_is_named_and_the_good_ones_are_taken(begin):
    session = begin()
    table = session.questions().assign(label=["cat", "dog", "catt", "eel", "skip"])
    with pytest.raises(ValueError, match=r"table: 4 answer\(s\) were recorded, 1 were not(?s:.)*row 3 "):
        session.tell_table(table)
    assert session.open_ids.tolist() == [table["id"][2]]
    assert [type(event) for event in session.events].count(Told) == 1
    assert session.tell_table(table.replace("catt", "cat")) == 1
    assert len(session.history_) == 0  # the skipped row has to be replaced first


@pytest.mark.parametrize("classes", [["skip", "dog", "eel"], ["Skip ", "dog", "eel"]], ids=repr)
def test_a_skip_mark_that_is_a_class_is_refused(begin, classes):
    session = begin(classes)
    with pytest.raises(ValueError, match=r"is the class .* too; choose another mark"):
        session.tell_table(filled(session, classes))
    assert session.tell_table(filled(session, classes), skip="-") == 4


@pytest.mark.parametrize("skip", ["", None, 7, "7"])
def test_a_skip_mark_is_a_word(begin, skip):
    with pytest.raises(ValueError, match="skip must be a word"):
        begin().tell_table([], skip=skip)


@pytest.mark.parametrize("name", ["NA", "nan", ""])
def test_a_class_that_looks_like_an_empty_cell_is_warned_of(begin, name):
    session = begin([name, "dog", "eel"])
    table = pd.read_csv(text_of(filled(session, ["dog", "eel"])))
    with pytest.warns(UserWarning, match=f"The class {name!r} may have become one of the 1 empty cells"):
        session.tell_table(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: pd.concat([table, table.assign(label="eel")]),
            "'eel' is not what another row of the table says",
        ),
        (lambda table: pd.concat([table, table.assign(label="catt")]), "'catt' is none"),
        (lambda table: table.assign(id=0), "this is no open question .it is no target row"),
        (lambda table: table.assign(id=-1), "this is no open question .it is no target row"),
        (lambda table: table.assign(id=10**6), "this is no open question .it is no target row"),
        (lambda table: table.assign(id=np.nan), "column 'id': it is no row number"),
        (lambda table: table.assign(id=table["id"] + 0.5), "column 'id': it is no row number"),
        (lambda table: table.assign(id="1e999999999"), "has lost its last digits"),
        (lambda table: table.assign(id=True), "column 'id': it is no row number"),
    ],
    ids=["two answers", "a good and a bad one", "source", "negative", "too large", "none", "fraction", "huge", "truth"],
)
def test_a_label_of_no_open_question_is_refused(begin, change, message):
    session = begin()
    with pytest.raises(ValueError, match=message):
        session.tell_table(change(first(session, "cat")))
    assert len(session.open_ids) == 5


def test_what_is_on_record_is_not_told_again_and_not_changed(begin):
    session = begin()
    table = filled(session)
    assert [session.tell_table(table), session.tell_table(table)] == [4, 0]
    with pytest.raises(ValueError, match=r"it was answered, 'cat': `correct` changes that"):
        session.tell_table(table.replace("cat", "dog"))
    session.tell_table(table[1:2].assign(label="skip"))
    with pytest.raises(ValueError, match="it was abstained on: `readmit`"):
        session.tell_table(table.assign(label=["cat", "cat", "eel", "cat", "dog"]))
    assert session.tell_table(table.assign(label=["cat", "skip", "eel", "cat", "dog"])) == 0


def test_rows_without_a_label_may_be_any(begin):
    session = begin()
    extra = pd.DataFrame({"id": [0, 10**6, None], "label": [None, "", np.nan]})
    assert session.tell_table(pd.concat([filled(session), extra])) == 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"id": [1]}), "table must have one column 'label', got 0 among the columns ['id']"),
        (pd.DataFrame({"id;label": ["1;cat"]}), "pandas.read_csv(path, sep=';')"),
        (pd.DataFrame([[1, "cat", "dog"]], columns=["id", "label", "label"]), "one column 'label', got 2"),
        ({"id": [1, 2], "label": ["cat"]}, "table has 2 ids and 1 labels"),
        ({"id": 1, "label": "cat"}, "table must have a list in the column 'id'"),
        ("questions.csv", "read a file by pandas.read_csv(path)"),
        ([1, 2], "table must be a DataFrame"),
        (None, "table must be a DataFrame"),
    ],
    ids=["no label", "separator", "two labels", "lengths", "scalars", "path", "list", "None"],
)
def test_a_table_without_the_two_columns_is_refused(begin, table, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        begin().tell_table(table)
    assert message in str(caught.value)


def test_annotators_tell_tables_of_their_own(begin):
    session = begin(n_annotators=2)
    of_anna, of_ben = (session.questions(annotator=name).assign(label="cat") for name in ("anna", "ben"))
    with pytest.raises(ValueError, match="annotator=None, but 2 annotators"):
        session.tell_table(of_anna)
    assert [session.tell_table(of_anna, annotator="anna") for _ in range(2)] == [5, 0]
    assert session.questions(annotator="anna").empty
    with pytest.raises(ValueError, match="anna has answered 'cat': `correct` changes that"):
        session.tell_table(of_anna.assign(label="dog"), annotator="anna")
    assert session.tell_table(of_ben, annotator="ben") == 5
    assert len(session.history_) == 1


@pytest.mark.parametrize(
    ("classes", "cell", "label"),
    [(ANIMALS, "cow", "cow"), ([0, 1, 2], "6", 6), ([0, 1, 2], 6.0, 6), ([0.0, 1.0, 2.0], "6", 6.0)],
    ids=repr,
)
def test_new_classes_come_in_a_table_where_they_may(begin, classes, cell, label):
    session = begin(classes, new_classes="learn")
    table = first(session, cell)
    session.tell_table(table)
    assert session.state.y[table["id"][0]] == label


@pytest.mark.parametrize(
    ("classes", "cell"),
    [(ANIMALS, "Cat"), (ANIMALS, "cow "), (ANIMALS, 7), ([0, 1, 2], -1), ([0, 1, 2], "x")],
    ids=repr,
)
def test_a_slip_is_no_new_class(begin, classes, cell):
    session = begin(classes, new_classes="learn")
    with pytest.raises(ValueError, match="is none of the 3 classes"):
        session.tell_table(first(session, cell))


def test_a_reader_of_many_labels_is_warned_of_nothing():
    read = LabelReader([f"class {i}" for i in range(500)], "skip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [read(f"class {i}") for i in range(500)] == read.classes
