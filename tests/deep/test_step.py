from __future__ import annotations

import pytest
import torch

from skada_active.deep.batches import Batch
from skada_active.deep.step import Step

LOSSES = torch.tensor([1.0, 2.0, 6.0, 4.0, 10.0])
LABELS = torch.tensor([0, 1, 1, 0, 1])


def make_step(n_source=3, n_labeled=5, n_target=2, **options):
    labels = torch.cat([LABELS[:n_labeled], torch.full((n_target,), -1)])
    batch = Batch(labels, torch.zeros(len(labels), dtype=torch.int64), n_source, n_labeled)
    logits = torch.arange(2.0 * len(labels)).view(-1, 2)
    tensors = {"inputs": logits, "features": logits, "logits": logits}
    return Step(**tensors, batch=batch, progress=0.0, iteration=0, head=None, forward=None, **options)


def test_blocks_follow_one_another():
    step = make_step()
    rows = range(7)
    assert [list(rows[block]) for block in (step.source, step.labeled_target, step.labeled, step.target)] == [
        [0, 1, 2],
        [3, 4],
        [0, 1, 2, 3, 4],
        [5, 6],
    ]


@pytest.mark.parametrize("n_target", [0, 2])
def test_labelled_logits_and_labels_are_those_of_the_labelled_block(n_target):
    step = make_step(n_target=n_target)
    assert torch.equal(step.labeled_logits, step.logits[:5])
    assert torch.equal(step.known_labels, LABELS)
    assert len(step.labels) == len(step.domain) == 5 + n_target


@pytest.mark.parametrize("n_source", [0, 3, 5])
def test_source_and_target_rows_leave_labelled_target_rows_out(n_source):
    step = make_step(n_source)
    expected = torch.cat([step.logits[:n_source], step.logits[5:]])
    assert torch.equal(step.source_and_target(step.logits), expected)


def test_s_plus_t_adds_the_means_of_the_roles():
    assert make_step().labeled_mean(LOSSES).item() == pytest.approx(9 / 3 + 14 / 2)


def test_s_union_t_takes_one_mean():
    assert make_step(joint=True).labeled_mean(LOSSES).item() == pytest.approx(23 / 5)


def test_source_weight_multiplies_the_source_mean():
    assert make_step(source_weight=0.1).labeled_mean(LOSSES).item() == pytest.approx(0.1 * 3 + 7)


def test_source_weight_weights_the_rows_of_the_union():
    mean = make_step(joint=True, source_weight=0.5).labeled_mean(LOSSES).item()
    assert mean == pytest.approx((0.5 * 9 + 14) / (0.5 * 3 + 2))


def test_classes_count_by_their_weight_within_each_role():
    weight = torch.tensor([3.0, 1.0])
    mean = make_step(class_weight=weight).labeled_mean(LOSSES).item()
    assert mean == pytest.approx((3 * 1 + 2 + 6) / 5 + (3 * 4 + 10) / 4)


def test_class_and_source_weights_multiply_in_the_union():
    weight = torch.tensor([3.0, 1.0])
    step = make_step(joint=True, class_weight=weight, source_weight=2.0)
    assert step.labeled_mean(LOSSES).item() == pytest.approx((2 * 11 + 22) / (2 * 5 + 4))
    assert weight.tolist() == [3.0, 1.0]


def test_class_weights_average_as_torch_does():
    logits, weight = torch.tensor([[0.3, 1.0], [2.0, -1.0], [0.0, 0.5]]), torch.tensor([3.0, 1.0])
    losses = torch.nn.functional.cross_entropy(logits, LABELS[:3], reduction="none")
    expected = torch.nn.functional.cross_entropy(logits, LABELS[:3], weight=weight)
    step = make_step(n_source=3, n_labeled=3, class_weight=weight)
    torch.testing.assert_close(step.labeled_mean(losses), expected)


def test_without_labelled_target_the_source_mean_is_left():
    step = make_step(n_source=5, source_weight=0.5)
    assert step.labeled_mean(LOSSES).item() == pytest.approx(0.5 * 23 / 5)


def test_without_source_the_target_mean_is_left():
    step = make_step(n_source=0, source_weight=0.5)
    assert step.labeled_mean(LOSSES).item() == pytest.approx(23 / 5)


@pytest.mark.parametrize("joint", [False, True])
def test_rows_of_weightless_classes_give_a_zero_loss(joint):
    step = make_step(class_weight=torch.zeros(2), joint=joint)
    assert step.labeled_mean(LOSSES).item() == 0.0


def test_logged_terms_leave_the_graph():
    step = make_step()
    step.log("term", torch.ones((), requires_grad=True) * 2)
    assert step.batch.terms["term"].item() == 2.0
    assert not step.batch.terms["term"].requires_grad


def test_the_second_view_is_made_once_and_only_where_asked():
    calls = []

    def negate(rows):
        calls.append(len(rows))
        return -rows

    step = make_step(augmentation=negate)
    assert calls == []
    assert torch.equal(step.augmented, -step.inputs)
    assert step.augmented is step.augmented
    assert calls == [len(step.inputs)]


def test_further_views_are_new_ones_of_the_rows_asked_for():
    step = make_step(augmentation=lambda rows: rows + torch.rand(rows.shape))
    rows = step.inputs[step.target]
    views = [step.another_view(rows) for _ in range(2)]
    assert [view.shape for view in views] == [rows.shape] * 2
    assert not torch.equal(*views)
    assert torch.equal(step.augmented, step.augmented)


def test_a_view_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must return rows of the shape it got, \(7, 2\), but .* \(7, 1\)"):
        _ = make_step(augmentation=lambda rows: rows[:, :1]).augmented


def test_without_augmentation_the_second_view_is_refused():
    with pytest.raises(ValueError, match='augmentation="auto"'):
        _ = make_step().augmented
    with pytest.raises(ValueError, match='augmentation="auto"'):
        make_step().another_view(torch.zeros(1, 2))


def test_a_second_view_made_in_place_leaves_the_inputs_alone():
    step = make_step(augmentation=torch.Tensor.neg_)
    before = step.inputs.clone()
    assert torch.equal(step.augmented, -before)
    assert torch.equal(step.inputs, before)
