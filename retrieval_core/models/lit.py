"""Local feature integration transformer (FIRe, arXiv 2201.13182, section 3.1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalFeatureIntegrationTransformer(nn.Module):
    """Iterative attention of learned templates over all local features of an image.

    Args:
        input_dim: C, channels of the feature map.
        dim: D, width of the templates.
        templates: N, number of super-features.
        iterations: T, refinements.
    """

    def __init__(self, input_dim: int, dim: int, templates: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.scale = dim**-0.5
        self.templates_init = nn.Parameter(torch.randn(1, templates, dim))
        self.project_q = nn.Linear(dim, dim, bias=False)
        self.project_k = nn.Linear(input_dim, dim, bias=False)
        self.project_v = nn.Linear(input_dim, dim, bias=False)
        self.norm_inputs = nn.LayerNorm(input_dim)
        self.norm_templates = nn.LayerNorm(dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Super-features and where they come from.

        Args:
            features: (B, C, H, W) float32.

        Returns:
            (B, N, D) super-features; (B, N, H * W) attention of the last iteration, which sums
            to 1 over the locations.
        """
        inputs = self.norm_inputs(features.flatten(2).transpose(1, 2))
        keys, values = self.project_k(inputs), self.project_v(inputs)
        templates = self.templates_init.expand(len(features), -1, -1)
        for _ in range(self.iterations):
            attention = self._attend(templates, keys)
            templates = templates + attention @ values
            templates = templates + self.mlp(self.norm_mlp(templates))
        return templates, attention

    def _attend(self, templates: Tensor, keys: Tensor) -> Tensor:
        """(B, N, L): soft-max over the templates, then shares over the locations, eq. 3 and 4."""
        queries = self.project_q(self.norm_templates(templates)) * self.scale
        # Templates compete for a location; 1e-8 keeps one that loses everywhere from 0 / 0.
        attention = (queries @ keys.transpose(1, 2)).softmax(dim=1) + 1e-8
        return F.normalize(attention, p=1, dim=2)
