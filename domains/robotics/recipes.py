"""The recipes of this domain's models."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le

from domains.robotics.backbone import SIZES, Size
from zoo.domain import Recipe, Sampling, Training
from zoo.engine.objective import Beta, Objective

Steps = Annotated[int, Ge(1), Le(1024)]


@dataclass(frozen=True, kw_only=True)
class RobotRecipe(Recipe):
    """Adds what is seen and done, and the network's sizes; the names are those of Chi et al. 2023.

    Attributes:
        environment: what it acts in: as in `environments.environment`; "" if it is none of these; set from
            the data.
        demonstrations: episodes of the environment's expert that it is trained on, where no data are given.
        noise: how far the expert misses what it wants in them: see `environments.demonstrations`.
        horizon: steps of a chunk of actions, the first of them the step of the last observation.
        observe: what makes up an observation, by name, where the data have a choice: see `readers.read`.
        position: columns of an observation that hold where the actor is, where the data do not say.
        n_obs_steps: observed steps, the last of them now.
        n_action_steps: steps of a chunk that are done before the next chunk is asked for.
        relative: whether actions are told relative to where the actor is; false where nobody knows that.
        given: share of chunks that are trained with a random number of first steps given: what overlaps with
            the last chunk can then be given in use.
        outside: what becomes of observations outside the range of training: see `RobotAdapter`.
        observed, acted: values of an observation and of an action; set from the data.
        picture: height, width and channels of what a camera sees; zeros if there is none; set from the data.
        network: its sizes.
    """

    domain: Literal["robotics"] = "robotics"
    environment: str = "pusht"
    demonstrations: Annotated[int, Ge(1), Le(100_000)] = 1000
    observe: tuple[str, ...] = ()
    position: tuple[Annotated[int, Ge(0)], ...] = ()
    noise: Annotated[float, Ge(0), Le(1)] = 0.0078125
    horizon: Steps = 16
    n_obs_steps: Annotated[int, Ge(1), Le(64)] = 2
    n_action_steps: Steps = 8
    relative: bool = True
    given: Annotated[float, Ge(0), Le(1)] = 0.1
    outside: Literal["pass", "clip"] = "pass"
    observed: Annotated[int, Ge(0), Le(100_000)] = 18
    acted: Annotated[int, Ge(1), Le(10_000)] = 2
    picture: tuple[
        Annotated[int, Ge(0), Le(4096)], Annotated[int, Ge(0), Le(4096)], Annotated[int, Ge(0), Le(16)]
    ] = (0, 0, 0)
    network: Size = SIZES["mlp"]


FLOW = RobotRecipe(
    name="robotics-flow",
    path="linear",
    scaling="flow",
    # one: what the pusher does next depends on where things are, and from two it learns to go on as it goes
    n_obs_steps=1,
    objective=Objective(Beta()),
    # the last weights are kept: the loss on held-out demonstrations rises while success still does
    training=Training(
        steps=16_000,
        batch_size=256,
        lr=1e-3,
        validate_every=1000,
        ema_widths=(0.05,),
        warmup=0.02,
        keep="last",
    ),
    finetuning=Training(
        steps=2000, batch_size=256, lr=3e-4, validate_every=500, ema_widths=(0.05,), keep="last"
    ),
    sampling=Sampling(sampler="adams2", steps=5, grid="uniform"),
    summary="Decides what a robot does next: chunks of actions from what it saw, by flow matching.",
    limits="It knows the task and the robot of its demonstrations alone.",
    licence="MIT",
)
OTHERS = (
    replace(FLOW, name=f"robotics-flow.{kind}", network=SIZES[kind]) for kind in ("unet", "transformer")
)
RECIPES = {recipe.name: recipe for recipe in (FLOW, *OTHERS)}
