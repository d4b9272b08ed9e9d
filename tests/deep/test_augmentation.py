from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skada_active.deep import AdaptationClassifier, FeatureNoise, ImageAugmentation
from skada_active.deep.augmentation import default_augmentation, mix_views

IMAGES = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def table(n=4000):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 2, generator=generator) * torch.tensor([1.0, 100.0]) + torch.tensor([5.0, -50.0])


def test_noise_is_in_the_units_of_its_column():
    rows = table()
    noise = FeatureNoise(scale=0.1).fit(rows)(rows) - rows
    assert noise.std(dim=0).tolist() == pytest.approx([0.1, 10.0], rel=0.1)
    assert (noise.mean(dim=0).abs() < torch.tensor([0.01, 1.0])).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_column_has_no_unit_and_gets_no_noise(value):
    rows = torch.full((500, 2), value)
    rows[:, 1] = torch.linspace(0, 1, 500)
    noise = FeatureNoise().fit(rows)(rows) - rows
    assert (noise[:, 0] == 0).all()
    assert (noise[:, 1] != 0).any()


def test_noise_is_refused_before_it_was_fitted():
    with pytest.raises(NotFittedError, match="FeatureNoise"):
        FeatureNoise()(table(4))


def test_masked_values_become_the_mean_of_their_column():
    rows = table()
    masked = FeatureNoise(scale=0.0, mask=0.25).fit(rows)(rows)
    changed = masked != rows
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(masked[changed[:, 0], 0], rows[:, 0].mean(), atol=1e-4)


def test_noise_leaves_its_input_alone():
    rows = table(10)
    before = rows.clone()
    FeatureNoise(mask=0.5).fit(rows)(rows)
    assert torch.equal(rows, before)


@pytest.mark.parametrize("scale_of_values", [1.0, 255.0, 1e-3])
def test_images_of_any_range_keep_their_range(scale_of_values):
    images = scale_of_values * (IMAGES - 0.5)
    out = ImageAugmentation(n_ops=0)(images)
    assert torch.allclose(out, images, atol=scale_of_values / 255)
    strong = ImageAugmentation(n_ops=2, magnitude=15)(images)
    assert strong.shape == images.shape
    low, high = float(images.min()), float(images.max())
    # Where an operation leaves a gap, torchvision fills it with the lowest level of the image.
    assert float(strong.min()) >= low - 1e-6
    assert float(strong.max()) <= high + scale_of_values / 255


def test_each_image_gets_a_draw_of_its_own():
    same = IMAGES[:1].expand(12, -1, -1, -1)
    out = ImageAugmentation(n_ops=2, magnitude=20)(same)
    assert len({image.numpy().tobytes() for image in out}) > 3


def test_flip_mirrors_about_half_of_the_images():
    out = ImageAugmentation(n_ops=0, flip=True)(IMAGES[:1].expand(200, -1, -1, -1))
    mirrored = [torch.allclose(image, IMAGES[0].flip(-1), atol=0.01) for image in out]
    straight = [torch.allclose(image, IMAGES[0], atol=0.01) for image in out]
    assert 60 < sum(mirrored) < 140
    assert sum(mirrored) + sum(straight) == 200


def test_shift_moves_images_and_repeats_their_border():
    image = torch.zeros(1, 1, 5, 5)
    image[..., 2, 2] = 1
    out = ImageAugmentation(n_ops=0, shift=1)(image.expand(50, -1, -1, -1))
    assert {tuple(np.argwhere(frame[0].numpy() > 0.5)[0]) for frame in out} <= {
        (row, column) for row in (1, 2, 3) for column in (1, 2, 3)
    }
    assert len({frame.numpy().tobytes() for frame in out}) > 3


def test_constant_images_stay():
    black = torch.zeros(2, 1, 8, 8)
    assert torch.equal(ImageAugmentation(n_ops=0)(black), black)


def test_grey_images_work():
    assert ImageAugmentation(magnitude=10)(IMAGES[:, :1]).shape == (6, 1, 12, 12)


@pytest.mark.parametrize("shape", [(4, 10), (4, 2, 8, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="ImageAugmentation takes images"):
        ImageAugmentation()(torch.zeros(shape))


def test_auto_is_noise_for_tables_and_randaugment_for_images():
    assert isinstance(default_augmentation(1), FeatureNoise)
    assert isinstance(default_augmentation(3), ImageAugmentation)


def test_mixtures_lie_between_row_and_view():
    share = mix_views(torch.ones(5000, 2), torch.zeros(5000, 2), alpha=0.2)
    assert torch.equal(share[:, 0], share[:, 1])  # one share a row
    assert 0 <= float(share.min()) <= float(share.max()) <= 1
    assert share[:, 0].mean().item() == pytest.approx(0.5, abs=0.03)
    assert share[:, 0].var().item() == pytest.approx(0.25 / 1.4, rel=0.1)  # of Beta(.2, .2)


def test_a_view_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="augmentation must return rows of the shape"):
        mix_views(torch.zeros(2, 3), torch.zeros(2, 2), 0.2)


# In the classifier.


@pytest.fixture
def data(make_data):
    return make_data()


def classifier(**params):
    return AdaptationClassifier(**{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})


def test_only_labelled_target_rows_are_augmented(data):
    seen = []

    def watch(rows):
        seen.append(rows.clone())
        return rows

    classifier(augmentation=watch).fit(*data)
    labelled_target = {row.tobytes() for row in data[0][40:46]}
    assert {row.numpy().tobytes() for rows in seen for row in rows} == labelled_target


def test_an_augmentation_that_changes_nothing_trains_the_same_network(data):
    plain = classifier().fit(*data)
    with torch.random.fork_rng([]):
        mixed = classifier(augmentation=lambda rows: rows.clone(), mix_alpha=0).fit(*data)
    assert np.allclose(plain.predict_proba(data[0]), mixed.predict_proba(data[0]), atol=1e-6)


def test_an_augmentation_may_work_in_place(data):
    models = [
        classifier(augmentation=augment).fit(*data) for augment in (lambda rows: rows + 1, lambda rows: rows.add_(1))
    ]
    assert np.array_equal(*(model.predict_proba(data[0]) for model in models))


def test_the_given_augmentation_is_not_fitted(data):
    noise = FeatureNoise()
    classifier(augmentation=noise).fit(*data)
    assert not hasattr(noise, "scale_")


def test_its_parameters_can_be_searched(data):
    model = classifier(augmentation=FeatureNoise()).set_params(augmentation__scale=0.7)
    assert clone(model).augmentation.scale == 0.7


def test_images_are_augmented_in_training():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, size=(30, 1, 8, 8)).astype(np.uint8)
    y = np.arange(30) % 2
    sample_domain = np.repeat([1, -1], 15)
    models = [
        classifier(augmentation=augmentation, max_epochs=1).fit(X, y, sample_domain)
        for augmentation in (None, "auto", ImageAugmentation(n_ops=2, magnitude=20))
    ]
    outputs = {model.predict_proba(X).tobytes() for model in models}
    assert len(outputs) == 3


@pytest.mark.parametrize("bad", [{"scale": -1.0}, {"mask": 2.0}])
def test_bad_parameters_of_noise_are_refused(data, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        classifier(augmentation=FeatureNoise(**bad)).fit(*data)


@pytest.mark.parametrize("bad", [{"n_ops": -1}, {"magnitude": 31}, {"shift": -1}, {"flip": 2}])
def test_bad_parameters_of_images_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ImageAugmentation(**bad)(IMAGES)
