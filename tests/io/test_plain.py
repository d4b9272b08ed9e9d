"""What is written as JSON comes back equal, and of its type."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skada_active.io._plain import from_plain, to_plain


def through_json(value):
    return from_plain(json.loads(json.dumps(to_plain(value), allow_nan=False)))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["$array", "$tuple"]), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(values)
def test_values_come_back(value):
    assert repr(through_json(value)) == repr(value)


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["?", "i1", "u2", "i8", "f2", "f4", "f8", "U3", ">f8"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_arrays_come_back_bit_for_bit(array):
    back = through_json(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(back), np.isnan(array))
        array, back = np.nan_to_num(array), np.nan_to_num(back)
    assert back.tobytes() == array.tobytes()


def test_arrays_of_objects_come_back():
    array = np.array(["a", None, 3, 2.5, True], dtype=object)
    back = through_json(array)
    assert back.dtype == object
    assert [(type(item), item) for item in back] == [(type(item), item) for item in array]


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("x"), np.float64("nan")])
def test_numpy_scalars_keep_their_type(scalar):
    back = through_json(scalar)
    assert type(back) is type(scalar)
    np.testing.assert_equal(back, scalar)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", 1j, np.array([1j]), np.datetime64("2020-01-01")], ids=repr)
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="has no form in JSON"):
        to_plain([value])
