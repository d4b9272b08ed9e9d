import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skada_active.datasets import (
    load_beijing_air,
    load_digits_pair,
    load_gas_drift,
    load_heart_disease,
    load_occupancy,
    load_sentences,
    load_wine_quality,
)

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "skada_active" / "datasets" / "data"
ARCHIVES = ROOT.parent / "shared" / "data"

GAS_ROWS = {1: 445, 2: 1244, 3: 200, 4: 80, 5: 100, 6: 600, 8: 294, 9: 160}
HEART = {"cleveland": (1, 303), "hungarian": (2, 294), "switzerland": (3, 123), "va": (4, 200)}
WINE = {"red": (1, 1599), "white": (2, 4898)}
ROOM = {"closed": (1, 8143), "open": (2, 2665), "closed_later": (3, 9752)}
AIR = {"aotizhongxin": (1, 5690), "dingling": (2, 5715), "dongsi": (3, 5719), "huairou": (4, 5686)}
SENTENCES = {"amazon": (1, 1000), "imdb": (2, 1000), "yelp": (3, 1000)}
DIGITS = {"optdigits": (1, 1797), "mnist": (2, 2000)}

needs_archives = pytest.mark.skipif(not ARCHIVES.is_dir(), reason="the research archives are not beside the project")


def domain_pairs(loader, domains):
    names = list(domains)
    return [(loader, domains, name, names[i - 1]) for i, name in enumerate(names)]


TABLES = (
    domain_pairs(load_heart_disease, HEART)
    + domain_pairs(load_wine_quality, WINE)
    + domain_pairs(load_occupancy, ROOM)
    + domain_pairs(load_beijing_air, AIR)
)
NAMED = TABLES + domain_pairs(load_sentences, SENTENCES) + domain_pairs(load_digits_pair, DIGITS)
LOADERS = {
    load_gas_drift: (1, 8),
    load_heart_disease: ("cleveland", "va"),
    load_wine_quality: ("red", "white"),
    load_occupancy: ("closed", "open"),
    load_beijing_air: ("dongsi", "huairou"),
    load_sentences: ("imdb", "yelp"),
    load_digits_pair: ("mnist", "optdigits"),
}
every_loader = pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)


@pytest.fixture(scope="module")
def gas():
    return load_gas_drift(source=[1, 2, 3, 4, 5, 6, 9], target=8)


@pytest.mark.parametrize(("batch", "rows"), GAS_ROWS.items())
def test_gas_batches_have_the_documented_rows(gas, batch, rows):
    X, _, sample_domain = gas
    sign = -1 if batch == 8 else 1
    assert (sample_domain == sign * batch).sum() == rows
    assert X.shape == (sum(GAS_ROWS.values()), 128)


def test_gas_has_float32_features_string_labels_and_int64_domains(gas):
    X, y, sample_domain = gas
    assert (X.dtype, y.dtype.kind, sample_domain.dtype) == (np.float32, "U", np.int64)
    assert X.flags.c_contiguous
    assert np.isfinite(X).all()


def test_whole_gas_batches_have_the_published_class_counts(gas):
    # As printed in Vergara et al. 2012: they tie the class names to the codes of the files.
    published = {
        1: {"Ammonia": 83, "Acetaldehyde": 30, "Acetone": 70, "Ethylene": 98, "Ethanol": 90, "Toluene": 74},
        2: {"Ammonia": 100, "Acetaldehyde": 109, "Acetone": 532, "Ethylene": 334, "Ethanol": 164, "Toluene": 5},
        -8: {"Ammonia": 40, "Acetaldehyde": 33, "Acetone": 143, "Ethylene": 30, "Ethanol": 30, "Toluene": 18},
    }
    _, y, sample_domain = gas
    for number, counts in published.items():
        names, rows = np.unique(y[sample_domain == number], return_counts=True)
        assert dict(zip(names.tolist(), rows.tolist(), strict=True)) == counts


def test_gas_batches_3_to_5_have_no_toluene(gas):
    _, y, sample_domain = gas
    assert "Toluene" not in y[np.isin(sample_domain, [3, 4, 5])]


def test_gas_keeps_the_order_of_the_domains_asked_for():
    _, _, sample_domain = load_gas_drift(source=[4, 1], target=[5, 3])
    assert list(dict.fromkeys(sample_domain.tolist())) == [4, 1, -5, -3]


def test_numpy_integers_and_arrays_name_batches():
    expected = load_gas_drift(source=[1], target=[4])
    for left, right in zip(load_gas_drift(source=np.array([1]), target=np.int64(4)), expected, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("loader", "domains", "source", "target"), NAMED)
def test_named_domains_have_their_number_rows_and_sign(loader, domains, source, target):
    _, y, sample_domain = loader(source=source, target=target)
    (source_number, source_rows), (target_number, target_rows) = domains[source], domains[target]
    assert sample_domain.tolist() == [source_number] * source_rows + [-target_number] * target_rows
    assert (y.dtype, sample_domain.dtype) == (np.int64, np.int64)


@pytest.mark.parametrize(
    ("loader", "domains"),
    [
        (load_gas_drift, [-8, 1, 2]),
        (load_heart_disease, [-2, 1]),
        (load_wine_quality, [-2, 1]),
        (load_occupancy, [-2, 1]),
        (load_beijing_air, [-4, 1]),
        (load_sentences, [-2, 1]),
    ],
)
def test_default_domains_of_the_tables(loader, domains):
    assert np.unique(loader()[2]).tolist() == domains


def test_default_domains_of_the_digits():
    assert np.unique(load_digits_pair()[2]).tolist() == [-1, 2]


def test_heart_keeps_missing_values_and_binary_labels():
    X, y, _ = load_heart_disease(source=list(HEART)[:3], target="va")
    assert (X.shape, X.dtype) == ((920, 13), np.float32)
    assert np.isnan(X).sum() == 6 + 782 + 273 + 698
    assert np.bincount(y).tolist() == [164 + 188 + 8 + 51, 139 + 106 + 115 + 149]


def test_wine_labels_are_grades_of_six_and_more():
    X, y, sample_domain = load_wine_quality()
    assert (X.shape, X.dtype) == ((6497, 11), np.float32)
    assert [int(y[sample_domain == number].sum()) for number in (1, -2)] == [855, 3258]


def test_room_is_occupied_as_often_as_published():
    # Class shares of the three files in Candanedo and Feldheim 2016, table 2.
    X, y, sample_domain = load_occupancy(source=["closed", "closed_later"], target="open")
    assert (X.shape, X.dtype) == ((20560, 5), np.float32)
    assert [round(float(y[sample_domain == number].mean()), 2) for number in (1, -2, 3)] == [0.21, 0.36, 0.21]


def test_air_keeps_missing_values_and_does_not_name_the_dust():
    X, y, _ = load_beijing_air(source=list(AIR)[:3], target="huairou")
    assert (X.shape, X.dtype) == ((22810, 11), np.float32)
    assert np.bincount(y).tolist() == [14398, 8412]
    assert np.isnan(X).any(axis=0).tolist() == [True] * 9 + [False] * 2
    assert [np.nanmin(X[:, 9]), np.nanmax(X[:, 9]), np.nanmin(X[:, 10]), np.nanmax(X[:, 10])] == [1, 12, 0, 23]


def test_sentences_are_vectors_of_length_one_and_half_of_them_positive():
    X, y, sample_domain = load_sentences(source=["amazon", "imdb"], target="yelp")
    assert (X.shape, X.dtype) == ((3000, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-3)
    assert [int(y[sample_domain == number].sum()) for number in (1, 2, -3)] == [500, 500, 500]


def test_texts_come_in_the_order_of_the_rows():
    *arrays, texts = load_sentences(source=["yelp", "amazon"], target="imdb", return_texts=True)
    for left, right in zip(arrays, load_sentences(source=["yelp", "amazon"], target="imdb"), strict=True):
        np.testing.assert_array_equal(left, right)
    assert texts[[0, 1000, 2000]].tolist() == [
        "Wow... Loved this place.",
        "So there is no way for me to plug it in here in the US unless I go by a converter.",
        '"A very, very, very slow-moving, aimless movie about a distressed, drifting young man."',
    ]


def test_equal_sentences_have_equal_vectors():
    X, _, _, texts = load_sentences(return_texts=True)
    _, first, group = np.unique(texts, return_index=True, return_inverse=True)
    assert len(first) < len(texts)
    np.testing.assert_allclose(X, X[first[group]], atol=1e-3)


def test_digits_are_grey_images_between_0_and_1():
    X, y, sample_domain = load_digits_pair()
    assert (X.shape, X.dtype) == ((3797, 1, 28, 28), np.float32)
    for number in (2, -1):
        rows = sample_domain == number
        assert (X[rows].min(), X[rows].max()) == (0, 1)
        assert len(np.unique(y[rows])) == 10


def test_optdigits_are_scikit_learns_digits_enlarged():
    from sklearn.datasets import load_digits

    X, y, sample_domain = load_digits_pair()
    digits = load_digits()
    enlarged = X[sample_domain == -1, 0]
    np.testing.assert_array_equal(y[sample_domain == -1], digits.target)
    # Bilinear interpolation with pixels as areas keeps the ink of digits that leave the border empty.
    inner = (digits.images[:, [0, -1]] == 0).all(axis=(1, 2)) & (digits.images[:, :, [0, -1]] == 0).all(axis=(1, 2))
    np.testing.assert_allclose(
        enlarged[inner].sum(axis=(1, 2)) / 3.5**2, digits.images[inner].sum(axis=(1, 2)) / 16, rtol=0.02
    )


@pytest.mark.parametrize(
    ("loader", "columns"),
    [
        (load_gas_drift, {0: "DR_1", 1: "|DR|_1", 7: "EMAd0.1_1", 8: "DR_2", 127: "EMAd0.1_16"}),
        (load_heart_disease, {0: "age", 4: "chol", 12: "thal"}),
        (load_wine_quality, {0: "fixed acidity", 8: "pH", 10: "alcohol"}),
        (load_occupancy, {0: "Temperature", 2: "Light", 4: "HumidityRatio"}),
        (load_beijing_air, {0: "SO2", 7: "RAIN", 9: "month", 10: "hour"}),
    ],
)
def test_as_frame_names_the_columns_and_keeps_the_values(loader, columns):
    pytest.importorskip("pandas")
    frame, y, sample_domain = loader(as_frame=True)
    X, y_plain, sample_domain_plain = loader()
    assert {position: frame.columns[position] for position in columns} == columns
    np.testing.assert_array_equal(frame.to_numpy(), X)
    np.testing.assert_array_equal(y, y_plain)
    np.testing.assert_array_equal(sample_domain, sample_domain_plain)


def test_as_frame_without_pandas_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="as_frame=True needs pandas"):
        load_wine_quality(as_frame=True)


@every_loader
def test_loading_twice_gives_independent_equal_arrays(loader):
    first, second = loader(), loader()
    for left, right in zip(first, second, strict=True):
        np.testing.assert_array_equal(left, right)
        assert not np.shares_memory(left, right)


@every_loader
@pytest.mark.parametrize("role", ["source", "target"])
def test_unknown_domain_is_refused_with_the_choices(loader, role):
    choice = LOADERS[loader][0]
    with pytest.raises(ValueError, match=rf"{role}=\['moon'\] names unknown domains \['moon'\].*{choice}"):
        loader(**{role: ["moon"]})


def test_gas_batch_that_is_not_shipped_is_refused():
    with pytest.raises(ValueError, match=r"target=7 names unknown domains .*choose from \[1, 2, 3, 4, 5, 6, 8, 9\]"):
        load_gas_drift(target=7)


@every_loader
def test_domain_as_source_and_target_is_refused(loader):
    first, second = LOADERS[loader]
    with pytest.raises(ValueError, match="either source or target"):
        loader(source=[first, second], target=[second])


@every_loader
@pytest.mark.parametrize("role", ["source", "target"])
def test_empty_choice_is_refused(loader, role):
    with pytest.raises(ValueError, match=rf"{role}=\[\] is empty"):
        loader(**{role: []})


@every_loader
def test_domain_named_twice_is_refused(loader):
    first, second = LOADERS[loader]
    with pytest.raises(ValueError, match="names a domain twice"):
        loader(source=[first, first], target=second)


@every_loader
def test_choice_that_is_no_domain_at_all_is_refused(loader):
    with pytest.raises(TypeError, match="source=None must be one domain"):
        loader(source=None)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("gas_drift", 1.5e6),
        ("mnist", 1e6),
        ("heart_disease", 2e4),
        ("wine_quality", 2e5),
        ("occupancy", 1.5e5),
        ("beijing_air", 3e5),
        ("sentences", 2.5e6),
    ],
)
def test_shipped_files_are_small(name, limit):
    assert (SHIPPED / f"{name}.npz").stat().st_size < limit


def test_shipped_files_are_small_together():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 5e6


def test_every_shipped_archive_has_a_licence_section():
    text = (SHIPPED / "LICENSES.md").read_text(encoding="utf-8")
    archives = sorted(path.name for path in SHIPPED.glob("*.npz"))
    assert archives == [
        "beijing_air.npz",
        "gas_drift.npz",
        "heart_disease.npz",
        "mnist.npz",
        "occupancy.npz",
        "sentences.npz",
        "wine_quality.npz",
    ]
    assert all(f"## {name}" in text for name in archives)


def test_import_stays_light():
    code = (
        "import sys, skada_active.datasets\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def positions_in(original, shipped):
    lookup = {row.tobytes(): position for position, row in enumerate(original)}
    assert len(lookup) == len(original)
    return np.array([lookup[row.tobytes()] for row in shipped])


@needs_archives
@pytest.mark.parametrize("batch", GAS_ROWS)
def test_gas_rows_are_unaltered_and_in_order(gas, batch):
    X, y, sample_domain = gas
    rows = np.abs(sample_domain) == batch
    with np.load(ARCHIVES / "gas_drift.npz", allow_pickle=False) as archive:
        positions = positions_in(archive[f"X_batch{batch}"], X[rows])
        names = archive["class_names"][archive[f"y_batch{batch}"]]
    assert (np.diff(positions) > 0).all()
    np.testing.assert_array_equal(y[rows], names[positions])


@needs_archives
@pytest.mark.parametrize(("loader", "domains", "source", "target"), TABLES)
def test_rows_of_tables_are_all_there_unaltered(loader, domains, source, target):
    X, y, sample_domain = loader(source=source, target=target)
    rows = sample_domain > 0
    with np.load(ARCHIVES / f"{loader.__name__.removeprefix('load_')}.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(X[rows], archive[f"X_{source}"])
        np.testing.assert_array_equal(y[rows], archive[f"y_{source}"])


@needs_archives
@pytest.mark.parametrize("site", SENTENCES)
def test_sentences_are_all_there_unaltered(site):
    X, y, sample_domain, texts = load_sentences(
        source=[name for name in SENTENCES if name != site], target=site, return_texts=True
    )
    rows = sample_domain < 0
    with np.load(ARCHIVES / "sentences_minilm.npz", allow_pickle=False) as archive:
        for shipped, key in ((X, "X"), (y, "y"), (texts, "text")):
            np.testing.assert_array_equal(shipped[rows], archive[f"{key}_{site}"])


@needs_archives
def test_mnist_images_are_unaltered_and_in_order():
    X, y, sample_domain = load_digits_pair(source="mnist", target="optdigits")
    images = np.rint(X[sample_domain == 2, 0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(images.astype(np.float32) / 255, X[sample_domain == 2, 0])
    with np.load(ARCHIVES / "digits.npz", allow_pickle=False) as archive:
        positions = positions_in(archive["X_mnist"], images)
        labels = archive["y_mnist"]
    assert (np.diff(positions) > 0).all()
    np.testing.assert_array_equal(y[sample_domain == 2], labels[positions])
    np.testing.assert_allclose(np.bincount(labels[positions]), np.bincount(labels) / 2, atol=1)
