"""The pictures of docs/engine.md, drawn from what the Python blocks of that page make.

Run as `python docs/figures.py`; it writes docs/figures/*.png.
"""

import re
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from zoo.engine import PATHS, SAMPLERS, ClassifierFree, Linear, Members, grid, sample

DOCS = Path(__file__).parent
INK, FAINT, UPPER, LOWER = "#2b2b2b", "#d9d9d9", "#1f6fb4", "#d9822b"
N = 1200  # points in a picture


def page() -> SimpleNamespace:
    """The names that the blocks of engine.md define, in the order of the page."""
    names: dict = {}
    text = (DOCS / "engine.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "engine.md", "exec"), names)
    return SimpleNamespace(**names)


def plane(axis: Axes, title: str = "", height: float = 1.8) -> Axes:
    axis.set(xlim=(-2.6, 2.6), ylim=(-height, height), aspect="equal", xticks=[], yticks=[])
    axis.set_title(title, fontsize=10, color=INK)
    axis.spines[:].set_color(FAINT)
    return axis


def plain(axis: Axes) -> Axes:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#ececec", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9, colors=INK)
    return axis


def dots(axis: Axes, x: Tensor, label: Tensor) -> None:
    colours = np.where(label == 0, UPPER, LOWER)
    axis.scatter(*x.T, s=3, c=colours, alpha=0.6, linewidths=0)


def noising(toy: SimpleNamespace) -> Figure:
    generator = torch.Generator().manual_seed(1)
    x, label = toy.draw(N, generator)
    noise = torch.randn(N, 2, generator=generator)
    path = Linear()
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    axes = figure.subplots(2, 5)
    for column, time in enumerate([0.0, 0.25, 0.5, 0.75, 1.0]):
        t = torch.full((N,), time)
        x_t = path.corrupt(x, t, noise)
        dots(plane(axes[0, column], f"t = {time:g}", 2.3), x_t, label)
        # at t = 0 there is no noise, and nothing to guess
        guess = toy.Blobs(path)(x_t, t, {"label": torch.full((N,), toy.ANY)}) if time else x
        dots(plane(axes[1, column], "", 2.3), guess, label)
    axes[0, 0].set_ylabel("$x_t$: data and noise")
    axes[1, 0].set_ylabel(r"$\hat{x}$: the best guess")
    return figure


def paths(toy: SimpleNamespace) -> Figure:
    figure = Figure(figsize=(10, 3), layout="constrained")
    scales, sigmas, ratios = (plain(axis) for axis in figure.subplots(1, 3))
    t = torch.linspace(0, 1, 400, dtype=torch.float64)
    for (name, make), colour in zip(PATHS.items(), (UPPER, LOWER, INK), strict=True):
        path = make()
        alpha, sigma = path.scales(t)
        if name == "ve":
            sigmas.plot(t, sigma, color=colour, label=r"ve: $\sigma$, while $\alpha = 1$")
        else:
            scales.plot(t, alpha, color=colour, label=rf"{name}: $\alpha$")
            scales.plot(t, sigma, color=colour, linestyle="--", label=rf"{name}: $\sigma$")
        ratios.plot(t, path.log_snr(t), color=colour, label=name)
    sigmas.set_yscale("log")
    ratios.set_ylim(-7, 7)
    scales.set_title("linear and cosine", fontsize=10, color=INK)
    sigmas.set_title("variance exploding", fontsize=10, color=INK)
    ratios.set_title(r"$\lambda = \ln(\alpha/\sigma)$ of all three, the log-SNR", fontsize=10, color=INK)
    for axis in (scales, sigmas, ratios):
        axis.set_xlabel("t: from data to noise")
        axis.legend(frameon=False, fontsize=9)
    return figure


def trajectories(toy: SimpleNamespace) -> Figure:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.05))
    path, starts = Linear(), torch.special.ndtri(torch.linspace(0.03, 0.97, 10))[:, None]
    centres = torch.tensor([[-1.3], [0.1], [1.1]])
    line = toy.Blobs(path, centres, torch.zeros(3))
    times, height = grid(path, 150, "uniform"), torch.linspace(-2.7, 2.7, 200)
    alpha, sigma = path.scales(times)
    deviation = torch.hypot(alpha * toy.STD, sigma)
    density = torch.exp(-(((height[:, None] - centres[:, None] * alpha) / deviation) ** 2) / 2).sum(0)
    density = density / density.amax(0)
    for axis, name, title in zip(axes, ("adams2", "sde"), ("the ODE", "the SDE, same starts"), strict=False):
        noise = partial(Members(2, range(10)).normal, (1,))
        run = SAMPLERS[name](line, starts, times, cond={"label": torch.full((10,), toy.ANY)}, noise=noise)
        axis.imshow(density, extent=(1, 0, -2.7, 2.7), origin="lower", aspect="auto", cmap="Greys", vmax=2.5)
        axis.plot(times, torch.stack([starts, *run])[..., 0], color=UPPER, linewidth=0.9)
        axis.set(xlim=(1, 0), xlabel="t: from noise to data", yticks=[])
        axis.set_title(f"{name}: {title}", fontsize=10, color=INK)
        axis.spines[:].set_color(FAINT)
    axes[0].set_ylabel("three blobs on a line")
    _, label = toy.draw(N, torch.Generator().manual_seed(1))
    drawn = sample(toy.denoiser, Members(0, range(N)), (2,), cond={"label": label}).x
    dots(plane(axes[2], "the network's samples, by label", 2.2), drawn, label)
    return figure


def error(toy: SimpleNamespace) -> Figure:
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = plain(figure.subplots())
    path, n = Linear(), 500
    denoiser, cond = toy.Blobs(path), {"label": torch.full((n,), toy.ANY)}
    x = Members(0, range(n)).normal((2,)).double()

    def end(name: str, steps: int) -> Tensor:
        *_, last = SAMPLERS[name](denoiser, x, grid(path, steps), cond=cond)
        return last

    goal = end("heun", 4000)
    colours = {"euler": INK, "heun": "#8c6bb1", "dpmpp2m": "#3a9a5b", "adams2": LOWER, "adams3": UPPER}
    for name, colour in colours.items():
        steps = [5, 7, 10, 14, 20, 28, 40, 56, 80, 112]
        evaluations = steps
        if name == "heun":  # two evaluations a step, and one in the last
            steps = [(n + 1) // 2 for n in steps]
            evaluations = [2 * n - 1 for n in steps]
        errors = [(end(name, n) - goal).square().mean(1).median().sqrt() for n in steps]
        axis.plot(evaluations, errors, color=colour, marker="o", markersize=3, linewidth=1.4, label=name)
    axis.set(xscale="log", yscale="log", xlabel="evaluations of the denoiser", ylabel="median error")
    axis.set_xticks([5, 10, 20, 50, 100], labels=["5", "10", "20", "50", "100"])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=9)
    return figure


def guidance(toy: SimpleNamespace) -> Figure:
    figure = Figure(figsize=(10, 2.2), layout="constrained")
    data, _ = toy.draw(N, torch.Generator().manual_seed(1))
    cond = {"label": torch.zeros(N, dtype=torch.long)}
    for axis, weight in zip(figure.subplots(1, 4), (0.0, 1.0, 2.0, 4.0), strict=True):
        guided = ClassifierFree(toy.denoiser, weight, null={"label": torch.tensor([toy.ANY])})
        axis.scatter(*data.T, s=3, color=FAINT, linewidths=0)
        drawn = sample(guided, Members(0, range(N)), (2,), cond=cond).x
        dots(plane(axis, f"w = {weight:g}"), drawn, cond["label"])
    return figure


if __name__ == "__main__":
    toy = page()
    with torch.no_grad():
        for draw in (noising, paths, trajectories, error, guidance):
            picture = BytesIO()
            draw(toy).savefig(picture, dpi=110)
            target = DOCS / "figures" / f"{draw.__name__}.png"
            Image.open(picture).convert("RGB").quantize(256).save(target, optimize=True)
            print(f"{target.relative_to(DOCS)}: {target.stat().st_size / 1000:.0f} kB")
