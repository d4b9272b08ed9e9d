"""Networks for tabular rows and ready-made features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from skada_active.utils.arrays import to_host
from skada_active.utils.moments import ColumnMoments

__all__ = ["MLP", "Standardize"]

#: Values that are held in double precision at a time.
_BLOCK_VALUES = 2**20


class Standardize(nn.Module):
    """Shift and scale every column (or image channel) by fixed statistics.

    Parameters
    ----------
    mean, scale : Tensor of shape (d,)
        Mean and scale per column; for images (n, C, H, W) per channel. Kept as buffers, never trained.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import Standardize
    >>> Standardize.fitted_to(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))(torch.tensor([[3.0, 5.0]]))
    tensor([[2., 0.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def fitted_to(cls, X: Tensor) -> Standardize:
        """Return the module with the mean and (population) standard deviation of `X`; constant columns keep scale 1.

        Parameters
        ----------
        X : Tensor of shape (n, d) or (n, C, H, W)
            Rows, of any real type.

        Returns
        -------
        Standardize
        """
        # Never with all rows in double precision at once.
        blocks = X.split(max(1, _BLOCK_VALUES // max(1, X[0].numel())))
        moments = ColumnMoments(map(to_host, blocks))
        scale = np.where(moments.std > 0, moments.std, 1.0)
        return cls(*(torch.as_tensor(values).float() for values in (moments.origin + moments.mean, scale)))

    def forward(self, X: Tensor) -> Tensor:
        """Return the standardised rows, of the shape of `X`."""
        shape = (-1, *[1] * (X.ndim - 2))
        return (X - self.mean.view(shape)) / self.scale.view(shape)


class MLP(nn.Sequential):
    """Map rows to an embedding by linear layers, each with batch normalisation unless told otherwise.

    Between layers there is a ReLU, after the last one there is none: with one layer this is the linear bottleneck of
    the domain adaptation literature (SDM, LADA, TQS, EADA).

    Parameters
    ----------
    in_features : int
        Number of columns d of the input (n, d).
    hidden : sequence of int, default=(256,)
        Widths of the layers; the last one is the width of the embedding.
    dropout : float, default=0.0
        Dropout probability after every ReLU.
    batch_norm : bool, default=True
        Whether a layer ends in batch normalisation. Without it the rows should come at a scale of about 1 a column, or
        10 a row; a loss that aligns domains only weakly, such as `DANN`, is then better, because statistics over
        batches of both domains let the offset between them into the embedding.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import MLP
    >>> MLP(20, hidden=(64, 32))(torch.zeros(5, 20)).shape
    torch.Size([5, 32])
    """

    def __init__(
        self, in_features: int, hidden: Sequence[int] = (256,), dropout: float = 0.0, batch_norm: bool = True
    ) -> None:
        layers: list[nn.Module] = []
        for position, width in enumerate(hidden):
            if position:
                layers += [nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
            # Batch normalisation takes a bias out again, but for the lag of its running mean.
            layers += [nn.Linear(in_features, width, bias=not batch_norm)]
            layers += [nn.BatchNorm1d(width)] if batch_norm else []
            in_features = width
        super().__init__(*layers)
