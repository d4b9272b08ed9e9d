from __future__ import annotations

import numpy as np
import pytest

from skada_active.selection import Outer


def explicit(vectors: Outer) -> np.ndarray:
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


@pytest.fixture
def vectors() -> Outer:
    rng = np.random.default_rng(0)
    return Outer(rng.normal(size=(6, 3)), rng.normal(size=(6, 4)))


def test_squared_norms_are_those_of_the_explicit_products(vectors):
    assert np.allclose(vectors.sq_norms(), (explicit(vectors) ** 2).sum(axis=1))


def test_an_index_array_takes_rows_of_both_factors(vectors):
    index = np.array([4, 0, 4])
    assert np.array_equal(explicit(vectors[index]), explicit(vectors)[index])
    assert len(vectors[index]) == 3


def test_worked_example_of_the_gradient_embedding_norms():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])
    f = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    norms = np.sqrt(Outer(p - np.array([1, 0]), f).sq_norms())
    assert np.allclose(norms, [0.707107, 0.707107, 1.131371], atol=1e-6)


def test_integer_factors_have_float64_norms():
    norms = Outer(np.array([[2]]), np.array([[3]])).sq_norms()
    assert norms.dtype == np.float64
    assert norms.tolist() == [36.0]


def test_factors_of_different_length_are_refused():
    with pytest.raises(ValueError, match="got 2 and 3"):
        Outer(np.zeros((2, 1)), np.zeros((3, 1)))


def test_a_factor_that_is_no_matrix_is_refused():
    with pytest.raises(ValueError, match=r"Outer\.right must have shape \(n, width\)"):
        Outer(np.zeros((2, 1)), np.zeros(2))
