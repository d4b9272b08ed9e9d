"""Second views of rows: strong augmentations of images and tables, and their mixture with the original."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skada_active.deep.batches import row_blocks
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import to_host
from skada_active.utils.moments import ColumnMoments
from skada_active.utils.rows import as_row, is_dataset

__all__ = ["FeatureNoise", "ImageAugmentation", "check_view", "default_augmentation", "mix_views"]


class FeatureNoise(BaseEstimator):
    """Gaussian noise on the columns of tables and embeddings, each in its own units.

    Parameters
    ----------
    scale : float, default=0.1
        Standard deviation of the noise, as a share of the column's standard deviation over the rows of `fit`. A
        constant column gets none.
    mask : float, default=0.0
        Probability that a value is replaced by the mean of its column.

    Attributes
    ----------
    mean_, scale_ : Tensor of shape (d,)
        Mean and standard deviation of every column.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep import FeatureNoise
    >>> rows = torch.tensor([[0.0, 100.0], [2.0, 300.0]])
    >>> FeatureNoise(scale=0.1).fit(rows)(rows).shape
    torch.Size([2, 2])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scale": [Interval(Real, 0, None, closed="left")],
        "mask": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, scale: float = 0.1, mask: float = 0.0) -> None:
        self.scale = scale
        self.mask = mask

    def fit(self, X: Any, y: Any = None) -> FeatureNoise:
        """Learn mean and standard deviation of every column.

        Parameters
        ----------
        X : array-like of shape (n, d) or dataset
            Rows of all domains; of a dataset, each item is read once.
        y : None
            Not read.

        Returns
        -------
        FeatureNoise
        """
        self._validate_params()
        rows = X if is_dataset(X) else to_host(X)
        moments = ColumnMoments(row_blocks(rows, as_row(rows[0]).shape))
        self.mean_, self.scale_ = (
            torch.as_tensor(values).float() for values in (moments.origin + moments.mean, moments.std)
        )
        return self

    def __call__(self, rows: Tensor) -> Tensor:
        """Return noisy rows, of the shape of `rows`; refused before `fit`."""
        check_is_fitted(self, "scale_")
        noisy = rows + self.scale * self.scale_.to(rows.device) * torch.randn_like(rows)
        if not self.mask:
            return noisy
        return torch.where(torch.rand_like(rows) < self.mask, self.mean_.to(rows.device), noisy)


class ImageAugmentation(BaseEstimator):
    """RandAugment with a draw of its own for every image, and a shift or flip where asked for.

    Parameters
    ----------
    n_ops : int, default=1
        Operations per image.
    magnitude : int, default=2
        Strength of the operations, from 0 to 30 (torchvision's bins).
    shift : int, default=0
        Largest shift of the image in pixels; the border is repeated.
    flip : bool, default=False
        Whether half of the images are mirrored left to right: right for photographs, wrong for digits.

    Notes
    -----
    Images of any range of values are brought to bytes by their own smallest and largest value and back. About half a
    millisecond for an image of 3 x 32 x 32 on one core, 3 ms for one of 3 x 224 x 224.

    References
    ----------
    .. [1] Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep import ImageAugmentation
    >>> ImageAugmentation(magnitude=9)(torch.rand(4, 3, 28, 28)).shape
    torch.Size([4, 3, 28, 28])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_ops": [Interval(Integral, 0, None, closed="left")],
        "magnitude": [Interval(Integral, 0, 30, closed="both")],
        "shift": [Interval(Integral, 0, None, closed="left")],
        "flip": ["boolean"],
    }

    def __init__(self, n_ops: int = 1, magnitude: int = 2, shift: int = 0, flip: bool = False) -> None:
        self.n_ops = n_ops
        self.magnitude = magnitude
        self.shift = shift
        self.flip = flip

    def __call__(self, images: Tensor) -> Tensor:
        """Return augmented images, of the shape of `images` (n, 1 or 3, H, W)."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                f"ImageAugmentation takes images of shape (n, 1 or 3, H, W), got {tuple(images.shape)}; pass another "
                "callable as `augmentation`, such as FeatureNoise() for tables."
            )
        self._validate_params()
        low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        step = ((high - low) / 255).clamp_min(torch.finfo(torch.float32).tiny)
        levels = ((images - low) / step).round().to(torch.uint8)
        transform = self._transform((images.shape[2], images.shape[3]))
        return torch.stack([transform(image) for image in levels]).to(images.dtype) * step + low

    def _transform(self, size: tuple[int, int]) -> Any:
        from torchvision.transforms import v2

        steps: list[Any] = [v2.RandAugment(self.n_ops, self.magnitude)] if self.n_ops else []
        if self.shift:
            steps.append(v2.RandomCrop(size, padding=self.shift, padding_mode="edge"))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        return v2.Compose(steps or [v2.Identity()])


def default_augmentation(n_axes: int) -> FeatureNoise | ImageAugmentation:
    """Return what ``augmentation="auto"`` stands for: noise for rows of one axis, RandAugment for images."""
    return FeatureNoise() if n_axes == 1 else ImageAugmentation()


def check_view(rows: Tensor, view: Any, name: str = "augmentation") -> None:
    """Raise a TypeError if what `name` made of rows is no tensor, a ValueError if it has not their shape."""
    if not isinstance(view, Tensor):
        raise TypeError(f"{name} must return a tensor, as it gets one, but returned {type(view).__name__}.")
    if view.shape != rows.shape:
        raise ValueError(
            f"{name} must return rows of the shape it got, {tuple(rows.shape)}, but returned {tuple(view.shape)}."
        )


def mix_views(rows: Tensor, augmented: Tensor, alpha: float) -> Tensor:
    r"""Return mixtures of rows with their augmented view, each by a share of its own.

    .. math:: \tilde x = \beta x + (1 - \beta)\, a(x), \quad \beta \sim \mathrm{Beta}(\alpha, \alpha)

    Parameters
    ----------
    rows, augmented : Tensor of shape (n, ...)
        The rows and their second view.
    alpha : float
        Parameter of the Beta distribution; below 1 most mixtures are close to one of the two. 0: the augmented view.

    Returns
    -------
    Tensor of the shape of `rows`

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Eq. 5.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.augmentation import mix_views
    >>> mix_views(torch.zeros(2, 3), torch.ones(2, 3), alpha=0)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    check_view(rows, augmented)
    if alpha == 0:
        return augmented
    share = torch.distributions.Beta(alpha, alpha).sample((len(rows),)).to(rows)
    return torch.lerp(augmented, rows, share.view(-1, *[1] * (rows.ndim - 1)))
