import torch

from pipeline.networks.linear import Linear


def test_it_is_one_matrix_and_one_constant_per_output() -> None:
    network = Linear().build((1, 8, 8), 10)
    weight, bias = network.parameters()
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(network(x), x.flatten(1) @ weight.T + bias, atol=1e-6)
    assert [parameter.shape for parameter in Linear(bias=False).build((4,), 2).parameters()] == [(2, 4)]
