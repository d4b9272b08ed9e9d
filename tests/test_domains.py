from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skada_active.domains import check_inputs, mask_target, resolve_roles
from skada_active.labels import as_labels, encode_labels
from skada_active.model_selection import TargetShuffleSplit

DOMAIN = [1, 2, -1, -1]
# One label sequence a b ? a in every convention: the third row has no label.
MISSING_THIRD = {
    "int": np.array([0, 1, -1, 0]),
    "int8": np.array([0, 1, -1, 0], dtype=np.int8),
    "float": np.array([0.0, 1.0, np.nan, 0.0]),
    "float32": np.array([0.0, 1.0, np.nan, 0.0], dtype=np.float32),
    "object none": np.array(["a", "b", None, "a"], dtype=object),
    "object nan": np.array(["a", "b", np.nan, "a"], dtype=object),
    "object pandas na": np.array(["a", "b", pd.NA, "a"], dtype=object),
    "object float32 nan": np.array(["a", "b", np.float32("nan"), "a"], dtype=object),
    "object float16 nan": np.array(["a", "b", np.float16("nan"), "a"], dtype=object),
    "object of integers": np.array([0, 1, None, 0], dtype=object),
    "list with none": ["a", "b", None, "a"],
    "list with nan": ["a", "b", float("nan"), "a"],
    "list of integers": [0, 1, -1, 0],
    "list of floats": [0.0, 1.0, float("nan"), 0.0],
    "object series": pd.Series(["a", "b", None, "a"], dtype=object),
    "str series": pd.Series(["a", "b", None, "a"], dtype="str"),
    "string series": pd.Series(["a", "b", pd.NA, "a"], dtype="string"),
    "nullable integer series": pd.Series([0, 1, pd.NA, 0], dtype="Int64"),
    "nullable boolean series": pd.Series([False, True, pd.NA, False], dtype="boolean"),
    "nullable float series": pd.Series([0.0, 1.0, pd.NA, 0.0], dtype="Float64"),
    "categorical series": pd.Series(["a", "b", None, "a"], dtype="category"),
}
NONE_MISSING = {
    "unsigned": np.array([0, 1, 255, 0], dtype=np.uint8),
    "bool": np.array([False, True, True, False]),
    "strings": np.array(["a", "b", "-1", "a"]),
    "list of strings": ["a", "b", "nan", "a"],
    "object holding -1": np.array([0, 1, -1, 0], dtype=object),
}


@pytest.mark.parametrize("y", MISSING_THIRD.values(), ids=MISSING_THIRD.keys())
def test_every_convention_of_a_missing_label_makes_the_row_a_candidate(y):
    roles = resolve_roles(y, DOMAIN)
    assert roles.source.tolist() == [0, 1]
    assert roles.unlabeled_target.tolist() == [2]
    assert roles.labeled_target.tolist() == [3]


@pytest.mark.parametrize("y", NONE_MISSING.values(), ids=NONE_MISSING.keys())
def test_types_without_a_missing_label_are_all_labelled(y):
    assert resolve_roles(y, DOMAIN).is_labeled.all()


def test_roles_partition_the_rows_for_several_sources_and_targets():
    roles = resolve_roles([0, -1, 2, 1, -1, 0], sample_domain=[3, -2, -1, 0, -1, 3])
    assert (roles.source.tolist(), roles.labeled_target.tolist(), roles.unlabeled_target.tolist()) == (
        [0, 3, 5],
        [2],
        [1, 4],
    )
    assert roles.target.tolist() == [1, 2, 4]
    assert roles.labeled.tolist() == [0, 2, 3, 5]
    assert roles.domain.tolist() == [3, -2, -1, 0, -1, 3]
    assert len(roles) == 6


def test_without_domains_every_row_is_source_and_minus_one_is_a_class():
    roles = resolve_roles([1, -1, -1])
    assert roles.source.tolist() == [0, 1, 2]
    assert roles.is_labeled.all()
    assert not roles.has_domains


def test_a_domain_never_follows_from_a_label():
    roles = resolve_roles([0, 1, 1], sample_domain=[1, -1, -1])
    assert roles.labeled_target.tolist() == [1, 2]
    assert roles.unlabeled_target.size == 0
    assert roles.has_domains


def test_no_source_row_is_no_error():
    assert resolve_roles([0, -1], sample_domain=[-1, -1]).source.size == 0


def test_reveal_and_hide_return_new_roles():
    roles = resolve_roles([0, -1, -1], sample_domain=[1, -1, -1])
    revealed = roles.reveal([2])
    assert revealed.labeled_target.tolist() == [2]
    assert revealed.hide([False, False, True]).unlabeled_target.tolist() == [1, 2]
    assert roles.unlabeled_target.tolist() == [1, 2]


@pytest.mark.parametrize(
    "domain",
    [
        [1.0, 1.0, -1.0],
        pd.Series([1, 1, -1]),
        pd.Series([1, 1, -1], dtype="Int64"),
        np.array([1, 1, -1], dtype=np.int8),
        np.array([1, np.int32(1), -1.0], dtype=object),
    ],
)
def test_domain_numbers_may_come_as_whole_floats_objects_or_a_series(domain):
    roles = resolve_roles([0, 1, -1], sample_domain=domain)
    assert roles.domain.dtype == np.int64
    assert roles.unlabeled_target.tolist() == [2]


@pytest.mark.parametrize("domain", [[0.5, 1, -1], [np.nan, 1, -1], ["s", "s", "t"], [True, True, False]])
def test_domain_numbers_that_are_no_integers_are_refused_with_a_remedy(domain):
    with pytest.raises(ValueError, match=r"sample_domain must hold one integer per row.*Number the domains"):
        resolve_roles([0, 1, 1], sample_domain=domain)


@pytest.mark.parametrize(
    ("domain", "value"),
    [([1, 0.5, -1], "0.5"), ([1, np.nan, -1], "nan"), (["1", "t", "t"], "'1'"), (np.array([1, None, -1]), "None")],
)
def test_the_first_domain_number_that_is_no_integer_is_shown(domain, value):
    with pytest.raises(ValueError, match=f"with the value {value} in row {int(domain[0] == 1)}"):
        resolve_roles([0, 1, 1], sample_domain=domain)


@pytest.mark.parametrize("true", [True, np.True_])
def test_booleans_among_objects_are_no_domain_numbers(true):
    with pytest.raises(ValueError, match=r"with the value (np.)?True_? in row 1"):
        resolve_roles([0, 1, 1], sample_domain=np.array([1, true, -1], dtype=object))


@pytest.mark.parametrize("mask", [False, [False, False, True]])
def test_masked_labels_are_refused_with_a_remedy(mask):
    with pytest.raises(ValueError, match=r"y is a masked array.*y.filled\(-1\)"):
        resolve_roles(np.ma.array([0, 1, 1], mask=mask), sample_domain=[1, 1, -1])


needs_string_dtype = pytest.mark.skipif(
    not hasattr(np, "dtypes") or not hasattr(np.dtypes, "StringDType"), reason="numpy 2"
)


@needs_string_dtype
def test_variable_width_strings_become_ordinary_ones():
    labels = as_labels(np.array(["a", "bee"], dtype=np.dtypes.StringDType()))
    assert labels.dtype.kind == "U"
    assert labels.tolist() == ["a", "bee"]


@needs_string_dtype
@pytest.mark.parametrize("missing", [None, np.nan])
def test_variable_width_strings_may_hold_a_missing_label(missing):
    y = np.array(["a", "b", missing, "a"], dtype=np.dtypes.StringDType(na_object=missing))
    assert resolve_roles(y, DOMAIN).unlabeled_target.tolist() == [2]
    assert mask_target(y, DOMAIN).tolist() == ["a", "b", None, None]


def test_splitting_without_a_seed_leaves_the_global_generator_alone():
    before = np.random.get_state()  # noqa: NPY002
    list(TargetShuffleSplit(3).split(np.zeros((5, 2)), groups=[1, 1, -1, -1, -1]))
    for old, new in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


def test_a_source_row_without_a_label_is_refused_with_its_number():
    with pytest.raises(ValueError, match=r"no label for 2 source row\(s\), the first is row 1 .*drop it"):
        resolve_roles([0, -1, -1, -1], sample_domain=[1, 1, 1, -1])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        resolve_roles([0, 1, 1], sample_domain=[1, -1])


def test_y_none_is_refused():
    with pytest.raises(ValueError, match="requires y to be passed"):
        resolve_roles(None, sample_domain=[1])


@pytest.mark.parametrize("y", MISSING_THIRD.values(), ids=MISSING_THIRD.keys())
def test_mask_target_hides_all_target_labels_and_keeps_the_source(y):
    masked = mask_target(y, DOMAIN)
    roles = resolve_roles(masked, DOMAIN)
    assert roles.unlabeled_target.tolist() == [2, 3]
    assert masked[:2].tolist() == np.asarray(y)[:2].tolist()


@pytest.mark.parametrize("y", NONE_MISSING.values(), ids=NONE_MISSING.keys())
def test_mask_target_finds_a_missing_label_for_types_without_one(y):
    assert resolve_roles(mask_target(y, DOMAIN), DOMAIN).unlabeled_target.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("dtype", "masked"), [(np.int16, np.int16), (np.uint8, np.int64), (np.float32, np.float32), (bool, object)]
)
def test_mask_target_keeps_the_type_where_it_has_a_missing_label(dtype, masked):
    assert mask_target(np.array([0, 1], dtype=dtype), [1, -1]).dtype == masked


def test_labels_in_read_only_memory_are_neither_written_to_nor_refused():
    y = np.array([0, 1, 1])
    y.flags.writeable = False
    assert mask_target(y, [1, 1, -1]).tolist() == [0, 1, -1]
    assert y.tolist() == [0, 1, 1]


def test_encode_labels_gives_column_positions():
    assert encode_labels(["c", "a"], np.array(["a", "b", "c"])).tolist() == [2, 0]
    assert encode_labels([], np.array([0, 1])).dtype == np.int64


@pytest.mark.parametrize("label", [-5, 2, 9])
def test_encode_labels_refuses_a_label_that_is_no_class(label):
    with pytest.raises(ValueError, match=f"label .*{label}.*not among the 2 classes"):
        encode_labels([1, label], np.array([1, 3]))


def test_excluded_rows_stay_unlabelled_but_are_no_candidates():
    roles = resolve_roles([0, -1, -1, -1], sample_domain=[1, -1, -1, -1])
    excluded = roles.exclude([1]).exclude([3])
    assert roles.candidates.tolist() == [1, 2, 3]
    assert excluded.candidates.tolist() == [2]
    assert excluded.unlabeled_target.tolist() == [1, 2, 3]
    assert excluded.reveal([2]).candidates.size == 0


# Numbers of domains that were meant otherwise


@pytest.mark.parametrize("number", [1, np.int64(-1), "target"], ids=repr)
def test_one_number_for_all_rows_is_refused(number):
    with pytest.raises(
        ValueError, match=r"sample_domain must hold one integer per row.*got .*np\.full\(len\(y\), number\)"
    ):
        resolve_roles([0, 1, 1], sample_domain=number)


def test_a_table_of_domain_numbers_is_refused_by_its_own_name():
    with pytest.raises(ValueError, match=r"sample_domain must hold.*shape \(3, 2\)"):
        resolve_roles([0, 1, 1], sample_domain=np.ones((3, 2), dtype=int))


def test_masked_domain_numbers_are_refused():
    with pytest.raises(ValueError, match="sample_domain is a masked array"):
        resolve_roles([0, 1, 1], sample_domain=np.ma.array([1, 1, -1], mask=[0, 0, 1]))


def test_booleans_are_refused_with_what_to_write():
    with pytest.raises(ValueError, match=r"np\.where\(is_target, -1, 1\)"):
        resolve_roles([0, 1, 1], sample_domain=np.array([False, False, True]))


@pytest.mark.parametrize("domain", [None, [0, 1, 1], [0.0, 1.0, 1.0]], ids=repr)
def test_masking_without_a_target_is_refused(domain):
    with pytest.raises(
        ValueError, match=r"sample_domain (is None|holds 0 and 1 only.*np\.where\(sample_domain == 1, -1, 1\))"
    ):
        mask_target([0, 1, 1], domain)


# Tables whose rows are in another order


def orders():
    X = pd.DataFrame({"x": np.arange(4.0)})
    y, domain = pd.Series([0, 1, 0, 1]), pd.Series([1, 1, -1, -1])
    shuffled = [2, 0, 3, 1]
    return X, y, domain, shuffled


def test_labels_with_the_index_of_the_rows_in_another_order_are_refused():
    X, y, domain, shuffled = orders()
    with pytest.raises(ValueError, match=r"y has the index of X in another order.*y\.loc\[X\.index\]"):
        check_inputs(X, y.loc[shuffled], domain)
    with pytest.raises(ValueError, match="sample_domain has the index of X"):
        check_inputs(X, y, domain.loc[shuffled])
    with pytest.raises(ValueError, match="sample_domain has the index of y"):
        check_inputs(X.to_numpy(), y, domain.loc[shuffled])


def test_any_other_index_says_nothing_of_the_order():
    X, y, domain, shuffled = orders()
    check_inputs(X.loc[shuffled], y.loc[shuffled], domain.loc[shuffled])
    check_inputs(X.loc[shuffled], y.to_numpy(), domain.set_axis(list("abcd")))
    check_inputs(X.set_axis([0, 0, 1, 1]), y.set_axis([1, 1, 0, 0]), domain)


# Missing labels without domains, and missing ones that became a value


@pytest.mark.parametrize("y", [["a", None], [0.0, np.nan], np.array([0, pd.NA], dtype=object)], ids=repr)
def test_a_missing_label_without_domains_is_refused(y):
    with pytest.raises(ValueError, match=r"y has no label for 1 row.*row 1.*sample_domain is None.*< 0 for the target"):
        check_inputs(np.zeros((2, 1)), y)
    assert check_inputs(np.zeros((2, 1)), y, allow_missing=True)[1].shape == (2,)


WORDS = np.array(["a", "b", "a", "b", "a", "b"])
HALF = np.array([1, 1, 1, -1, -1, -1])
NUMBERS = np.array([0, 1, 2, -1, -1, -1])


def disguised(label):
    return np.where(HALF < 0, label, WORDS)


@pytest.mark.parametrize(
    "y",
    [
        *(
            disguised(label)
            for label in (
                "nan",
                "None",
                "<NA>",
                "NaT",
                "NaN",
                "",
                " ",
                "NULL",
                "-1",
                "?",
                "unknown",
                "missing",
                "unlabeled",
                "-",
            )
        ),
        *(NUMBERS.astype(dtype) for dtype in (np.uint8, np.uint16, np.uint32, float, str)),
        NUMBERS.astype(np.uint8).astype(int),
        np.where(HALF < 0, 99, NUMBERS),
        np.where(HALF < 0, np.iinfo(np.int64).min, NUMBERS),
        np.array(["a", "b", "a", "nan", "a", "b"]),
        np.array(["a", "b", "a", "nan", None, None], dtype=object),
        np.array([0, 1, 0, -1, None, None], dtype=object),
        np.array([0, 1, 0, -1.0, np.nan, 1.0]),
    ],
    ids=lambda y: f"{y.dtype} {y[3]!r}",
)
def test_a_missing_label_that_became_a_value_is_said(y):
    with pytest.warns(
        UserWarning, match=r"y holds .* for [13] of 3 target row\(s\) and for no source row.*mask_target"
    ):
        check_inputs(np.zeros((6, 1)), y, HALF)


@pytest.mark.parametrize(
    "y",
    [
        WORDS,
        np.array(["a", "nan", "a", "nan", "a", "nan"]),
        np.array(["a", "b", "a", "c", "a", "b"]),
        np.array(["a", "b", "a", "c", None, None], dtype=object),
        np.array(["a", "b", "a", None, None, None], dtype=object),
        NUMBERS,
        np.array([253, 254, 254, 255, 255, 253]),
        np.array([0, 300, 0, 255, 300, 0]),
        np.array([False, True, True, False, True, True]),
    ],
    ids=str,
)
def test_nothing_is_said_of_ordinary_labels(y, recwarn):
    check_inputs(np.zeros((6, 1)), y, HALF)
    assert not recwarn.list


def test_a_value_for_a_missing_label_is_said_without_source_rows_too():
    with pytest.warns(UserWarning, match="y holds 'nan' for 2 of 4"):
        check_inputs(np.zeros((4, 1)), ["a", "nan", "b", "nan"], np.full(4, -1))
