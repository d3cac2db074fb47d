"""Us and the peers side by side, in one run: python -m benchmarks.peers [PART ...] [--rounds N] [--write]

environments.py   the peers, and the environment of each
environments/     all that is pinned in it, peer by peer
contestants/      what each library runs, under one interface (interface.py)
measures/         the parts: what is timed in a contestant's process, and what becomes of the numbers
worker.py         a contestant's process
driver.py         starts them, peer after peer and round after round
load.py           how much CPU other processes use
results.py        what was measured, in a file
common.py         what measures and contestants share
report.py         tables, targets, and the text between the markers of docs/benchmarks.md
vision.py         lets torchvision load beside a CPU build of torch

In a peer's process there are torch, the peer and the standard library alone: what runs there imports no more.
"""
