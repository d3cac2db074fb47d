"""Demonstrations in the formats of the field, read into memory as `Episodes`.

    read("pusht.zarr")            # Diffusion Policy: data/action, data/state, meta/episode_ends
    read("low_dim.hdf5")          # robomimic: data/demo_0/actions, data/demo_0/obs/...
    read("lerobot/my_robot")      # LeRobot v2 and v3: data/**/*.parquet, meta/info.json
    read("mine.npz")              # observations, actions, episode_ends; perhaps pictures, position
    read("mine.parquet")          # a row a step: episode, and columns of observations and actions

Videos are not decoded: where LeRobot keeps pictures in videos, its values are read alone.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from domains.robotics.episodes import Episodes
from zoo.errors import DataError, MissingExtraError
from zoo.manifest import Source

ACTION = ("action", "actions")
OBSERVED = ("observations", "observation", "obs", "state", "states", "observation.state")
ENDS = ("episode_ends", "ends")
EPISODE = ("episode_index", "episode", "episode_id")
PICTURES = ("pictures", "img", "image", "images")


def read(source: Any, observe: Sequence[str] = (), position: Sequence[int] = ()) -> Episodes:
    """Reads demonstrations.

    Args:
        source: a path; a mapping of arrays named as in an npz file; `Episodes`.
        observe: names of what makes up an observation, side by side, where there is a choice: arrays of a
            zarr or npz file, keys of `obs` in robomimic's, columns of a table. An array of pictures among
            them, (steps, H, W, channels), is what the camera sees.
        position: see `Episodes.position`, where the source does not say.

    Raises:
        DataError: if there is nothing to read, or it is not of these formats; it says where and what to do.
        MissingExtraError: without zarr, h5py or pyarrow.
    """
    try:
        found = source if isinstance(source, Episodes) else _found(source, observe)
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # files may be broken in any way, and every library tells in its own
        where = "the mapping" if isinstance(source, Mapping) else source
        raise DataError(f"{where}: cannot be read: {type(error).__name__}: {error}") from None
    return replace(found, position=tuple(position)) if position else found


def _found(source: Any, observe: Sequence[str]) -> Episodes:
    if isinstance(source, Mapping):
        return _of_arrays(source, observe, "the mapping")
    try:
        path, where = Path(source).expanduser(), str(source)
    except TypeError:
        raise DataError(
            f"demonstrations are a path, a mapping of arrays or Episodes, not {type(source).__name__}"
        ) from None
    if not path.exists():
        raise DataError(f"{where}: no such file or folder")
    if path.is_dir() and (path / "meta" / "info.json").is_file():
        return _of_lerobot(path, observe, where)
    if path.suffix == ".zarr" or (path / ".zgroup").is_file() or (path / "zarr.json").is_file():
        return _of_zarr(path, observe, where)
    if path.suffix in (".hdf5", ".h5"):
        return _of_robomimic(path, observe, where)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return _of_arrays({name: file[name] for name in file.files}, observe, where)
    if path.suffix == ".parquet":
        return _of_parquet([path], observe, where)
    raise DataError(f"{where}: no demonstrations: a .zarr, .hdf5, .npz or .parquet, or a LeRobot folder")


def _of_arrays(arrays: Mapping[str, Any], observe: Sequence[str], where: str) -> Episodes:
    names = tuple(observe) or (_one(OBSERVED, arrays, where), *[name for name in PICTURES if name in arrays])
    try:
        position = tuple(int(i) for i in np.ravel(arrays.get("position", ())))
        sources = tuple(Source(*map(str, row)) for row in np.asarray(arrays.get("sources", ())).tolist())
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: position or sources are of a wrong kind: {error}") from None
    ends = _array(arrays, _one(ENDS, arrays, where), where)
    seen = [_array(arrays, name, where) for name in names]
    # grey pictures may have no axis of channels
    seen = [a[..., None] if n in PICTURES and a.ndim == 3 else a for n, a in zip(names, seen, strict=True)]
    actions = _array(arrays, _one(ACTION, arrays, where), where)
    found = _episodes(seen, actions, ends, where, position)
    return replace(found, environment=str(arrays.get("environment", "")), sources=sources or found.sources)


def _of_zarr(path: Path, observe: Sequence[str], where: str) -> Episodes:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("zarr", "robotics") from error
    try:
        group: Any = zarr.open_group(str(path), mode="r")
        arrays = dict(group["data"].arrays()) | dict(group["meta"].arrays())
    except (KeyError, OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{where}: no zarr with data/ and meta/, as Diffusion Policy writes them: {error}"
        ) from None
    wanted = {*ACTION, *ENDS, *(observe or OBSERVED)}
    return _of_arrays({name: array[:] for name, array in arrays.items() if name in wanted}, observe, where)


def _of_robomimic(path: Path, observe: Sequence[str], where: str) -> Episodes:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "robotics") from error
    with h5py.File(path, "r") as file:
        found = file.get("data")
        group: Any = found if isinstance(found, h5py.Group) else {}
        if not len(group):
            raise DataError(f"{where}: no group 'data' with episodes, as robomimic writes it")
        # demo_2 before demo_10
        order = sorted(group, key=lambda name: [int(i) for i in re.findall(r"\d+", name)])
        if any(not isinstance(group[name].get("obs"), h5py.Group) for name in order):
            raise DataError(
                f"{where}: an episode has no group 'obs': extract observations first, as robomimic does"
            )
        first = group[order[0]]["obs"]
        arrays = [key for key in sorted(first) if isinstance(first[key], h5py.Dataset)]
        names = tuple(observe) or tuple(key for key in arrays if first[key].ndim <= 2)
        if not names:
            raise DataError(f"{where}: obs has no values, pictures alone: name them: {', '.join(arrays)}")
        actions = {name: _array(group[name], "actions", where) for name in order}
        seen: dict[str, list[np.ndarray]] = {key: [] for key in names}
        for name, done in actions.items():
            for key in names:
                seen[key].append(_array(group[name]["obs"], key, where))
                if len(seen[key][-1]) != len(done):
                    raise DataError(
                        f"{where}: {name} has {len(seen[key][-1])} steps of {key!r}, but {len(done)} actions"
                    )
    ends = np.cumsum([len(done) for done in actions.values()])
    parts = [np.concatenate(seen[key]) for key in names]
    return _episodes(parts, np.concatenate(list(actions.values())), ends, where)


def _of_lerobot(path: Path, observe: Sequence[str], where: str) -> Episodes:
    files = sorted((path / "data").rglob("*.parquet"))  # an episode a file in v2, many in v3
    if not files:
        raise DataError(f"{where}: no parquet files in data/")
    return _of_parquet(files, observe, where)


def _of_parquet(files: Sequence[Path], observe: Sequence[str], where: str) -> Episodes:
    try:
        from pyarrow.parquet import read_schema
    except ImportError as error:
        raise MissingExtraError("pyarrow", "robotics") from error
    try:
        schema = read_schema(files[0])
        there = [str(name) for name in schema.names]
        # all values that LeRobot calls observed; pictures are read if they are named
        values = [n for n in there if n.startswith("observation.") and _is_values(schema.field(n).type)]
        names = tuple(observe) or (tuple(values) if values else (_one(OBSERVED, there, where),))
        if missing := [name for name in names if name not in there]:
            raise DataError(f"{where}: no column {missing[0]!r}; there are {', '.join(there)}")
        episode, action = _one(EPISODE, there, where), _one(ACTION, there, where)
        columns = [*names, episode, action, *(["frame_index"] if "frame_index" in there else [])]
        frame = pd.concat([pd.read_parquet(file, columns=columns) for file in files], ignore_index=True)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's own are of these kinds
        raise DataError(f"{where}: a parquet file cannot be read: {error}") from None
    return _of_frame(frame, names, episode, action, where)


def _is_values(kind: Any) -> bool:
    """Whether a column holds numbers, or lists of them, and neither texts nor encoded pictures."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_values(kind.value_type)
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _of_frame(frame: pd.DataFrame, names: Sequence[str], index: str, action: str, where: str) -> Episodes:
    if frame[index].isna().to_numpy().any():
        raise DataError(f"{where}: in a row, {index!r} is missing")
    episode = pd.factorize(frame[index], sort=True)[0]
    if "frame_index" in frame:
        order = np.lexsort([frame["frame_index"].to_numpy(), episode])
        frame, episode = frame.iloc[order], episode[order]
    ends = np.flatnonzero(np.append(episode[1:] != episode[:-1], True)) + 1
    if len(np.unique(episode)) != len(ends):
        raise DataError(f"{where}: the rows of an episode are not together")
    if "frame_index" in frame:
        step = np.diff(frame["frame_index"].to_numpy())
        if (np.delete(step, ends[:-1] - 1) != 1).any():
            raise DataError(f"{where}: frame_index does not count the steps of each episode, one by one")
    seen = [_column(frame, name, where) for name in names]
    return _episodes(seen, _column(frame, action, where), ends, where)


def _column(frame: pd.DataFrame, name: str, where: str) -> np.ndarray:
    """A column of numbers or lists of them, (steps, values); of encoded pictures, (steps, H, W, channels)."""
    cells = frame[name].tolist()
    try:
        if isinstance(cells[0], dict):
            return np.stack([np.atleast_3d(np.asarray(Image.open(BytesIO(cell["bytes"])))) for cell in cells])
        rows = (cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells)
        return np.stack([np.ravel(np.array(row, np.float32)) for row in rows])
    except (ValueError, TypeError, KeyError, OSError):
        raise DataError(
            f"{where}: column {name!r} is neither numbers, as many in each row, nor pictures of one size"
        ) from None


def _array(arrays: Mapping[str, Any], name: str, where: str) -> np.ndarray:
    if name not in arrays:
        raise DataError(f"{where}: nothing is called {name!r}; there are {', '.join(arrays)}")
    found = np.asarray(arrays[name])
    if found.ndim == 0 or found.dtype.kind not in "fiub":
        raise DataError(f"{where}: {name!r} is no array of numbers")
    return found


def _flat(values: np.ndarray) -> np.ndarray:
    """(steps, values), float32."""
    return values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float32)


def _one(names: Sequence[str], among: Iterable[str], where: str) -> str:
    there = [str(name) for name in among]
    found = next((name for name in names if name in there), None)
    if found is None:
        raise DataError(f"{where}: none of {', '.join(names)}; there are {', '.join(there)}")
    return found


def _episodes(
    seen: Sequence[np.ndarray],
    actions: np.ndarray,
    ends: np.ndarray,
    where: str,
    position: tuple[int, ...] = (),
) -> Episodes:
    """Episodes of arrays that stand side by side; those of four dimensions are pictures."""
    looks, values = ([a for a in seen if (a.ndim == 4) == is_picture] for is_picture in (True, False))
    if any(len(a) != len(actions) for a in seen):
        lengths = ", ".join(str(len(a)) for a in seen)
        raise DataError(f"{where}: observations of {lengths} steps, but actions of {len(actions)}")
    try:
        return Episodes(
            np.concatenate([_flat(a) for a in values], 1)
            if values
            else np.zeros((len(actions), 0), np.float32),
            _flat(actions),
            ends,
            pictures=np.concatenate([_pixels(a) for a in looks], 3) if looks else None,
            position=position,
            sources=(Source(Path(where).name, "unspecified"),),
        )
    except (DataError, ValueError) as error:
        raise DataError(f"{where}: {error}") from None


def _pixels(pictures: np.ndarray) -> np.ndarray:
    """uint8; some write 0 to 255 as floats.

    Raises:
        DataError: if they hold anything else, or channels come first.
    """
    if pictures.shape[3] > 4:
        raise DataError(f"pictures of shape {pictures.shape} are not (steps, H, W, channels)")
    if pictures.dtype == np.uint8:
        return pictures
    low, high = float(pictures.min()), float(pictures.max())
    if not 0 <= low <= high <= 255 or (pictures.dtype.kind == "f" and high <= 1):
        raise DataError(f"pictures hold values of {low:g} to {high:g}; 0 to 255 is wanted, best as uint8")
    return pictures.round().astype(np.uint8)
