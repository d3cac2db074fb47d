"""A scripted expert for Push-T: it tries pushes in a copy of the world, does the best, and plans again.

Many copies of the T lie side by side in one physics space, each with a pusher of its own at another place of
the outline; all move at once. Of what they reach at any moment, the nearest to the goal is done in the
environment: walk around the T to where that push begins, push as far, look again. A T is at rest as soon as
it is not pushed, so its outcome depends on the path of the pusher alone, not on its speed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pymunk
import shapely
from gym_pusht.envs.pusht import PushTEnv
from pymunk.batch import BodyFields, Buffer, get_space_bodies
from scipy.sparse import csgraph

from domains.robotics.environments.pusht import corners

RADIUS = 15.0  # of the pusher
LOW, HIGH = 5 + RADIUS + 3, 506 - RADIUS - 3  # where the pusher fits
TILE = 1000.0  # between copies of the T
STEP = 0.01  # seconds of a physics step, ten to a step of the environment
LAG = 0.2  # seconds by which the environment's controller follows its target
WALK, PUSH = 200.0, 100.0  # pixels a second
LONGEST = 160.0  # push, in pixels
PLACES = 64  # on the outline, from where pushes are tried
TURNS = np.array([-0.75, -0.25, 0.25, 0.75])  # radians by which directions differ from straight into the T
TIME = 0.05  # share of the distance that a second is worth: a share, so that it is not content near the goal
STILL = 0.5  # pixels: where the T moved less, no push of one step leads on, and it must be moved away first
CLEAR = (9.0, 1.8)  # pixels between pusher and T on the way, if there is room; else
BACK = 12.0  # pixels behind it, from where the pusher comes to the beginning of a push
SLOWER, SLOWEST = 2.0, 35.0  # pixels a second: a push is slow near the goal, for each pixel that is left
SETTLE = 2  # steps that the pusher needs to come to rest
READ = Buffer()  # of all bodies at once, again and again: pymunk never frees one


@dataclass(frozen=True)
class Push:
    """From `start` as far as `length` along the unit vector `direction`; pixels of the board."""

    start: np.ndarray
    direction: np.ndarray
    length: float


def candidates(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places where a pusher all but touches the T, and directions into it: (n, 2) each.

    They are the same for every pose, seen from the T: so the expert is a function of what is seen, which is
    easier to learn than chance.
    """
    outline = corners(pose)
    edges = np.roll(outline, -1, 0) - outline
    lengths = np.linalg.norm(edges, axis=1)
    ends = lengths.cumsum()
    at = (np.arange(PLACES) + 0.5) * ends[-1] / PLACES
    side = np.searchsorted(ends, at)
    inward = np.stack([-edges[:, 1], edges[:, 0]], 1)[side] / lengths[side, None]
    along = 1 - (ends[side] - at) / lengths[side]
    places = outline[side] + along[:, None] * edges[side] - (RADIUS + 2) * inward
    cos, sin = np.cos(TURNS)[:, None], np.sin(TURNS)[:, None]
    directions = np.stack(
        [cos * inward[:, 0] - sin * inward[:, 1], sin * inward[:, 0] + cos * inward[:, 1]], 2
    )
    places, directions = np.tile(places, (len(TURNS), 1)), directions.reshape(-1, 2)
    free = shapely.distance(shapely.Polygon(outline), shapely.points(places)) > RADIUS + CLEAR[-1]
    free &= ((places > LOW) & (places < HIGH)).all(1)
    return places[free], directions[free]


def tried(pose: np.ndarray, places: np.ndarray, directions: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Pushes all copies; yields how far, in pixels, and their poses (n, 3), after each step of physics."""
    space = pymunk.Space()
    space.damping = 0.0
    tiles = np.stack([TILE * np.arange(len(places)), np.zeros(len(places))], 1)
    blocks = []
    for tile, place, direction in zip(tiles, places, directions, strict=True):
        block, _ = PushTEnv.add_tee(space, tuple(pose[:2] + tile), 0)
        block.angle = pose[2]  # about the centre of mass, so the position comes second
        block.position = tuple(pose[:2] + tile)
        pusher = PushTEnv.add_circle(space, tuple(place + tile), RADIUS)
        pusher.velocity = tuple(PUSH * direction)
        blocks.append(block)
    rows = {block.id: row for row, block in enumerate(blocks)}
    fields = BodyFields.BODY_ID | BodyFields.POSITION | BodyFields.ANGLE
    for step in range(int(LONGEST / (PUSH * STEP))):
        space.step(STEP)
        READ.clear()
        get_space_bodies(space, fields, READ)
        own = [rows.get(i, -1) for i in np.frombuffer(READ.int_buf(), np.uintp).tolist()]
        poses = np.empty((len(blocks) + 1, 3))  # the last row takes the pushers
        poses[own] = np.frombuffer(READ.float_buf()).reshape(-1, 3)
        poses = poses[:-1]
        poses[:, :2] -= tiles
        yield (step + 1) * PUSH * STEP, poses


class Ways:
    """Short ways of the pusher around the T: straight lines from corner to corner of wider outlines.

    It first leaves the T, and keeps a distance, so that what does as the expert does may miss by some pixels.
    """

    def __init__(self, agent: np.ndarray, pose: np.ndarray, clear: float) -> None:
        shape = shapely.Polygon(corners(pose))
        self.blocked = shape.buffer(RADIUS + clear - 0.3)
        rings = (
            shape.buffer(RADIUS + clear + wide, join_style="mitre", mitre_limit=1.5) for wide in (2, 7, 14)
        )
        places = np.concatenate([np.array(ring.exterior.coords[:-1]) for ring in rings])
        self.nodes = np.concatenate([_left(agent, shape, clear)[None], places.clip(LOW - 3, HIGH + 3)])
        lengths = self._lengths(self.nodes, self.blocked)
        lengths[0] = self._lengths(self.nodes[:1], shape.buffer(RADIUS - 0.5))  # it may touch the T
        self.far, self.before = csgraph.dijkstra(lengths, directed=True, indices=0, return_predecessors=True)
        self.agent = agent

    def _lengths(self, places: np.ndarray, blocked: shapely.Polygon) -> np.ndarray:
        """Lengths of straight lines from places (n, 2) to all nodes; infinite where something is between."""
        ends = np.stack(np.broadcast_arrays(places[:, None], self.nodes), 2)
        lengths = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=2)
        return np.where(shapely.crosses(shapely.linestrings(ends), blocked), math.inf, lengths)

    def lengths(self, places: np.ndarray) -> np.ndarray:
        """How far it is to places (n, 2); infinite where no way leads."""
        return (self._lengths(places, self.blocked) + self.far).min(1)

    def to(self, place: np.ndarray) -> np.ndarray:
        """The corners of the way to a place, (n, 2)."""
        node = int((self._lengths(place[None], self.blocked) + self.far).argmin())
        way = [place]
        while node >= 0:
            way.append(self.nodes[node])
            node = int(self.before[node])
        return np.array([*way, self.agent][::-1])


def _left(agent: np.ndarray, shape: shapely.Polygon, clear: float) -> np.ndarray:
    """Where the pusher is after going straight away from the T, until it is clear of it."""
    near = np.array(shapely.shortest_line(shapely.Point(agent), shape).coords)
    gap = float(np.linalg.norm(near[0] - near[1]))
    if not 0 < gap < RADIUS + clear:
        return agent
    return (agent + (near[0] - near[1]) / gap * (RADIUS + clear - gap)).clip(LOW - 3, HIGH + 3)


def planned(pose: np.ndarray, goal: np.ndarray, ways: Ways, least: float) -> Push | None:
    """The push after which the T is nearest to the goal, with a little weight on the time that it takes.

    The way to it has no weight: so where the pusher is going depends on the T alone, which does not move
    meanwhile, and can be told at any moment. The T must have moved by `least` pixels. None if no push that is
    tried can be reached and does that.
    """
    places, directions = candidates(pose)
    now, wanted = corners(pose), corners(goal)
    open_ = np.isfinite(ways.lengths(places - BACK * directions))
    places, directions = places[open_], directions[open_]
    best, found = math.inf, None
    if not len(places):
        return None
    for length, poses in tried(pose, places, directions):
        ends, then = places + length * directions, corners(poses)
        cost = distance(then, wanted) * (1 + TIME * length / PUSH)
        cost[~((ends > LOW) & (ends < HIGH)).all(1) | (distance(then, now) < least)] = math.inf
        i = int(cost.argmin())
        if cost[i] < best:
            best, found = float(cost[i]), Push(places[i], directions[i], length)
    return found


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square distance of corners (*, 8, 2)."""
    return np.sqrt(np.square(a - b).sum(-1).mean(-1))


def targets(way: np.ndarray, speed: float) -> Iterator[np.ndarray]:
    """Targets, one a step of the environment, that lead the pusher along a way at a speed, to rest."""
    lengths = np.linalg.norm(np.diff(way, axis=0), axis=1)
    ends = np.concatenate([[0], lengths.cumsum()])
    gone = 0.0
    while gone < ends[-1]:
        pace = min(speed, max((ends[-1] - gone) / 0.2, 40.0))  # slower towards the end
        gone = min(gone + pace * 0.1, ends[-1])
        side = min(int(np.searchsorted(ends, gone)), len(lengths)) - 1
        along = (way[side + 1] - way[side]) / max(lengths[side], 1e-9)
        here = way[side] + (gone - ends[side]) * along
        yield here + along * min(LAG * pace, ends[-1] - gone)
    yield from [way[-1]] * SETTLE


def actions(state: Callable[[], np.ndarray], goal: np.ndarray) -> Iterator[np.ndarray]:
    """The expert's actions (2,), each of which is to be done before the next is asked for.

    Args:
        state: the state (5,) of now.
        goal: pose of the mark.
    """
    before, least = None, 0.0
    while True:
        now = state()
        still = before is not None and distance(corners(now[2:]), corners(before)) < STILL
        least, before = min(max(2 * least, 2.0), 64.0) if still else 0.0, now[2:]
        for clear in CLEAR:
            ways = Ways(now[:2], now[2:], clear)
            push = planned(now[2:], goal, ways, least)
            if push is not None:
                break
        else:  # none can be reached, as where the pusher begins inside the T: that comes apart
            yield now[:2]
            continue
        line = np.stack([push.start, push.start + push.length * push.direction])
        yield from targets(ways.to(push.start - BACK * push.direction), WALK)
        yield from targets(np.stack([push.start - BACK * push.direction, line[0]]), WALK)
        away = distance(corners(now[2:]), corners(goal))
        yield from targets(line, float(np.clip(SLOWER * away, SLOWEST, PUSH)))
