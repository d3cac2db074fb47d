"""Push and pull of a checkpoint of 100 MB over loopback, beside the plain client without any checks.

    python -m benchmarks.hub [--rounds 5]

The Hub is the one of the tests, in a process of its own. Both sides take turns; the table has medians. The
plain client uploads and downloads the same three files; ours also hashes, parses and compares them.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"  # the Hub of the tests speaks plain HTTP
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import zoo
from domains.timeseries import domain
from domains.timeseries.recipes import FLOW
from zoo import upkeep
from zoo.loading import build
from zoo.manifest import Provenance


def serve(address) -> None:
    from tests.hubserver import HubServer

    with HubServer() as hub:
        address.send(hub.url)
        address.recv()


def large(folder: Path) -> Path:
    """A checkpoint of about 100 MB."""
    recipe = replace(FLOW, network=replace(FLOW.network, width=1160))
    nowhere = Provenance("", "", "", 0, 0, 0)
    denoiser = build(domain, recipe, seed=0)
    model = domain.model_class(
        domain,
        recipe,
        zoo.load("timeseries-flow", device="cpu").adapter,
        denoiser,
        provenance=nowhere,
        name=FLOW.name,
        licence="",
    )
    return model.save(folder)


def measure(url: str, source: Path, work: Path, rounds: int) -> dict[str, list[float]]:
    from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download

    api, names = HfApi(endpoint=url, token="secret"), sorted(path.name for path in source.iterdir())
    seconds: dict[str, list[float]] = {}

    def timed(what: str, call: Callable[[], object]) -> None:
        start = time.perf_counter()
        call()
        seconds.setdefault(what, []).append(time.perf_counter() - start)

    def plain_push(repo: str) -> None:
        api.create_repo(repo)
        api.create_commit(
            repo, [CommitOperationAdd(name, source / name) for name in names], commit_message="one"
        )

    def plain_pull(repo: str, cache: Path) -> None:
        commit = api.model_info(repo).sha
        for name in names:
            hf_hub_download(repo, name, revision=commit, endpoint=url, token="secret", cache_dir=cache)

    for i in range(rounds):
        # other bytes each time: what the Hub has already is not sent again
        weights = source / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-4:] = i.to_bytes(4, "little")
        weights.write_bytes(data)
        timed("push, plain client", lambda i=i: plain_push(f"me/plain{i}"))
        timed("pull, plain client", lambda i=i: plain_pull(f"me/plain{i}", work / f"plain{i}"))
        data[-4:] = (i + 1000).to_bytes(4, "little")
        weights.write_bytes(data)
        upkeep.checkpoint.write(
            source, upkeep.checkpoint.seal(zoo.manifest.read(source), bytes(data), ref="x")
        )
        timed("push, zoo", lambda i=i: upkeep.push(source, f"me/ours{i}", endpoint=url, token="secret"))
        options = {"endpoint": url, "token": "secret", "cache_dir": work / f"ours{i}"}
        timed("pull, zoo", lambda i=i, o=options: zoo.pull(f"me/ours{i}", **o))
        timed("load, zoo, offline", lambda i=i, o=options: zoo.load(f"me/ours{i}", offline=True, **o))
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as name:
        folder = large(Path(name) / "large")
        size = (folder / "model.safetensors").stat().st_size / 1e6
        found = measure(here.recv(), folder, Path(name), rounds)
    here.send("stop")
    print(f"{size:.0f} MB, {rounds} rounds; seconds: median (lowest to highest)")
    for what, each in found.items():
        print(f"{what:20} {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")
    for verb in ("push", "pull"):
        ratio = statistics.median(found[f"{verb}, zoo"]) / statistics.median(found[f"{verb}, plain client"])
        print(f"{verb}: {ratio:.2f} times the plain client")
