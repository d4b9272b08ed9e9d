"""Game of a variational autoencoder with a discriminator that tells labelled from unlabelled rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LatentGame"]

# The exponential of a log-variance stays in range, whatever an outlier makes of it.
_LARGEST_LOG_VARIANCE = 10.0


class LatentGame:
    """Players of the game: encoder, decoder and discriminator, trained together.

    Parameters
    ----------
    n_features, n_latent : int
        Widths of the rows and of their latent codes.
    width : int
        Width of the hidden layers of encoder and decoder; the discriminator has half of it.
    adversary_weight, kl_weight : float
        Weights of the encoder's adversarial loss and of the divergence from the prior.
    lr : float
        Learning rate of Adam.
    """

    def __init__(
        self, n_features: int, n_latent: int, width: int, adversary_weight: float, kl_weight: float, lr: float
    ) -> None:
        self.encoder = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, 2 * n_latent))
        self.decoder = nn.Sequential(nn.Linear(n_latent, width), nn.ReLU(), nn.Linear(width, n_features))
        self.discriminator = nn.Sequential(nn.Linear(n_latent, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
        self.adversary_weight, self.kl_weight = adversary_weight, kl_weight
        players = nn.ModuleList([self.encoder, self.decoder, self.discriminator])
        self.optimizer = torch.optim.Adam(players.parameters(), lr=lr, foreach=True)

    def train(self, unlabeled: Tensor, labeled: Tensor, max_epochs: int, batch_size: int) -> None:
        """Train all players for some passes over the unlabelled rows, each batch with as many labelled ones."""
        for _ in range(max_epochs):
            for batch in torch.randperm(len(unlabeled)).split(batch_size):
                partners = torch.randint(len(labeled), (len(batch),))
                self._step(torch.cat([labeled[partners], unlabeled[batch]]))

    def labeled_probability(self, rows: Tensor) -> NDArray[np.float64]:
        """Return the discriminator's P(labelled) at the mean code of every row, shape (n,)."""
        with torch.no_grad():
            mean, _ = self.encoder(rows).chunk(2, dim=1)
            return self.discriminator(mean)[:, 0].double().sigmoid().numpy()

    def _step(self, rows: Tensor) -> None:
        """Train on rows of which the first half is labelled."""
        mean, log_variance = self.encoder(rows).chunk(2, dim=1)
        log_variance = log_variance.clamp(max=_LARGEST_LOG_VARIANCE)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        reconstruction = (self.decoder(code) - rows).square().sum(dim=1).mean() / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
        # The encoder wants the codes of both halves to pass as labelled; the discriminator stands still for it.
        self.discriminator.requires_grad_(False)
        taken_for_labeled = F.softplus(-self.discriminator(code)).mean()
        self.discriminator.requires_grad_(True)
        # Both learn from the same codes: without a graph between them, one backward pass serves two losses.
        of_labeled, of_unlabeled = self.discriminator(code.detach()).chunk(2)
        told_apart = (F.softplus(-of_labeled).mean() + F.softplus(of_unlabeled).mean()) / 2
        autoencoder = reconstruction + self.kl_weight * divergence + 2 * self.adversary_weight * taken_for_labeled
        self.optimizer.zero_grad()
        (autoencoder + told_apart).backward()
        self.optimizer.step()
