"""Networks: backbones that turn rows into an embedding, and the heads that classify it."""

from skada_active.networks.backbones import torchvision_backbone
from skada_active.networks.convnet import ConvNet
from skada_active.networks.heads import CosineHead
from skada_active.networks.mlp import MLP, Standardize
from skada_active.networks.stages import split_backbone

__all__ = ["MLP", "ConvNet", "CosineHead", "Standardize", "split_backbone", "torchvision_backbone"]
