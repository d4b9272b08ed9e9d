"""VAAL: which half of the space it asks for, its losses against written-out ones, and the strategy in a loop."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.pool import PoolView
from skada_active.query import VAAL, Prefilter, labeled_probability

torch = pytest.importorskip("torch")

from skada_active.query._vaal_game import LatentGame  # noqa: E402

QUICK = {"max_epochs": 2}


def make_halves(seed, n=300, width=8, n_labeled=50):
    """Return the rows of six blobs without those that are labelled, these, and whether a row's blob has any of them."""
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(6, width))
    of_blob = rng.integers(6, size=n)
    rows = centers[of_blob] + rng.normal(size=(n, width))
    is_covered = (centers[:, 0] > np.median(centers[:, 0]))[of_blob]
    labeled = rng.choice(np.flatnonzero(is_covered), n_labeled, replace=False)
    others = np.setdiff1d(np.arange(n), labeled)
    return rows[others], rows[labeled], is_covered[others]


def view_of(rows, labeled, source=None):
    return PoolView(features=rows, labeled_features=labeled, source_features=rows[:0] if source is None else source)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_of_the_half_without_labels_look_unlabelled(seed):
    rows, labeled, is_covered = make_halves(seed)
    utilities = VAAL(random_state=seed).utilities(view_of(rows, labeled))
    assert roc_auc_score(~is_covered, utilities) > 0.8


def test_the_losses_are_the_written_out_ones():
    torch.manual_seed(0)
    game = LatentGame(3, 2, 8, adversary_weight=0.7, kl_weight=0.3, lr=0.0)
    for player in (game.encoder, game.decoder, game.discriminator):
        player.double()
    rows = torch.randn(6, 3, dtype=torch.float64)
    state = torch.get_rng_state()
    game._step(rows)
    torch.set_rng_state(state)
    noise = torch.randn(6, 2, dtype=torch.float64)

    autoencoder, told_apart = 0.0, 0.0
    for number, row in enumerate(rows):
        mean, log_variance = game.encoder(row[None])[0].split(2)
        code = mean + noise[number] * torch.exp(log_variance) ** 0.5
        prior = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
        posterior = torch.distributions.Normal(mean, torch.exp(log_variance) ** 0.5)
        divergence = torch.distributions.kl_divergence(posterior, prior).sum()
        error = ((game.decoder(code) - row) ** 2).sum() / 2
        probability = torch.sigmoid(game.discriminator(code))[0]
        # Three labelled rows come first; the means of both halves add up.
        autoencoder = autoencoder + (error + 0.3 * divergence) / 6 - 0.7 * torch.log(probability) / 3
        right = torch.sigmoid(game.discriminator(code.detach()))[0]
        told_apart = told_apart - torch.log(right if number < 3 else 1 - right) / 6
    for player, loss in ((game.encoder, autoencoder), (game.decoder, autoencoder), (game.discriminator, told_apart)):
        parameters = list(player.parameters())
        for parameter, expected in zip(
            parameters, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True
        ):
            torch.testing.assert_close(parameter.grad, expected)


def test_the_utility_is_one_minus_the_probability_with_source_rows_counted_as_labelled():
    rows, labeled, _ = make_halves(0)
    source = labeled[:30] + 0.1
    expected = 1 - labeled_probability(rows, np.concatenate([source, labeled]), **QUICK)
    np.testing.assert_array_equal(VAAL(**QUICK).utilities(view_of(rows, labeled, source)), expected)


def test_without_a_labelled_target_row_the_source_rows_are_the_labelled_ones():
    rows, labeled, is_covered = make_halves(0)
    utilities = VAAL().utilities(PoolView(features=rows, source_features=labeled))
    assert roc_auc_score(~is_covered, utilities) > 0.8


def test_without_any_labelled_row_all_rows_are_alike():
    rows, labeled, _ = make_halves(0)
    np.testing.assert_array_equal(VAAL().utilities(view_of(rows, labeled[:0])), 1.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"n_latent": 4},
        {"max_epochs": 3},
        {"adversary_weight": 0.0},
        {"kl_weight": 0.1},
        {"batch_size": 32},
        {"lr": 1e-2},
        {"random_state": 5},
    ],
    ids=str,
)
def test_every_parameter_changes_the_utilities(changed):
    view = view_of(*make_halves(0)[:2])
    base, other = (VAAL(**params).utilities(view) for params in (QUICK, QUICK | changed))
    assert np.abs(base - other).max() > 1e-4


def test_the_order_of_the_rows_changes_nothing():
    rows, labeled, _ = make_halves(0)
    order = np.random.default_rng(0).permutation(len(rows))
    expected = labeled_probability(rows, labeled, **QUICK)[order]
    np.testing.assert_array_equal(labeled_probability(rows[order], labeled[::-1], **QUICK), expected)


def test_rows_that_are_the_same_have_the_same_probability():
    rows, labeled, _ = make_halves(0)
    found = labeled_probability(np.concatenate([rows, rows[::-1]]), labeled, **QUICK)
    np.testing.assert_array_equal(found[: len(rows)], found[len(rows) :][::-1])


def test_units_and_offsets_of_columns_do_not_matter():
    rows, labeled, _ = make_halves(0)
    scale, offset = 2.0 ** np.arange(8), np.arange(8.0)
    found = labeled_probability(scale * rows, scale * labeled, **QUICK)
    np.testing.assert_array_equal(found, labeled_probability(rows, labeled, **QUICK))
    found = labeled_probability(rows + 100 * offset, labeled + 100 * offset, **QUICK)
    np.testing.assert_allclose(found, labeled_probability(rows, labeled, **QUICK), atol=0.1)


def test_candidates_have_the_utilities_that_they_have_in_the_whole_pool():
    view = view_of(*make_halves(0)[:2])
    found = VAAL(**QUICK).utilities(view.restrict([3, 9, 4]))
    np.testing.assert_array_equal(found, VAAL(**QUICK).utilities(view)[[3, 9, 4]])


def test_a_view_is_played_on_once(monkeypatch):
    games = []
    monkeypatch.setattr(LatentGame, "train", lambda *args: games.append(args))
    view = view_of(*make_halves(0)[:2])
    strategy = VAAL(random_state=0)
    strategy.select(view, 3)
    strategy.utilities(view)
    assert len(games) == 1
    VAAL(random_state=1).utilities(view)
    assert len(games) == 2


def test_a_query_of_minutes_is_announced(monkeypatch):
    monkeypatch.setattr(LatentGame, "train", lambda *_: None)
    view = view_of(*make_halves(0)[:2])
    with pytest.warns(UserWarning, match=r"VAAL will take about .* on one core for 3 of 250 candidates"):
        VAAL(max_epochs=20_000).select(view, 3)


def test_it_works_behind_a_prefilter():
    rows, labeled, _ = make_halves(0)
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=len(rows))
    view = PoolView(features=rows, labeled_features=labeled, source_features=labeled[:5], proba=proba)
    assert len(set(Prefilter(VAAL(**QUICK), n_candidates=30).select(view, 6, random_state=0).tolist())) == 6


def test_a_loop_that_starts_without_target_labels_spends_its_budget_and_repeats_itself():
    X, y, domain = make_shifted_blobs(n_source=40, n_target=40, random_state=0)
    chosen = []
    for _ in range(2):
        loop = ActiveAdaptationLoop(LogisticRegression(), VAAL(**QUICK), budget=6, n_rounds=2, random_state=0)
        chosen.append(loop.fit(X, y, sample_domain=domain).queried_ids_.tolist())
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 6
    assert (domain[chosen[0]] < 0).all()
