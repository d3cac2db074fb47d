"""What several tests of the benchmark make up: outcomes, and the setup of a run."""

from benchmarks.peers.driver import Outcome
from benchmarks.peers.results import Setup

SETUP = Setup("2026-01-01", "a machine", ("torch 2", "diffusers==0"))


def outcomes(of):
    """Outcomes of (peer, job): a result, or those of several rounds; a failure is text."""
    return {
        key: Outcome(failure=one)
        if isinstance(one, str)
        else Outcome(one if isinstance(one, list) else [one])
        for key, one in of.items()
    }
