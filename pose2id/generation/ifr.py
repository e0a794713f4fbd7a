"""The identity feature refiner: one identity feature becomes the tokens that both UNets read."""

from __future__ import annotations

from torch import Tensor, nn


class IdentityFeatureRefiner(nn.Module):
    """Identity feature -> identity tokens.

    Parameter names are those of the published `IFR.pth`.

    Args:
        feature_dim: Length of an identity feature.
        n_tokens: Tokens per feature.
        token_dim: Width of a token (the UNets' cross-attention width).
    """

    def __init__(self, feature_dim: int, n_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.proj_motion = nn.Linear(feature_dim, n_tokens * token_dim)
        self.norm_motion = nn.LayerNorm(token_dim)

    def forward(self, features: Tensor) -> Tensor:
        """Unfolds features.

        Args:
            features: `(B, feature_dim)`.

        Returns:
            `(B, n_tokens, token_dim)`.
        """
        tokens = self.proj_motion(features).view(len(features), self.n_tokens, -1)
        out: Tensor = self.norm_motion(tokens)
        return out
