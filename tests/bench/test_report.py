"""The report of the benchmark: its tables, targets and ratios, the document, and the file of results."""

import os
from dataclasses import replace

import pytest

from benchmarks.peers import __main__ as program
from benchmarks.peers import results
from benchmarks.peers.driver import Job, Part
from benchmarks.peers.environments import OURS
from benchmarks.peers.measures import gpu, overhead
from benchmarks.peers.report import END, START, Target, against, number, ratios, replaced, spread
from benchmarks.peers.results import Record
from tests.bench.outcomes import SETUP, outcomes
from tests.conftest import ROOT

DOCUMENT = f"# Title\n\nbefore\n\n{START}\nold\n{END}\n\nafter\n"


def test_the_report_replaces_what_stands_between_the_markers_alone():
    once = replaced(DOCUMENT, "new\n\n| a |")
    assert once == f"# Title\n\nbefore\n\n{START}\n\nnew\n\n| a |\n\n{END}\n\nafter\n"
    assert replaced(once, "new\n\n| a |") == once


@pytest.mark.parametrize("broken", ["", START, f"{END}{START}", f"{START}{END}{END}", f"{START}{START}{END}"])
def test_the_report_refuses_a_document_without_its_markers(broken):
    with pytest.raises(ValueError, match="wanted once each"):
        replaced(broken, "new")


def test_the_published_document_has_the_markers():
    document = (ROOT / "docs" / "benchmarks.md").read_text()
    assert "new" in replaced(document, "new")


def test_targets_tell_whether_the_median_of_every_figure_keeps_the_bound():
    assert Target("", [[0.9], [1.0]], 1.0).met == "yes"
    assert Target("", [[0.9], [1.01]], 1.0).met == "no"
    assert Target("", [[0.1, 0.9, 7.0]], 1.0).met == "yes"
    assert Target("", [[1.3]], 1.3, at_most=False).met == "yes"
    assert Target("", [[1.29]], 1.3, at_most=False).met == "no"
    assert Target("", [], 1.0).met == "not measured"
    assert Target("", [[1.0, 2.0, 3.0, 4.0, 5.0]], 1.0).row()[2] == "3 (2–4)"


def test_ratios_are_taken_round_by_round_to_the_peer_with_the_best_median():
    assert ratios([3.0, 4.0], [2.0, 1.0]) == ((1.5, 4.0),)
    assert ratios([3.0], []) == ratios([], [2.0]) == ratios([3.0], [-0.1]) == ratios([-0.1], [3.0]) == ()
    assert ratios([1.0, -0.1, 1.0], [2.0, 2.0, 4.0]) == ((0.5, 0.25),)
    peers = {"steady": [4.0, 4.0, 4.0], "at times": [1.0, 5.0, 9.0], "never": []}
    quickest = against("", [2.0, 1.0, 4.0], peers, 0.5)
    assert quickest.values == ((0.5, 0.25, 1.0),) and quickest.met == "yes"
    most = against("", [5.0, 5.0, 9.0], peers, 1.0, at_most=False, missing=["lerobot"])
    assert most.values == ((5.0, 1.0, 1.0),) and most.met == "yes, without lerobot"


def test_figures_are_medians_with_quartiles():
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == "3 (2–4)"
    assert spread([0.012345]) == "0.0123"
    assert [number(x) for x in (1234.5, 99.96, -0.5, float("inf"))] == ["1234", "100", "-0.5", "inf"]


def test_the_report_tells_machine_versions_targets_and_what_is_left_out():
    part = program.PARTS["overhead"]
    record = Record(SETUP, {}, skipped="it has no such thing")
    made = program.section(part, record)
    assert made.about == "Left out: it has no such thing." and not made.tables and made.targets
    text = program.whole({"overhead": record}, [made], "make bench")
    assert text.startswith("`make bench` on 2026-01-01: a machine; torch 2, diffusers==0. ")
    assert text.count("| not measured |") == len(made.targets)
    elsewhere = replace(record, setup=replace(SETUP, machine="another"))
    text = program.whole({"overhead": record, "gpu": elsewhere}, [made], "make bench")
    assert "overhead on 2026-01-01: a machine;" in text and "gpu on 2026-01-01: another;" in text


@pytest.fixture
def two_parts(monkeypatch, tmp_path):
    """A program of two parts, quick and without peers, and a document; returns what it was run with."""
    say = Job(OURS, "job", ("-c", "print('{}')"), 1)
    part = Part(lambda plan: [say], overhead.section)
    monkeypatch.setattr(program, "PARTS", {"overhead": part, "gpu": replace(part, section=gpu.section)})
    monkeypatch.setattr(program, "DOCUMENT", tmp_path / "document.md")
    monkeypatch.setattr(program, "at_rest", lambda: 0.0)
    program.DOCUMENT.write_text(DOCUMENT)
    return ["--envs", str(tmp_path / "envs"), "--rounds", "2"]


def test_the_document_is_made_again_from_the_file_without_a_run(two_parts, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"no results of overhead, gpu in .*results\.json"):
        program.main([*two_parts, "--again"])
    program.main([*two_parts, "--write"])
    written = program.DOCUMENT.read_text()
    assert f"{os.cpu_count()} cores" in written and "diffusers==0.42.1" in written
    assert [file.name for file in (tmp_path / "envs").iterdir()] == ["results.json"]
    monkeypatch.setattr(program, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(program, "machine", lambda: "another machine")
    program.DOCUMENT.write_text(DOCUMENT)
    program.main([*two_parts, "--again", "--write"])
    assert program.DOCUMENT.read_text() == written
    capsys.readouterr()
    program.main([*two_parts, "gpu", "--again"])
    assert "### GPU" in capsys.readouterr().out


def test_a_part_that_is_run_alone_replaces_its_own_and_a_check_nothing(two_parts, tmp_path, monkeypatch):
    file = tmp_path / "envs" / "results.json"
    program.main(two_parts)
    kept = results.read(file)
    assert [len(record.outcomes[OURS, "job"].results) for record in kept.values()] == [2, 2]
    program.main([*two_parts, "gpu", "--rounds", "1"])
    again = results.read(file)
    assert again["overhead"] == kept["overhead"] and len(again["gpu"].outcomes[OURS, "job"].results) == 1
    program.main([*two_parts, "--check"])
    assert results.read(file) == again
    skipped = replace(program.PARTS["gpu"], skipped=lambda: "no GPU here")
    monkeypatch.setitem(program.PARTS, "gpu", skipped)
    program.main([*two_parts, "gpu"])
    assert results.read(file) == again  # another machine could, and its figures stay


def test_the_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    file, record = tmp_path / "results.json", Record(SETUP, outcomes({(OURS, "a"): {"rate": 1.5}}), 0.02)
    results.write(file, {"training": record})
    assert results.read(file) == {"training": record}
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)  # as if it were killed just before
    with pytest.raises(ZeroDivisionError):
        results.write(file, {})
    assert results.read(file) == {"training": record}


def test_the_document_is_not_written_while_other_processes_are_busy(two_parts, monkeypatch):
    monkeypatch.setattr(program, "at_rest", lambda: 0.7)
    monkeypatch.setattr(program, "run", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit, match=r"other processes use 0\.70 cores"):
        program.main([*two_parts, "--write"])
    assert program.DOCUMENT.read_text() == DOCUMENT
