"""The query rules of this package as contenders, and what is asked of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from _selection import OURS, SIZES, Arrays, contender
from _selection_formulas import cluster
from numpy.typing import NDArray

#: The largest ratio of times that this package sets itself, by rule, contender and size.
GOALS = {
    **{(rule, "scikit-activeml", "c"): 0.1 for rule in ("entropy", "least confidence", "margin", "committee")},
    ("SDM-G", "written out", "b"): 1 / 40,
    ("SDM-G", "written out", "c"): 1 / 100,
    ("CoreSet", "scikit-activeml", "c"): 1 / 25,
    ("CoreSet", "PyTorch loop", "a"): 1.2,
    ("CoreSet", "PyTorch loop", "b"): 1.2,
    ("BADGE", "loop on factors", "c"): 1 / 8,
    ("SAGE", "written out", "b"): 1 / 8,
    ("CLUE", "scikit-activeml", "c"): 0.7,
    ("LAS", "faiss + scikit-learn", "c"): 1.15,
    ("GALA", "k-means on outer products", "b"): 0.1,
    ("S3VAADA", "written out", "b"): 1 / 20,
}


def _ours(rule: str, strategy: str, *fields: str, at: str = "", **parameters: Any) -> None:
    def choose(arrays: Arrays) -> NDArray[np.int64]:
        import skada_active.query
        from skada_active.pool import PoolView

        view = PoolView(**{name: _field(arrays, name) for name in fields})
        return getattr(skada_active.query, strategy)(**parameters).select(view, arrays.n_queries, random_state=0)

    contender(rule, OURS, at)(choose)


def _field(arrays: Arrays, name: str) -> Any:
    if name == "source_domain":
        return np.arange(len(arrays.source)) % 3
    if name.startswith("labeled_"):
        return getattr(arrays, name.removeprefix("labeled_"))[:0]
    names = {
        "head_weight": "head",
        "class_discriminator": "discriminator",
        "source_features": "source",
        "committee_proba": "committee",
        "virtual_divergence": "divergence",
    }
    return getattr(arrays, names.get(name, name))


_ours("random", "RandomSampling", "proba")
_ours("entropy", "EntropySampling", "proba")
_ours("least confidence", "LeastConfidenceSampling", "proba")
_ours("margin", "MarginSampling", "proba")
_ours("committee", "QueryByCommittee", "committee_proba")
_ours("SDM-G", "SDM", "logits", "head_weight")
_ours("k-means", "KMeansSampling", "features")
_ours("BADGE", "BADGE", "proba", "features")
_ours("CLUE", "CLUE", "logits", "features", temperature=1.0)
_ours("LAS", "LAS", "proba", "features")
_ours("SAGE", "SAGE", "proba", "features", "class_discriminator")
_ours("GALA", "GALA", "proba", "features", "source_features", "source_domain", embedding="auto")
_ours("GALA local", "GALA", "proba", "features", "source_features", "source_domain", mode="local")
_ours("AADA", "AADA", "proba", "source_logit")
_ours("EADA", "EADA", "logits")
# At size d there is one member.
_ours("TQS", "TQS", "proba", "committee_proba", "source_logit", at="a b b2 c base N C D b")
_ours("MHPL", "MHPL", "proba", "features")
_ours("CDAL", "CDAL", "proba", "labeled_proba")
_ours("S3VAADA", "S3VAADA", "proba", "virtual_divergence")
_ours("LAMDA", "LAMDA", "proba", "features", "labeled_features")
_ours("D3GU", "D3GU", "proba", "head_weight", "features", "domain_grad")


@contender("CoreSet", OURS)
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Start from the first row, whose label counts as known, as all contenders of this rule do."""
    from skada_active.pool import PoolView
    from skada_active.query import CoreSet

    view = PoolView(features=arrays.features[1:], labeled_features=arrays.features[:1])
    return 1 + CoreSet().select(view, arrays.n_queries)


@contender("BADGE", "of 10,000 by margin", at="c d")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skada_active.pool import PoolView
    from skada_active.query import BADGE, Prefilter

    view = PoolView(proba=arrays.proba, features=arrays.features)
    return Prefilter(BADGE(), n_candidates=10_000).select(view, arrays.n_queries, random_state=0)


def clustering_costs(sizes: list[str], seeds: int = 3) -> list[list[str]]:
    """Return the table of what this package's k-means costs, next to scikit-learn's from as many seeds."""
    from skada_active.selection import kmeans

    rows = [["clustering", "size", "inertia, scikit-learn", "inertia, skada_active", "ratio"]]
    for label in sizes:
        arrays = Arrays.of(*SIZES[label])
        entropy = -(arrays.proba * np.log(arrays.proba + 1e-12)).sum(axis=1, dtype=np.float64)
        for name, weights in (("k-means", np.ones_like(entropy)), ("CLUE", entropy)):
            theirs = [cluster(arrays.features, arrays.n_queries, weights, seed).inertia_ for seed in range(seeds)]
            labels = [
                kmeans(arrays.features, arrays.n_queries, sample_weight=weights, random_state=seed)
                for seed in range(seeds)
            ]
            mine = [_inertia(arrays.features, clusters, weights) for clusters in labels]
            ratio = np.mean(mine) / np.mean(theirs)
            rows.append([name, label, f"{np.mean(theirs):.5g}", f"{np.mean(mine):.5g}", f"{ratio:.4f}"])
    return rows


def _inertia(X: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[Any]) -> float:
    """Return the weighted squared distances of rows to the means of their clusters."""
    total = 0.0
    for label in np.unique(labels):
        members = labels == label
        rows = X[members].astype(np.float64)
        deviations = rows - np.average(rows, axis=0, weights=weights[members])
        total += weights[members] @ np.square(deviations).sum(axis=1)
    return total
