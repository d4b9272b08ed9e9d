from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from steps import make_network, make_step, module_of

from skada_active.deep import ATDOC, MCC, AdaptationClassifier
from skada_active.deep.objectives import atdoc


def remember(bank, step):
    """Put the target rows of a step into a bank, a dictionary by their numbers."""
    for row, feature, logits in zip(
        step.rows[step.target].tolist(), step.features[step.target], step.logits[step.target], strict=True
    ):
        bank[row] = (feature / feature.norm()).detach(), logits.softmax(dim=0).detach()


def naive(bank, step, n_neighbors):
    """Return the loss of a step by a loop over its rows, given the bank."""
    sums = sum(proba**2 for _, proba in bank.values())
    total = 0.0
    for row, feature, logits in zip(
        step.rows[step.target].tolist(), step.features[step.target], step.logits[step.target], strict=True
    ):
        others = [entry for other, entry in bank.items() if other != row]
        others.sort(key=lambda entry: -(entry[0] @ feature).item())
        sharp = [proba**2 / sums / (proba**2 / sums).sum() for _, proba in others[:n_neighbors]]
        q = sum(sharp) / len(sharp)
        total -= q.max() * logits.log_softmax(dim=0)[q.argmax()]
    return step.progress * total / step.n_target


@pytest.mark.parametrize("n_neighbors", [1, 3, 50])
def test_the_loss_equals_a_loop_over_the_neighbours_in_a_bank(n_neighbors):
    network = make_network(scale=2.0)
    term = module_of(ATDOC(n_neighbors=n_neighbors, bank_size=20))
    bank = {}
    draw = np.random.default_rng(0)
    for seed in range(5):  # 15 rows with gaps in their numbers, which come back
        rows = torch.as_tensor(7 * draw.permutation(15)[:8])
        step = make_step(network, n_target=8, seed=seed, rows=rows, progress=0.3)
        remember(bank, step)
        loss, expected = term(step), naive(bank, step, n_neighbors)
        assert loss.item() == pytest.approx(expected.item())
        ours, theirs = (torch.autograd.grad(it, step.logits, retain_graph=True)[0] for it in (loss, expected))
        torch.testing.assert_close(ours, theirs)


def test_a_bank_of_one_block_equals_one_of_many(monkeypatch):
    network = make_network()
    steps = [make_step(network, n_target=8, seed=seed, rows=torch.arange(8) + 4 * seed) for seed in range(3)]
    whole = [module_of(ATDOC(bank_size=16)) for _ in range(2)]
    losses = [whole[0](step).item() for step in steps]
    monkeypatch.setattr(atdoc, "_BLOCK_VALUES", 48)
    assert [whole[1](step).item() for step in steps] == pytest.approx(losses)


def test_rows_that_joined_first_make_place_in_a_full_bank():
    network = make_network()
    term = module_of(ATDOC(bank_size=10))
    for first in (0, 6, 12):
        term(make_step(network, 4, 0, 6, seed=first, rows=torch.arange(first, first + 6)))
    assert sorted(term.rows.tolist()) == list(range(8, 18))


def test_a_row_of_a_full_bank_keeps_its_place_or_leaves_with_all_that_is_known_of_it():
    network = make_network()
    term = module_of(ATDOC(bank_size=4))
    term(make_step(network, 4, 0, 4, rows=torch.tensor([0, 1, 2, 3])))
    step = make_step(network, 4, 0, 4, seed=1, rows=torch.tensor([0, 9, 8, 3]))  # 8 and 9 take places of 0 and 1
    term(step)
    assert {8, 3} <= set(term.rows.tolist())
    of_row = dict(zip(step.rows[step.target].tolist(), step.features[step.target], strict=True))
    for row, feature in zip(term.rows.tolist(), term.features, strict=True):
        if row in of_row:
            torch.testing.assert_close(feature, of_row[row] / of_row[row].norm())


def test_a_batch_larger_than_the_bank_passes():
    term = module_of(ATDOC(bank_size=3))
    loss = term(make_step(make_network(), n_target=8, rows=torch.arange(8)))
    assert loss.isfinite()
    assert len(set(term.rows.tolist())) == 3


def test_a_row_that_comes_twice_has_one_place():
    term = module_of(ATDOC())
    term(make_step(make_network(), n_target=8, rows=torch.tensor([5, 5, 6, 7, 5, 8, 9, 6])))
    assert sorted(term.rows[term.rows >= 0].tolist()) == [5, 6, 7, 8, 9]
    assert term.n_joined == 5


def test_a_row_without_neighbours_has_no_label():
    step = make_step(make_network(), 4, 0, 1)
    assert module_of(ATDOC())(step) == 0


def test_the_loss_rises_with_the_progress_of_training():
    network = make_network()
    losses = [module_of(ATDOC())(make_step(network, progress=progress)).item() for progress in (0.0, 0.25, 1.0)]
    assert losses == pytest.approx([0.0, losses[2] / 4, losses[2]])
    assert losses[2] > 0


def test_the_bank_is_saved_and_goes_on(make_data):
    data = make_data()
    model = AdaptationClassifier(ATDOC() + MCC(), batch_size=8, max_epochs=2, random_state=0).fit(*data)
    bank = model.net_.criterion_.objective.parts["atdoc"]
    assert sorted(bank.rows[bank.rows >= 0].tolist()) == list(range(40, 64))  # every target row, once
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        kept = twin.net_.criterion_.objective.parts["atdoc"]
        assert torch.equal(kept.features, bank.features)
        again = copy.deepcopy(model).partial_fit(*data).predict_proba(data[0])
        assert np.array_equal(twin.partial_fit(*data).predict_proba(data[0]), again)


@pytest.mark.parametrize("options", [{"bank_size": 1}, {"n_neighbors": 0}])
def test_parameters_out_of_range_are_named(options, make_data):
    (name,) = options
    with pytest.raises(ValueError, match=f"'{name}' parameter of ATDOC"):
        AdaptationClassifier(ATDOC(**options)).fit(*make_data())
