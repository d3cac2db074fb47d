"""The floors on real data: every protocol of forecasting and imputation.

    ZOO_DATA=... python benchmarks/timeseries_floors.py [PROTOCOL ...]

Each value is the mean over five sets of 100 paths: from set to set wQL on the 14 ETTh windows moves
by .003. "naive" repeats the last value.
"""

import sys

import numpy as np
import pandas as pd

from domains.timeseries.evaluation import baselines, metrics, protocols
from domains.timeseries.evaluation.backtest import each, floors

SHOWN = ["wQL", "CRPS-sum", "CRPS", "coverage 50", "coverage 80", "coverage 95", "spread-skill", "MASE"]
SETS = 5


def forecasting(name: str) -> pd.DataFrame:
    protocol = protocols.PROTOCOLS[name](None)
    rows = {}
    for floor, forecaster in ({"naive": each(baselines.seasonal_naive, 1)} | floors(protocol)).items():
        paths = forecaster(protocol.histories, protocol.horizon, SETS * 100, 0)
        tables = [
            metrics.score(part, protocol.truth, protocol.scale)["value"]
            for part in np.split(paths, SETS, axis=1)
        ]
        rows[floor] = pd.concat(tables, axis=1).mean(axis=1)
    return pd.DataFrame(rows).T.reindex(columns=SHOWN)


def imputing() -> pd.Series:
    """CRPS over the hidden values, for a point estimate its mean absolute error."""
    errors = {}
    for rows in ("validation", "test"):
        for kind in ("points", "blocks"):
            truth, missing, period = protocols.imputation(kind, validation=rows == "validation")
            given = np.where(missing, np.nan, truth)
            for name, imputer in baselines.IMPUTERS.items():
                errors[rows, kind, name] = np.abs(imputer(given, period) - truth)[missing].mean()
    return pd.Series(errors)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or protocols.PROTOCOLS:
        print(f"\n{chosen}\n{forecasting(chosen).to_string(float_format='%.5f')}", flush=True)
    print(f"\nETTh1 imputation, CRPS\n{imputing().to_string(float_format='%.4f')}")
