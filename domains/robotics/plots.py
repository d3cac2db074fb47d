"""Pictures of what a policy does."""

from pathlib import Path

import numpy as np
from PIL import Image

from zoo.errors import OptionError

SHOWN = 0.1  # seconds of a frame


def film(frames: list[list[np.ndarray]], path: Path, *, hold: int = 10) -> Path:
    """Writes episodes side by side as an animated GIF.

    Args:
        frames: for each episode, images (H, W, 3) of one size; a shorter one stands still at its end.
        path: a .gif file.
        hold: frames that the end stays.
    """
    check_film(path)
    length = max(len(one) for one in frames) + hold
    pages = [
        Image.fromarray(np.concatenate([one[min(i, len(one) - 1)] for one in frames], 1)).quantize(64)
        for i in range(length)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pages[0].save(
        path, save_all=True, append_images=pages[1:], duration=round(1000 * SHOWN), loop=0, optimize=True
    )
    return path


def check_film(path: Path) -> None:
    """Refuses a file that no film can be written to.

    Raises:
        OptionError: if its name does not end in .gif.
    """
    if path.suffix != ".gif":
        raise OptionError(f"{path}: films are written as .gif")


def choices(image: np.ndarray, chunks: np.ndarray, path: Path, *, board: float = 512.0) -> Path:
    """Draws many chunks of actions that are places on a picture: how a policy hesitates between ways.

    Args:
        image: (H, W, 3), what is there.
        chunks: (n, horizon, 2), on a board whose sides are `board` long.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(image, extent=(0, board, board, 0), alpha=0.6)
    for chunk in chunks:
        axis.plot(*chunk.T, color="black", linewidth=0.6, alpha=0.35)
        axis.scatter(*chunk.T, c=np.arange(len(chunk)), s=6, cmap="viridis", zorder=3)
    axis.set(xlim=(0, board), ylim=(board, 0), xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
