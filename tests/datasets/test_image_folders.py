"""Images in folders become rows, labels and domains, and are read from disk when a row is."""

from __future__ import annotations

import math
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils import _safe_indexing
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from skada_active import ActiveAdaptationLoop, TargetShuffleSplit, mask_target, stack_domains, target_accuracy
from skada_active.datasets import ImageFiles, image_folders
from skada_active.deep import AdaptationClassifier, ImageAugmentation
from skada_active.embedding import Embedding
from skada_active.query import MarginSampling
from skada_active.utils.rows import is_dataset, take_rows

CLASSES = ["dark", "light"]


def save(path, value=0, size=(12, 16), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 40, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise + np.uint8(value)).convert(mode).save(path, **options)


@pytest.fixture
def folders(tmp_path):
    """Two domains of six images a class."""
    for domain in ("shop", "phone"):
        for label in CLASSES:
            for number in range(6):
                save(tmp_path / domain / label / f"{number}.png", 160 * (label == "light") + number)
    return {name: tmp_path / name for name in ("shop", "phone")}


def load(folders, **options):
    return image_folders(folders, **{"source": "shop", "target": "phone", "image_size": 8, **options})


def pixels(tmp_path, image, name="image.png", **options):
    """Return the middle pixel of an image of one colour, as it is read from a file."""
    image.save(tmp_path / name, **options)
    return ImageFiles([tmp_path / name], image_size=4)[0][:, 2, 2].tolist()


# Folders


def test_folders_become_rows_labels_and_domains(folders):
    X, y, sample_domain = load(folders)
    assert (len(X), X[0].shape, X[0].dtype) == (24, (3, 8, 8), np.uint8)
    assert y.tolist() == (["dark"] * 6 + ["light"] * 6) * 2
    assert (y.dtype.kind, sample_domain.dtype) == ("U", np.int64)
    assert sample_domain.tolist() == [1] * 12 + [-2] * 12


def test_several_domains_keep_their_numbers_whatever_their_order(folders, tmp_path):
    save(tmp_path / "web" / "dark" / "0.png")
    _, _, sample_domain = load({**folders, "web": tmp_path / "web"}, source=["web", "shop"], target=["phone"])
    assert sample_domain.tolist() == [3] + [1] * 12 + [-2] * 12


def test_rows_have_the_order_and_pixels_of_torchvision(folders):
    save(folders["shop"] / "dark" / "more" / "00.jpg", 3, (30, 17))
    save(folders["shop"] / "dark" / "Z.PNG", 4, (17, 30))
    X, y, sample_domain = load(folders, resize=10)
    there = ImageFolder(folders["shop"], v2.Compose([v2.Resize(10), v2.CenterCrop(8), v2.PILToTensor()]))
    assert X.paths[sample_domain > 0].tolist() == [path for path, _ in there.samples]
    assert y[sample_domain > 0].tolist() == [there.classes[label] for label in there.targets]
    for row, (image, _) in enumerate(there):
        np.testing.assert_allclose(X[row].astype(int), image.numpy().astype(int), atol=2)


def test_images_that_lie_in_the_folder_of_a_target_have_no_label(folders):
    for number in range(2):
        save(folders["phone"] / f"{number}.png")
    _, y, _ = load(folders)
    assert y.tolist()[-3:] == ["light", None, None]
    assert y.dtype == object


def test_what_is_no_image_and_what_is_hidden_is_passed_over(folders):
    save(folders["shop"] / ".thumbnails" / "0.png")
    save(folders["shop"] / "dark" / ".thumbnails" / "0.png")
    shutil.copy(folders["shop"] / "dark" / "0.png", folders["shop"] / "dark" / "._0.png")
    (folders["shop"] / "dark" / "notes.txt").write_text("?")
    assert len(load(folders)[0]) == 24


def test_classes_leaves_the_others_out(folders):
    save(folders["phone"] / "blurred" / "0.png")
    assert set(load(folders, classes=["dark"])[1]) == {"dark"}
    assert len(load(folders, classes=CLASSES)[0]) == 24


def test_a_source_may_have_more_classes_than_the_target(folders):
    save(folders["shop"] / "blurred" / "0.png")
    assert set(load(folders)[1]) == {"blurred", *CLASSES}


def test_a_class_of_the_target_alone_is_an_error_that_says_what_to_do(folders):
    save(folders["phone"] / "blurred" / "0.png")
    with pytest.raises(ValueError, match=r"'phone'.*\['blurred'\].*classes=\['dark', 'light'\]"):
        load(folders)


def loose(folder):
    save(folder / "loose.png")


def empty_class(folder):
    (folder / "empty").mkdir()


def no_images(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def no_folder(folder):
    shutil.rmtree(folder)
    folder.touch()


def loop_of_links(folder):
    (folder / "dark" / "again").symlink_to(folder, target_is_directory=True)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (shutil.rmtree, FileNotFoundError, "does not exist"),
        (no_folder, NotADirectoryError, "is no folder"),
        (no_images, ValueError, "holds no image"),
        (empty_class, ValueError, "class 'empty' holds no image"),
        (loose, ValueError, r"'loose\.png' first, lie in no sub-folder"),
        (loop_of_links, ValueError, "link to a folder that it lies in"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(folders, spoil, error, message):
    spoil(folders["shop"])
    with pytest.raises(error, match=message) as caught:
        load(folders)
    assert str(folders["shop"]) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "shops"}, "unknown domains"),
        ({"target": "shop"}, "either source or target"),
        ({"classes": ["dark", "drak"]}, r"classes names \['drak'\]"),
        ({"classes": "dark"}, "must list names"),
        ({"image_size": 0}, "image_size must be a positive integer"),
        ({"resize": 7}, "resize=7 must be at least as large"),
    ],
)
def test_what_is_wrong_with_an_argument_is_named(folders, options, message):
    with pytest.raises(ValueError, match=message):
        load(folders, **options)


# One file


def test_modes_become_rgb(tmp_path):
    assert pixels(tmp_path, Image.new("L", (9, 9), 70)) == [70] * 3
    assert pixels(tmp_path, Image.new("1", (9, 9), 1)) == [255] * 3
    assert pixels(tmp_path, Image.new("RGB", (9, 9), (10, 20, 30)).quantize(4)) == [10, 20, 30]
    assert pixels(tmp_path, Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "image.tif") == [255, 0, 0]
    assert pixels(tmp_path, Image.fromarray(np.full((9, 9), 0x7FFF, dtype=np.uint16))) == [0x7F] * 3


def test_what_is_transparent_becomes_white(tmp_path):
    assert pixels(tmp_path, Image.new("RGBA", (9, 9), (10, 20, 30, 0))) == [255] * 3
    assert pixels(tmp_path, Image.new("LA", (9, 9), (10, 255))) == [10] * 3
    palette = Image.new("RGB", (9, 9), (10, 20, 30)).quantize(4)
    assert pixels(tmp_path, palette, transparency=palette.getpixel((0, 0))) == [255] * 3


def test_numbers_of_unknown_range_are_refused(tmp_path):
    with pytest.raises(OSError, match="32-bit numbers"):
        pixels(tmp_path, Image.new("F", (9, 9), 0.5), "image.tif")


def test_orientation_is_honoured(tmp_path):
    save(tmp_path / "upright.png", 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(tmp_path / "upright.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright, turned = ImageFiles([tmp_path / "upright.png", tmp_path / "turned.png"], image_size=8)
    np.testing.assert_array_equal(upright, turned)


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    for name in ("image.gif", "image.webp"):
        lossless = {} if name.endswith("gif") else {"lossless": True}
        assert pixels(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **lossless) == [255, 0, 0]


@pytest.mark.parametrize(
    ("image_size", "resize", "part"),
    [
        (8, None, (0, 8, 8, 24)),  # (top, bottom, left, right) of 8 rows and 32 columns
        ((4, 8), None, (0, 8, 8, 24)),
        ((8, 4), None, (0, 8, 14, 18)),
        (4, 8, (2, 6, 14, 18)),
        (8, (8, 8), (0, 8, 0, 32)),
    ],
)
def test_the_centre_is_cut_out_after_resizing(tmp_path, image_size, resize, part):
    # The levels of a ramp of columns tell which of them are left.
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (8, 32, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    row = ImageFiles([tmp_path / "ramp.png"], image_size=image_size, resize=resize)[0]
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    assert row.shape == (3, height, width)
    _, _, left, right = part
    if (image_size, resize) == (8, None):
        left, right = 12, 20
    levels = row[0, height // 2].astype(int)
    assert abs(levels.mean() - 8 * ((left + right) / 2 - 0.5)) <= 2
    assert abs((levels[-1] - levels[0]) - 8 * (right - left) * (width - 1) / width) <= 8


def test_a_long_image_is_not_resized_as_a_whole(tmp_path):
    Image.new("RGB", (60_000, 1), "red").save(tmp_path / "line.png")
    assert ImageFiles([tmp_path / "line.png"], image_size=64)[0].shape == (3, 64, 64)  # of 60,000 x 64 x 64 pixels


def test_a_large_jpeg_is_close_to_its_full_decoding(tmp_path):
    grid = np.add.outer(np.arange(512), np.arange(700)) // 5
    Image.fromarray(np.stack([grid, 255 - grid, grid], axis=2).astype(np.uint8)).save(tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as image:
        full = np.asarray(v2.Compose([v2.Resize(32), v2.CenterCrop(32)])(image)).transpose(2, 0, 1)
    assert np.abs(ImageFiles([tmp_path / "large.jpg"], image_size=32)[0].astype(int) - full).mean() < 1.5


# Rows


def test_indexing_gives_items_and_parts(folders):
    X = load(folders)[0]
    parts = X[2:5], X[[4, 2]], X[np.arange(24) > 20], X[[]], X[torch.tensor([1])], X[::-1][:1]
    assert [len(part) for part in parts] == [3, 2, 3, 0, 1, 1]
    assert parts[1].paths.tolist() == [X.paths[4], X.paths[2]]
    np.testing.assert_array_equal(parts[5][0], X[-1])
    np.testing.assert_array_equal(X[np.int64(3)], list(X)[3])
    assert len(list(X)) == 24
    assert "24 files" in repr(X)


@pytest.mark.parametrize("key", [24, -25, (0, slice(3)), True, "a", [0.5], [True], np.zeros((2, 2), dtype=int)])
def test_other_indexes_are_refused(folders, key):
    with pytest.raises(IndexError):
        load(folders)[0][key]


def test_scikit_learn_and_the_package_leave_files_on_disk(folders):
    X, y, _ = load(folders)
    parts = [_safe_indexing(X, [3, 1]), _safe_indexing(X, np.arange(24) == 3), take_rows(X, np.array([3, 1]))]
    parts += train_test_split(X, y, random_state=0)[:2]
    assert all(isinstance(part, ImageFiles) for part in parts)
    assert [len(part) for part in parts] == [2, 1, 2, 18, 6]
    assert is_dataset(X)


def test_a_pickle_is_about_as_long_as_the_paths(folders):
    X = load(folders)[0][np.zeros(1000, dtype=int)]
    assert len(pickle.dumps(X)) < 20_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X))[5], X[5])


def test_lists_of_files_are_stacked(folders):
    of_domain = {name: sorted(folder.glob("*/*.png")) for name, folder in folders.items()}
    X, y, _ = stack_domains(
        {
            name: (ImageFiles(files, image_size=8), None if name == "phone" else [file.parent.name for file in files])
            for name, files in of_domain.items()
        },
        target="phone",
    )
    assert isinstance(X, ImageFiles)
    assert X.paths.tolist() == load(folders)[0].paths.tolist()
    assert y[-1] is None
    with pytest.raises(ValueError, match="differ in image_size or resize"):
        X.join_rows(ImageFiles(X.paths, image_size=8, resize=9))


@pytest.mark.parametrize(("paths", "error"), [("a.png", TypeError), ([], ValueError), ([3], TypeError)])
def test_what_is_no_list_of_paths_is_refused(paths, error):
    with pytest.raises(error, match="paths"):
        ImageFiles(paths)


def test_errors_about_paths_name_the_remedy(folders):
    X, y, _ = load(folders)
    for given in (list(X.paths), [*map(str, X.paths)], str(folders["shop"])):
        with pytest.raises(TypeError, match="ImageFiles"):
            AdaptationClassifier().fit(given, y)


# Broken files


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def spoil_header(path):
    path.write_bytes(path.read_bytes()[:2] + bytes(40) + path.read_bytes()[42:])


BROKEN = {
    "no image": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": truncate,
    "header": spoil_header,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_file_is_named_with_its_row(tmp_path, how, suffix):
    files = [tmp_path / f"{number}.{suffix}" for number in range(4)]
    for file in files:
        save(file, 5, (40, 40))
    BROKEN[how](files[2])
    X = ImageFiles(files, image_size=8)
    with pytest.raises(OSError, match=rf"2\.{suffix}, row 2 of X, could not be read: .+\. X\.check\(\)"):
        X[1:][1]
    ((row, path, reason),) = X.check(n_jobs=2)
    assert (row, path) == (2, str(files[2]))
    assert reason


def test_a_worker_names_a_broken_file(folders):
    X, y, _ = load(folders)
    BROKEN["empty"](folders["phone"] / "light" / "3.png")
    workers = {"iterator_train__num_workers": 1, "iterator_valid__num_workers": 1}
    model = AdaptationClassifier(max_epochs=0, standardize=False, net_params=workers, random_state=0).fit(X, y)
    with pytest.raises(OSError, match=r"3\.png, row 21 of X, could not be read: the file is empty"):
        model.predict(X[12:])


def test_spoilt_orientation_is_no_reason_to_refuse(tmp_path):
    save(tmp_path / "image.jpg", 7, exif=b"Exif\0\0garbage")
    assert ImageFiles([tmp_path / "image.jpg"], image_size=8)[0].shape == (3, 8, 8)


# The whole way


def flat(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 4))


def model_of(**options):
    return AdaptationClassifier(**{"module": flat, "max_epochs": 1, "random_state": 0, **options})


def test_a_network_learns_from_files_as_from_their_array(folders):
    X, y, sample_domain = load(folders)
    known = mask_target(y, sample_domain)
    of_files, of_array = (model_of(module=None).fit(rows, known, sample_domain) for rows in (X, np.stack(list(X))))
    np.testing.assert_array_equal(of_files.predict_proba(X), of_array.predict_proba(np.stack(list(X))))


def test_train_transform_draws_for_each_image(folders):
    X, y, sample_domain = load(folders)
    seen = []

    def views(images):
        seen.append(torch.stack([v2.RandomErasing(p=0.5, scale=(0.3, 0.3))(image) for image in images]))
        return seen[-1]

    model_of(train_transform=views).fit(X, y, sample_domain)
    is_erased = (seen[0] == 0).flatten(1).sum(dim=1) > 20
    assert 0 < is_erased.sum() < len(is_erased)
    model_of(train_transform=ImageAugmentation(shift=2, flip=True)).fit(X, y, sample_domain)


def test_a_loop_buys_labels_of_files(folders):
    X, y, sample_domain = load(folders)
    loop = ActiveAdaptationLoop(model_of(), MarginSampling(), budget=4, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(loop.queried_ids_) == 4
    assert loop.predict(X[-3:]).shape == (3,)


def test_a_search_splits_files(folders):
    X, y, sample_domain = load(folders)
    loop = ActiveAdaptationLoop(model_of(), MarginSampling(), budget=2, n_rounds=1, random_state=0)
    search = GridSearchCV(
        loop, {"estimator__lr": [1e-3, 1e-2]}, cv=TargetShuffleSplit(2, random_state=0), scoring=target_accuracy
    )
    search.fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_session_goes_on_where_its_files_were_moved_to(folders, tmp_path):
    X, y, sample_domain = load(folders)
    known = mask_target(y, sample_domain)
    loop = ActiveAdaptationLoop(model_of(), MarginSampling(), budget=4, n_rounds=2, random_state=0)
    with loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
        ids = session.ask(2)
        table = session.questions()
        assert table["index"].tolist() == X.paths[ids].tolist()
        session.tell(ids, pd.Series(y[ids], index=X.paths[ids])[::-1])  # by the names of the files
    folders = {name: folder.rename(folder.with_name(f"{name}_moved")) for name, folder in folders.items()}
    X = load(folders)[0]
    with loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
        assert dict(zip(ids, y[ids], strict=True)).items() <= dict(enumerate(session.state.y)).items()
        assert len(session.ask(2)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[np.r_[1, 0, 2:24]], "rows 0 to 1 of X are others"),
        (lambda X: ImageFiles(X.paths, image_size=8, resize=9), "X has the type uint8, resize=9"),
        (lambda X: ImageFiles(X.paths, image_size=9), "X has the shape"),
        (lambda X: X[:-1].join_rows(X[:1]), "rows 23 to 23 of X are others"),
    ],
)
def test_a_journal_refuses_other_files(folders, tmp_path, change, message):
    X, y, sample_domain = load(folders)
    known = mask_target(y, sample_domain)
    loop = ActiveAdaptationLoop(model_of(max_epochs=0), MarginSampling(), budget=4, random_state=0)
    with loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
        session.ask(1)
    with pytest.raises(ValueError, match=message):
        loop.session(change(X), known, sample_domain=sample_domain, journal=tmp_path / "labels.db")


def test_a_loop_over_files_is_saved_without_them(folders, tmp_path):
    X, y, sample_domain = load(folders)
    loop = ActiveAdaptationLoop(model_of(module=None), MarginSampling(), budget=2, n_rounds=1, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    with pytest.warns(UserWarning, match="ImageFiles are not saved"):
        loop.save(tmp_path / "loop.skops")
    again = ActiveAdaptationLoop.load(tmp_path / "loop.skops", X=X)
    np.testing.assert_array_equal(again.predict_proba(X), loop.predict_proba(X))


def _mean_colours(rows):
    return np.stack([row.mean(axis=(1, 2)) for row in rows])


def test_an_embedding_decodes_an_image_once(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (9, 9), (80 * number, 0, 0)).save(path)
    X = ImageFiles(paths, image_size=8)
    embedding = Embedding(
        lambda rows: np.stack([row.mean(axis=(1, 2)) for row in rows]), cache=tmp_path, cache_key="mean"
    )
    expected = embedding.transform(X)
    monkeypatch.setattr("skada_active.datasets._image_files.read_image", None)
    np.testing.assert_array_equal(embedding.transform(X), expected)
    monkeypatch.undo()
    Image.new("RGB", (9, 9), (7, 7, 7)).save(paths[1])
    np.testing.assert_array_equal(embedding.transform(X)[[0, 2]], expected[[0, 2]])
    assert embedding.transform(X)[1].tolist() == [7, 7, 7]
    assert not np.array_equal(embedding.transform(ImageFiles(paths, image_size=4))[1], expected[1])
