"""Embedding: any rows in, the same vectors out with and without a cache, at home among scikit-learn's tools."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop, mask_target
from skada_active.embedding import Embedding
from skada_active.io import load, save
from skada_active.query import BADGE

pd = pytest.importorskip("pandas")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 3, 8, 9), dtype=np.uint8)
TEXTS = ["tea", "coffee", "", "tea", "Übung", "cocoa"]


class Counted:
    """Count the rows that are encoded: the lengths of texts, or means of arrays and images."""

    def __init__(self):
        self.batches = []

    def __call__(self, rows):
        self.batches.append(len(rows))
        if isinstance(rows[0], str):
            return np.array([[len(row), row.count("e")] for row in rows])
        return np.array([[np.mean(row), np.max(row)] for row in map(np.asarray, rows)])

    @property
    def n_rows(self):
        return sum(self.batches)


def halves(rows):
    return np.asarray(rows, dtype=float) / 2


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(168, 5)
    )


class Pairs(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return self.rows[number], 1


class Plain:
    """Dataset by index that is none of torch's."""

    __init__, __len__ = Pairs.__init__, Pairs.__len__

    def __getitem__(self, number):
        return self.rows[number]


CACHE = tempfile.TemporaryDirectory()


@parametrize_with_checks([Embedding(halves), Embedding(halves, cache=CACHE.name, cache_key="halves")])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# Rows


def pictures():
    return [Image.fromarray(np.moveaxis(image, 0, -1)) for image in IMAGES]


@pytest.fixture
def folder(tmp_path):
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / f"{number}.png")
    return tmp_path


IMAGE_FORMS = {
    "array": lambda folder: IMAGES,
    "floats": lambda folder: IMAGES.astype(np.float64),
    "tensor": lambda folder: torch.as_tensor(IMAGES),
    "strides": lambda folder: np.asfortranarray(IMAGES),
    "list": lambda folder: list(IMAGES),
    "pictures": lambda folder: pictures(),
    "pairs of pictures": lambda folder: [(picture, 0) for picture in pictures()],
    "dataset": lambda folder: Pairs(IMAGES),
    "dataset of pictures": lambda folder: Pairs(pictures()),
    "plain dataset": lambda folder: Plain(pictures()),
    "subset": lambda folder: torch.utils.data.Subset(Pairs(torch.as_tensor(IMAGES)), range(7)),
    "paths": lambda folder: [folder / f"{number}.png" for number in range(7)],
    "names": lambda folder: [str(folder / f"{number}.png") for number in range(7)],
    "array of names": lambda folder: np.array([str(folder / f"{number}.png") for number in range(7)]),
}


@pytest.mark.parametrize("form", IMAGE_FORMS)
def test_any_form_of_images_gives_the_vectors_of_their_pixels(folder, form):
    module = network().eval()
    with torch.no_grad():
        expected = module(torch.as_tensor(IMAGES).float()).numpy()
    X = IMAGE_FORMS[form](folder)
    embedding = Embedding(module, batch_size=3)
    np.testing.assert_allclose(embedding.fit_transform(X), expected, rtol=1e-5, atol=1e-4)
    cached = Embedding(module, batch_size=3, cache=folder / "cache")
    np.testing.assert_allclose(cached.fit_transform(X), expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(cached.transform(X), cached.fit(X).transform(X))


TEXT_FORMS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "objects": lambda texts: np.array(texts, dtype=object),
    "column": lambda texts: np.array(texts, dtype=object)[:, None],
    "Series": lambda texts: pd.Series(texts, index=range(6, 0, -1)),
    "categories": lambda texts: pd.Series(texts, dtype="category"),
    "DataFrame": lambda texts: pd.DataFrame({"text": texts}),
    "dataset": Plain,
    "pairs": Pairs,
}


@pytest.mark.parametrize("form", TEXT_FORMS)
def test_any_form_of_texts(form):
    expected = Counted()(TEXTS)
    np.testing.assert_array_equal(Embedding(Counted()).fit_transform(TEXT_FORMS[form](TEXTS)), expected)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_texts_of_other_tables(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    np.testing.assert_array_equal(Embedding(Counted()).transform(make({"text": TEXTS})), Counted()(TEXTS))


def test_tables_of_numbers_are_rows_and_their_names_are_kept():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    embedding = Embedding(halves).fit(table)
    np.testing.assert_array_equal(embedding.transform(table), [[0.5, 1.5], [1, 2]])
    assert list(embedding.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        embedding.transform(table.rename(columns={"a": "c"}))


def test_a_column_of_texts_beside_others():
    table = pd.DataFrame({"text": TEXTS, "number": range(6)})
    columns = make_column_transformer((Embedding(Counted()), "text"), remainder="passthrough")
    assert columns.fit_transform(table).shape == (6, 3)
    with pytest.raises(ValueError, match="one column of texts: give X"):
        Embedding(Counted()).fit(table)


def test_pictures_without_colours_keep_their_one_channel():
    grey = [Image.fromarray(image[0]) for image in IMAGES]
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 2))
    np.testing.assert_array_equal(Embedding(module).transform(grey), Embedding(module).transform(IMAGES[:, :1]))


def test_preprocess_makes_rows_of_one_size(tmp_path):
    images = [Image.fromarray(np.full((size, 20, 3), size, dtype=np.uint8)) for size in (10, 30)]

    def small(image):
        return torch.as_tensor(np.array(image.resize((4, 4)))).permute(2, 0, 1) / 255

    module = nn.Flatten()
    vectors = Embedding(module, preprocess=small).transform(images)
    np.testing.assert_allclose(vectors, np.repeat([[10 / 255], [30 / 255]], 48, axis=1), rtol=1e-6)
    with pytest.raises(ValueError, match="several shapes"):
        Embedding(module).transform(images)
    with pytest.raises(ValueError, match=r"what preprocess .* does cannot be read off it"):
        Embedding(module, preprocess=small, cache=tmp_path).transform(images)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_threads_read_files_as_one_does(folder, n_jobs):
    names = [folder / f"{number}.png" for number in (3, 1, 2)]
    vectors = Embedding(nn.Flatten(), n_jobs=n_jobs).transform(names)
    np.testing.assert_array_equal(vectors, IMAGES[[3, 1, 2]].reshape(3, -1))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["a", None], ValueError, "None as row 1, which is neither text nor image"),
        (pd.Series(["a", np.nan]), ValueError, "row 1"),
        ([b"a", "b"], ValueError, "bytes; decode"),
        ([], ValueError, "0 rows"),
        (pd.Series([], dtype=object), ValueError, "0 rows"),
        ("text", TypeError, "rows cannot be taken"),
        (iter(["a"]), TypeError, "give list"),
        (np.array([[1.0, np.nan]]), ValueError, "NaN"),
        (sparse.eye(3, format="csr"), TypeError, "[Ss]parse"),
        ([("a", "b"), ("c", "d")], ValueError, "could not convert"),
        (Plain([]), ValueError, "0 rows"),
    ],
    ids=str,
)
def test_what_is_no_row_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        Embedding(Counted()).fit_transform(X)


def test_a_text_for_a_network_is_the_name_of_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'no\.png' as row 1, which this encoder takes for the file"):
        Embedding(network()).transform([_png(tmp_path), "no.png"])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="no image that could be read"):
        Embedding(network()).transform([tmp_path / "text.png"])


def _png(folder):
    Image.fromarray(np.zeros((8, 9, 3), dtype=np.uint8)).save(folder / "ok.png")
    return folder / "ok.png"


def test_a_dataset_that_knows_its_content_decodes_what_is_encoded_alone(tmp_path):
    class Files(Plain):
        n_read = 0

        def row_content(self, number):
            return self.rows[number]

        def __getitem__(self, number):
            self.n_read += 1
            return np.frombuffer(self.rows[number], dtype=np.uint8)

    X = Files([b"abc", b"abd", b"abc"])
    embedding = Embedding(Counted(), cache=tmp_path, cache_key="k")
    vectors = embedding.fit_transform(X)
    np.testing.assert_array_equal(vectors, embedding.transform(np.frombuffer(b"abcabdabc", np.uint8).reshape(3, 3)))
    assert X.n_read == 2
    np.testing.assert_array_equal(embedding.transform(X), vectors)
    assert X.n_read == 2
    X.row_content = lambda number: os.urandom(8)
    with pytest.raises(ValueError, match="Row 0 of X changed while it was read"):
        embedding.transform(X)


# Encoders


def test_the_network_is_left_as_it_was():
    module = network().train()
    module[4].eval()
    module[0].weight.requires_grad_(False)
    state = {name: values.clone() for name, values in module.state_dict().items()}
    before = torch.get_rng_state()
    Embedding(module).fit_transform(IMAGES)
    assert [part.training for part in module] == [True, True, True, True, False, True]
    assert all(torch.equal(values, state[name]) for name, values in module.state_dict().items())
    assert module[5].weight.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_a_network_that_draws_repeats_itself():
    class Noise(nn.Module):
        def forward(self, rows):
            return rows + torch.rand_like(rows)

    X = np.ones((4, 2))
    np.testing.assert_array_equal(Embedding(Noise()).transform(X), Embedding(Noise()).transform(X))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_rows_take_the_type_of_the_weights(dtype):
    X = np.linspace(0, 1, 12).reshape(4, 3)
    module = nn.Linear(3, 2).to(dtype)
    vectors = Embedding(module, dtype="float64").transform(X)
    expected = module(torch.as_tensor(X).to(dtype)).detach().double().numpy()
    np.testing.assert_allclose(vectors, expected, rtol=1e-12 if dtype == torch.float64 else 1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda rows: np.ones(len(rows)), r"one vector a row, numbers of shape \(3, D\), got ndarray of shape \(3,\)"),
        (lambda rows: np.ones((len(rows) - 1, 2)), r"shape \(2, 2\)"),
        (lambda rows: np.ones((len(rows), 2, 2)), "flatten or average"),
        (lambda rows: np.array([["a"]] * len(rows)), "type <U1"),
        (lambda rows: np.ones((len(rows), 0)), r"shape \(3, 0\)"),
        (lambda rows: [[1.0], [np.nan], [np.inf]], "NaN or infinity for 2 of 3 rows, first for row 1"),
        (lambda rows: [[1.0], [1e39], [1.0]], "row 1 holds numbers beyond the largest of float32"),
    ],
)
def test_an_answer_that_is_no_vector_a_row_is_refused(answer, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Embedding(answer).transform(["a", "b", "c"])
    with pytest.raises(ValueError, match=message):
        Embedding(answer, cache=tmp_path, cache_key="k").transform(["a", "b", "c"])


def test_a_sparse_answer_is_refused():
    with pytest.raises(TypeError, match="toarray"):
        Embedding(lambda rows: sparse.eye(len(rows))).transform(["a", "b"])


def test_vectors_of_two_widths_are_refused():
    with pytest.raises(ValueError, match="of 1 numbers for row 2 and others, and of 2 before"):
        Embedding(lambda rows: np.ones((len(rows), len(rows))), batch_size=2).transform(["a", "b", "c"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "resnet18"}, "neither a folder nor a name such as 'timm:resnet18'"),
        ({"encoder": 3}, "'encoder' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"dtype": int}, "dtype must be float16, float32 or float64"),
        ({"device": "gpu"}, "device must be"),
    ],
)
def test_parameters_are_checked_by_fit(params, message):
    with pytest.raises(ValueError, match=message):
        Embedding(**{"encoder": halves, **params}).fit(np.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("f8")])
def test_dtype_is_that_of_the_result(dtype, tmp_path):
    for params in ({}, {"cache": tmp_path, "cache_key": "k"}):
        assert Embedding(halves, dtype=dtype, **params).fit_transform(np.ones((2, 2))).dtype == np.dtype(dtype)
    with pytest.raises(ValueError, match="float16"):
        Embedding(halves, dtype="float16").transform([[1e6]])


def test_batches_have_the_size_that_is_asked_for():
    encoder = Counted()
    Embedding(encoder, batch_size=4).transform([str(number) for number in range(10)])
    assert encoder.batches == [4, 4, 2]


def test_a_bar_is_shown_on_demand(capfd):
    Embedding(Counted(), verbose=1).transform(TEXTS)
    assert "6/6" in capfd.readouterr().err
    Embedding(Counted()).transform(TEXTS)
    assert not capfd.readouterr().err


# What is computed


@pytest.mark.parametrize("cached", [False, True])
def test_duplicates_are_computed_once(tmp_path, cached):
    encoder = Counted()
    embedding = Embedding(encoder, batch_size=2, **({"cache": tmp_path, "cache_key": "k"} if cached else {}))
    X = TEXTS * 50
    np.testing.assert_array_equal(embedding.transform(X), Counted()(X))
    assert encoder.n_rows == 5


def test_one_changed_row_is_computed_alone(tmp_path):
    encoder = Counted()
    embedding = Embedding(encoder, cache=tmp_path, cache_key="k")
    X = IMAGES.copy()
    first = embedding.fit_transform(X)
    X[3, 0, 0, 0] ^= 1
    second = embedding.transform(X[::-1])[::-1]
    assert encoder.batches == [7, 1]
    np.testing.assert_array_equal(np.delete(first, 3, axis=0), np.delete(second, 3, axis=0))


def test_rows_that_differ_in_type_or_shape_alone_are_different(tmp_path):
    encoder = Counted()
    embedding = Embedding(encoder, cache=tmp_path, cache_key="k")
    for X in (np.zeros((1, 4), np.float32), np.zeros((1, 2), np.float64), np.zeros((1, 2, 2), np.float32)):
        embedding.transform(X)
    assert encoder.n_rows == 3


def test_a_file_counts_by_its_content(folder):
    encoder = Counted()
    embedding = Embedding(encoder, cache=folder / "cache", cache_key="k")
    before = embedding.transform([folder / "0.png"])
    (folder / "0.png").rename(folder / "moved.png")
    np.testing.assert_array_equal(embedding.transform([folder / "moved.png"]), before)
    assert encoder.n_rows == 1
    Image.fromarray(np.zeros((8, 9, 3), dtype=np.uint8)).save(folder / "moved.png")
    np.testing.assert_array_equal(embedding.transform([folder / "moved.png"]), [[0, 0]])


def test_fresh_and_cached_vectors_are_the_same_within_the_bound(tmp_path):
    values = np.concatenate([RNG.standard_normal((50, 8)) * 10.0**power for power in range(-30, 30, 3)])
    embedding = Embedding(lambda rows: rows, cache=tmp_path, cache_key="k", dtype="float64")
    fresh = embedding.fit_transform(values)
    np.testing.assert_array_equal(embedding.transform(values), fresh)
    assert (np.abs(fresh - values) <= 2.0**-11 * np.abs(values) + 2.0**-25).all()
    largest = np.abs(values).max(axis=1)
    assert (np.abs(fresh - values).max(axis=1) <= 2.0**-11 * largest).all()


def test_the_first_computed_vector_stays(tmp_path):
    embedding = Embedding(lambda rows: np.full((len(rows), 1), len(rows)), cache=tmp_path, cache_key="k")
    np.testing.assert_array_equal(embedding.transform(["a", "b"]), [[2], [2]])
    np.testing.assert_array_equal(embedding.transform(["c", "a"]), [[1], [2]])


# Identity


def fills(folder, encoder, X=IMAGES, **params):
    """Return how many files of the cache there are after a call."""
    Embedding(encoder, cache=folder, **params).transform(X)
    return len(list(Path(folder).glob("*.sqlite")))


class Scaled(nn.Module):
    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, rows):
        return self.factor * rows.flatten(1)


def test_a_network_counts_by_weights_attributes_and_code(tmp_path):
    module = network()
    assert fills(tmp_path, module) == 1
    assert fills(tmp_path, network().train()) == 1
    assert fills(tmp_path, clone(module, safe=False).requires_grad_(False)) == 1
    with torch.no_grad():
        module[5].bias[0] += 1
    assert fills(tmp_path, module) == 2
    module[1].running_mean += 1
    assert fills(tmp_path, module) == 3
    assert fills(tmp_path, Scaled()) == 4
    assert fills(tmp_path, Scaled(2.0)) == 5
    assert fills(tmp_path, Scaled(1.0)) == 5
    assert fills(tmp_path, nn.Sequential(nn.MaxPool2d(2), nn.Flatten())) == 6
    assert fills(tmp_path, nn.Sequential(nn.MaxPool2d(3), nn.Flatten())) == 7


@pytest.mark.parametrize("held", [lambda rows: rows.flatten(1), torch.flatten], ids=["lambda", "builtin"])
def test_a_function_in_a_network_counts_by_its_code(tmp_path, held):
    def made(function):
        module = Scaled()
        module.function = function
        return module

    assert fills(tmp_path, made(held)) == 1
    assert fills(tmp_path, made(held)) == 1
    assert fills(tmp_path, made(lambda rows: rows.flatten(1) + 1)) == 2


def test_code_that_changes_makes_another_encoder(tmp_path):
    def forward(self, rows):
        return 3 * rows.flatten(1)

    assert fills(tmp_path, Scaled()) == 1
    changed = type("Scaled", (Scaled,), {"forward": forward, "__module__": __name__})
    original, Scaled.forward = Scaled.forward, forward
    try:
        assert fills(tmp_path, Scaled()) == 2
    finally:
        Scaled.forward = original
    assert fills(tmp_path, changed()) == 3
    assert fills(tmp_path, Scaled()) == 3


def test_a_network_has_one_identity_in_every_process(tmp_path):
    code = f"""
import sys
sys.path[:] = {sys.path!r}
import torch
from skada_active.embedding import Embedding
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.TransformerEncoderLayer(3, 1, 4))
Embedding(module, cache={str(tmp_path)!r}).transform([[0.0, 1.0]])
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"}, timeout=120)
    exec(code, {"__name__": "here"})
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


def test_what_has_no_hash_needs_a_key(tmp_path):
    with pytest.raises(ValueError, match=r"needs cache_key=.*what encoder .*Counted"):
        Embedding(Counted(), cache=tmp_path).transform(TEXTS)
    module = Scaled()
    module.stream = open(tmp_path / "file", "w")  # noqa: SIM115
    with module.stream, pytest.raises(ValueError, match="needs cache_key"):
        Embedding(module, cache=tmp_path).transform(IMAGES)
    assert not list(tmp_path.glob("*.sqlite"))


def test_the_key_tells_versions_of_a_function_apart(tmp_path):
    assert [fills(tmp_path, Counted(), cache_key=key) for key in ("1", "1", "2")] == [1, 1, 2]


def test_preprocess_counts(tmp_path):
    def half(row):
        return row / 2

    assert fills(tmp_path, nn.Flatten()) == 1
    assert fills(tmp_path, nn.Flatten(), preprocess=half, cache_key="half") == 2
    assert fills(tmp_path, nn.Flatten(), preprocess=nn.Identity()) == 3


def test_batch_size_and_device_do_not_count(tmp_path):
    assert [fills(tmp_path, nn.Flatten(), batch_size=size, device="cpu") for size in (1, 5)] == [1, 1]


# Among scikit-learn's tools


def test_transform_needs_no_fit_but_names_do():
    np.testing.assert_array_equal(Embedding(Counted()).transform(["tea"]), [[3, 1]])
    assert Embedding(Counted()).fit(["tea"]).get_feature_names_out().tolist() == ["embedding0", "embedding1"]


def test_fit_encodes_one_row():
    encoder = Counted()
    Embedding(encoder).fit(TEXTS)
    assert encoder.n_rows == 1


def test_output_can_be_a_frame():
    frame = Embedding(Counted()).set_output(transform="pandas").fit_transform(pd.Series(TEXTS, index=range(6, 0, -1)))
    assert list(frame.columns) == ["embedding0", "embedding1"]


def test_clones_and_pickles_of_a_used_one_work(tmp_path):
    embedding = Embedding(network(), cache=tmp_path)
    vectors = embedding.fit_transform(IMAGES)
    for copy in (clone(embedding), pickle.loads(pickle.dumps(embedding))):
        np.testing.assert_array_equal(copy.fit_transform(IMAGES), vectors)
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


def test_it_works_in_threads(tmp_path):
    embedding = Embedding(network().train(), cache=tmp_path, batch_size=2)
    results = joblib.Parallel(4, prefer="threads")(joblib.delayed(embedding.fit_transform)(IMAGES) for _ in range(8))
    for vectors in results:
        np.testing.assert_array_equal(vectors, results[0])
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


def test_a_search_over_texts_encodes_each_once(tmp_path):
    encoder = Counted()
    model = make_pipeline(Embedding(encoder, cache=tmp_path, cache_key="k"), LogisticRegression())
    texts = ["e" * n for n in range(1, 13)]
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1, 10]}, cv=3, error_score="raise")
    assert search.fit(texts, [0, 1] * 6).predict(texts).shape == (12,)
    assert len(list(tmp_path.glob("*.sqlite"))) == 1
    # The encoder is copied by clone, and counts in its copies.
    assert encoder.n_rows == 0


def test_a_named_encoder_is_saved_without_pickle(tmp_path):
    embedding = Embedding("timm:resnet18", cache="folder", batch_size=3)
    save(make_pipeline(embedding, LogisticRegression()), tmp_path / "model.skops")
    assert load(tmp_path / "model.skops")[0].get_params() == embedding.get_params()


N_COMPUTED = []


def letters(rows):
    N_COMPUTED.append(len(rows))
    return np.array([[row.count(letter) for letter in "abc"] for row in rows])


@pytest.mark.parametrize("form", ["list", "objects", "Series", "DataFrame"])
def test_every_round_of_a_loop_over_texts_hits_the_cache(tmp_path, form):
    N_COMPUTED.clear()
    y = np.arange(40) % 2
    texts = [f"{number} {'ab'[label] * 3}{'c' * (number >= 20)}" for number, label in enumerate(y)]
    sample_domain = np.where(np.arange(40) < 20, 1, -2)
    X = TEXT_FORMS[form](texts) if form != "Series" else pd.Series(texts)
    model = make_pipeline(Embedding(letters, cache=tmp_path, cache_key="k"), LogisticRegression())
    loop = ActiveAdaptationLoop(model, BADGE(), budget=6, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert loop.n_queries_ == 6
    assert loop.score(X, y) == 1
    with pytest.warns(UserWarning, match="not saved"):
        loop.save(tmp_path / "loop.skops")
    assert sum(N_COMPUTED) == 40
    known = mask_target(y, sample_domain)
    for _ in range(2):  # the second one goes on with the journal of the first
        with loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
            ids = session.ask(2)
            questions = session.questions()
            assert [text in questions.to_numpy() for text in np.array(texts)[ids]] == [True, True]
            session.tell(ids, y[ids])
    assert sum(N_COMPUTED) == 40
