from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.dataset import ValidSplit
from torch.utils.data import Dataset

from skada_active.deep import AdaptationClassifier, AnchorSet
from skada_active.deep.anchors import Anchors

# Twenty rows of two classes on a circle: rows 0..9 point along x and are of class 0, rows 10..19 along y, of class 1.
LABELED = torch.tensor([0, 10])
LABELS = torch.arange(20) // 10
ANGLES = torch.cat([torch.linspace(0, 0.3, 10), torch.pi / 2 - torch.linspace(0, 0.3, 10)])
EMBEDDING = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)


def read(index, confidence=0.95):
    proba = torch.full((len(index), 2), 1 - confidence)
    proba[torch.arange(len(index)), LABELS[index]] = confidence
    return proba, 3 * EMBEDDING[index]


def make_anchors(read=read, labels=LABELS, labeled=LABELED, **params):
    return Anchors(AnchorSet(**params), labels, labeled, torch.arange(20), n_classes=2, read=read)


def run(anchors, n_steps=30, size=8):
    """Train for some steps, each of which only looks at candidates; return the chunks."""
    torch.manual_seed(0)
    chunks = []
    for chunk in itertools.islice(anchors.chunks(size), n_steps):
        chunks.append(chunk)
        anchors.grow(EMBEDDING[chunk])
    return chunks


@pytest.fixture(autouse=True)
def _restore_generator():
    with torch.random.fork_rng([]):
        yield


def test_the_first_pass_sees_the_labelled_rows_alone():
    assert sorted(run(make_anchors(), n_steps=1)[0].tolist()) == LABELED.tolist()


@pytest.mark.parametrize("neighbors", ["local", "random"])
def test_confident_rows_join_until_the_target_is_covered(neighbors):
    anchors = make_anchors(neighbors=neighbors)
    run(anchors, n_steps=200)
    assert sorted(anchors.rows.tolist()) == list(range(20))
    assert torch.equal(anchors.labels, LABELS)


def test_each_row_joins_once_and_waits_for_the_next_pass():
    anchors = make_anchors(class_balanced=False)
    chunks = run(anchors, n_steps=40, size=100)
    for earlier, later in itertools.pairwise(chunks):
        assert len(later.unique()) == len(later)
        assert set(earlier.tolist()) <= set(later.tolist())


def test_a_pass_is_split_into_chunks_of_the_batch_size():
    anchors = make_anchors(labeled=torch.arange(7), confidence=1.0)
    assert [len(chunk) for chunk in run(anchors, n_steps=6, size=3)] == [3, 3, 1] * 2


def test_unsure_rows_never_join():
    anchors = make_anchors(confidence=0.96)
    run(anchors)
    assert len(anchors) == 2


def test_joining_rows_keep_the_label_of_their_first_prediction():
    answers = iter(range(1000))

    def fickle(index):
        proba = torch.zeros(len(index), 2)
        proba[:, next(answers) % 2] = 1
        return proba, EMBEDDING[index]

    anchors = make_anchors(read=fickle, neighbors="random")
    seen = {}
    for chunk in itertools.islice(anchors.chunks(8), 50):
        for row in chunk.tolist():
            assert seen.setdefault(row, int(anchors.labels[row])) == anchors.labels[row]
        anchors.grow(EMBEDDING[chunk])
    assert len(seen) > 10


def test_local_candidates_are_among_the_nearest_of_the_anchor():
    seen = []

    def watch(index):
        seen.extend(index.tolist())
        return read(index)

    anchors = make_anchors(read=watch, n_neighbors=3)
    next(anchors.chunks(8))
    seen.clear()  # the bank is read at the start
    for _ in range(30):
        anchors.grow(EMBEDDING[:1])
    assert set(seen) == {0, 1, 2}


def test_more_neighbours_than_rows_are_all_rows():
    anchors = make_anchors(n_neighbors=1000)
    run(anchors, n_steps=200)
    assert len(anchors) == 20


def test_the_bank_follows_what_was_read_last():
    turned = []

    def read_turning(index):
        proba, features = read(index)
        return proba, features.flip(1) if turned else features

    anchors = make_anchors(read=read_turning, n_neighbors=1)
    next(anchors.chunks(8))
    turned.append(True)
    anchors.grow(EMBEDDING[:1])
    assert torch.allclose(anchors._bank[0], EMBEDDING[0].flip(0))
    assert torch.allclose(anchors._bank[1:], EMBEDDING[1:])


@pytest.mark.parametrize(("neighbors", "n_reads"), [("local", 1), ("random", 0)])
def test_the_bank_is_read_once_an_epoch(neighbors, n_reads):
    read_all = []

    def watch(index):
        read_all.append(len(index))
        return read(index)

    anchors = make_anchors(read=watch, neighbors=neighbors)
    for _ in range(3):
        next(anchors.chunks(8))
    assert read_all == [20] * 3 * n_reads


def test_class_balancing_turns_frequent_classes_away():
    labeled = torch.tensor([0, 1, 2, 3, 4, 5, 10])

    def first_growth(class_balanced):
        counts = torch.zeros(2)
        for seed in range(40):
            anchors = make_anchors(labeled=labeled, neighbors="random", class_balanced=class_balanced)
            torch.manual_seed(seed)
            next(anchors.chunks(8))
            anchors.grow(EMBEDDING[:7])
            counts += torch.bincount(anchors.labels[torch.cat(anchors._waiting)], minlength=2)
        return counts

    balanced, free = first_growth(True), first_growth(False)
    assert balanced[1] == free[1]
    assert balanced[0] == pytest.approx(float(free[0]) * 2 / 7, rel=0.35)  # 1 - (7 - 2) / 7


def test_without_labelled_rows_there_are_no_anchors():
    chunks = run(make_anchors(labeled=torch.empty(0, dtype=torch.int64)), n_steps=5)
    assert [len(chunk) for chunk in chunks] == [0] * 5


def test_every_epoch_starts_from_the_labelled_rows():
    anchors = make_anchors()
    run(anchors, n_steps=100)
    assert len(anchors) > 2
    assert len(next(anchors.chunks(8))) == 2


def test_labels_of_other_rows_are_not_read():
    poisoned = torch.full_like(LABELS, 10**6)
    poisoned[LABELED] = LABELS[LABELED]
    clean, other = (make_anchors(labels=labels) for labels in (LABELS, poisoned))
    run(clean)
    run(other)
    assert torch.equal(clean.labels, other.labels)


# In the classifier.


def classifier(anchors=None, **params):
    params = {"max_epochs": 4, "batch_size": 8, "random_state": 0, **params}
    return AdaptationClassifier(anchors=anchors or AnchorSet(confidence=0.5), **params)


@pytest.fixture
def data(make_data):
    return make_data()


def test_anchor_counts_grow_within_an_epoch_from_the_labelled_rows(data):
    model = classifier().fit(*data)
    counts = model.anchor_counts_
    assert counts[0].tolist() == [2, 2, 2]
    assert (np.diff(counts, axis=0) >= 0).all()
    assert counts[-1].sum() == model.loss_terms_["n_anchors"] > 6


def test_counts_exist_only_with_anchors(data):
    with pytest.raises(AttributeError, match="AnchorSet"):
        _ = AdaptationClassifier(max_epochs=1).fit(*data).anchor_counts_


def test_without_any_epoch_there_was_no_pass(data):
    assert classifier(max_epochs=0).fit(*data).anchor_counts_.shape == (0, 3)


def test_the_anchor_set_is_that_of_the_last_counts(data):
    model = classifier().fit(*data)
    members = model.anchor_set_
    in_pass = members["joined"][:, None] <= np.arange(len(model.anchor_counts_))
    np.testing.assert_array_equal(in_pass.sum(axis=0), model.anchor_counts_.sum(axis=1))
    labels, counts = np.unique(members["label"], return_counts=True)
    np.testing.assert_array_equal(counts, model.anchor_counts_[-1][labels])


def test_answers_are_the_first_anchors_and_what_joined_was_sure_enough(data):
    _, y, sample_domain = data
    members = classifier().fit(*data).anchor_set_
    first, joined = members[:6], members[6:]
    assert set(first["row"]) == set(np.flatnonzero((sample_domain < 0) & (y >= 0)))
    np.testing.assert_array_equal(first["label"], y[first["row"]])
    assert (first["confidence"] == 1).all()
    assert (first["joined"] == 0).all()
    assert len(joined)
    assert (joined["confidence"] >= 0.5).all()
    assert (joined["joined"] > 0).all()
    assert (y[joined["row"]] == -1).all()


def test_the_anchor_set_has_labels_not_positions(data):
    X, y, sample_domain = data
    names = np.where(y >= 0, np.array(["a", "bb", "ccc"], dtype=object)[y], None)
    assert set(classifier().fit(X, names, sample_domain).anchor_set_["label"]) == {"a", "bb", "ccc"}


def test_without_any_epoch_there_are_no_anchors(data):
    assert classifier(max_epochs=0).fit(*data).anchor_set_.shape == (0,)


def test_an_anchor_set_exists_only_with_anchors(data):
    with pytest.raises(AttributeError, match="AnchorSet"):
        _ = AdaptationClassifier(max_epochs=1).fit(*data).anchor_set_


CHANGES = {"neighbors": "random", "n_neighbors": 1, "confidence": 0.0, "class_balanced": False}


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_the_model(data, name):
    assert set(CHANGES) == set(AnchorSet().get_params())
    base = AnchorSet(confidence=0.5)
    changed = clone(base).set_params(**{name: CHANGES[name]})
    models = [classifier(anchors).fit(*data) for anchors in (base, changed)]
    assert not np.array_equal(*(model.predict_proba(data[0]) for model in models))


def test_the_same_seed_gives_the_same_model(data):
    first, second = (classifier().fit(*data).predict_proba(data[0]) for _ in range(2))
    assert np.array_equal(first, second)


def test_candidates_leave_batch_normalisation_alone(data):
    with_anchors = classifier(AnchorSet(confidence=1.0), augmentation=None).fit(*data)
    tracked = [b for name, b in with_anchors.net_.module_.named_buffers() if name.endswith("num_batches_tracked")]
    assert [int(count) for count in tracked] == [with_anchors.net_.clock_.iteration]


def test_the_network_goes_on_training_after_candidates_were_read(data):
    model = classifier().fit(*data)
    assert model.partial_fit(*data).net_.module_.training


def test_datasets_train_as_arrays_do(data):
    class Rows(Dataset):
        def __len__(self):
            return len(data[0])

        def __getitem__(self, index):
            return data[0][index]

    models = [classifier(standardize=False).fit(X, *data[1:]) for X in (data[0], Rows())]
    assert np.array_equal(*(model.predict_proba(data[0]) for model in models))


@pytest.mark.parametrize("neighbors", ["local", "random"])
def test_a_dataset_of_source_rows_alone_trains(data, neighbors):
    X, y, _ = data
    rows = [(row,) for row in X[:40]]

    class Rows(Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index]

    assert classifier(AnchorSet(neighbors)).fit(Rows(), y[:40]).loss_terms_["n_anchors"] == 0


def test_loader_workers_read_ahead_without_losing_rows(data):
    class Rows(Dataset):
        def __len__(self):
            return len(data[0])

        def __getitem__(self, index):
            return data[0][index]

    workers = {"iterator_train__num_workers": 1}
    model = classifier(max_epochs=1, net_params=workers).fit(Rows(), *data[1:])
    assert model.anchor_counts_[0].tolist() == [2, 2, 2]


def test_only_labelled_target_rows_train_too(data):
    X, y, sample_domain = data
    model = classifier().fit(X[40:], y[40:], sample_domain[40:])
    assert model.anchor_counts_[0].tolist() == [2, 2, 2]


def test_a_single_labelled_row_trains(data):
    X, y, sample_domain = data
    y = np.where(np.arange(len(y)) > 40, -1, y)
    assert classifier().fit(X[40:], y[40:], sample_domain[40:]).classes_.tolist() == [y[40]]


def test_without_labelled_target_rows_the_source_alone_trains(data):
    X, y, sample_domain = data
    masked = np.where(sample_domain < 0, -1, y)
    model = classifier().fit(X, masked, sample_domain)
    assert model.loss_terms_["n_anchors"] == 0


def test_joint_batches_are_refused(data):
    with pytest.raises(ValueError, match=r'anchors stand in .* use labeled_loss="s\+t"'):
        classifier(labeled_loss="joint").fit(*data)


@pytest.mark.parametrize(
    "bad", [{"neighbors": "all"}, {"n_neighbors": 0}, {"confidence": 1.1}, {"class_balanced": "yes"}]
)
def test_bad_parameters_are_refused_by_name(data, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        classifier(AnchorSet(**bad)).fit(*data)


def test_validation_rows_are_no_anchors(data):
    model = classifier(net_params={"train_split": ValidSplit(0.3, random_state=0)}, max_epochs=1).fit(*data)
    assert model.anchor_counts_[0].sum() < 6
