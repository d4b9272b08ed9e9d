"""What the default network reads: units and offsets do not matter, and what is no row of numbers is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import AdaptationClassifier, FeatureNoise
from skada_active.domains import mask_target
from skada_active.io import load, save
from skada_active.networks import Standardize
from skada_active.query import MarginSampling

X, Y, DOMAIN = make_shifted_blobs(200, 200, n_features=5, random_state=0)
KNOWN, IS_SOURCE = mask_target(Y, DOMAIN), DOMAIN >= 0
OFFSETS, UNITS = np.array([0, 300, -1e6, 1e8, 1e3]), np.array([1e-9, 1, 1e6, 1e-4, 1e3])


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows
        self.n_reads = np.zeros(len(rows), dtype=int)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.n_reads[index] += 1
        return self.rows[index]


def model(**params):
    return AdaptationClassifier(**{"max_epochs": 5, "random_state": 0, "device": "cpu", **params})


def accuracy(fitted, rows):
    return fitted.score(rows[IS_SOURCE], Y[IS_SOURCE])


SCALES = {
    "X": X,
    "+300": X + 300,
    "+1e3": X + 1e3,
    "+1e6": X + 1e6,
    "-1e8": X - 1e8,
    "1e-4": X * 1e-4,
    "1e-9": X * 1e-9,
    "1e-40": X * 1e-40,
    "1e6": X * 1e6,
    "1e60": X * 1e60,
    "offsets": X + OFFSETS,
    "units": X * UNITS,
    "both": X * UNITS + OFFSETS * UNITS,
    "float32 +1e4": (X + 1e4).astype(np.float32),
    "float32 1e-40": (X * 1e-40).astype(np.float32),
    "float16": X.astype(np.float16),
    "objects": (X + 1e8).astype(object),
    "int32": np.round(X * 100 + 1e8).astype(np.int32),
    "timestamps": np.round(X * 1e3).astype(np.int64) + 1_700_000_000_000_000_000,
    "bytes": np.clip(np.round(X * 8 + 128), 0, 255).astype(np.uint8),
    "constants": np.c_[X, np.full(len(X), 1e9), np.zeros(len(X))],
    "one column in another unit": np.c_[np.tile(X, 6), X[:, :1] * 1e7],
}


@pytest.mark.parametrize("name", SCALES)
def test_accuracy_depends_neither_on_an_offset_nor_on_a_unit(name):
    rows = SCALES[name]
    fitted = model().fit(rows, KNOWN, DOMAIN)
    assert accuracy(fitted, rows) > 0.97
    # A row alone comes out as it does among the others.
    np.testing.assert_allclose(fitted.predict_proba(rows[:1]), fitted.predict_proba(rows)[:1], atol=1e-6)


def test_one_column_far_from_zero_is_learned():
    column = X[:, :1] + 1e7
    expected = model().fit(X[:, :1], KNOWN, DOMAIN).predict(X[:, :1])
    assert np.mean(model().fit(column, KNOWN, DOMAIN).predict(column) == expected) > 0.98


@pytest.mark.parametrize("rows", [X + 1e6, X * 1e-9], ids=["offset", "unit"])
def test_the_way_of_the_rows_is_saved_cloned_and_kept_in_training(rows, tmp_path):
    fitted = model(max_epochs=0).partial_fit(rows, KNOWN, DOMAIN, epochs=3).partial_fit(rows, KNOWN, DOMAIN, epochs=2)
    assert accuracy(fitted, rows) > 0.97
    save(fitted, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.predict_proba(rows), fitted.predict_proba(rows))
    assert accuracy(again.partial_fit(rows, KNOWN, DOMAIN), rows) > 0.97
    assert accuracy(clone(fitted).set_params(max_epochs=5).fit(X, KNOWN, DOMAIN), X) > 0.97


def test_the_loop_reads_rows_far_from_zero():
    loop = ActiveAdaptationLoop(model(), budget=4, n_rounds=2, round_epochs=1, random_state=0)
    assert accuracy(loop.fit(X + 1e6, Y, sample_domain=DOMAIN), X + 1e6) > 0.97


def test_embeddings_keep_their_proportions_and_are_centred():
    rows = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32) * np.linspace(1, 3, 20) + 5
    layer = model(max_epochs=0).fit(rows, KNOWN, DOMAIN).net_.module_.backbone[0]
    assert isinstance(layer, Standardize)
    assert len(set(layer.scale.tolist())) == 1
    np.testing.assert_allclose(layer.mean, rows.mean(axis=0), rtol=1e-5)


def test_every_column_has_its_own_scale_where_that_is_asked_for():
    rows = X * np.linspace(1, 3, 5)
    layer = model(max_epochs=0, standardize=True).fit(rows, KNOWN, DOMAIN).net_.module_.backbone[0]
    np.testing.assert_allclose(layer.scale, rows.std(axis=0), rtol=1e-5)


def test_raw_rows_enter_as_they_are():
    fitted = model(standardize=False, max_epochs=0).fit(X, KNOWN, DOMAIN)
    first = fitted.net_.module_.backbone[0]
    assert isinstance(first, nn.Linear)
    with pytest.raises(ValueError, match="too large for dtype"):
        fitted.predict(X * 1e60)


PIXELS = np.random.default_rng(0).random((60, 1, 8, 8)) * 8
PIXELS[1::2, :, :4] += 6


@pytest.mark.parametrize(
    "images",
    [PIXELS * 1e-9, PIXELS * 1e-4, PIXELS * 16, PIXELS.astype(np.uint8), PIXELS + 1e6],
    ids=["1e-9", "1e-4", "16", "bytes", "+1e6"],
)
def test_images_may_have_any_unit_and_offset(images):
    y = np.arange(60) % 2
    assert model(max_epochs=3).fit(images, y).score(images, y) > 0.95


@pytest.mark.parametrize("standardize", ["auto", True])
@pytest.mark.parametrize("rows", [X * UNITS, X + 1e8, (X * UNITS).astype(np.float32)], ids=["units", "far", "float32"])
def test_a_dataset_is_standardised_like_the_array_of_its_rows(rows, standardize):
    dataset = Rows(rows)
    read, expected = (model(standardize=standardize, max_epochs=2).fit(it, KNOWN, DOMAIN) for it in (dataset, rows))
    for name, value in read.net_.module_.state_dict().items():
        assert torch.equal(value, expected.net_.module_.state_dict()[name]), name
    np.testing.assert_allclose(read.predict_proba(dataset), expected.predict_proba(rows), atol=1e-5)


def test_the_statistics_of_a_dataset_take_one_reading():
    dataset = Rows(X)
    model(max_epochs=0).fit(dataset, KNOWN, DOMAIN)
    assert set(dataset.n_reads[4:]) == {1}
    assert dataset.n_reads[:4].max() <= 4  # the first ones have to be the same each time


def test_a_dataset_whose_items_are_random_is_refused():
    class Noisy(Rows):
        def __getitem__(self, index):
            return super().__getitem__(index) + np.random.default_rng().normal(size=5)

    with pytest.raises(ValueError, match=r"item 0 is another one each time it is read, .* into train_transform"):
        model(max_epochs=0).fit(Noisy(X), KNOWN, DOMAIN)


def test_a_dataset_with_nan_is_refused_before_training():
    rows = X.copy()
    rows[7, 2] = np.nan
    with pytest.raises(ValueError, match="number 2, that holds NaN"):
        model().fit(Rows(rows), KNOWN, DOMAIN)


def test_noise_is_fitted_to_a_dataset_as_to_its_array():
    noise = [FeatureNoise().fit(rows) for rows in (Rows(X), X, X.tolist())]
    assert all(torch.equal(noise[0].scale_, other.scale_) for other in noise[1:])
    read, expected = (model(augmentation="auto", max_epochs=2).fit(it, KNOWN, DOMAIN) for it in (Rows(X), X))
    np.testing.assert_allclose(read.predict_proba(X), expected.predict_proba(X), atol=1e-6)


# What is no row of numbers.

N = 24
LABELS, DOMAINS = np.arange(N) % 2, np.repeat([1, -1], N // 2)
TABLE = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32) + 2 * LABELS[:, None]
IMAGES = np.random.default_rng(0).integers(0, 255, (N, 3, 8, 9), dtype=np.uint8)
PHOTOS = [Image.fromarray(np.moveaxis(image, 0, -1)) for image in IMAGES]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(TABLE)


class Outputs(nn.Module):
    """Return what is no embedding, always or in training only."""

    def __init__(self, kind, always=True):
        super().__init__()
        self.layer, self.kind, self.always = nn.Linear(4, 8), kind, always

    def forward(self, rows):
        embedding = self.layer(rows)
        return self.kind([("z", embedding)]) if self.always or self.training else embedding


class Mean(nn.Module):
    def forward(self, rows):
        return rows.mean(dim=0, keepdim=True)


class Cast(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, rows):
        return rows.to(self.dtype)


def pixels(*shape):
    return np.zeros((N, *shape), dtype=np.float32)


LAST = r"\(C, H, W\) = \(\d+, \d+, \d\); if its channels come last, give numpy.moveaxis\(X, -1, 1\)"
REFUSED = {
    "one channel, last": (lambda: pixels(28, 28, 1), {}, LAST),
    "three channels, last": (lambda: pixels(32, 32, 3), {}, LAST),
    "four channels, last": (lambda: pixels(28, 28, 4), {}, LAST),
    "channels last for a convolution": (lambda: pixels(8, 8, 3), {"module": nn.Conv2d(3, 4, 3)}, LAST),
    "items with channels last": (lambda: Rows(pixels(8, 8, 3)), {}, LAST),
    "under 4 pixels": (lambda: pixels(3, 3, 3), {}, "4 x 4 pixels or more"),
    "grey without channel": (lambda: pixels(28, 28), {}, r"X\[:, None\]"),
    "photos of several sizes": (lambda: [*PHOTOS[:-1], PHOTOS[0].resize((8, 8))], {}, "as item 23; crop or resize"),
    "photos by palette": (lambda: [photo.convert("P") for photo in PHOTOS], {}, "convert"),
    "arrays of several sizes": (lambda: [*TABLE[:-1], TABLE[0, :3]], {}, r"\(4,\) first and \(3,\) as item 23"),
    "lists of several lengths": (lambda: [[1.0]] * 23 + [[1.0, 2.0]], {}, "differ in length"),
    "paths": (lambda: [f"{row}.png" for row in range(N)], {}, "__getitem__ reads one"),
    "a series of paths": (lambda: pd.Series([f"{row}.png" for row in range(N)]), {}, "__getitem__ reads one"),
    "an array of no rows": (lambda: np.array(1.0), {}, "one row of numbers per sample"),
    "a tensor of no rows": (lambda: torch.tensor(1.0), {}, "one row of numbers per sample"),
    "a loader": (lambda: DataLoader(Rows(TABLE)), {}, "X.dataset"),
    "an iterable dataset": (Stream, {}, "__len__"),
    "a generator": (lambda: (row for row in TABLE), {}, r"list\(X\)"),
    "a dict": (lambda: {"a": TABLE[:, 0]}, {}, "dict"),
    "a file name": (lambda: "rows.csv", {}, "str"),
    "None": (lambda: None, {}, "X is None"),
    "a number": (lambda: 3.0, {}, "one row of numbers per sample"),
    "items that are dicts": (lambda: Rows([{"x": row} for row in TABLE]), {}, "dict as item 0"),
    "an item that is None": (lambda: Rows([*TABLE[:5], None, *TABLE[6:]]), {}, "None as item 5"),
    "items that are numbers": (lambda: TensorDataset(torch.as_tensor(TABLE[:, 0])), {}, "Tensor as item 0"),
    "items of several sizes": (lambda: Rows([*IMAGES[:-1], IMAGES[0, :, :-1]]), {}, "items differ in shape"),
    "items of several widths": (
        lambda: Rows([*TABLE[:-1], TABLE[0, :3]]),
        {},
        r"rows of shape \(3,\), first as item 23",
    ),
    "text columns": (lambda: pd.DataFrame({"a": TABLE[:, 0], "city": ["x"] * N}), {}, "'city'.*OneHotEncoder"),
    "dates": (lambda: pd.DataFrame({"day": pd.date_range("2020-01-01", periods=N)}), {}, "'day'"),
    "a masked array": (lambda: np.ma.array(TABLE, mask=TABLE > 1), {}, "masked array.*filled"),
    "a module with a tuple": (lambda: TABLE, {"module": Outputs(tuple)}, "one tensor .*got a tuple"),
    "a module with a dict": (lambda: TABLE, {"module": Outputs(dict)}, "one tensor .*got a dict"),
    "a tuple in training": (lambda: TABLE, {"module": Outputs(tuple, always=False)}, "one tensor.*got tuple"),
    "a callable without a module": (lambda: TABLE, {"module": lambda shape: None}, r"nn.Module.*got None for \(4,\)"),
    "a callable for something else": (lambda: TABLE, {"module": lambda: None}, r"module=.*shape of a row, \(4,\)"),
    "a module for one row": (lambda: TABLE, {"module": Mean()}, r"got \(1, 4\).* for two rows"),
    "a module of integers": (lambda: TABLE, {"module": Cast(torch.int64)}, "floats, got .*int64"),
    "no optimiser": (lambda: TABLE, {"optimizer": dict}, "optimizer must be.*got 'dict'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_network_cannot_read_is_refused_with_the_remedy(name):
    make, params, match = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=match):
        model(max_epochs=1, **params).fit(make(), mask_target(LABELS, DOMAINS), DOMAINS)


@pytest.mark.parametrize("name", ["three channels, last", "paths", "an item that is None", "a loader", "a dict"])
def test_it_is_refused_before_anything_is_bought(name):
    make, params, match = REFUSED[name]
    estimator, asked, y = model(max_epochs=1, **params), [], mask_target(LABELS, DOMAINS)
    loop = ActiveAdaptationLoop(estimator, budget=4, n_rounds=2, random_state=0)
    with pytest.raises((TypeError, ValueError), match=match):
        loop.fit(make(), y, sample_domain=DOMAINS, oracle=lambda ids, rows: asked.append(ids) or LABELS[ids])
    assert not asked
    with pytest.raises((TypeError, ValueError), match=match):
        loop.session(make(), y, sample_domain=DOMAINS).ask(1)
    with pytest.raises((TypeError, ValueError), match=match):
        MarginSampling(estimator).fit(make(), y, DOMAINS)


@pytest.mark.parametrize("given", ["array", "dataset"])
@pytest.mark.parametrize("shape", [(8, 9, 3), (1, 8, 9), (216,), (8, 9), (3, 2, 2)])
def test_images_of_another_form_are_refused_at_prediction(shape, given):
    fitted = model(max_epochs=1).fit(IMAGES, LABELS, DOMAINS)
    rows = pixels(*shape)
    with pytest.raises(ValueError, match=r"X has rows of shape \(" + str(shape[0])):
        fitted.predict(rows if given == "array" else Rows(rows))


def test_a_dataset_without_rows_is_refused():
    fitted = model(max_epochs=1).fit(TABLE, LABELS, DOMAINS)
    with pytest.raises(ValueError, match="X is a dataset of 0 rows"):
        fitted.predict(Rows(TABLE[:0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_embedding_of_another_precision_is_taken(dtype):
    assert model(max_epochs=1, module=Cast(dtype)).fit(TABLE, LABELS, DOMAINS).transform(TABLE).dtype == np.float32


def test_images_of_another_size_may_be_predicted():
    assert model(max_epochs=1).fit(IMAGES, LABELS, DOMAINS).predict(pixels(3, 12, 12)).shape == (N,)


def test_four_channels_first_are_images():
    assert model(max_epochs=1).fit(pixels(4, 28, 28), LABELS, DOMAINS).n_features_in_ == 4


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = list(rows)
    return array


READ = {
    "photos": (lambda: PHOTOS, IMAGES),
    "grey photos": (lambda: [Image.fromarray(image[0]) for image in IMAGES], IMAGES[:, :1]),
    "photos with labels": (lambda: Rows(list(zip(PHOTOS, LABELS, strict=True))), IMAGES),
    "an object array of images": (lambda: objects(IMAGES), IMAGES),
    "a list of arrays": (lambda: list(TABLE), TABLE),
    "a tensor": (lambda: torch.as_tensor(TABLE), TABLE),
    "a tensor with gradients": (lambda: torch.tensor(TABLE, requires_grad=True), TABLE),
    "a tensor of doubles": (lambda: torch.as_tensor(TABLE).double(), TABLE),
    "a list of tensors": (lambda: list(torch.as_tensor(TABLE)), TABLE),
    "items with gradients": (lambda: Rows(torch.tensor(TABLE, requires_grad=True)), TABLE),
    "items that are lists of numbers": (lambda: Rows(TABLE.tolist()), TABLE),
    "big-endian items": (lambda: Rows(TABLE.astype(">f4")), TABLE),
    "a reversed view": (lambda: TABLE[::-1][::-1], TABLE),
}


@pytest.mark.parametrize("name", READ)
def test_rows_in_other_containers_are_those_of_the_array(name):
    make, rows = READ[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = model(max_epochs=1).fit(make(), LABELS, DOMAINS).predict_proba(make())
    np.testing.assert_allclose(read, model(max_epochs=1).fit(rows, LABELS, DOMAINS).predict_proba(rows), atol=1e-5)


def test_a_target_that_may_be_numbered_one_is_said():
    with pytest.warns(UserWarning, match="sample_domain holds 0 and 1 only"):
        AdaptationClassifier(max_epochs=1).fit(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
