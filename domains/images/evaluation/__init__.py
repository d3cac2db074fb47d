"""How drawn images are judged, in the features of a classifier of the same data."""
