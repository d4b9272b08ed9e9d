import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skada_active.datasets import make_label_shift, make_multi_source_blobs, make_shifted_blobs, make_shifted_moons

GENERATORS = [make_label_shift, make_multi_source_blobs, make_shifted_blobs, make_shifted_moons]
every_generator = pytest.mark.parametrize("make", GENERATORS, ids=lambda make: make.__name__)
BLOBS = [make_label_shift, make_multi_source_blobs, make_shifted_blobs]
every_blob_generator = pytest.mark.parametrize("make", BLOBS, ids=lambda make: make.__name__)
SHIFTS = [make_multi_source_blobs, make_shifted_blobs]
# So narrow that a class mean is its centre.
POINT = 1e-9


def class_means(X, y, rows):
    return np.array([X[rows & (y == label)].mean(axis=0) for label in np.unique(y)])


@every_generator
def test_same_seed_same_data(make):
    for left, right in zip(make(random_state=3), make(random_state=3), strict=True):
        np.testing.assert_array_equal(left, right)


@every_generator
def test_other_seed_other_data(make):
    assert not np.array_equal(make(random_state=3)[0], make(random_state=4)[0])


@every_generator
def test_random_state_instance_is_drawn_from(make):
    rng = np.random.RandomState(3)
    first, second = make(random_state=rng)[0], make(random_state=rng)[0]
    np.testing.assert_array_equal(first, make(random_state=3)[0])
    assert not np.array_equal(first, second)


@every_generator
def test_global_random_state_is_untouched_by_a_seeded_call(make):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make(random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@every_generator
def test_types_are_float64_int64_int64(make):
    X, y, sample_domain = make(random_state=0)
    assert (X.dtype, y.dtype, sample_domain.dtype) == (np.float64, np.int64, np.int64)
    assert len(X) == len(y) == len(sample_domain)


@every_generator
def test_counts_of_rows_are_kept_per_domain(make):
    _, _, sample_domain = make(n_source=31, n_target=17, random_state=0)
    sources = np.unique(sample_domain[sample_domain > 0])
    assert [(sample_domain == number).sum() for number in sources] == [31] * len(sources)
    assert (sample_domain < 0).sum() == 17


@every_generator
def test_target_has_the_next_domain_number(make):
    _, _, sample_domain = make(random_state=0)
    assert sample_domain.min() == -(sample_domain.max() + 1)


@every_generator
def test_classes_are_the_same_in_every_domain(make):
    _, y, sample_domain = make(random_state=0)
    classes = np.unique(y)
    for number in np.unique(sample_domain):
        np.testing.assert_array_equal(np.unique(y[sample_domain == number]), classes)


@every_blob_generator
def test_blob_generators_take_the_number_of_features(make):
    assert make(n_features=5, random_state=0)[0].shape[1] == 5


@every_blob_generator
def test_cluster_std_is_the_spread_of_a_class(make):
    X, y, sample_domain = make(n_source=6000, cluster_std=0.5, random_state=0)
    rows = (sample_domain == 1) & (y == 0)
    np.testing.assert_allclose(X[rows].std(axis=0), 0.5, rtol=0.1)


@pytest.mark.parametrize("make", SHIFTS)
def test_n_classes_gives_so_many_equal_classes(make):
    _, y, sample_domain = make(n_source=40, n_classes=4, random_state=0)
    assert np.bincount(y[sample_domain == 1]).tolist() == [10] * 4


def test_shift_vector_moves_every_class_of_the_target():
    X, y, sample_domain = make_shifted_blobs(shift=[3.0, -1.0], cluster_std=POINT, random_state=0)
    moved = class_means(X, y, sample_domain < 0) - class_means(X, y, sample_domain > 0)
    np.testing.assert_allclose(moved, np.tile([3.0, -1.0], (3, 1)), atol=1e-6)


def test_shift_number_is_the_length_of_one_move():
    X, y, sample_domain = make_shifted_blobs(shift=4.0, n_features=3, cluster_std=POINT, random_state=0)
    moved = class_means(X, y, sample_domain < 0) - class_means(X, y, sample_domain > 0)
    np.testing.assert_allclose(moved, np.tile(moved[0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(moved[0]), 4.0, rtol=1e-6)


def test_every_source_has_its_own_move():
    X, y, sample_domain = make_multi_source_blobs(n_sources=4, shift=2.5, cluster_std=POINT, random_state=0)
    target = class_means(X, y, sample_domain < 0)
    moves = np.array([class_means(X, y, sample_domain == number)[0] - target[0] for number in range(1, 5)])
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1), 2.5, rtol=1e-6)
    assert len(np.unique(moves.round(6), axis=0)) == 4


def test_moves_of_the_sources_can_be_given():
    moves = np.array([[1.0, 0.0], [0.0, -2.0]])
    X, y, sample_domain = make_multi_source_blobs(n_sources=2, shift=moves, cluster_std=POINT, random_state=0)
    target = class_means(X, y, sample_domain < 0)
    for number, move in enumerate(moves, start=1):
        np.testing.assert_allclose(class_means(X, y, sample_domain == number) - target, [move] * 3, atol=1e-6)


def test_moons_are_turned_counter_clockwise_about_their_middle():
    turned, y, sample_domain = make_shifted_moons(50, 50, rotation=90, noise=0, random_state=0)
    plain, y_plain, _ = make_shifted_moons(50, 50, rotation=0, noise=0, random_state=0)
    rows = sample_domain < 0
    offset = plain[rows] - [0.5, 0.25]
    np.testing.assert_allclose(turned[rows] - [0.5, 0.25], np.c_[-offset[:, 1], offset[:, 0]], atol=1e-12)
    np.testing.assert_array_equal(turned[~rows], plain[~rows])
    np.testing.assert_array_equal(y, y_plain)


def test_noise_moves_the_rows_off_the_circles():
    X, y, sample_domain = make_shifted_moons(2000, 2, noise=0.2, random_state=0)
    upper = X[(sample_domain > 0) & (y == 0)]
    np.testing.assert_allclose((np.linalg.norm(upper, axis=1) - 1).std(), 0.2, rtol=0.1)


def test_label_shift_has_the_proportions_asked_for():
    _, y, sample_domain = make_label_shift(
        100, 200, source_proportions=[0.7, 0.3], target_proportions=[0.05, 0.95], random_state=0
    )
    assert np.bincount(y[sample_domain > 0]).tolist() == [70, 30]
    assert np.bincount(y[sample_domain < 0]).tolist() == [10, 190]


def test_label_shift_keeps_the_class_centres():
    X, y, sample_domain = make_label_shift(cluster_std=POINT, random_state=0)
    means = [class_means(X, y, sample_domain == number) for number in (1, -2)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-6)


def test_share_of_zero_leaves_a_class_out():
    _, y, sample_domain = make_label_shift(30, 30, target_proportions=(0.5, 0.5, 0.0), random_state=0)
    assert np.bincount(y[sample_domain < 0], minlength=3).tolist() == [15, 15, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 500), st.lists(st.integers(0, 20), min_size=2, max_size=5).filter(sum))
def test_class_counts_are_shares_rounded_up_or_down(n_samples, weights):
    shares = np.array(weights) / sum(weights)
    _, y, sample_domain = make_label_shift(
        n_samples, 5, source_proportions=shares, target_proportions=shares, random_state=0
    )
    counts = np.bincount(y[sample_domain > 0], minlength=len(shares))
    assert counts.sum() == n_samples
    exact = (n_samples * shares).round(9)
    assert ((counts == np.floor(exact)) | (counts == np.ceil(exact))).all()


@every_generator
@pytest.mark.parametrize("name", ["n_source", "n_target"])
def test_domain_with_fewer_rows_than_classes_is_refused(make, name):
    with pytest.raises(ValueError, match=f"{name} == 1"):
        make(**{name: 1})


@every_generator
@pytest.mark.parametrize("name", ["n_source", "n_target"])
def test_fractional_number_of_rows_is_refused(make, name):
    with pytest.raises(TypeError, match=name):
        make(**{name: 10.5})


@every_generator
def test_invalid_random_state_is_refused(make):
    with pytest.raises(ValueError, match="seed"):
        make(random_state="now")


@pytest.mark.parametrize("make", SHIFTS)
def test_single_class_is_refused(make):
    with pytest.raises(ValueError, match="n_classes == 1"):
        make(n_classes=1)


@every_blob_generator
def test_no_features_are_refused(make):
    with pytest.raises(ValueError, match="n_features == 0"):
        make(n_features=0)


@every_blob_generator
@pytest.mark.parametrize("cluster_std", [0, -1.0, float("nan"), float("inf")])
def test_spread_that_is_not_above_0_is_refused(make, cluster_std):
    with pytest.raises(ValueError, match="cluster_std"):
        make(cluster_std=cluster_std)


@pytest.mark.parametrize("make", SHIFTS)
@pytest.mark.parametrize("shift", [[1.0, 2.0, 3.0], float("nan"), [[1.0]]])
def test_shift_of_the_wrong_shape_or_not_finite_is_refused(make, shift):
    with pytest.raises(ValueError, match="shift="):
        make(shift=shift)


def test_no_source_is_refused():
    with pytest.raises(ValueError, match="n_sources == 0"):
        make_multi_source_blobs(n_sources=0)


@pytest.mark.parametrize(("name", "value"), [("rotation", float("inf")), ("noise", -0.1), ("noise", float("nan"))])
def test_moons_refuse_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        make_shifted_moons(**{name: value})


@pytest.mark.parametrize("name", ["rotation", "noise"])
def test_moons_refuse_text(name):
    with pytest.raises(TypeError, match=name):
        make_shifted_moons(**{name: "30"})


@pytest.mark.parametrize("name", ["source_proportions", "target_proportions"])
@pytest.mark.parametrize("shares", [[0.5, 0.4, 0.0], [1.5, -0.5, 0.0], [1.0], [[0.5, 0.5]], [0.5, float("nan"), 0.5]])
def test_proportions_that_are_no_distribution_are_refused(name, shares):
    with pytest.raises(ValueError, match=f"{name}=.*sum 1"):
        make_label_shift(**{name: shares})


def test_proportions_of_different_length_are_refused():
    with pytest.raises(ValueError, match="has 2 classes and source_proportions has 3"):
        make_label_shift(target_proportions=[0.5, 0.5])
