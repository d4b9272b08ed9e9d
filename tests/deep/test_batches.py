from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from skada_active.deep.batches import MIN_STEPS, DomainDataset, RoleBatches, RowBatches

N_SOURCE, N_LABELED_TARGET, N_POOL = 100, 3, 41
OPTIONS = {"joint": False, "target_role": "target"}


class Rows(Dataset):
    """Yield rows in the shape that a user's dataset may choose."""

    def __init__(self, rows, wrap):
        self.rows, self.wrap = rows, wrap

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.wrap(self.rows[index])


WRAPPERS = {
    "tensor": lambda row: row,
    "array": lambda row: row.numpy(),
    "row and label": lambda row: (row, 7),
    "list of row and label": lambda row: [row.numpy(), "a"],
}


def with_label(row):
    return row, 0


def make_data(n_source=N_SOURCE, n_labeled_target=N_LABELED_TARGET, n_pool=N_POOL, rows=None):
    """Return data whose row i is (i,): two sources, one target, the first target rows labelled."""
    n = n_source + n_labeled_target + n_pool
    domain = torch.full((n,), 2)
    domain[:n_source] = torch.arange(n_source) % 2
    labels = torch.arange(n) % 3
    labels[n_source + n_labeled_target :] = -1
    rows = torch.arange(n, dtype=torch.float32)[:, None] if rows is None else rows
    return DomainDataset(rows, labels, domain, n_sources=2)


def batches_of(data, batch_size=16, seed=0, **options):
    torch.manual_seed(seed)
    return list(RoleBatches(data, batch_size, **{**OPTIONS, **options}))


@pytest.fixture(autouse=True)
def _restore_generator():
    with torch.random.fork_rng([]):
        yield


def ids(rows):
    return rows[:, 0].long().tolist()


def test_roles_name_the_rows_of_the_data():
    data = make_data(2, 1, 2)
    roles = {
        name: data.role(name).tolist() for name in ("source", "target", "labeled", "labeled_target", "unlabeled_target")
    }
    assert roles == {
        "source": [0, 1],
        "target": [2, 3, 4],
        "labeled": [0, 1, 2],
        "labeled_target": [2],
        "unlabeled_target": [3, 4],
    }


def test_roles_among_some_rows_stay_among_them():
    assert make_data(2, 1, 2).role("target", torch.tensor([0, 4, 3])).tolist() == [4, 3]


def test_every_step_has_rows_of_every_role_in_their_blocks():
    for rows, batch in batches_of(make_data()):
        assert (batch.n_source, batch.n_labeled, len(batch)) == (16, 16 + 3, 16 + 3 + 16)
        assert (batch.domain[:16] < 2).all()
        assert (batch.domain[16:] == 2).all()
        assert (batch.labels[: batch.n_labeled] >= 0).all()
        assert len(rows) == len(batch)


def test_rows_labels_and_domains_belong_together():
    data = make_data()
    for rows, batch in batches_of(data):
        assert torch.equal(batch.labels, data.labels[rows[:, 0].long()])
        assert torch.equal(batch.domain, data.domain[rows[:, 0].long()])


def test_the_few_labelled_target_rows_come_back_in_every_step():
    for rows, batch in batches_of(make_data()):
        assert sorted(ids(rows)[16 : batch.n_labeled]) == [100, 101, 102]


def test_a_role_with_fewer_rows_than_a_batch_cycles_without_leaving_one_out():
    drawn = [row for rows, batch in batches_of(make_data(n_labeled_target=20)) for row in ids(rows)[16:32]]
    counts = np.bincount(drawn)[100:120]
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("n_source", "n_labeled_target", "expected"), [(320, 3, 20), (321, 3, 21), (3, 200, 13)])
def test_an_epoch_shows_the_largest_labelled_role_once(n_source, n_labeled_target, expected):
    assert len(RoleBatches(make_data(n_source, n_labeled_target), 16, **OPTIONS)) == expected


def test_an_epoch_has_no_fewer_than_the_minimal_number_of_steps():
    batches = RoleBatches(make_data(5, 1, 1000), 16, **OPTIONS)
    assert len(batches) == len(list(batches)) == MIN_STEPS


def test_each_source_row_is_seen_once_in_a_pass():
    drawn = [row for rows, batch in batches_of(make_data(n_source=320)) for row in ids(rows)[: batch.n_source]]
    assert sorted(drawn) == list(range(320))


def test_each_pass_has_an_order_of_its_own():
    batches = RoleBatches(make_data(n_source=320), 16, **OPTIONS)
    first, second = ([row for rows, _ in batches for row in ids(rows)[:16]] for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_batches_follow_the_global_generator():
    first, again, other = (batches_of(make_data(), seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_target_block_holds_all_target_rows_or_those_without_a_label():
    everything = {row for rows, batch in batches_of(make_data()) for row in ids(rows)[batch.n_labeled :]}
    unlabeled = {
        row
        for rows, batch in batches_of(make_data(), target_role="unlabeled_target")
        for row in ids(rows)[batch.n_labeled :]
    }
    assert everything == set(range(100, 144))
    assert unlabeled == set(range(103, 144))


def test_without_a_target_role_there_is_no_third_block():
    assert all(batch.n_labeled == len(batch) for _, batch in batches_of(make_data(), target_role=None))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((100, 0, 41), (16, 16, 32)), ((100, 3, 0), (16, 19, 22)), ((0, 3, 41), (0, 3, 19)), ((100, 0, 0), (16, 16, 16))],
    ids=["no labelled target", "no pool", "no source", "source only"],
)
def test_a_role_without_rows_leaves_an_empty_block(sizes, expected):
    for _, batch in batches_of(make_data(*sizes)):
        assert (batch.n_source, batch.n_labeled, len(batch)) == expected


def test_joint_batches_draw_source_and_labelled_target_from_one_stream():
    batches = batches_of(make_data(60, 40), joint=True)
    assert {batch.n_labeled for _, batch in batches} == {16}
    assert len({batch.n_source for _, batch in batches}) > 1
    drawn = [row for rows, batch in batches for row in ids(rows)[: batch.n_labeled]]
    assert set(drawn) == set(range(100))


def test_joint_batches_are_sorted_into_their_blocks():
    for rows, batch in batches_of(make_data(60, 40), joint=True):
        assert (batch.domain[: batch.n_source] < 2).all()
        assert (batch.domain[batch.n_source :] == 2).all()
        assert max(ids(rows)[: batch.n_source], default=0) < 60
        assert all(60 <= row < 100 for row in ids(rows)[batch.n_source : batch.n_labeled])


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("sizes", [(1, 0, 0), (0, 1, 0)])
def test_a_single_row_is_doubled_for_batch_normalisation(sizes, joint):
    for rows, batch in batches_of(make_data(*sizes), joint=joint, target_role=None):
        assert ids(rows) == [0, 0]
        assert (batch.n_source, batch.n_labeled) == (2 * sizes[0], 2)
        assert len(batch.labels) == len(batch.domain) == 2


def test_rows_to_use_may_be_given():
    among = torch.tensor([5, 6, 101, 120])
    drawn = {row for rows, _ in batches_of(make_data(), among=among) for row in ids(rows)}
    assert drawn == {5, 6, 101, 120}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_a_dataset_gives_the_batches_of_the_tensor(wrap):
    data = make_data()
    dataset = DomainDataset(Rows(data.rows, wrap), data.labels, data.domain, data.n_sources)
    for (rows, batch), (expected, expected_batch) in zip(batches_of(dataset), batches_of(data), strict=True):
        assert torch.equal(rows, expected)
        assert torch.equal(batch.labels, expected_batch.labels)


def test_workers_give_the_batches_of_the_tensor():
    data = make_data()
    dataset = DomainDataset(Rows(data.rows, with_label), data.labels, data.domain, data.n_sources)
    loaded = batches_of(dataset, loader_params={"num_workers": 2})
    for (rows, _), (expected, _) in zip(loaded, batches_of(data), strict=True):
        assert torch.equal(rows, expected)


def test_bytes_become_floats_in_batches():
    images = torch.arange(144, dtype=torch.uint8)[:, None]
    data = make_data(rows=images)
    dataset = DomainDataset(Rows(images, WRAPPERS["tensor"]), data.labels, data.domain, data.n_sources)
    for source in (data, dataset):
        assert {rows.dtype for rows, _ in batches_of(source)} == {torch.float32}
    assert {rows.dtype for rows, _ in RowBatches(images, 10)} == {torch.float32}


@pytest.mark.parametrize("wrap", [None, *WRAPPERS.values()], ids=["rows", *WRAPPERS])
def test_prediction_reads_all_rows_in_order(wrap):
    rows = torch.arange(23, dtype=torch.float32)[:, None]
    batches = RowBatches(rows if wrap is None else Rows(rows, wrap), 10)
    assert [len(batch) for batch, _ in batches] == [10, 10, 3]
    assert len(batches) == 3
    assert torch.equal(torch.cat([batch for batch, _ in batches]), rows)


def test_prediction_hands_out_copies_of_the_rows():
    rows = torch.ones(4, 1)
    for batch, _ in RowBatches(rows, 2):
        batch.zero_()
    assert torch.equal(rows, torch.ones(4, 1))


def test_prediction_draws_nothing_from_the_global_generator():
    dataset = Rows(torch.zeros(5, 1), WRAPPERS["tensor"])
    before = torch.get_rng_state()
    list(RowBatches(dataset, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_subset_of_a_dataset_is_read_by_its_own_numbers():
    subset = Subset(Rows(torch.arange(10.0)[:, None], WRAPPERS["row and label"]), np.array([7, 2]))
    (rows, _), *_ = RowBatches(subset, 5)
    assert rows[:, 0].tolist() == [7.0, 2.0]


def test_data_yields_row_and_label():
    row, label = DomainDataset(
        Rows(torch.arange(3.0), WRAPPERS["row and label"]), torch.tensor([0, 1, -1]), torch.zeros(3), 1
    )[1]
    assert (row.item(), label.item()) == (1.0, 1)


@pytest.mark.parametrize(("target_size", "expected"), [(None, 16), (24, 24), (3, 3), (500, 100)])
def test_the_target_block_may_have_a_size_of_its_own(target_size, expected):
    _, batch = batches_of(make_data(40, 5, 95), target_role="target", target_size=target_size)[0]
    assert len(batch) - batch.n_labeled == expected
