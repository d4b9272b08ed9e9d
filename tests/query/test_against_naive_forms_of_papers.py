"""The strategies against their formulas written out, on pools full of ties, duplicates, zeros and constants.

Probabilities are multiples of 1/8 and features small integers, exact in either floating type: where no logarithm or
root is taken, picks are compared one by one, ties by position included; elsewhere the value of the criterion.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nasty_data import dtypes, matrices
from scipy.stats import chisquare

from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    CLUE,
    GALA,
    LAS,
    SAGE,
    SDM,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    QueryByCommittee,
    RandomSampling,
    badge_embedding,
    clue_weights,
    domain_gap,
    local_inconsistency,
    mean_kl_to_consensus,
    positive_orthogonal_projection,
    sdm_loss_gradient,
    sdm_margin_gradient,
    sdm_scores,
    vote_entropy,
)
from skada_active.selection import kmeans, kmeans_picks
from skada_active.utils.random import TiesByPosition

torch = pytest.importorskip("torch")

budgets = st.integers(1, 14)
many = settings(max_examples=50, deadline=None)
some = settings(max_examples=30, deadline=None)


@st.composite
def arrays_of(draw, X):
    """Draw either floating type and some layout for the same values, read-only."""
    X = X.astype(draw(dtypes))
    layout = draw(st.sampled_from(["rows", "columns", "strided"]))
    X = np.repeat(X, 2, axis=-1)[..., ::2] if layout == "strided" else np.array(X, order="CF"[layout == "columns"])
    X.flags.writeable = False
    return X


@st.composite
def predictions(draw, n, n_classes, *leading):
    """Draw probabilities that are multiples of 1/8, often all for one class."""
    cuts = draw(arrays(np.int64, (*leading, n, n_classes - 1), elements=st.sampled_from([0, 0, 2, 4, 5, 8])))
    edges = [np.zeros((*leading, n, 1)), np.sort(cuts, axis=-1), np.full((*leading, n, 1), 8)]
    return np.diff(np.concatenate(edges, axis=-1), axis=-1) / 8


@st.composite
def pools(draw, **fields):
    """Draw a view of probabilities and features."""
    n, n_classes, width = (draw(st.integers(1, most)) for most in (10, 4, 3))
    proba, features = draw(predictions(n, n_classes)), draw(matrices(n, width))
    return PoolView(proba=draw(arrays_of(proba)), features=draw(arrays_of(features)), **fields)


def exact(X):
    return np.asarray(X, dtype=np.float64)


def is_distinct(picks, n_queries, n):
    return picks.dtype == np.int64 and len(set(picks.tolist())) == len(picks) == min(n_queries, n)


def assert_ranked(picks, scores, n_queries, tolerance):
    """Picks are those of the largest scores, in descending order, but for what rounding may exchange."""
    assert is_distinct(picks, n_queries, len(scores))
    np.testing.assert_allclose(scores[picks], -np.sort(-scores)[:n_queries], atol=tolerance)


def assert_twins_are_in_order(picks, *fields):
    """Of candidates that are identical in all fields, those in front are chosen first."""
    rows = np.concatenate([exact(field).reshape(len(field), -1) for field in fields], axis=1)
    seen = []
    for pick in picks.tolist():
        twins = np.flatnonzero((rows == rows[pick]).all(axis=1)).tolist()
        assert pick == next(i for i in twins if i not in seen)
        seen.append(pick)


def naive_farthest_first(X, k, centers, first):
    distances, picks = np.full(len(X), np.inf), []
    for center in centers:
        distances = np.minimum(distances, np.square(X - center).sum(axis=1))
    while len(picks) < min(k, len(X)):
        picks.append(int(distances.argmax()) if picks or len(centers) else first)
        distances = np.minimum(distances, np.square(X - X[picks[-1]]).sum(axis=1))
        distances[picks] = -1
    return picks


def explicit_gradients(proba, features):
    """Return the n x C D gradients of the cross-entropy with the pseudo-label."""
    residual = exact(proba) - np.eye(proba.shape[1])[np.argmax(proba, axis=1)]
    return (residual[:, :, None] * exact(features)[:, None, :]).reshape(len(proba), -1)


# Uncertainty


def naive_entropy(proba):
    proba = exact(proba)
    return -np.sum(proba * np.log(np.where(proba > 0, proba, 1)), axis=-1)


def naive_margin(proba):
    top = np.sort(np.concatenate([np.zeros((len(proba), 1)), exact(proba)], axis=1), axis=1)
    return 1 - (top[:, -1] - top[:, -2])


@many
@given(pools(), budgets)
def test_entropy_ranks_by_the_sum_of_p_log_p(view, n_queries):
    strategy, expected = EntropySampling(), naive_entropy(view.proba)
    np.testing.assert_allclose(strategy.utilities(view), expected, atol=1e-6)
    picks = strategy.select(view, n_queries)
    assert_ranked(picks, expected, n_queries, 1e-6)
    assert_twins_are_in_order(picks, view.proba)


@pytest.mark.parametrize(
    ("strategy", "naive"),
    [
        (LeastConfidenceSampling(), lambda proba: 1 - exact(proba).max(axis=1)),
        (MarginSampling(), naive_margin),
        (SDM(gradient_weight=0), naive_margin),
    ],
)
@many
@given(view=pools(), n_queries=budgets)
def test_least_confidence_and_margin_pick_by_a_stable_sort(strategy, naive, view, n_queries):
    expected = naive(view.proba)
    np.testing.assert_array_equal(strategy.utilities(view), expected)
    picks = strategy.select(view, n_queries)
    assert picks.tolist() == np.argsort(-expected, kind="stable")[:n_queries].tolist()


@many
@given(st.data(), st.integers(1, 5), st.integers(1, 8), st.integers(1, 4), budgets)
def test_a_committee_ranks_by_its_votes_and_by_its_divergence(data, n_members, n, n_classes, n_queries):
    proba = data.draw(arrays_of(data.draw(predictions(n, n_classes, n_members))))
    view = PoolView(committee_proba=proba)
    votes = np.eye(n_classes)[proba.argmax(axis=2)].mean(axis=0)
    members, mean = exact(proba), exact(proba).mean(axis=0)
    ratio = np.divide(members, mean, out=np.ones_like(members), where=members > 0)
    divergence = np.sum(members * np.log(ratio), axis=2).mean(axis=0)
    for name, function, expected in [
        ("vote_entropy", vote_entropy, naive_entropy(votes)),
        ("kl", mean_kl_to_consensus, divergence),
    ]:
        np.testing.assert_allclose(function(proba), expected, atol=1e-6)
        picks = QueryByCommittee(name).select(view, n_queries)
        assert_ranked(picks, expected, n_queries, 1e-6)
        assert_twins_are_in_order(picks, np.moveaxis(proba, 1, 0))


# SDM


def top_two(logits):
    """Return the two likeliest labels, ties by position, and the softmax."""
    order = np.argsort(-logits.detach().numpy(), kind="stable")
    return order[0], order[1], torch.softmax(logits, 0)


def hinge_terms(values, label, margin):
    return torch.stack([margin - values[label] + values[i] for i in range(len(values)) if i != label])


def unit_of(logits):
    return logits / logits.norm() if logits.norm() > 0 else torch.zeros_like(logits)


def naive_loss(logits, kind, margin):
    first, second, proba = top_two(logits)
    loss = 0
    for y in (first, second):
        if kind == "margin":
            term = torch.relu(hinge_terms(logits, y, margin)).sum()
        else:
            unit = unit_of(logits)
            hinge = torch.relu(hinge_terms(unit, y, margin)).sum() / len(logits)
            term = -torch.log_softmax(logits, 0)[y] + hinge - unit[y]
        loss = loss + proba[y].detach() * term
    return loss


def naive_margin_score(logits):
    first, second, proba = top_two(logits)
    return 1 - (proba[first] - proba[second])


def gradient(function, at):
    at = at.clone().requires_grad_()
    value = function(at)
    return torch.autograd.grad(value, at)[0] if value.requires_grad else torch.zeros_like(at)


def has_a_kink(logits, margin):
    """Whether rounding decides which side of the hinge on normalised logits a row is on."""
    terms = torch.cat([hinge_terms(unit_of(logits), y, margin) for y in top_two(logits)[:2]])
    return bool((terms.abs() < 1e-6).any())


losses = pytest.mark.parametrize(
    ("kind", "margin"), [("official", 1.0), ("official", 0.3), ("margin", 1.0), ("margin", 2.0)]
)


@losses
@some
@given(data=st.data(), n=st.integers(1, 6), n_classes=st.integers(2, 4))
def test_sdm_gradients_are_those_of_autograd_ties_of_the_likeliest_labels_by_position(kind, margin, data, n, n_classes):
    logits = data.draw(arrays_of(data.draw(matrices(n, n_classes))))
    rows = [row for row in torch.tensor(exact(logits)) if kind == "margin" or not has_a_kink(row, margin)]
    if rows:
        taken = np.stack(rows).astype(logits.dtype)
        expected = np.stack([gradient(lambda z: naive_loss(z, kind, margin), row) for row in rows])
        np.testing.assert_allclose(sdm_loss_gradient(taken, query_loss=kind, margin=margin), expected, atol=1e-5)
        expected = np.stack([gradient(naive_margin_score, row) for row in rows])
        np.testing.assert_allclose(sdm_margin_gradient(taken), expected, atol=1e-6)


@losses
@some
@given(data=st.data(), n=st.integers(1, 6), n_classes=st.integers(1, 4), width=st.integers(1, 5), n_queries=budgets)
def test_sdm_scores_are_margin_plus_cosine_of_autograd(kind, margin, data, n, n_classes, width, n_queries):
    logits = data.draw(matrices(n, n_classes)).astype(np.float64)
    weight = data.draw(matrices(n_classes, width)).astype(np.float64)
    expected, head = [], torch.tensor(weight)
    for z in torch.tensor(logits):
        if n_classes == 1:
            expected.append(0.0)
            continue
        if kind == "official" and has_a_kink(z, margin):
            return
        at = torch.zeros(width, dtype=torch.float64)
        loss = gradient(lambda f, z=z: naive_loss(z + head @ f, kind, margin), at)
        query = gradient(lambda f, z=z: naive_margin_score(z + head @ f), at)
        cosine = loss @ query / (loss.norm() * query.norm()) if min(loss.norm(), query.norm()) >= 1e-12 else 0.0
        expected.append(float(naive_margin_score(z) + 0.5 * cosine))
    options = {"gradient_weight": 0.5, "query_loss": kind, "margin": margin}
    np.testing.assert_allclose(sdm_scores(logits, weight, **options), expected, atol=1e-6)
    view = PoolView(logits=logits, head_weight=weight)
    assert_ranked(SDM(**options).select(view, n_queries), np.array(expected), n_queries, 1e-6)


# CoreSet


@pytest.mark.parametrize("initial_centers", ["labeled_target", "labeled", None])
@many
@given(data=st.data(), n_labeled=st.integers(0, 3), n_source=st.integers(0, 3), n_queries=budgets)
def test_core_set_picks_are_those_of_the_plain_loop_ties_by_position(
    initial_centers, data, n_labeled, n_source, n_queries
):
    features = data.draw(pools()).features
    labeled, source = (data.draw(matrices(m, features.shape[1])) if m else features[:0] for m in (n_labeled, n_source))
    view = PoolView(features=features, labeled_features=labeled, source_features=source)
    picks = CoreSet(initial_centers=initial_centers).select(view, n_queries)
    centers = {"labeled_target": [*labeled], "labeled": [*labeled, *source], None: []}[initial_centers]
    X = exact(features)
    if not len(centers):
        from_mean = np.square(X - X.mean(axis=0)).sum(axis=1)
        assert from_mean[picks[0]] <= from_mean.min() + 1e-4
    assert_twins_are_in_order(picks, features)
    assert picks.tolist() == naive_farthest_first(X, n_queries, centers, int(picks[0]))


# LAS


def naive_local_inconsistency(proba, features, n_neighbors, coef, n_iter):
    """Return the scores by an n x n matrix of weights."""
    proba, features = exact(proba), exact(features)
    n, norms = len(proba), np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms == 0, 1, norms)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    k, weights = min(n_neighbors, n - 1), np.zeros((n, n))
    for i, nearest in enumerate(np.argsort(-similarity, axis=1, kind="stable")[:, :k]):
        w = np.maximum(similarity[i, nearest], 0)
        weights[i, nearest] = w / w.sum() if w.sum() > 1e-12 else 1 / max(k, 1)
    scores = -(weights * (proba @ proba.T)).sum(axis=1)
    factor = 1 / max(k, 1) if coef == "1/K" else coef
    for _ in range(n_iter):
        scores = scores + factor * weights @ scores
    return scores * factor if coef == "1/K" else scores


@st.composite
def directions(draw, n, width):
    """Draw unit vectors times powers of two of either sign, and zeros: their cosines are exact, and tie."""
    axes = draw(arrays(np.int64, n, elements=st.integers(0, width - 1)))
    scales = draw(arrays(np.int64, n, elements=st.sampled_from([-4, -1, 0, 1, 2])))
    return np.eye(width)[axes] * scales[:, None]


@many
@given(
    data=st.data(),
    n_neighbors=st.integers(1, 11),
    coef=st.sampled_from([0.0, 0.5, 1.0, "1/K"]),
    n_iter=st.integers(0, 3),
    n_queries=budgets,
)
def test_las_ranks_by_the_weighted_disagreement_with_the_neighbours(data, n_neighbors, coef, n_iter, n_queries):
    view = data.draw(pools())
    features = data.draw(arrays_of(data.draw(directions(len(view), 3))))
    view = PoolView(proba=view.proba, features=features)
    expected = naive_local_inconsistency(view.proba, features, n_neighbors, coef, n_iter)
    options = {"smoothing_coef": coef, "smoothing_iter": n_iter}
    np.testing.assert_allclose(local_inconsistency(view.proba, features, n_neighbors, **options), expected, atol=1e-6)
    strategy = LAS(n_neighbors, oversampling=0, **options)
    assert_ranked(strategy.select(view, n_queries), expected, n_queries, 1e-6)


@some
@given(data=st.data(), oversampling=st.sampled_from([0.5, 1, 3]), n_queries=budgets, seed=st.integers(0, 99))
def test_las_picks_are_among_the_highest_scores_however_diverse(data, oversampling, n_queries, seed):
    view = data.draw(pools())
    view = PoolView(proba=view.proba, features=data.draw(arrays_of(data.draw(directions(len(view), 3)))))
    picks = LAS(3, oversampling=oversampling).select(view, n_queries, random_state=seed)
    assert is_distinct(picks, n_queries, len(view))
    scores = naive_local_inconsistency(view.proba, view.features, 3, 1.0, 1)
    n_candidates = min(len(view), round((1 + oversampling) * min(n_queries, len(view))))
    assert (scores[picks] >= np.sort(scores)[-n_candidates] - 1e-6).all()


# SAGE


def naive_projection(gradients, proba):
    gradients, proba = exact(gradients), exact(proba)
    projected = gradients.copy()
    for row, (g, h) in enumerate(zip(gradients, proba, strict=True)):
        expected = h @ g
        for c in range(len(h)):
            share = abs(g[c] @ expected) / (expected @ expected) if expected.any() else 0
            projected[row, c] = g[c] - share * expected
    return projected


def sage_gradients(features, discriminator):
    """Return the gradients of -ln d_c by autograd, one class at a time, in double precision."""
    w1, b1, w2, b2 = (torch.tensor(exact(part)) for part in discriminator)
    z = torch.tensor(exact(features), requires_grad=True)
    losses = -torch.nn.functional.logsigmoid(torch.relu(z @ w1.T + b1) @ w2.T + b2)
    return np.stack(
        [torch.autograd.grad(losses[:, c].sum(), z, retain_graph=True)[0].numpy() for c in range(len(b2))], 1
    )


@st.composite
def sage_pools(draw):
    """Draw a view with the parameters of a discriminator, one with its gradients, and the explicit gradients."""
    view, n_hidden = draw(pools()), draw(st.integers(1, 4))
    n_classes, width = view.proba.shape[1], view.features.shape[1]
    shapes = [(n_hidden, width), (n_hidden,), (n_classes, n_hidden), (n_classes,)]
    layers = tuple(draw(arrays(np.int64, shape, elements=st.integers(-2, 2))) for shape in shapes)
    gradients = sage_gradients(view.features, layers)
    shared = {"proba": view.proba, "features": view.features}
    views = [
        PoolView(**shared, class_discriminator=tuple(map(exact, layers))),
        PoolView(**shared, class_domain_grad=gradients),
    ]
    return views, gradients


@many
@given(st.data(), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_the_projection_takes_twice_or_nothing_of_what_is_along_the_expected_gradient(data, n, n_classes, width):
    gradients = data.draw(matrices(n * n_classes, width)).reshape(n, n_classes, width)
    proba = data.draw(arrays_of(data.draw(predictions(n, n_classes))))
    found = positive_orthogonal_projection(gradients.astype(proba.dtype), proba)
    np.testing.assert_allclose(found, naive_projection(gradients, proba), atol=1e-4)


@pytest.mark.parametrize("projection", ["pop", None])
@many
@given(drawn=sage_pools(), n_queries=budgets)
def test_sage_lengths_and_picks_are_those_of_the_explicit_embedding_by_autograd(projection, drawn, n_queries):
    views, gradients = drawn
    proba = exact(views[0].proba)
    vectors = naive_projection(gradients, proba) if projection == "pop" else gradients
    embedding = (np.sqrt(proba)[:, :, None] * vectors).reshape(len(proba), -1)
    sq_norms = np.square(embedding).sum(axis=1)
    tolerance = 1e-9 * max(1, sq_norms.max())
    for view in views:
        strategy = SAGE(projection=projection)
        np.testing.assert_allclose(np.square(strategy.utilities(view)), sq_norms, atol=tolerance)
        assert_ranked(
            SAGE(projection=projection, diversity=None).select(view, n_queries), sq_norms, n_queries, tolerance
        )
        picks = strategy.select(view, n_queries)
        assert is_distinct(picks, n_queries, len(view))
        assert_twins_are_in_order(picks, view.proba, view.features)
        distances = sq_norms
        for pick in picks:
            assert distances[pick] >= distances.max() - tolerance
            from_pick = np.square(embedding - embedding[pick]).sum(axis=1)
            distances = from_pick if distances is sq_norms else np.minimum(distances, from_pick)


# GALA


def naive_domain_gap(features, source, domain, aggregation, gap, labels):
    """Return the gaps of rows one by one; constant dimensions and sources have no units."""
    features, source = exact(features), exact(source)
    by_source = [source[domain == number] for number in np.unique(domain)]
    if gap == "standardized" and any(np.ptp(rows, axis=0).any() for rows in by_source):
        by_source = [rows for rows in by_source if np.ptp(rows, axis=0).any()]
    gaps = np.empty((len(by_source), len(features)))
    for s, rows in enumerate(by_source):
        mean, std = rows.mean(axis=0), rows.std(axis=0)
        varies = np.ptp(rows, axis=0) > 0
        unit = std + 1e-8 * (1 + np.median(std)) if varies.any() else np.ones_like(std)
        varies = varies if varies.any() else ~varies
        for i, x in enumerate(features):
            if gap == "standardized":
                terms = np.square((x - mean) / unit)[varies]
            else:
                terms = np.square(x - mean) + np.square(features[labels == labels[i]].std(axis=0) - std)
            gaps[s, i] = np.sqrt(terms.mean())
    return {"mean": np.mean, "min": np.min, "max": np.max}[aggregation](gaps, axis=0)


@st.composite
def gala_pools(draw):
    view, n_source = draw(pools()), draw(st.integers(1, 8))
    source = draw(arrays_of(draw(matrices(n_source, view.features.shape[1]))))
    domain = draw(arrays(np.int64, n_source, elements=st.sampled_from([0, 1, 7])))
    return PoolView(proba=view.proba, features=view.features, source_features=source, source_domain=domain)


gaps = pytest.mark.parametrize("gap", ["standardized", "gaussian_w2"])


@gaps
@pytest.mark.parametrize("aggregation", ["mean", "min", "max"])
@some
@given(view=gala_pools(), data=st.data())
def test_domain_gaps_are_those_of_the_plain_loop_where_sources_are_constant_or_single_rows(
    gap, aggregation, view, data
):
    labels = data.draw(arrays(np.int64, len(view), elements=st.integers(0, 2)))
    fields = view.features, view.source_features, view.source_domain
    found = domain_gap(*fields, aggregation=aggregation, gap=gap, cluster_labels=labels)
    np.testing.assert_allclose(found, naive_domain_gap(*fields, aggregation, gap, labels), rtol=1e-5, atol=1e-7)


def by_gap(rows, gap, norms):
    return sorted(rows, key=lambda i: (-gap[i], -norms[i], i))


def split_by_norm(rows, norms, alpha):
    """Return the share alpha with the largest norms, rounded up, and the others."""
    rows = sorted(rows, key=lambda i: (-norms[i], i))
    n_kept = math.ceil(round(alpha * len(rows), 9))
    return rows[:n_kept], rows[n_kept:]


@gaps
@many
@given(view=gala_pools(), alpha=st.sampled_from([0.01, 0.25, 0.6, 1.0]), n_queries=budgets)
def test_gala_local_takes_the_largest_gaps_of_the_longest_gradients_ties_by_length_then_position(
    gap, view, alpha, n_queries
):
    values = domain_gap(view.features, view.source_features, view.source_domain, gap=gap)
    norms = np.square(explicit_gradients(view.proba, view.features)).sum(axis=1)
    kept, others = split_by_norm(range(len(view)), norms, alpha)
    picks = GALA(alpha, mode="local", gap=gap).select(view, n_queries)
    assert picks.tolist() == (by_gap(kept, values, norms) + by_gap(others, values, norms))[:n_queries]


@gaps
@many
@given(view=gala_pools(), alpha=st.sampled_from([0.01, 0.25, 0.6, 1.0]), n_queries=budgets, seed=st.integers(0, 99))
def test_gala_picks_one_row_a_cluster_and_for_empty_ones_the_largest_gaps_left(gap, view, alpha, n_queries, seed):
    labels = kmeans(badge_embedding(view.proba, view.features), n_queries, random_state=seed)
    fields = view.features, view.source_features, view.source_domain
    values = domain_gap(*fields, gap=gap, cluster_labels=labels)
    norms = np.square(explicit_gradients(view.proba, view.features)).sum(axis=1)
    expected = []
    for cluster in np.unique(labels):
        kept, _ = split_by_norm(np.flatnonzero(labels == cluster).tolist(), norms, alpha)
        expected.append(by_gap(kept, values, norms)[0])
    rest = [i for i in by_gap(range(len(view)), values, norms) if i not in expected]
    expected += rest[: min(n_queries, len(view)) - len(expected)]
    assert GALA(alpha, gap=gap).select(view, n_queries, random_state=TiesByPosition(seed)).tolist() == expected


# Clusters


def assert_nearest_to_means(picks, X, labels, weights=None):
    """Each non-empty cluster in order takes the nearest row that is left, of identical ones the first."""
    weights, taken = np.ones(len(X)) if weights is None else weights, []
    for cluster in np.unique(labels):
        mean = np.average(X, axis=0, weights=np.where(labels == cluster, weights, 0))
        distances = np.square(X - mean).sum(axis=1)
        distances[taken] = np.inf
        taken.append(picks[cluster])
        assert distances[taken[-1]] <= distances.min() + 1e-3
    assert_twins_are_in_order(np.array(taken), X)


@some
@given(view=pools(), n_queries=budgets, seed=st.integers(0, 99))
def test_k_means_and_the_global_step_of_gala_take_the_rows_nearest_to_the_means(view, n_queries, seed):
    gradients = badge_embedding(view.proba, view.features)
    for strategy, vectors, X in [
        (KMeansSampling(), view.features, exact(view.features)),
        (GALA(mode="global"), gradients, explicit_gradients(view.proba, view.features)),
    ]:
        picks = strategy.select(view, n_queries, random_state=TiesByPosition(seed))
        assert is_distinct(picks, n_queries, len(view))
        assert_nearest_to_means(picks, X, kmeans(vectors, n_queries, random_state=seed))


@many
@given(view=pools(), temperature=st.sampled_from([0.01, 0.1, 1.0, 5.0]))
def test_clue_weights_are_entropies_of_tempered_predictions(view, temperature):
    proba = exact(view.proba)
    tempered = (proba / proba.max(axis=1, keepdims=True)) ** (1 / temperature)
    expected = naive_entropy(tempered / tempered.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(clue_weights(view.log_proba, temperature), expected, atol=1e-5)
    np.testing.assert_allclose(CLUE(temperature).utilities(view), expected, atol=1e-5)


@many
@given(view=pools(), n_queries=budgets, temperature=st.sampled_from([0.1, 1.0]), seed=st.integers(0, 99))
def test_clue_picks_are_nearest_to_means_that_certain_rows_hardly_move(view, n_queries, temperature, seed):
    weights = clue_weights(view.log_proba, temperature)
    weights = np.maximum(weights / weights.mean(), 1e-8) if weights.any() else np.ones(len(view))
    options = {"sample_weight": weights, "random_state": seed}
    picks = CLUE(temperature).select(view, n_queries, random_state=seed)
    assert picks.tolist() == kmeans_picks(view.features, n_queries, **options).tolist()
    picks = CLUE(temperature).select(view, n_queries, random_state=TiesByPosition(seed))
    assert_nearest_to_means(picks, exact(view.features), kmeans(view.features, n_queries, **options), weights)


@pytest.mark.parametrize("seed", range(5))
def test_clue_certain_rows_weigh_a_hundred_millionth_of_the_mean_and_are_still_told_apart(seed):
    rng = np.random.default_rng(seed)
    features, proba = rng.normal(size=(60, 3)), np.eye(3)[np.arange(60) % 3]
    proba[:8] = rng.dirichlet(np.ones(3), size=8)
    weights = clue_weights(np.log(np.maximum(proba, 1e-300)), 1.0)
    expected = kmeans_picks(features, 14, sample_weight=np.maximum(weights / weights.mean(), 1e-8), random_state=seed)
    picks = CLUE(1.0).select(PoolView(proba=proba, features=features), 14, random_state=seed)
    assert picks.tolist() == expected.tolist()


# BADGE and D² sampling


@many
@given(view=pools(), n_queries=budgets, n_trials=st.sampled_from([1, 3, "auto"]), seed=st.integers(0, 99))
def test_badge_starts_at_the_first_longest_gradient_and_takes_all_distinct_ones_before_any_twin(
    view, n_queries, n_trials, seed
):
    gradients = explicit_gradients(view.proba, view.features)
    residuals = exact(view.proba) - np.eye(view.proba.shape[1])[np.argmax(view.proba, axis=1)]
    np.testing.assert_allclose(BADGE().utilities(view), np.linalg.norm(gradients, axis=1), rtol=1e-6)
    for first, vectors in [("grad_norm", gradients), ("residual_norm", residuals)]:
        picks = BADGE(first, n_trials).select(view, n_queries, random_state=TiesByPosition(seed))
        assert is_distinct(picks, n_queries, len(view))
        assert picks[0] == np.square(vectors).sum(axis=1).argmax()
        n_distinct = min(len(picks), len(np.unique(gradients, axis=0)))
        assert len(np.unique(gradients[picks[:n_distinct]], axis=0)) == n_distinct


def law_of_sets(X, k, first, n_trials):
    """Return the probability of every set of k picks, over all ways to draw the trials of each pick."""
    sq, law = np.square(X[:, None] - X[None]).sum(axis=2), {frozenset([first]): 1.0}
    for _ in range(k - 1):
        longer = defaultdict(float)
        for picks, p in law.items():
            shares = sq[:, list(picks)].min(axis=1)
            left = [np.minimum(shares, sq[i]).sum() for i in range(len(X))]
            for trials in product(np.flatnonzero(shares).tolist(), repeat=n_trials):
                best = min(trials, key=left.__getitem__)
                longer[picks | {best}] += p * math.prod(shares[list(trials)] / shares.sum())
        law = longer
    return law


def assert_law(choose, law, n_draws=2000):
    rng = np.random.RandomState(0)
    found = Counter(choose(rng) for _ in range(n_draws))
    assert found.keys() <= law.keys()
    expected = np.array([n_draws * p for p in law.values()])
    observed = np.array([found[picks] for picks in law])
    rare = expected < 5
    if rare.any():
        expected, observed = (np.append(v[~rare], v[rare].sum()) for v in (expected, observed))
    assert chisquare(observed, expected * (observed.sum() / expected.sum())).pvalue > 1e-3


DRAWN = {
    "proba": np.array([[6, 1, 1], [4, 4, 0], [4, 2, 2], [8, 0, 0], [3, 3, 2], [2, 5, 1], [4, 4, 0]]) / 8,
    "features": np.array([[2.0, 1], [1, 1], [-1, 3], [5, 5], [0, 2], [3, -1], [1, 1]]),
}


@pytest.mark.parametrize("n_trials", [1, "auto"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_badge_law_of_several_picks_in_a_block_with_twins_and_a_certain_row(n_trials, dtype):
    view = PoolView(**{name: value.astype(dtype) for name, value in DRAWN.items()})
    gradients = explicit_gradients(**DRAWN)
    law = law_of_sets(gradients, 4, int(np.square(gradients).sum(axis=1).argmax()), 3 if n_trials == "auto" else 1)
    assert_law(lambda rng: frozenset(BADGE(n_trials=n_trials).select(view, 4, random_state=rng).tolist()), law)


@pytest.mark.parametrize("field", ["class_discriminator", "class_domain_grad"])
def test_sage_law_of_several_picks_in_a_block_with_twins_and_a_certain_row(field):
    layers = tuple(np.random.default_rng(0).normal(size=shape) for shape in [(5, 2), (5,), (3, 5), (3,)])
    gradients = sage_gradients(DRAWN["features"], layers)
    embedding = np.sqrt(DRAWN["proba"])[:, :, None] * naive_projection(gradients, DRAWN["proba"])
    embedding = embedding.reshape(7, -1).round(12)
    view = PoolView(**DRAWN, **{field: layers if field == "class_discriminator" else gradients})
    law = law_of_sets(embedding, 4, int(np.square(embedding).sum(axis=1).argmax()), 1)
    strategy = SAGE(diversity="kmeans++")
    assert_law(lambda rng: frozenset(strategy.select(view, 4, random_state=rng).tolist()), law)


def test_random_sampling_draws_every_order_alike():
    view = PoolView(index=np.arange(4))
    law = {(i, j): 1 / 12 for i, j in product(range(4), repeat=2) if i != j}
    assert_law(lambda rng: tuple(RandomSampling().select(view, 2, random_state=rng).tolist()), law)
