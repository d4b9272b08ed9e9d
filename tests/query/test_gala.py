from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active.datasets import load_gas_drift, make_multi_source_blobs
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import BADGE, GALA, badge_embedding, domain_gap, gala_local
from skada_active.selection import kmeans, kmeans_picks

SOURCE = np.array([[-1.0, -1.0], [1.0, 1.0], [2.0, -1.0], [6.0, 1.0]])


def make_fields(n=60, width=3, n_classes=3, seed=0, n_sources=2):
    rng = np.random.default_rng(seed)
    return {
        "proba": rng.dirichlet(np.ones(n_classes), size=n),
        "features": rng.normal(size=(n, width)) + 1,
        "source_features": rng.normal(size=(40, width)) * np.arange(1, width + 1),
        "source_domain": np.arange(40) % n_sources,
        "target_domain": -1 - np.arange(n) % 3 // 2,
    }


def make_view(*args, **kwargs):
    return PoolView(**make_fields(*args, **kwargs))


@pytest.fixture
def view():
    return make_view()


def gap_of(view, **options):
    return domain_gap(view.features, view.source_features, view.source_domain, **options)


def norms_of(view):
    return np.sqrt(badge_embedding(view.proba, view.features).sq_norms())


def naive_local(labels, gap, norms, alpha):
    picks = []
    for cluster in sorted(set(labels)):
        members = [i for i, label in enumerate(labels) if label == cluster]
        members.sort(key=lambda i: (-norms[i], i))
        kept = members[: -int(-round(alpha * len(members), 9) // 1)]
        picks.append(min(kept, key=lambda i: (-gap[i], -norms[i], i)))
    return picks


@settings(max_examples=50, deadline=None)
@given(data=st.data(), n=st.integers(1, 30), alpha=st.sampled_from([1e-9, 0.07, 0.2, 0.28, 0.6, 0.7, 1.0]))
def test_the_local_step_is_that_of_a_loop_over_clusters(data, n, alpha):
    few = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    labels, gap, norms = (data.draw(few) for _ in range(3))
    picks = gala_local(labels, gap, norms, alpha)
    assert picks.dtype == np.int64
    assert picks.tolist() == naive_local(labels, gap, norms, alpha)


def test_the_largest_gap_among_the_uncertain_members_is_picked():
    assert gala_local([0, 0, 0, 1, 1], [9.0, 1.0, 2.0, 3.0, 4.0], [0.1, 0.8, 0.9, 0.5, 0.5], 0.6).tolist() == [2, 4]


def test_equal_gaps_go_to_the_larger_norm_then_to_the_lower_position():
    assert gala_local([0] * 3, [1.0] * 3, [1.0, 2.0, 2.0], 1.0).tolist() == [1]


def test_clusters_come_in_order_and_those_without_members_are_left_out():
    assert gala_local([7, 2, 7, 2], [1.0, 1.0, 2.0, 2.0], np.ones(4), 1.0).tolist() == [3, 2]


def test_at_least_one_member_is_kept_however_small_alpha():
    assert gala_local([0, 0, 1], [5.0, 1.0, 1.0], [1.0, 2.0, 1.0], 1e-12).tolist() == [1, 2]


@pytest.mark.parametrize(("alpha", "n", "kept"), [(0.28, 25, 7), (0.07, 100, 7), (0.6, 5, 3), (0.6, 6, 4), (1, 3, 3)])
def test_the_kept_share_is_rounded_up_but_not_by_rounding_errors(alpha, n, kept):
    # The gap grows as the norm falls: the pick is the last member that is kept.
    assert gala_local(np.zeros(n, dtype=int), np.arange(n), -np.arange(n), alpha).tolist() == [kept - 1]


def test_no_rows_have_no_picks():
    assert gala_local(np.empty(0, dtype=int), [], [], 0.5).shape == (0,)


@pytest.mark.parametrize("alpha", [0, -0.1, 1.01, np.nan])
def test_an_alpha_outside_its_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\]"):
        gala_local([0], [1.0], [1.0], alpha)
    with pytest.raises(ValueError, match="'alpha' parameter of GALA must be"):
        GALA(alpha=alpha).select(make_view(), 1)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        gala_local([0, 0], [1.0], [1.0, 2.0], 0.5)


def test_utilities_are_the_gap_of_the_worked_example():
    view = PoolView(
        proba=np.full((3, 2), 0.5),
        features=[[1.0, 1.0], [6.0, 3.0], [2.0, -2.0]],
        source_features=SOURCE,
        source_domain=[1, 1, 2, 2],
    )
    np.testing.assert_allclose(GALA().utilities(view), [1.137377, 3.489742, 1.790569], atol=1e-6)


def test_both_steps_pick_by_gap_in_the_clusters_of_the_gradients(view):
    gradients = badge_embedding(view.proba, view.features)
    labels = kmeans(gradients, 8, random_state=0)
    expected = gala_local(labels, gap_of(view), norms_of(view), 0.6)
    assert GALA().select(view, 8, random_state=0).tolist() == expected.tolist()


def test_gaussians_are_as_wide_as_the_clusters():
    strategy, differ = GALA(alpha=1.0, gap="gaussian_w2", source_aggregation="min"), 0
    for seed in range(10):
        view = make_view(seed=seed, n_sources=3)
        labels = kmeans(badge_embedding(view.proba, view.features), 8, random_state=0)
        by_cluster, of_pool = (
            gala_local(labels, gap_of(view, gap="gaussian_w2", aggregation="min", cluster_labels=c), norms_of(view), 1)
            for c in (labels, None)
        )
        assert strategy.select(view, 8, random_state=0).tolist() == by_cluster.tolist()
        differ += by_cluster.tolist() != of_pool.tolist()
    assert differ > 0


def test_the_clusters_are_those_of_the_explicit_outer_products(view):
    gradients = badge_embedding(view.proba, view.features)
    explicit = (gradients.left[:, :, None] * gradients.right[:, None, :]).reshape(60, -1)
    labels = kmeans(gradients, 5, random_state=0)
    centers = np.stack([explicit[labels == k].mean(axis=0) for k in range(5)])
    nearest = np.square(explicit[:, None] - centers).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95


def test_the_global_step_alone_picks_the_rows_nearest_to_the_centroids(view):
    expected = kmeans_picks(badge_embedding(view.proba, view.features), 8, random_state=0)
    assert GALA(mode="global").select(view, 8, random_state=0).tolist() == expected.tolist()


def test_the_global_step_alone_needs_no_source(view):
    alone = PoolView(proba=view.proba, features=view.features)
    strategy = GALA(mode="global")
    assert len(strategy.select(alone, 5)) == 5
    np.testing.assert_allclose(strategy.utilities(alone), norms_of(view))


def test_the_local_step_alone_takes_the_largest_gaps_of_the_uncertain_share(view):
    gap = gap_of(view)
    kept = np.argsort(-norms_of(view))[:36]
    expected = kept[np.argsort(-gap[kept])][:8]
    assert GALA(mode="local").select(view, 8).tolist() == expected.tolist()


def test_the_local_step_alone_goes_on_with_the_certain_rows_by_gap(view):
    gap = gap_of(view)
    order = np.argsort(-norms_of(view))
    chosen = GALA(mode="local").select(view, 60)
    assert set(chosen[:36].tolist()) == set(order[:36].tolist())
    assert (np.diff(gap[chosen[36:]]) <= 0).all()


def test_the_reduced_embedding_is_the_features_times_the_doubt(view):
    reduced = (1 - view.proba.max(axis=1, keepdims=True)) * view.features
    expected = kmeans_picks(reduced, 8, random_state=0)
    assert GALA(mode="global", embedding="reduced").select(view, 8, random_state=0).tolist() == expected.tolist()


def test_a_large_pool_is_reduced_with_a_warning(view, monkeypatch):
    monkeypatch.setattr("skada_active.query.gala.MAX_ROWS", 50)
    with pytest.warns(UserWarning, match=r"embedding='auto' clusters features times 1 - max p.*60 candidates"):
        chosen = GALA().select(view, 8, random_state=0)
    assert chosen.tolist() == GALA(embedding="reduced").select(view, 8, random_state=0).tolist()


def test_the_full_embedding_of_a_large_pool_is_refused_with_a_remedy(view, monkeypatch):
    monkeypatch.setattr("skada_active.query.gala.MAX_ROWS", 50)
    with pytest.raises(ValueError, match=r"embedding='full' clusters at most 50.*Use embedding='reduced', or 'auto'"):
        GALA(embedding="full").select(view, 8)


def test_a_pool_that_is_not_large_is_clustered_in_full(view):
    auto, full = (GALA(embedding=e).select(view, 8, random_state=0).tolist() for e in ("auto", "full"))
    assert auto == full


def test_no_source_row_is_refused_with_a_remedy(view):
    alone = PoolView(
        proba=view.proba, features=view.features, source_features=np.empty((0, 3)), source_domain=np.empty(0, dtype=int)
    )
    with pytest.raises(ValueError, match=r"source_features has no row.*GALA\(mode='global'\)"):
        GALA().select(alone, 5)


@pytest.mark.parametrize("mode", ["full", "local"])
def test_one_source_is_enough_and_its_aggregation_does_not_matter(mode):
    view = make_view(n_sources=1)
    chosen = [GALA(mode=mode, source_aggregation=a).select(view, 8, random_state=0).tolist() for a in ("mean", "min")]
    assert chosen[0] == chosen[1]


def test_identical_gradients_are_one_cluster_and_the_rest_follows_by_gap():
    fields = make_fields(12) | {"proba": np.eye(3)[np.arange(12) % 3]}
    view = PoolView(**fields)
    chosen = GALA(alpha=1.0).select(view, 5, random_state=0)
    assert chosen.tolist() == np.argsort(-gap_of(view))[:5].tolist()


def test_certain_rows_are_passed_over_while_there_are_uncertain_ones():
    fields = make_fields(30)
    fields["proba"] = np.where(np.arange(30)[:, None] < 10, [[1.0, 0.0, 0.0]], fields["proba"])
    fields["features"][:10] += 50
    assert set(GALA(mode="local").select(PoolView(**fields), 8).tolist()) <= set(range(10, 30))


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.1},
        {"mode": "global"},
        {"mode": "local"},
        {"source_aggregation": "min"},
        {"source_aggregation": "max"},
        {"embedding": "reduced"},
        {"n_init": 20},
        {"gap": "gaussian_w2"},
        {"target_budget": "proportional"},
        {"target_budget": "need"},
        {"outlier_neighbors": 1},
    ],
    ids=repr,
)
def test_every_parameter_changes_the_choice(changes):
    def choices(**parameters):
        views = [make_view(seed=seed, n_sources=3) for seed in range(5)]
        return [sorted(GALA(**parameters).select(view, 8, random_state=0).tolist()) for view in views]

    assert choices(**changes) != choices()


@pytest.mark.parametrize(
    "parameters",
    [
        {"mode": "both"},
        {"source_aggregation": "median"},
        {"embedding": "none"},
        {"n_init": 0},
        {"gap": "cosine"},
        {"target_budget": "equal"},
        {"outlier_neighbors": 0},
        {"outlier_neighbors": 1.5},
    ],
    ids=repr,
)
def test_parameters_out_of_range_are_refused_by_name(parameters, view):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of GALA must be"):
        GALA(**parameters).select(view, 1)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, {"source_features", "source_domain"}),
        ({"mode": "local"}, {"source_features", "source_domain"}),
        ({"mode": "global"}, set()),
        ({"mode": "global", "target_budget": "proportional"}, {"target_domain"}),
        ({"mode": "global", "target_budget": "need"}, {"source_features", "source_domain", "target_domain"}),
        ({"target_budget": "proportional"}, {"source_features", "source_domain", "target_domain"}),
    ],
)
def test_only_what_the_steps_read_is_required(parameters, names):
    assert GALA(**parameters).needs == {"proba", "features"} | names


def test_a_proportional_budget_follows_the_sizes_of_the_pools(view):
    chosen = GALA(target_budget="proportional").select(view, 9, random_state=0)
    assert np.unique(view.target_domain[chosen], return_counts=True)[1].tolist() == [3, 6]


def test_the_budget_goes_where_doubt_and_gap_are_large():
    fields = make_fields()
    needy = fields["target_domain"] == -2
    fields["features"][needy] *= 3
    fields["proba"][needy] = 1 / 3
    view = PoolView(**fields)
    need = (1 - view.proba.max(axis=1)) * gap_of(view)
    share = need[needy].sum() / need.sum()
    chosen = GALA(target_budget="need").select(view, 12, random_state=0)
    assert abs((view.target_domain[chosen] == -2).sum() - 12 * share) < 1
    assert share > 0.5


def test_each_target_is_clustered_by_itself(view):
    positions = np.flatnonzero(view.target_domain == -2)
    fields = make_fields()
    names = ("proba", "features", "target_domain")
    alone = PoolView(**{name: value[positions] if name in names else value for name, value in fields.items()})
    chosen = GALA(target_budget="proportional").select(view, 9, random_state=0)
    assert chosen[:3].tolist() == positions[GALA().select(alone, 3, random_state=0)].tolist()


@pytest.mark.parametrize("target_budget", ["proportional", "need"])
@pytest.mark.parametrize("n_queries", [1, 2, 59, 60])
def test_a_shared_budget_is_spent_exactly(view, target_budget, n_queries):
    chosen = GALA(target_budget=target_budget, outlier_neighbors=2).select(view, n_queries, random_state=0)
    assert len(set(chosen.tolist())) == n_queries


def test_a_need_of_zero_everywhere_shares_by_size():
    view = PoolView(**make_fields() | {"proba": np.eye(3)[np.arange(60) % 3]})
    chosen = GALA(target_budget="need").select(view, 9, random_state=0)
    assert np.unique(view.target_domain[chosen], return_counts=True)[1].tolist() == [3, 6]


def with_noise(seed, scale, n_noise=10):
    """Return a pool without and one with noise: uncertain rows far off in all directions, at the end."""
    X, _, domain = make_multi_source_blobs(n_target=200, n_features=8, n_classes=4, random_state=seed)
    rng = np.random.default_rng(seed)
    target, source = X[domain < 0], X[domain >= 0]
    noise = target.mean(axis=0) + scale * target.std(axis=0) * rng.normal(size=(n_noise, 8))
    features = np.concatenate([target, noise])
    proba = rng.dirichlet(np.full(4, 2.0), size=len(features))
    shared = {"source_features": source, "source_domain": domain[domain >= 0]}
    clean = PoolView(proba=proba[:200], features=target, **shared)
    return clean, PoolView(proba=proba, features=features, **shared)


# Of 36 picks, 2 would be noise by chance. The row nearest to a centroid is seldom noise, unless that has clusters of
# its own.
@pytest.mark.parametrize(("mode", "scale"), [("full", 4.0), ("full", 20.0), ("local", 4.0), ("global", 20.0)])
def test_noise_is_chosen_unless_outliers_are_set_aside(mode, scale):
    pools = [with_noise(seed, scale)[1] for seed in range(3)]
    plain = [GALA(mode=mode).select(pool, 12, random_state=0) for pool in pools]
    robust = [GALA(mode=mode, outlier_neighbors=5).select(pool, 12, random_state=0) for pool in pools]
    assert (np.concatenate(plain) >= 200).sum() >= 18
    assert (np.concatenate(robust) >= 200).sum() == 0


def test_without_outliers_the_choice_is_the_same():
    for seed in range(3):
        clean = with_noise(seed, 1.0)[0]
        plain, robust = (GALA(outlier_neighbors=k).select(clean, 12, random_state=0).tolist() for k in (None, 5))
        assert plain == robust


def test_on_sensor_data_setting_outliers_aside_changes_little():
    X, y, domain = load_gas_drift(source=[1, 2], target=[6])
    is_source = domain >= 0
    X = StandardScaler().fit(X[is_source]).transform(X)
    proba = LogisticRegression(C=0.01, max_iter=500).fit(X[is_source], y[is_source]).predict_proba(X[~is_source])
    view = PoolView(proba=proba, features=X[~is_source], source_features=X[is_source], source_domain=domain[is_source])
    plain, robust = (set(GALA(outlier_neighbors=k).select(view, 30, random_state=0).tolist()) for k in (None, 5))
    assert len(plain & robust) >= 20


def test_outliers_come_last_and_have_no_utility():
    noisy = with_noise(0, 20.0)[1]
    strategy = GALA(outlier_neighbors=5)
    assert np.isneginf(strategy.utilities(noisy)).nonzero()[0].tolist() == list(range(200, 210))
    assert sorted(strategy.select(noisy, 208, random_state=0)[:200].tolist()) == list(range(200))


def test_float32_gives_the_choice_of_float64(view):
    fields = make_fields()
    single = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in fields.items()}
    chosen, expected = (GALA().select(v, 8, random_state=0).tolist() for v in (PoolView(**single), view))
    assert len(set(chosen) & set(expected)) >= 7


def test_several_targets_of_a_loop_share_the_budget():
    X, y, domain = make_multi_source_blobs(n_target=90, random_state=0)
    domain = np.where((domain < 0) & (np.arange(len(domain)) % 3 == 0), -9, domain)
    loop = ActiveAdaptationLoop(
        LogisticRegression(max_iter=500), GALA(target_budget="proportional"), budget=12, n_rounds=2, random_state=0
    )
    loop.fit(X, y, sample_domain=domain)
    assert np.unique(domain[loop.queried_ids_], return_counts=True)[1].tolist() == [4, 8]


def test_in_the_loop_it_buys_labels_that_help():
    X, y, domain = load_gas_drift(source=[1, 2], target=[8])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    loop = ActiveAdaptationLoop(model, GALA(), budget=30, n_rounds=3, random_state=0)
    accuracy = loop.fit(X, y, sample_domain=domain).learning_curve("unqueried")[1]
    assert len(set(loop.queried_ids_.tolist())) == 30
    assert accuracy[-1] > accuracy[0]


def test_a_network_supplies_what_it_reads():
    pytest.importorskip("torch")
    from skada_active.deep import AdaptationClassifier

    X, y, domain = make_multi_source_blobs(n_source=30, n_target=30, random_state=0)
    estimator = AdaptationClassifier(max_epochs=2, random_state=0)
    strategy = GALA(estimator=estimator, random_state=0).fit(X, mask_target(y, domain), domain)
    assert len(set(strategy.query(6).tolist())) == 6
    assert strategy.pool_.source_features.shape[1] == strategy.pool_.features.shape[1]


def test_alone_it_reads_the_number_of_every_target():
    X, y, domain = load_gas_drift(source=[1, 2], target=[6, 8])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    strategy = GALA(target_budget="need", estimator=model, random_state=0).fit(X, mask_target(y, domain), domain)
    np.testing.assert_array_equal(strategy.pool_.target_domain, domain[domain < 0])
    np.testing.assert_array_equal(strategy.pool_.source_domain, domain[domain >= 0])
    assert len(set(strategy.query(10).tolist())) == 10


def test_without_any_source_row_a_fit_is_fine_and_a_query_says_what_is_missing():
    X, y, domain = make_multi_source_blobs(random_state=0)
    target = domain < 0
    known = mask_target(y, domain)[target]
    known[:30] = y[target][:30]
    strategy = GALA().fit(X[target], known, domain[target])
    with pytest.raises(ValueError, match="source_features has no row"):
        strategy.query(3)
    assert len(BADGE().fit(X[target], known, domain[target]).query(3)) == 3
