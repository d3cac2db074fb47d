"""How forecasts are judged: scores, floors, backtests and the protocols of the literature."""
