"""Crash safety: a run that is killed at any moment goes on bit for bit; a full or read-only disk is told."""

import errno
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

import zoo
import zoo.run
from zoo.checkpoint import LOG, STATE
from zoo.errors import TrainingError
from zoo.state import read_state, write_state

STEPS = 40


def train(folder: Path, every: float = 0.0) -> None:
    """The run that is killed: every step is saved."""
    import rings

    zoo.train(
        rings.domain,
        rings.domain.example(),
        steps=STEPS,
        device="cpu",
        out=folder,
        resume=True,
        show=False,
        save_seconds=every,
    )


@pytest.fixture(scope="module")
def start(plugins):
    """Starts a function in a fresh process that has imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["zoo.training", "torch._dynamo"])  # the latter by torch.optim

    def begin(function, *args):
        process = context.Process(target=function, args=args)
        process.start()
        return process

    return begin


def finished(folder: Path) -> bool:
    return (folder / "zoo.json").is_file() and not (folder / STATE).is_file()


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def killed_again_and_again(start, folder: Path, longest: float, dice: random.Random) -> int:
    """Kills the run at random moments until it has come to its end; returns how often."""
    kills = 0
    while not finished(folder):
        process = start(train, folder)
        process.join(dice.uniform(0, longest))
        if process.is_alive():
            kills += 1
            os.kill(process.pid, signal.SIGKILL)
            longest *= 1.1  # it must end at last
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL) or finished(folder)
    return kills


def trials(start, folder: Path, count: int) -> None:
    start(train, folder / "first").join()  # the first process is slow to start
    begun = time.monotonic()
    start(train, folder / "whole").join()
    took, dice, kills = time.monotonic() - begun, random.Random(0), 0
    for trial in range(count):
        kills += killed_again_and_again(start, folder / str(trial), took, dice)
        assert weights(folder / str(trial)) == weights(folder / "whole"), trial
        shutil.rmtree(folder / str(trial))
    print(f"{count} trials, {kills} kills, {took:.1f} s a run")
    assert kills >= count // 2


def test_killed_runs_end_with_the_weights_of_an_uninterrupted_one(start, tmp_path):
    trials(start, tmp_path, 3)


@pytest.mark.slow
def test_fifty_killed_runs_end_with_the_weights_of_an_uninterrupted_one(start, tmp_path):
    trials(start, tmp_path, 50)


def told(prepare, folder: Path, message: Path, *args) -> None:
    """Trains where something is in the way, and writes down the error."""
    prepare(*args)
    try:
        train(folder)
    except TrainingError as error:
        message.write_text(str(error))


def fill(saves: int) -> None:
    """Lets no file grow beyond 8 KiB from that save on, which the system says as it says of a full disk."""
    left = saves

    def filling(path, tree):
        nonlocal left
        left -= 1
        if left == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        write_state(path, tree)

    zoo.run.write_state = filling


def test_full_disk_is_told_and_the_last_state_goes_on(start, tmp_path):
    folder, message = tmp_path / "run", tmp_path / "message"
    start(told, fill, folder, message, 10).join()
    assert re.search(r"cannot be written: .*too large.*; the last one is there, whole", message.read_text())
    assert read_state(folder / STATE)["step"] == 9
    assert {path.name for path in folder.iterdir()} == {STATE, LOG}  # what was begun takes no room
    train(folder)
    train(tmp_path / "whole")
    assert weights(folder) == weights(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_under_the_log_is_told(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOG).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"log\.csv: the log cannot be written: No space left"):
        train(folder)


def test_full_disk_under_the_finished_model_keeps_the_state(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("zoo.folders._write_through", full)
        with pytest.raises(OSError, match="No space left"):
            train(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]  # nothing half-written
    assert read_state(folder / STATE)["step"] == STEPS
    train(folder)
    assert finished(folder)


def lose_rights(elsewhere: Path) -> None:
    """To root nothing is read-only."""
    train(elsewhere)  # imports what only root may read
    if os.geteuid() == 0:
        os.setuid(65534)


@pytest.mark.parametrize("there", [False, True])
def test_read_only_folder_is_told_and_left_as_it_is(start, there):
    with tempfile.TemporaryDirectory() as name:
        top, message = Path(name), Path(name) / "message"
        top.chmod(0o755)
        message.touch()
        message.chmod(0o666)
        folder = top / "runs" / "mine"
        folder.parent.mkdir()
        if there:
            folder.mkdir()
            (folder / LOG).write_text("step\n")
            folder.chmod(0o555)
            (folder / LOG).chmod(0o444)
        folder.parent.chmod(0o555)
        try:
            start(told, lose_rights, folder, message, top / "elsewhere").join()
            assert "Permission denied" in message.read_text()
            assert str(folder) in message.read_text()
            assert folder.exists() == there
        finally:
            folder.parent.chmod(0o755)
            if there:
                folder.chmod(0o755)
