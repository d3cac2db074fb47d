"""Training chunks: what was seen up to a step, and what was done from it on."""

import numpy as np
import torch

from domains.robotics.adapter import RobotAdapter
from domains.robotics.episodes import Episodes
from domains.robotics.recipes import RobotRecipe
from zoo.domain import Dataset
from zoo.engine.denoiser import Batch


class Chunks(Dataset):
    """Every step of every episode, as (B, horizon, acted).

    Conditions are `observations` (B, n_obs_steps, observed) and, where there are pictures, `pictures`
    (B, n_obs_steps, channels, H, W), uint8. Before an episode its first observation stands; what would follow
    its end has no weight. Of some chunks, the first steps are given: see `RobotRecipe.given`.
    """

    def __init__(self, episodes: Episodes, recipe: RobotRecipe, adapter: RobotAdapter | None) -> None:
        self.episodes, self.recipe, self.adapter = episodes, recipe, adapter
        self.sources = episodes.sources
        lengths = episodes.ends - episodes.starts
        self.first, self.last = (np.repeat(at, lengths) for at in (episodes.starts, episodes.ends - 1))

    def __len__(self) -> int:
        return len(self.first)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        rows = torch.randint(len(self), (size,), generator=generator).numpy()
        seen, cond = self.seen(rows)
        ahead = rows[:, None] + np.arange(self.recipe.horizon)
        last = self.last[rows, None]
        actions = torch.from_numpy(self.episodes.actions[np.minimum(ahead, last)])
        assert self.adapter is not None
        chunk = self.adapter.encode_actions(actions, seen[:, -1])
        begun = torch.rand(size, generator=generator) < self.recipe.given
        given = begun * torch.randint(1, max(self.recipe.horizon, 2), (size,), generator=generator)
        mask = torch.arange(self.recipe.horizon) >= given[:, None]
        weight = torch.from_numpy(ahead <= last).float()
        return Batch(chunk, cond, mask[:, :, None], weight[:, :, None])

    def seen(self, rows: np.ndarray) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Raw observations (B, n_obs_steps, observed) up to each of the steps `rows`, and the conditions."""
        before = np.maximum(rows[:, None] - np.arange(self.recipe.n_obs_steps)[::-1], self.first[rows, None])
        seen = torch.from_numpy(self.episodes.observations[before])
        assert self.adapter is not None
        cond = {"observations": self.adapter.encode(seen)}
        if self.episodes.pictures is not None:
            cond["pictures"] = torch.from_numpy(self.episodes.pictures[before]).movedim(-1, 2)
        return seen, cond
