import torch

from pipeline.optimizers.lion import Lion


def test_each_step_is_the_sign_of_an_average() -> None:
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer = Lion.model_validate({"class": "Lion", "weight_decay": 0.1}).of([weight], lr=0.5)
    weight.grad = torch.tensor([3.0, -0.2])
    optimizer.step()
    assert torch.allclose(weight, torch.tensor([0.95 * 1 - 0.5, 0.95 * -2 + 0.5]))
    weight.grad = torch.tensor([-0.1, -0.2])  # of the first, the average of 0.03 and -0.1 is 0.9 * 0.03 - 0.1 * 0.1
    optimizer.step()
    assert torch.allclose(weight, torch.tensor([0.95 * 0.45 - 0.5, 0.95 * -1.4 + 0.5]))
