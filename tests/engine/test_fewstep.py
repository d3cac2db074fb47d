import pytest
import torch
from torch import nn

from zoo.engine import SAMPLERS, Batch, Consistency, Linear, Members, NetworkDenoiser, Objective, grid, sample


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )

    def forward(self, x, c_noise, cond, mask):
        return self.layers(torch.cat([x, c_noise[:, None]], 1))


def batch(seed: int, n: int = 256) -> Batch:
    """Two narrow modes on a line, at -1 and 1."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (n, 1), generator=generator) * 2.0 - 1
    return Batch(sign + 0.2 * torch.randn(n, 1, generator=generator), {})


def train(denoiser: NetworkDenoiser, steps: int) -> None:
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    for step in range(steps):
        optimizer.zero_grad()
        denoiser.loss(batch(step), torch.Generator().manual_seed(step)).mean().backward()
        optimizer.step()


def draw(denoiser: NetworkDenoiser, steps: int, sampler: str) -> torch.Tensor:
    return sample(denoiser, Members(0, range(1000)), (1,), steps=steps, sampler=sampler, grid="uniform").x


@pytest.fixture(scope="module")
def teacher() -> NetworkDenoiser:
    torch.manual_seed(0)
    denoiser = NetworkDenoiser(Net(), Linear(), "flow", Objective())
    train(denoiser, 800)
    return denoiser


@pytest.fixture(scope="module")
def student(teacher) -> Consistency:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    learner = Consistency(teacher, 16)
    train(learner, 800)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    return learner


def test_one_step_lands_where_the_teacher_lands_in_many(teacher, student):
    goal = draw(teacher, 32, "heun")
    untaught, taught = (draw(d, 1, "euler") for d in (teacher, student))
    assert (untaught - goal).pow(2).mean() > 0.5  # the mean of both modes
    assert (taught - goal).pow(2).mean() < 0.03
    assert torch.equal(taught, draw(student, 1, "consistency"))


def test_several_steps_draw_from_both_modes(student):
    drawn = draw(student, 3, "consistency")
    assert abs(float((drawn > 0).float().mean()) - 0.5) < 0.06
    assert abs(float(drawn.abs().mean()) - 1) < 0.06
    assert float(drawn.abs().std()) < 0.35


def test_its_weights_are_those_of_a_plain_denoiser(teacher, student):
    plain = NetworkDenoiser(Net(), Linear(), "flow", Objective())
    plain.load_state_dict(student.state_dict())
    assert torch.equal(draw(plain, 1, "euler"), draw(student, 1, "euler"))
    assert len(list(student.parameters())) == len(list(teacher.parameters()))


def test_given_values_stay_and_are_no_part_of_the_loss(teacher):
    learner = Consistency(teacher, 4)
    x, mask = batch(0, 8).x, torch.zeros(8, 1, dtype=torch.bool)
    loss = learner.loss(Batch(x, {}, mask), torch.Generator().manual_seed(0))
    assert torch.equal(loss, torch.zeros(8))
    *_, end = SAMPLERS["consistency"](
        learner, x, grid(Linear(), 2, "uniform"), cond={}, mask=mask, known=x, noise=lambda: torch.randn(8, 1)
    )
    assert torch.equal(end, x)
