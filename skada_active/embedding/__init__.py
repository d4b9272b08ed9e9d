"""Embedding of images and texts by a ready-made encoder, computed once and kept on disk."""

from skada_active.embedding.embedding import Embedding

__all__ = ["Embedding"]
