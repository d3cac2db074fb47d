import math
from functools import partial

import pytest
import torch

from tests.engine.exact import Exact, gaussian, mixture, ode_end, sliced_w2
from zoo.engine import (
    PATHS,
    SAMPLERS,
    Autoguidance,
    Denoiser,
    Encoded,
    Linear,
    Members,
    Path,
    VarianceExploding,
    adams3,
    dpmpp2m,
    euler,
    grid,
    heun,
    multistep,
    sample,
)
from zoo.engine.rules import polynomial_in_angle

STOCHASTIC = ("ddpm", "sde", "churn")
SOLVERS = tuple(name for name in SAMPLERS if name != "consistency")  # that one is for denoisers of its own
DETERMINISTIC = tuple(name for name in SOLVERS if name not in STOCHASTIC)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def source(*shape: int, seed: int = 9):
    return partial(torch.randn, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def end(sampler, denoiser, x, times, noise=None, **kwargs) -> torch.Tensor:
    *_, last = sampler(denoiser, x, times, cond={}, noise=noise, **kwargs)
    return last


@pytest.mark.parametrize(
    ("name", "kind", "steps", "order"),
    [
        ("euler", "logistic", 192, 1),
        ("heun", "logistic", 192, 2),
        ("dpmpp2m", "logistic", 192, 2),
        ("adams2", "uniform", 192, 2),
        ("adams3", "logistic", 48, 3),
    ],
)
@pytest.mark.parametrize("path_name", ["linear", "cosine"])
def test_measured_order_on_a_mixture(path_name, name, kind, steps, order):
    """The slope of log error over log steps, from pure noise to the data."""
    path, z = PATHS[path_name](), normal(64, 2)
    denoiser = mixture(path)
    goal = ode_end(denoiser.weights, denoiser.means, denoiser.stds, z)
    errors = [
        (end(SAMPLERS[name], denoiser, z, grid(path, n, kind)) - goal).norm() for n in (steps, 4 * steps)
    ]
    assert abs(math.log(errors[0] / errors[1], 4) - order) < 0.2, errors


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_end_point_on_a_gaussian_is_the_closed_form(name):
    """x_0 = μ + s (x_1 − α μ)/√(α² s² + σ²)."""
    path = VarianceExploding()
    denoiser, x_1 = gaussian(path, 0.3, 0.5), path.prior(normal(32, 2))
    goal = 0.3 + 0.5 * (x_1 - 0.3) / math.hypot(0.5, 80)
    error = (end(SAMPLERS[name], denoiser, x_1, grid(path, 300)) - goal).abs().max().item()
    assert error < (0.02 if name == "euler" else 5e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["euler", "adams2", "adams3"])
def test_marginals_do_not_depend_on_eta(name, eta):
    """Mean, deviation and shape of a bimodal law in one dimension."""
    exact = Exact(Linear(), torch.tensor([0.3, 0.7]), torch.tensor([[-1.4], [0.6]]), torch.tensor([0.3, 0.2]))
    n = 20_000
    x = end(SAMPLERS[name], exact, normal(n, 1), grid(Linear(), 100), source(n, 1), eta=eta)
    truth = exact.draw(n, 5)
    assert abs((x < -0.4).double().mean().item() - 0.3) < 0.015
    quantiles = torch.linspace(0.02, 0.98, 25).double()
    gap = (torch.quantile(x, quantiles) - torch.quantile(truth, quantiles)).abs()
    assert gap.median() < (0.03 if name == "euler" else 0.012)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("path_name", sorted(PATHS))
def test_every_sampler_draws_from_the_mixture(path_name, name):
    path, n = PATHS[path_name](), 4000
    denoiser = mixture(path)
    steps = {"euler": 150, "ddpm": 150}.get(name, 60)
    x = end(SAMPLERS[name], denoiser, path.prior(normal(n, 2)), grid(path, steps), source(n, 2))
    floor = sliced_w2(denoiser.draw(n, 1), denoiser.draw(n, 2))
    assert sliced_w2(x, denoiser.draw(n, 1)) < floor + 0.035


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_paths_give_the_same_trajectory(name):
    """x/σ at equal α/σ is the same on every path, for the same noise."""
    log_snr = torch.linspace(-4, 5, 13, dtype=torch.float64)
    ends = []
    for path in (make() for make in PATHS.values()):
        times = torch.cat([path.time(log_snr), torch.zeros(1)])
        x = path.scales(times[:1])[1] * normal(16, 2)
        ends.append(end(SAMPLERS[name], mixture(path), x, times, source(16, 2)))
    torch.testing.assert_close(ends[1], ends[0])
    torch.testing.assert_close(ends[2], ends[0])


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sample_may_have_times_of_its_own(name):
    """A batch with two grids is the two batches."""
    denoiser, z, times = (
        mixture(Linear()),
        normal(6, 2),
        [grid(Linear(), 9, k) for k in ("uniform", "logistic")],
    )
    together = torch.stack([times[0]] * 3 + [times[1]] * 3, 1)

    def noise_of(part):
        draw = source(6, 2)
        return lambda: draw()[part]

    mixed = end(SAMPLERS[name], denoiser, z, together, source(6, 2))
    for part, own in ((slice(0, 3), times[0]), (slice(3, 6), times[1])):
        alone = end(SAMPLERS[name], denoiser, z[part], own, noise_of(part))
        torch.testing.assert_close(mixed[part], alone)


def test_image_shapes_broadcast_per_sample():
    denoiser, z = gaussian(Linear(), dim=48), normal(4, 3, 4, 4)
    times = torch.stack([grid(Linear(), 6, k) for k in ("uniform", "shifted", "rho", "logistic")], 1)
    for sampler in SAMPLERS.values():
        x = end(sampler, denoiser, z, times, source(4, 3, 4, 4))
        flat = end(sampler, denoiser, z.flatten(1), times, source(4, 48))
        torch.testing.assert_close(x.flatten(1), flat)


def test_dpmpp2m_as_published():
    """x_s = (σ_s/σ_t) x_t − α_s (e^{−h} − 1) ((1 + 1/2r) x̂ − x̂_prev/2r), r = h_prev/h (Lu et al. 2022)."""
    path, log_snr = Linear(), torch.tensor([-2.0, -1.5, 0.0, 1.0, 3.0]).double()
    denoiser, times, x = mixture(Linear()), path.time(log_snr), normal(8, 2)
    states = list(dpmpp2m(denoiser, x, times, cond={}))
    alpha, sigma = path.scales(times)
    previous = None
    for i, h in enumerate(log_snr.diff()):
        x_hat = denoiser(x, times[i].expand(8), {})
        bar = x_hat
        if previous is not None:
            r = (log_snr[i] - log_snr[i - 1]) / h
            bar = (1 + 1 / (2 * r)) * x_hat - previous / (2 * r)
        x = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * torch.expm1(-h) * bar
        previous = x_hat
        torch.testing.assert_close(states[i], x)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_adams_weights_are_exact_on_polynomials_in_the_angle(order):
    """For m < order, ∫ θ^m du / ∫ du over a step is the weighted mean of θ^m at the nodes."""
    path, times = Linear(), grid(Linear(), 8)
    alpha, sigma = path.landing(times)
    theta = torch.atan2(sigma, alpha)
    predict, correct = polynomial_in_angle(path, times, 0.0, order)
    for i in range(order, 7):
        u = torch.linspace(*(alpha / sigma)[i : i + 2].tolist(), 200_001, dtype=torch.float64)
        middle = torch.atan(1 / ((u[1:] + u[:-1]) / 2))
        for m in range(order):
            mean = (middle**m).mean()
            nodes = theta[i - order + 1 : i + 1].flip(0) ** m
            torch.testing.assert_close((predict[i] * nodes).sum(), mean, rtol=1e-7, atol=1e-9)
            nodes = theta[i - order + 2 : i + 2].flip(0) ** m
            torch.testing.assert_close((correct[i] * nodes).sum(), mean, rtol=1e-7, atol=1e-9)


class Spy(Denoiser):
    """Records what a denoiser is asked."""

    def __init__(self, inner: Denoiser):
        super().__init__()
        self.inner, self.path, self.asked = inner, inner.path, []

    def encode(self, cond, mask):
        return self.inner.encode(cond, mask)

    def forward(self, x_t, t, cond, mask=None):
        self.asked.append((x_t.clone(), t.clone()))
        return self.inner(x_t, t, cond, mask)


def test_churn_evaluates_at_the_raised_point_and_the_raised_level():
    """The points asked for have the marginal variance of the level asked for, √2 above the grid's."""
    path = VarianceExploding()
    spy, n, times = Spy(gaussian(path, 0.0, 1.0)), 20_000, grid(VarianceExploding(), 100)
    end(partial(heun, churn=100.0), spy, path.prior(normal(n, 2)), times, source(n, 2))
    firsts = [spy.asked[0], *spy.asked[2::2]]
    for (x, t), own in zip(firsts, times[:-1], strict=True):
        sigma = path.scales(t[:1])[1].item()
        assert math.isclose(sigma, min(80.0, path.scales(own)[1].item() * 2**0.5), rel_tol=1e-9)
        assert math.isclose(x.std().item(), math.hypot(1.0, sigma), rel_tol=0.03)


@pytest.mark.parametrize(
    ("name", "calls"), [("euler", 10), ("adams3", 10), ("sde", 10), ("heun", 19), ("churn", 19)]
)
def test_evaluations_are_counted(name, calls):
    spy = Spy(gaussian(Linear()))
    progress = []
    samples = sample(
        spy,
        Members(0, range(3)),
        (2,),
        steps=10,
        sampler=name,
        progress=lambda done, of: progress.append((done, of)),
    )
    assert samples.evaluations == calls == len(spy.asked)
    assert progress == [(i, 10) for i in range(1, 11)]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_batch_is_its_members(name):
    """The sample of member i does not depend on its company, beyond rounding."""
    denoiser = mixture(Linear())
    together = sample(denoiser, Members(7, range(12)), (2,), steps=8, sampler=name).x
    apart = [
        sample(denoiser, Members(7, r), (2,), steps=8, sampler=name).x for r in (range(5), [5], range(6, 12))
    ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-5, atol=1e-5)


class Pair(Denoiser):
    """A Gaussian in two correlated dimensions, whose second may be given; standardised by its encoder."""

    def __init__(self, rho: float):
        super().__init__()
        self.path, self.rho, self.encoded = Linear(), rho, 0

    def encode(self, cond, mask):
        self.encoded += 1
        return Encoded(cond, loc=cond["loc"], scale=torch.tensor(2.0))

    def forward(self, x_t, t, cond, mask=None):
        prior = torch.tensor([[1.0, self.rho], [self.rho, 1.0]], dtype=x_t.dtype)
        alpha, sigma = self.path.scales(t[0])
        variance = sigma**2 * torch.ones(2, dtype=x_t.dtype)
        gain = alpha * torch.ones(2, dtype=x_t.dtype)
        if mask is not None:  # given values are seen clean
            seen = ~mask[0]
            variance, gain = variance.where(~seen, 1e-9), gain.where(~seen, 1.0)
        k = prior @ gain.diag() @ torch.linalg.inv(gain.diag() @ prior @ gain.diag() + variance.diag())
        return x_t @ k.T


@pytest.mark.parametrize("name", SOLVERS)
def test_given_values_are_kept_exactly_and_the_rest_follows_them(name):
    """x_0 | x_1 = v is N(ρ v, 1 − ρ²), in the encoder's units."""
    denoiser, n, loc = Pair(0.8), 3000, torch.tensor([[10.0, 20.0], [-5.0, 7.0]])
    known = torch.tensor([[0.0, 23.7], [0.0, 4.1]])
    mask = torch.tensor([[True, False]])
    members = Members(0, range(2 * n))
    x = sample(denoiser, members, (2,), cond={"loc": loc}, mask=mask, known=known, steps=40, sampler=name).x
    assert denoiser.encoded == 1
    for item, group in enumerate(x.view(2, n, 2)):
        assert (group[:, 1] == known[item, 1]).all()
        z = (group[:, 0] - loc[item, 0]) / 2
        goal = 0.8 * (known[item, 1] - loc[item, 1]) / 2
        assert abs(z.mean() - goal) < 0.05 and abs(z.std() - 0.6) < 0.04


class Masking(Path):
    """A path that is not Gaussian."""

    def corrupt(self, x, t, noise): ...
    def step(self, x_t, x_hat, t, s, *, eta=0.0, noise=None): ...
    def prior(self, noise): ...


def test_bad_use_is_refused_with_the_reason():
    denoiser, z, times = gaussian(Linear()), normal(3, 2), grid(Linear(), 4)
    members = Members(0, range(3))
    for call, message in [
        (lambda: grid(Linear(), 0), "steps is 0"),
        (lambda: grid(Linear(), 4, "karras"), "unknown grid 'karras': choose from uniform"),
        (
            lambda: sample(denoiser, members, (2,), sampler="plms"),
            "unknown sampler 'plms': choose from euler",
        ),
        (lambda: sample(denoiser, members, (2,), known=z), "known values need a mask"),
        (lambda: sample(denoiser, members, (2,), cond={"a": normal(2, 1)}), "3 rows cannot be shared evenly"),
        (lambda: end(euler, denoiser, z, times, eta=2.0, noise=source(3, 2)), r"must lie in \[0, 1\]"),
        (lambda: end(euler, denoiser, z, times, eta=0.5), "pass noise"),
        (lambda: end(heun, denoiser, z, times, churn=1.0), "pass noise"),
        (lambda: end(euler, denoiser, z, times.flip(0)), "times must fall"),
        (lambda: end(euler, denoiser, z, times.expand(2, 5).T), r"\(steps \+ 1, 3\), not \(5, 2\)"),
        (
            lambda: end(multistep, denoiser, z, times, rule=partial(polynomial_in_angle, order=1)),
            "order is 1",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    denoiser.path = Masking()
    with pytest.raises(TypeError, match="Gaussian path, not Masking"):
        end(adams3, denoiser, z, times)


class Coloured(Exact):
    """A Gaussian whose two values are correlated, with noise that is correlated alike."""

    factor = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)

    def colour(self, noise):
        return noise.double() @ self.factor.T


@pytest.mark.parametrize(
    ("name", "guided"), [("heun", False), ("ddpm", False), ("sde", False), ("churn", False), ("sde", True)]
)
def test_all_noise_of_a_sample_has_the_denoisers_colour(name, guided):
    """Its exact denoiser is that of white data and noise: both covariances shrink alike."""
    denoiser = Coloured(Linear(), torch.ones(1), torch.zeros(1, 2), torch.full((1,), 0.5))
    if guided:
        denoiser = Autoguidance(denoiser, denoiser, 1.0)
    x = sample(denoiser, Members(0, range(4000)), (2,), steps=256, sampler=name).x.double()
    expected = 0.25 * Coloured.factor @ Coloured.factor.T
    torch.testing.assert_close(torch.cov(x.T), expected, atol=0.025, rtol=0)
