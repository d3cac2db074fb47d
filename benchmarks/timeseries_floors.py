"""The floors of every protocol on real data, with 95 % bootstrap intervals over windows.

    ZOO_DATA=... python benchmarks/timeseries_floors.py [PROTOCOL ...]
"""

import sys
from collections.abc import Callable

import numpy as np

from domains.timeseries import baselines, metrics, protocols


def pooled_ridge(name: str, horizon: int) -> baselines.Ridge:
    """Ridge on 336 lags, fitted once on the training split of the protocol's data set."""
    if name.startswith("ett"):
        train = [protocols.load_ett(item)[: protocols.ETT_TRAIN] for item in ("etth1", "etth2")]
    elif name.startswith("exchange"):
        train = [protocols.load_exchange()[: protocols.EXCHANGE_TRAIN]]
    else:
        cut = -protocols.M4_HORIZON if name.endswith("validation") else None
        train = [values[:cut, None] for _, values, _ in protocols.load_m4_hourly()]
    return baselines.fit_ridge(train, horizon)


def floors(name: str, protocol: protocols.Protocol) -> dict[str, Callable]:
    one_step = {"naive": lambda h, horizon, n, seed, period: baselines.seasonal_naive(h, horizon, n, seed, 1)}
    return one_step | baselines.FLOORS | {"pooled ridge": pooled_ridge(name, protocol.horizon)}


def main(names: list[str]) -> None:
    print(f"{'protocol':20s} {'floor':15s} {'wQL':>7s}  {'95 % interval':17s} {'CRPS-sum':>8s} {'cover 80':>8s}")
    for name in names or protocols.PROTOCOLS:
        protocol = protocols.PROTOCOLS[name](None)
        for floor, forecaster in floors(name, protocol).items():
            paths = np.stack(
                [forecaster(w.history, protocol.horizon, 100, i, protocol.period) for i, w in enumerate(protocol.windows)]
            )
            low, high = metrics.interval(metrics.wql_parts(paths, protocol.truth))
            print(
                f"{name:20s} {floor:15s} {metrics.wql(paths, protocol.truth):7.5f}  {low:.5f} .. {high:.5f}"
                f" {metrics.crps_sum(paths, protocol.truth):8.5f} {metrics.coverage(paths, protocol.truth):8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
