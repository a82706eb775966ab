import torch
from torch import nn

from btard.tasks.lamb import build_lamb


def test_steps_follow_the_published_formula() -> None:
    """Against the formula in float64, with a weight norm far above the package's own clamp of 10."""
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    with torch.no_grad():
        model.weight.mul_(1_000)
    optimizer = build_lamb(model, learning_rate=0.01)
    expected = {name: p.detach().double() for name, p in model.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in expected.items()}
    second = {name: torch.zeros_like(p) for name, p in expected.items()}
    for _ in range(5):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            gradient = parameter.grad.double()
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            update = first[name] / (second[name].sqrt() + 1e-6)
            update = update + (0.01 if name == "weight" else 0.0) * expected[name]
            ratio = min(float(expected[name].norm()), 10_000.0) / (update.norm() + 1e-6)
            expected[name] = expected[name] - 0.01 * ratio * update
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[name], rtol=1e-5, atol=1e-6)


def test_the_weight_norm_is_clamped_at_ten_thousand() -> None:
    model = nn.Linear(2, 2, bias=False)
    nn.init.constant_(model.weight, 1e6)
    optimizer = build_lamb(model, learning_rate=0.5)
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    moved = torch.linalg.vector_norm(1e6 - model.weight.detach())
    assert abs(float(moved) - 0.5 * 10_000) < 10


def test_only_the_moments_are_remembered() -> None:
    model = nn.Linear(2, 2)
    optimizer = build_lamb(model, learning_rate=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(set(state) == {"exp_avg", "exp_avg_sq"} for state in optimizer.state.values())
    assert [group["step"] for group in optimizer.param_groups] == [1, 1]
