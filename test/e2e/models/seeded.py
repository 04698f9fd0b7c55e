"""Random weights that keep activations well scaled, the same ones on every run."""

from __future__ import annotations

import torch


def seeded(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """`module` in evaluation mode, its batch norms with statistics as after training, not the (0, 1) of a fresh one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
            else:
                parameter.normal_(0.0, 0.1, generator=generator)
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0.0, 0.1, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
                layer.weight.uniform_(0.5, 1.0, generator=generator)
            elif isinstance(layer, torch.nn.LayerNorm):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def image(*shape: int, seed: int = 1) -> torch.Tensor:
    """A standard normal tensor."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
