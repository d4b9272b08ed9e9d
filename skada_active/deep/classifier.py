"""Deep classifier of the package: scikit-learn outside, one skorch net inside."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skada_active.deep._builder import (
    OPTIMIZERS,
    available_device,
    build_net,
    own_net_params,
    resolve_device,
)
from skada_active.deep._initial import inherited_parameters, initial_model
from skada_active.deep._inputs import InputProfile, Intake, check_rows
from skada_active.deep._prediction import net_outputs
from skada_active.deep._seeding import run_seeded
from skada_active.deep._state import is_alike, load_state, net_state
from skada_active.deep._validation import (
    check_class_weight,
    check_fit_data,
    check_source_rows,
    class_weights,
    training_data,
    warn_if_no_label_counts,
    with_new_targets,
)
from skada_active.deep.anchors import AnchorSet
from skada_active.deep.net import AdaptationNet
from skada_active.deep.objectives import Objective, ObjectiveSum
from skada_active.domains import Roles, usual_coding
from skada_active.exceptions import TrainingError
from skada_active.labels import encode_labels, native_labels
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.fitting import keeps_grad_mode
from skada_active.utils.methods import DomainMetadata
from skada_active.utils.random import check_rng
from skada_active.utils.rows import is_dataset
from skada_active.utils.scores import score_known
from skada_active.utils.warn import warn_user

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AdaptationClassifier"]


class AdaptationClassifier(
    DomainMetadata, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Deep classifier for domain adaptation: labelled source rows, the labelled target rows there are, and a DA loss.

    Every training step sees a mixed batch: source rows, labelled target rows (which come back again and again, however
    few), and, where the objective asks for it, target rows without their labels. Inside works one skorch net, `net_`;
    outside this is a scikit-learn classifier and transformer.

    Parameters
    ----------
    objective : Objective, default=None
        Domain adaptation loss, added to the labelled loss; objectives add up (``MCC() + MarginLoss()``). ``None``: no
        such loss.
    module : nn.Module or callable, default=None
        Backbone that maps input rows to the embedding (n, D); an instance is copied, a callable gets the shape of one
        row and returns a module. ``None``: a linear bottleneck of width 256 with batch normalisation for tabular rows,
        a small `ConvNet` for images.
    init : FrozenEstimator, str or path, default=None
        Trained network to start from: a fitted `AdaptationClassifier`, in `sklearn.frozen.FrozenEstimator` so that
        clones keep it, or the file that `skada_active.io.save` wrote of one. The new network has its backbone, head,
        weights, classes and standardisation, and every `fit` starts from them; `module`, `standardize`, `head` and
        `head_temperature` are the other's. No source row is needed then, nor any label: without one the objective alone
        trains, and without an objective the network stays what it is. ``None``: random weights.
    standardize : bool or "auto", default="auto"
        Whether columns (channels of images) are standardised, by the statistics of the first `X` fitted, before they
        enter the default network; so neither an offset nor a unit matters. ``"auto"``: each is centred and divided by
        its own deviation, but where columns share one scale, as those of ready-made embeddings do (nine in ten within a
        factor of 10), these are divided by one common scale, which keeps them in proportion. ``False``: rows enter
        as they are, in float32. A dataset is read once more for its statistics. A `module` of one's own gets raw rows.
    labeled_loss : {"s+t", "joint"}, default="s+t"
        ``"s+t"``: mean cross-entropy of the source rows plus that of the labelled target rows. ``"joint"``: one mean
        over batches drawn from both together (S∪T).
    source_weight : float, default=1.0
        Weight of the source term, or of each source row with ``"joint"``.
    head : {"linear", "cosine"}, default="linear"
        Final classifier; before the cosine head the embedding is normalised.
    head_temperature : float, default=0.05
        Temperature of the cosine head.
    unlabeled_pool : {"all", "unlabeled"}, default="all"
        Rows of the target batch: all target rows, or those without a known label.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the labelled losses, as in scikit-learn.
    augmentation : callable, "auto" or None, default=None
        Maps a batch of rows to a second view of the same shape. Labelled target rows enter as a mixture with theirs,
        and objectives may read ``step.augmented``. ``"auto"``: `FeatureNoise` for tabular rows, `ImageAugmentation`
        for images. One with a ``fit(X)`` is cloned and fitted to the first `X`: an array or dataset of rows as the
        network takes them.
    mix_alpha : float, default=0.2
        The share of the original in the mixture is drawn from Beta(`mix_alpha`, `mix_alpha`); 0: the second view alone.
    train_transform : callable, default=None
        Maps a batch of rows to one of the same shape, as all rows pass through it in training, and in training alone:
        random crops and flips, for example. Predictions and queries see the rows as they are.
    anchors : AnchorSet, default=None
        Lets confident target rows join the labelled ones (LADA); ``None``: the labelled ones alone.
    batch_statistics : {"per_domain", "mixed", "frozen"}, default="mixed"
        Which rows batch normalisation takes together in training: the source rows and the target rows each by
        themselves (where a step has two of either), or all rows of the step. Predictions are normalised by the running
        statistics, to which either domain then adds its own in turn, so that they lie between the two. ``"frozen"``:
        layers that come with running statistics, of pretrained weights or of `init`, go by them in training too, and
        leave them as they are; new layers, such as a bottleneck, take all rows of the step.
    frozen : sequence of str, default=()
        Parts of the network that are not trained: ``"head"``, ``"backbone"``, or parts of the backbone by the names of
        its `named_parameters` before a dot, with wildcards (``"backbone.0.layer[123]"``). Batch normalisation in
        them still adapts its running statistics, unless ``batch_statistics="frozen"``.
    channels_last : bool, default=False
        Whether images lie in memory with their channels last, which convolutions are faster with on most machines, by
        themselves and above all with ``precision="bfloat16"``. It changes no result but by rounding.
    precision : {"float32", "bfloat16"}, default="float32"
        Precision of the backbone, by torch's autocast; head, discriminators and losses stay in float32. ``"bfloat16"``
        takes half the memory and time on GPUs since Ampere and on processors with AMX, and is slower on others.
    n_heads : int, default=None
        Number of further linear heads, at least 2, that are trained beside the head by the labelled loss and do not
        train the embedding: the committee that TQS reads. They differ by their initial weights, by random weights of
        the rows of every batch, and by their own views of the rows where there is an `augmentation`. ``None``: none.
    max_epochs : int, default=20
        Epochs of `fit`; an epoch has as many steps as the largest labelled role needs to be seen once, at least 10.
    lr : float, default=1e-3
        Learning rate.
    backbone_lr : float, default=1.0
        Multiplier of the learning rate for the backbone, where pretrained weights are usually trained at 0.1 of it. A
        part of it that is named ``bottleneck``, and that of `torchvision_backbone`, is as new as the head, and learns
        at the full rate.
    batch_size : int, default=64
        Rows of each role in a step.
    target_batch_size : int, default=None
        Rows of the target batch that objectives read; ``None``: `batch_size`. Losses that compare the rows of a batch,
        such as MCC with many classes, want more.
    optimizer : {"adam", "adamw", "sgd", "adadelta"} or torch optimiser class, default="adam"
        Optimiser; ``"sgd"`` has Nesterov momentum 0.9.
    weight_decay : float, default=1e-5
        Weight decay of the optimiser.
    device : str, default="auto"
        Torch device; ``"auto"``: CUDA where available, else the CPU.
    net_params : dict, default=None
        Parameters of the skorch net: ``callbacks``, ``train_split`` (validation on held-out labelled rows: it
        splits these alone, with their labels as `y`), ``iterator_train__num_workers``, ``optimizer__param_groups``,
        ``compile``, ... They win over those above; ``net_class`` names a subclass of `AdaptationNet` to use.
    verbose : int, default=0
        Whether to print the loss of every epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and dropout.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Sorted labels.
    domains_ : ndarray of shape (n_domains,), int64
        Domain numbers in the order of their positions: sources, then targets.
    net_ : AdaptationNet
        The skorch net; ``net_.history`` holds the losses of every epoch.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`.

    Notes
    -----
    Seeded work takes turns between threads (torch has one global generator), so joblib threads give the same models as
    a single one. Training on the CPU is reproducible bit for bit for an integer `random_state`. There is no
    ``sample_weight``: mini-batches cannot keep its contract.

    The methods that predict also take ``sample_domain`` and ``allow_source``, as skada's scorers pass them, and read
    neither: the network predicts any row alike.

    Where the first stages of a backbone are `frozen`, their feature maps are computed once for each call of training
    instead of at every step, if nothing changes a row before it enters (no `augmentation`, no `train_transform`), the
    stages do in training what they do in prediction (``batch_statistics="frozen"`` where they have batch
    normalisation, no dropout), the stages run one after the other, as in most convolutional networks, and the maps of
    all rows take 2 GiB at most. The result is the same but for rounding.

    A fitted model is pickled, copied and saved by joblib and skops as its parameters and one state of numpy arrays and
    plain values; read on any device, it predicts and goes on training alike. The network is made again from the
    parameters. What a module of one's own keeps in attributes that are neither parameters, buffers nor plain values
    survives `copy.deepcopy` only; a callback of one's own is carried as it is, by what can carry its class.

    A `Pipeline` that is fitted by itself hands missing labels to its earlier steps, as labels: one that learns from
    them (`SelectKBest`, `TargetEncoder`) is fitted on the labelled rows by a loop, which with ``budget=0`` buys none.

    Examples
    --------
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.deep import MCC, AdaptationClassifier
    >>> from skada_active.domains import mask_target
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> model = AdaptationClassifier(MCC(), random_state=0)
    >>> model.fit(X, mask_target(y, sample_domain), sample_domain).predict(X).shape == y.shape
    True
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}
    __metadata_request__partial_fit: ClassVar[dict[str, bool]] = {"sample_domain": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "objective": [Objective, ObjectiveSum, None],
        "module": [callable, None],
        "init": [FrozenEstimator, str, PathLike, None],
        "standardize": ["boolean", StrOptions({"auto"})],
        "labeled_loss": [StrOptions({"s+t", "joint"})],
        "source_weight": [Interval(Real, 0, None, closed="left")],
        "head": [StrOptions({"linear", "cosine"})],
        "head_temperature": [Interval(Real, 0, None, closed="neither")],
        "unlabeled_pool": [StrOptions({"all", "unlabeled"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "augmentation": [callable, StrOptions({"auto"}), None],
        "mix_alpha": [Interval(Real, 0, None, closed="left")],
        "train_transform": [callable, None],
        "anchors": [AnchorSet, None],
        "batch_statistics": [StrOptions({"per_domain", "mixed", "frozen"})],
        "frozen": ["array-like"],
        "channels_last": ["boolean"],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "n_heads": [Interval(Integral, 2, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="left")],
        "backbone_lr": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "target_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "device": [str, torch.device],
        "net_params": [dict, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        objective: Objective | ObjectiveSum | None = None,
        *,
        module: Any = None,
        init: Any = None,
        standardize: bool | str = "auto",
        labeled_loss: str = "s+t",
        source_weight: float = 1.0,
        head: str = "linear",
        head_temperature: float = 0.05,
        unlabeled_pool: str = "all",
        class_weight: Any = None,
        augmentation: Any = None,
        mix_alpha: float = 0.2,
        train_transform: Any = None,
        anchors: AnchorSet | None = None,
        batch_statistics: str = "mixed",
        frozen: Sequence[str] = (),
        channels_last: bool = False,
        precision: str = "float32",
        n_heads: int | None = None,
        max_epochs: int = 20,
        lr: float = 1e-3,
        backbone_lr: float = 1.0,
        batch_size: int = 64,
        target_batch_size: int | None = None,
        optimizer: Any = "adam",
        weight_decay: float = 1e-5,
        device: str = "auto",
        net_params: dict[str, Any] | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.objective = objective
        self.module = module
        self.init = init
        self.standardize = standardize
        self.labeled_loss = labeled_loss
        self.source_weight = source_weight
        self.head = head
        self.head_temperature = head_temperature
        self.unlabeled_pool = unlabeled_pool
        self.class_weight = class_weight
        self.augmentation = augmentation
        self.mix_alpha = mix_alpha
        self.train_transform = train_transform
        self.anchors = anchors
        self.batch_statistics = batch_statistics
        self.frozen = frozen
        self.channels_last = channels_last
        self.precision = precision
        self.n_heads = n_heads
        self.max_epochs = max_epochs
        self.lr = lr
        self.backbone_lr = backbone_lr
        self.batch_size = batch_size
        self.target_batch_size = target_batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.device = device
        self.net_params = net_params
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None) -> Self:
        """Train a new network for `max_epochs`.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, C, H, W), tensor, table, list of images, or dataset
            Rows of all domains. A table is one of pandas, polars or pyarrow; a dataset yields one row per index, or a
            tuple that begins with it, whose label is not read. An image of PIL counts as (C, H, W).
        y : array-like of shape (n,)
            Labels; target rows may miss theirs (-1 in integer, NaN in float, None in object `y`).
        sample_domain : array-like of shape (n,) of int, default=None
            Domain number per row: ``>= 0`` source, ``< 0`` target. ``None``: all rows are source.

        Returns
        -------
        AdaptationClassifier
            The fitted model.

        Raises
        ------
        ValueError
            If no row has a label and there is no `init`, data, labels and domains do not fit together, or the
            objective is made for the number of source domains and there is none.
        TypeError
            If `X` has no rows that can be taken by number, or they are no numbers.

        Warns
        -----
        UserWarning
            If the objective reads target rows, or compares them with source rows, and there are none, or the domains
            are numbered 0 and 1 alone.

        Notes
        -----
        Columns of float64 or large integers whose offset or scale a float32 cannot hold are centred first, in double
        precision; other rows become float32 at once.
        """
        self._validate_params()
        check_class_weight(self.class_weight)
        initial = initial_model(self.init)
        X, y, roles = check_fit_data(self, X, y, sample_domain, reset=True, initial=initial)
        if message := usual_coding(roles):
            warn_user(message)
        elif self.objective is not None and self.objective.reads_target and not len(roles.target):
            warn_user(
                f"objective={self.objective!r} reads target rows, but there are none, so it does nothing; number their "
                "sample_domain below 0, or leave the objective out."
            )
        X = self._start(X, y, None, roles, initial)
        return self._train(X, y, roles, own_net_params(self).get("max_epochs", self.max_epochs))

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
        epochs: int = 1,
    ) -> Self:
        """Go on training, the optimiser's state kept; the first call makes the network.

        Parameters
        ----------
        X, y, sample_domain
            As in `fit`; the rows need not be those of earlier calls.
        classes : array-like of shape (C,), default=None
            All labels that will ever come, read at the first call; ``None``: those of this call.
        epochs : int, default=1
            How many epochs.

        Returns
        -------
        AdaptationClassifier
            The fitted model.

        Raises
        ------
        ValueError
            If a label or a source domain is new to the network.

        Notes
        -----
        The network is made with the parameters of the first call. Those that `set_params` changes later (`lr`,
        `batch_size`, `source_weight`, `labeled_loss`, `objective`, ...) count from the next `fit`; `class_weight` alone
        is read at every call.
        """
        if not isinstance(epochs, Integral) or epochs < 0:
            raise ValueError(f"epochs must be an integer >= 0, got {epochs!r}.")
        self._validate_params()
        check_class_weight(self.class_weight)
        first = not hasattr(self, "net_")
        initial = initial_model(self.init) if first else None
        X, y, roles = check_fit_data(self, X, y, sample_domain, reset=first, initial=initial)
        X = self._start(X, y, classes, roles, initial) if first else self._intake.read(X)
        return self._train(X, y, roles, epochs)

    def predict(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return the label of every row, shape (n,)."""
        logits = self.pool_outputs(X, {"logits"})["logits"]
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[np.float32]:
        """Return class probabilities, shape (n, C)."""
        return self.pool_outputs(X, {"proba"})["proba"]

    def decision_function(
        self, X: Any, sample_domain: Any = None, *, allow_source: bool = False
    ) -> NDArray[np.float32]:
        """Return logits, shape (n, C); for two classes their difference, shape (n,)."""
        logits = self.pool_outputs(X, {"logits"})["logits"]
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        sample_domain: Any = None,
        *,
        allow_source: bool = False,
    ) -> float:
        """Return the accuracy on the rows whose label is known; a missing one (-1, NaN or None) leaves its row out."""
        check_is_fitted(self, "net_")
        return score_known(self, X, y, sample_weight)

    def transform(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[np.float32]:
        """Return the embedding, the input of the final classifier, shape (n, D)."""
        return self.pool_outputs(X, {"features"})["features"]

    def fit_transform(self, X: Any, y: ArrayLike, **fit_params: Any) -> NDArray[np.float32]:
        """Return the embedding of the rows that the network is trained on, shape (n, D); parameters as in `fit`."""
        return self.fit(X, y, **fit_params).transform(X)

    def domain_logit(self, X: Any) -> NDArray[np.float32]:
        """Return the logit of P(source) of a trained domain discriminator, shape (n,).

        Raises
        ------
        ValueError
            If the objective has no domain discriminator.
        """
        if "source_logit" not in self.pool_supplies:
            raise ValueError(
                f"objective={self.objective!r} trains no domain discriminator; use one that does, such as DANN()."
            )
        return self.pool_outputs(X, {"source_logit"})["source_logit"]

    @property
    def loss_terms_(self) -> dict[str, float]:
        """Losses of the last epoch by name: ``train_loss``, ``labeled_loss``, and the objective's own terms."""
        last = self.net_.history[-1] if self.net_.history else {}
        return {name: value for name, value in last.items() if isinstance(value, float) and name != "dur"}

    @property
    def anchor_counts_(self) -> NDArray[np.int64]:
        """Anchors of each class at each pass over the anchor set in the last epoch, shape (n_passes, C)."""
        if self.anchors is None:
            raise AttributeError("anchor_counts_ exists only with anchors=AnchorSet(...).")
        counts = [of_pass.cpu().numpy() for of_pass in self.net_.anchor_counts_]
        return np.array(counts, dtype=np.int64).reshape(-1, len(self.classes_))

    @property
    def anchor_set_(self) -> NDArray[Any]:
        """Anchors at the end of the last epoch, in order of joining: a structured array of shape (n_anchors,).

        Its fields are ``row`` (number in the `X` that was trained on), ``label`` (what it was trained for),
        ``confidence`` (the model's at joining; 1 for an answer) and ``joined`` (the pass over the set, counted from 0,
        that it was in first; 0 for the answers). ``pandas.DataFrame(model.anchor_set_)`` shows it.
        """
        if self.anchors is None:
            raise AttributeError("anchor_set_ exists only with anchors=AnchorSet(...).")
        members = {name: values.cpu().numpy() for name, values in self.net_.anchor_set_.items()}
        types = {"row": np.int64, "label": self.classes_.dtype, "confidence": np.float32, "joined": np.int64}
        table = np.empty(len(members.get("row", ())), dtype=list(types.items()))
        for name, values in members.items():
            table[name] = self.classes_[values] if name == "label" else values
        return table

    @property
    def device_(self) -> torch.device:
        """Device that the network is on."""
        return next(self.net_.module_.parameters()).device

    @property
    def fits_without_labels(self) -> bool:
        """Whether `fit` needs no label: an initial network knows the classes."""
        return self.init is not None

    # What `pool.snapshot` reads.

    @property
    def pool_supplies(self) -> frozenset[str]:
        """Names of the `PoolView` fields that the model can fill, fitted or not."""
        names = {"proba", "logits", "features", "virtual_divergence", "head_weight", "head_bias"}
        if self.n_heads is not None:
            names |= {"committee_proba", "committee_logits"}
        if self.objective is not None:
            names |= self.objective.supplies
        if "source_logit" in names:
            names |= {"domain_grad"}
        if self.head == "cosine":
            # A discriminator reads the embedding, and its parameters say nothing about features that are normalised.
            names -= {"class_discriminator"}
            names |= {"embedding"}
        return frozenset(names)

    def pool_outputs(self, X: Any, names: Collection[str], *, on_device: Collection[str] = ()) -> dict[str, Any]:
        """Return the named outputs for the rows of `X`, all from one forward pass.

        Those that `on_device` names are tensors on the device of the network, the others ndarrays.
        """
        check_is_fitted(self, "net_")
        X = self._intake.read(check_rows(self, X, reset=False, intake=self._intake))
        X = X if is_dataset(X) else torch.as_tensor(X, device=self.device_)
        return net_outputs(self.net_, X, names, on_device)

    def pool_head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight (C, D) and bias (C,) of the final linear classifier."""
        check_is_fitted(self, "net_")
        head = self.net_.module_.head
        # Copies: what a pool view holds must not change with further training.
        weight, bias = (values.detach().cpu().numpy().copy() for values in (head.weight, head.bias))
        return weight, bias

    def pool_field(self, name: str) -> Any:
        """Return a field that the objective supplies for any rows: ``class_discriminator`` or ``class_domain_grad``."""
        check_is_fitted(self, "net_")
        return getattr(self.net_.criterion_.objective, name)()

    def pool_moments(self) -> dict[str, NDArray[Any]] | None:
        """Return moments of the embedding in the source domains: those of an initial `SourceModel`, while it holds.

        None without one, and where training has moved the embedding since.
        """
        check_is_fitted(self, "net_")
        if (summary := getattr(self.init, "summary", None)) is None:
            return None
        now, before = (of.net_.module_.backbone.state_dict() for of in (self, initial_model(self.init)))
        if not all(torch.equal(value, before[name].to(value.device)) for name, value in now.items()):
            return None
        return {name: getattr(summary, name) for name in ("source_mean", "source_std", "source_count")}

    def _start(self, X: Any, y: NDArray[Any], classes: ArrayLike | None, roles: Roles, initial: Any) -> Any:
        """Make the network for rows like those of `X`, and return these as it takes them."""
        if initial is not None:
            classes = initial.classes_
        classes = np.unique(native_labels(y[roles.labeled]) if classes is None else np.asarray(classes))
        encode_labels(y[roles.labeled], classes)  # refused before there is a network that cannot learn them
        self.classes_ = classes
        self.domains_ = np.concatenate([np.unique(roles.domain[roles.source]), np.unique(roles.domain[roles.target])])
        self._seed = int(check_rng(self.random_state).randint(np.iinfo(np.int32).max))
        self._n_calls = 0
        # Of the network as it is made; target domains may come later, the first one too.
        self._n_domains = max(len(self.domains_), int((self.domains_ >= 0).sum()) + 1)
        # What `set_params` changes later counts from the next network.
        self._config = self._unfitted()
        if initial is not None:
            self._config.set_params(**inherited_parameters(initial, self))
        device = resolve_device(self._config)
        inputs, rows, self.net_ = run_seeded(lambda: self._profile_and_net(X, device, initial), self._seed, device)
        # A net is made again from these, without its rows, see `__setstate__`.
        intake, standardizes = {**vars(inputs.intake)}, inputs.standardize is not None
        self._inputs: dict[str, Any] = {"intake": intake, "standardizes": standardizes}
        self._n_features_out = self.net_.module_.n_features
        return rows

    @property
    def _intake(self) -> Intake:
        return Intake(**self._inputs["intake"])

    def _train(self, X: Any, y: NDArray[Any], roles: Roles, epochs: int) -> Self:
        self.domains_ = with_new_targets(self.domains_, roles)
        if not len(roles.labeled) and self._config.objective is None:
            return self  # nothing to learn from, not even the statistics of a batch
        check_source_rows(self._config.objective, roles)
        data = training_data(X, y, roles, classes=self.classes_, domains=self.domains_, device=self.device_)
        self.net_.class_weight = class_weights(self.class_weight, self.classes_, native_labels(y[roles.labeled]))
        warn_if_no_label_counts(data, self.net_.source_weight, self.net_.class_weight)
        self._n_calls += 1
        seed = np.random.SeedSequence(self._seed, spawn_key=(self._n_calls,)).generate_state(1)[0]
        try:
            run_seeded(lambda: self.net_.train_epochs(data, epochs), int(seed), self.device_)
        except TrainingError as error:
            model = " ".join(repr(self).split())  # on one line
            raise TrainingError(f"{model}: {error}") from error
        return self

    def _profile_and_net(self, X: Any, device: str, initial: Any) -> tuple[InputProfile, Any, AdaptationNet]:
        given = None if initial is None else (initial._intake, initial._inputs["standardizes"])
        inputs, rows = InputProfile.from_rows(self._config, X, given)
        weights = None if initial is None else initial.net_.module_.state_dict()
        return inputs, rows, self._build(inputs, device, weights)

    def _build(self, inputs: InputProfile, device: str, weights: dict[str, Any] | None = None) -> AdaptationNet:
        sizes = {"n_classes": len(self.classes_), "n_domains": self._n_domains}
        return build_net(self._config, inputs, device=device, weights=weights, **sizes)

    def _unfitted(self) -> Self:
        params = self.get_params(deep=False)
        for name in params.keys() & {"objective", "augmentation", "anchors"}:  # but no copy of the weights of a module
            params[name] = clone(params[name], safe=False) if hasattr(params[name], "get_params") else params[name]
        return type(self)(**params)

    @keeps_grad_mode
    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__()}
        if "net_" in state:
            config, now = (of.get_params(deep=False) for of in (self._config, self))
            state["_config"] = {name: value for name, value in config.items() if not is_alike(value, now[name])}
            state["net_"] = net_state(self.net_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        learned = state.get("net_")
        super().__setstate__({name: value for name, value in state.items() if name != "net_"})
        if learned is None:
            return
        self._config = self._unfitted().set_params(**state["_config"])
        device = available_device(resolve_device(self._config))
        inputs = InputProfile.blank(self._config, self._intake, self._inputs["standardizes"])
        # The weights drawn for the new net are overwritten; drawing them must not move the global generators.
        self.net_ = run_seeded(lambda: load_state(learned, lambda: self._build(inputs, device)), self._seed, device)

    @keeps_grad_mode
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = twin = type(self).__new__(type(self))
        memo[id(self.init)] = self.init  # what is frozen is shared
        try:
            # Unlike the state, this keeps objects that the modules of a user hold.
            attributes = copy.deepcopy(vars(self), memo)
        except Exception:
            twin.__setstate__(copy.deepcopy(self.__getstate__()))  # not every module can be copied
        else:
            twin.__dict__.update(attributes)
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
