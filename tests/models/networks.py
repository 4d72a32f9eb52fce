"""Small help for comparing a network with its equations."""

import numpy as np
import torch


def randomise(network, seed=0, std=0.6):
    """Draw every parameter anew, large enough for each term to count; returns the network."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return network.eval()


def arrays(network):
    """State of a network as float64 arrays by name."""
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


def relu(x):
    return np.maximum(x, 0)
