"""A policy beside demonstrations: how far its actions are from those that were shown.

For robots whose environment is not at hand. It tells a broken policy from a sound one, not a good one from a
better one: what counts is success.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial import KDTree

from domains.robotics.dataset import Chunks
from domains.robotics.evaluation.scores import Scores
from zoo.engine import Members
from zoo.errors import DataError

if TYPE_CHECKING:
    from domains.robotics.model import RobotModel

MODEL, NEAREST, LAST = "model", "nearest demonstration", "the last action"


def compared(model: "RobotModel", data: Any, seed: int = 0, steps: int | None = None) -> Scores:
    """Root mean squares of the differences from held-out actions, in their units; the mean over episodes.

    Beside the model: the actions of the training step that looks most alike (not where a camera sees), and
    the last action kept up. The first step of an episode is left out: there was no action before it.

    Raises:
        DataError: if the data cannot be used, or hold fewer than two episodes, or all of one step.
    """
    train, held = (
        model.domain.dataset(data, split, model.recipe, model.adapter) for split in ("train", "validation")
    )
    if not isinstance(train, Chunks) or not isinstance(held, Chunks):
        raise DataError("these data are no demonstrations")
    by = None if model.recipe.picture[2] else nearest(train)
    rows, outside = [], set()
    for number, part in enumerate(held.episodes):
        at = np.arange(part.start + 1, part.stop)
        if not len(at):
            continue
        ahead = at[:, None] + np.arange(model.recipe.horizon)
        there = (ahead < part.stop)[:, :, None]
        wanted = held.episodes.actions[np.minimum(ahead, part.stop - 1)]
        before = held.episodes.actions[at - 1, None]
        raw, cond = held.seen(at)
        outside.update(model.adapter.outside_range(raw))
        looked = cond.get("pictures")
        ways: dict[str, Callable[[], np.ndarray]] = {
            MODEL: lambda raw=raw, looked=looked, number=number: model.predict_chunk(
                raw.numpy(),
                pictures=None if looked is None else looked.movedim(2, -1).numpy(),
                steps=steps,
                members=Members(seed, range(number * 2**16, number * 2**16 + len(raw))),
                quiet=True,
            ),
            LAST: lambda before=before: before,
        }
        if by is not None:
            ways[NEAREST] = lambda raw=raw, by=by: by(raw.numpy())
        errors = {
            name: float(np.sqrt((np.square(way() - wanted) * there).sum() / (there.sum() * wanted.shape[2])))
            for name, way in ways.items()
        }
        rows.append({"seed": number, **errors, "steps": len(at)})
    if not rows:
        raise DataError("the held-out episodes are of one step each: there is nothing to compare")
    model.adapter.warn(sorted(outside))
    return Scores(pd.DataFrame(rows), (MODEL, LAST) if by is None else (MODEL, NEAREST, LAST))


def nearest(train: Chunks) -> Callable[[np.ndarray], np.ndarray]:
    """A policy without a network: from raw observations (B, n_obs_steps, observed), what was done where what
    was seen is most alike, (B, horizon, acted). Relative actions stay relative to where the actor is now.
    """
    assert train.adapter is not None
    recipe, adapter, episodes = train.recipe, train.adapter, train.episodes
    steps = np.arange(len(train))
    raw, cond = train.seen(steps)
    tree = KDTree(cond["observations"].flatten(1).numpy())
    ahead = np.minimum(steps[:, None] + np.arange(recipe.horizon), train.last[:, None])
    origins = adapter.origin(raw[:, -1]).numpy()

    def predict(observations: np.ndarray) -> np.ndarray:
        seen = torch.from_numpy(observations)
        found = tree.query(adapter.encode(seen).flatten(1).numpy())[1]
        return episodes.actions[ahead[found]] - origins[found] + adapter.origin(seen[:, -1]).numpy()

    return predict
