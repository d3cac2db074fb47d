"""Pictures of backbones, and a page that shows them and clouds."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline

from domains.proteins.chain import Backbone, Shape
from zoo.errors import MissingExtraError, OptionError
from zoo.folders import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"H": "#c8443c", "E": "#2f6fb0", "C": "#9a9a9a"}
PAGE = Path(__file__).parent / "view.html"


def overview(chain: Backbone, path: Path | None) -> "Figure":
    """φ against ψ, and the distances between Cα."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    angles = np.degrees(chain.torsions[:, :2])
    left.scatter(*angles[np.isfinite(angles).all(1)].T, s=8)
    left.set(xlim=(-180, 180), ylim=(-180, 180), xlabel="φ, degrees", ylabel="ψ, degrees", aspect="equal")
    distance = np.linalg.norm(chain.ca[:, None] - chain.ca[None], axis=2)
    shown = right.imshow(distance, cmap="viridis_r", vmax=30)
    right.set(xlabel="residue", ylabel="residue")
    figure.colorbar(shown, ax=right, label="Cα to Cα, Å")
    if path is not None:
        picture = io.BytesIO()
        try:
            figure.savefig(picture, dpi=120, format=path.suffix[1:] or None)
        except ValueError:
            raise OptionError(
                f"{path}: cannot draw {path.suffix or 'a file without an ending'}; use .png"
            ) from None
        write_bytes(path, picture.getvalue())
    return figure


def traces(chains: Sequence[Backbone], path: Path) -> Path:
    """Draws the Cα of backbones side by side, seen along their thinnest axis: helices red, strands blue.

    What is nearer is drawn thicker, and over what is behind.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(chains), 3.2), layout="constrained")
    for axis, chain in zip(figure.subplots(1, len(chains), squeeze=False)[0], chains, strict=True):
        points = chain.ca - chain.ca.mean(0)
        turn = np.linalg.svd(points.astype(float), full_matrices=False)[2]
        turn[2] *= np.sign(np.linalg.det(turn))  # a turn, and no mirror
        points = points @ turn.T
        steps = np.linspace(0, len(points) - 1, 8 * len(points))
        smooth = CubicSpline(np.arange(len(points)), points)(steps)
        colours = np.array([COLOURS[letter] for letter in _secondary(chain)])[steps.round().astype(int)]
        depth = smooth[:-1, 2]
        order = np.argsort(depth)
        lines = np.stack([smooth[:-1, :2], smooth[1:, :2]], 1)
        near = (depth - depth.min()) / max(np.ptp(depth), 1e-9)
        axis.add_collection(
            LineCollection(
                list(lines[order]),
                colors=colours[:-1][order],
                linewidths=(2 + 4 * near)[order],
                capstyle="round",
            )
        )
        axis.set(xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]), aspect="equal")
        axis.set_axis_off()
        axis.set_title(f"{len(chain)} residues", fontsize=9)
    write_bytes(path, _png(figure))
    return path


def _limits(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()) - 2, float(values.max()) + 2


def _png(figure: "Figure") -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    return picture.getvalue()


def page(shapes: Sequence[Shape], path: Path | None) -> str:
    """A web page without any address in it, also as a file; see `Backbone.view`.

    Raises:
        OptionError: if it is not called .html.
    """
    if path is not None and path.suffix.lower() != ".html":
        raise OptionError(f"{path}: is written as a page; call it .html")
    # "<" cannot end the script then, whatever a name says
    shown = json.dumps([_shown(one) for one in shapes]).replace("<", "\\u003c")
    html = PAGE.read_text(encoding="utf-8").replace("[/*shapes*/]", shown)
    if path is not None:
        write_bytes(path, html.encode())
    return html


def _shown(one: Shape) -> dict[str, Any]:
    points, kinds = (one.ca, _secondary(one)) if isinstance(one, Backbone) else (one.points, "")
    return {
        "name": one.name,
        "points": np.round(np.subtract(points, points.mean(0), dtype=float), 4).tolist(),
        "kinds": kinds,
    }


def _secondary(chain: Backbone) -> str:
    try:
        return chain.secondary
    except MissingExtraError:  # a page is worth having without colours
        return "C" * len(chain)
