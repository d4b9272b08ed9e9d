"""VAAL: ask for what is least like the labelled rows, by an adversarial game on latent codes."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import product_seconds
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import Floats, as_floats, to_host

__all__ = ["VAAL", "labeled_probability"]

# Width of the hidden layers of encoder and decoder; the discriminator has half of it.
_WIDTH = 128
# What a step of the game takes on one core besides its matrix products.
_SECONDS_A_STEP = 1.5e-3


def labeled_probability(
    features: ArrayLike,
    labeled_features: ArrayLike,
    *,
    n_latent: int = 32,
    max_epochs: int = 30,
    adversary_weight: float = 1.0,
    kl_weight: float = 1.0,
    batch_size: int = 64,
    lr: float = 2e-3,
    seed: int = 0,
) -> NDArray[np.float64]:
    r"""Return how probable it is that a row is a labelled one, by a discriminator that an autoencoder plays against.

    A variational autoencoder and a discriminator D of labelled rows L against unlabelled rows U are trained together,
    on codes :math:`\zeta \sim q(\zeta | z)` of standardised rows z:

    .. math::

        \ell_{VAE} = E_{L \cup U}\left[\tfrac{1}{2} \|z - \hat z(\zeta)\|^2
            + \beta \, KL(q(\zeta | z) \| N(0, 1)) \right]
            - \gamma \left( E_L[\ln D(\zeta)] + E_U[\ln D(\zeta)] \right)

    .. math::

        \ell_D = - \tfrac{1}{2} \left( E_L[\ln D(\zeta)] + E_U[\ln (1 - D(\zeta))] \right)

    The autoencoder makes codes that pass as labelled, and can do so only where labelled rows are like the row.

    Parameters
    ----------
    features : array-like of shape (n, D)
        Unlabelled rows.
    labeled_features : array-like of shape (l, D)
        Labelled rows.
    n_latent : int, default=32
        Width of the codes.
    max_epochs : int, default=30
        Passes over the unlabelled rows; in every batch there are as many labelled rows, drawn with replacement.
    adversary_weight : float, default=1.0
        Weight gamma of what the autoencoder does to mislead the discriminator.
    kl_weight : float, default=1.0
        Weight beta of the divergence from the prior.
    batch_size : int, default=64
        Unlabelled rows of a batch.
    lr : float, default=2e-3
        Learning rate of Adam.
    seed : int, default=0
        Seed of initial weights, batches and codes.

    Returns
    -------
    ndarray of shape (n,), float64
        D at the mean code of every unlabelled row. Identical rows have identical values, and the order of the rows
        does not matter. Without a labelled row all are 0.

    Notes
    -----
    ``max_epochs * ceil(n / batch_size)`` steps of networks with one hidden layer of 128 (64 in the discriminator), on
    the CPU: on one core a second for 1,000 rows, about a minute for 55,000 of width 256. O((n + l) D) memory. The
    global generators of torch are left as they are.

    References
    ----------
    .. [1] Sinha, Ebrahimi and Darrell, "Variational Adversarial Active Learning", ICCV 2019, Eq. 1 to 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import labeled_probability
    >>> rng = np.random.default_rng(0)
    >>> left, right = rng.normal(size=(2, 60, 4)) + [[[-2.0]], [[2.0]]]
    >>> probability = labeled_probability(np.concatenate([left[:50], right]), left[50:])
    >>> bool(probability[:50].mean() > probability[50:].mean())
    True
    """
    rows, labeled = as_floats(to_host(features), to_host(labeled_features))
    if not len(rows) or not len(labeled):
        return np.zeros(len(rows))
    # Seeded work repeats itself on rows in an order of their own: the candidates' order must not matter.
    (rows, first, place), (labeled, _, _) = _ordered(rows), _ordered(labeled)
    standardized = _standardized(np.concatenate([rows, labeled]))
    import torch

    from skada_active.deep._seeding import run_seeded
    from skada_active.query._vaal_game import LatentGame

    unlabeled, known = (torch.as_tensor(part) for part in np.split(standardized, [len(rows)]))

    def play() -> NDArray[np.float64]:
        game = LatentGame(rows.shape[1], n_latent, _WIDTH, adversary_weight, kl_weight, lr)
        game.train(unlabeled, known, max_epochs, batch_size)
        return game.labeled_probability(unlabeled[first])

    return run_seeded(play, seed)[place]


def _ordered(rows: Floats) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return rows sorted by their bytes, where the first of each distinct one stands, and which each given row is."""
    content = np.ascontiguousarray(rows) + 0.0  # one zero, not two
    as_bytes = content.view(np.dtype((np.void, content.itemsize * content.shape[1]))).ravel()
    order = np.argsort(as_bytes, kind="stable")
    _, first, place = np.unique(as_bytes[order], return_index=True, return_inverse=True)
    distinct = np.empty_like(order)
    distinct[order] = place
    return content[order], first, distinct


def _standardized(rows: Floats) -> NDArray[np.float32]:
    """Return columns centred and divided by their deviation in float32, constant ones 0; squares stay in range."""
    largest = np.abs(rows).max(axis=0)
    return StandardScaler().fit_transform(rows / np.where(largest > 0, largest, 1)).astype(np.float32)


class VAAL(QueryStrategy):
    """VAAL strategy: the target rows whose latent codes a discriminator tells apart from those of labelled rows.

    Reads the embedding of candidates, labelled target rows and source rows. The rule as a pure function:
    `labeled_probability`.

    Parameters
    ----------
    n_latent : int, default=32
        Width of the latent codes.
    max_epochs : int, default=30
        Passes over the pool that the autoencoder and the discriminator are trained for, in every round anew.
    adversary_weight : float, default=1.0
        Weight of what the autoencoder does to mislead the discriminator. 0: the discriminator alone learns from whom a
        code is.
    kl_weight : float, default=1.0
        Weight of the divergence of the codes from their prior.
    batch_size : int, default=64
        Candidates of a batch, which has as many labelled rows.
    lr : float, default=2e-3
        Learning rate of Adam.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        An integer is the seed of the networks as well, which is 0 otherwise, so that utilities repeat themselves. See
        `QueryStrategy`.

    See Also
    --------
    labeled_probability : The probability as a function.
    CoreSet : Rows far from the labelled ones.
    KMeansSampling : Rows that represent the pool.

    Notes
    -----
    The utility of a row is 1 - P(labelled). All labelled rows count, as in the paper: those of the source, which are
    the only ones in the first round, and the target rows whose labels are known. Between domains that are far apart the
    discriminator therefore asks for what is most unlike the source; without a gap (a labelled part of one data set as
    the source) for what the labels do not cover yet. Where nothing is labelled, all rows have utility 1.

    Nothing keeps rows from being alike, and the most unlike ones may all be of one region or class: small budgets on
    domains far apart are better spent otherwise.

    Our reading: the paper's networks read images and are trained along with the classifier; these read the embedding,
    and are trained for each query. Of the codes, the discriminator sees samples in training, which keeps it from
    learning the labelled rows by heart, and the mean when rows are scored. The loss of the autoencoder is the whole
    evidence bound in nats, a sum over columns.

    Time and memory are those of `labeled_probability`; the order of the rows changes no choice. A query that takes
    more than a minute is announced by a warning.

    References
    ----------
    .. [1] Sinha, Ebrahimi and Darrell, "Variational Adversarial Active Learning", ICCV 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import VAAL
    >>> rng = np.random.default_rng(0)
    >>> left, right = rng.normal(size=(2, 60, 4)) + [[[-2.0]], [[2.0]]]
    >>> view = PoolView(
    ...     features=np.concatenate([left[:50], right]), labeled_features=left[50:], source_features=left[:0]
    ... )
    >>> bool((VAAL().select(view, 5) >= 50).all())
    True
    """

    needs = frozenset({"features", "labeled_features", "source_features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_latent": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "adversary_weight": [Interval(Real, 0, None, closed="left")],
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_latent: int = 32,
        max_epochs: int = 30,
        adversary_weight: float = 1.0,
        kl_weight: float = 1.0,
        batch_size: int = 64,
        lr: float = 2e-3,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_latent = n_latent
        self.max_epochs = max_epochs
        self.adversary_weight = adversary_weight
        self.kl_weight = kl_weight
        self.batch_size = batch_size
        self.lr = lr

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        pool, positions = view.surroundings

        def probability() -> NDArray[np.float64]:
            labeled = np.concatenate(as_floats(to_host(pool.source_features), to_host(pool.labeled_features)))
            return labeled_probability(pool.features, labeled, **self._options)

        return 1 - pool.once(self._key, probability)[positions]

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        pool, _ = view.surroundings
        if pool.has(self._key):
            return 0.0
        n_steps = self.max_epochs * math.ceil(len(pool) / self.batch_size)
        weights = 2 * _WIDTH * pool.features.shape[1] + 4 * _WIDTH * self.n_latent
        return product_seconds(pool, 6.0 * self.batch_size * n_steps * weights) + _SECONDS_A_STEP * n_steps

    @property
    def _options(self) -> dict[str, Any]:
        """Return the options of `labeled_probability`."""
        names = ("n_latent", "max_epochs", "adversary_weight", "kl_weight", "batch_size", "lr")
        seed = int(self.random_state) if isinstance(self.random_state, Integral) else 0
        return {"seed": seed, **{name: getattr(self, name) for name in names}}

    @property
    def _key(self) -> str:
        return f"_labeled_probability_{self._options}"
