"""Dataclasses through JSON."""

import json
from dataclasses import replace

import pytest

from zoo import typed
from zoo.domain import Recipe, Training
from zoo.engine import TIME_LAWS, Objective


@pytest.mark.parametrize("law", sorted(TIME_LAWS))
def test_recipes_round_trip_with_every_time_law(law):
    recipe = Recipe(name="a-b", domain="a", objective=Objective(time=TIME_LAWS[law](shift=2.0), repeats=3))
    assert typed.from_json(Recipe, json.loads(json.dumps(typed.to_json(recipe)))) == recipe


def test_value_that_does_not_fit_its_type_cannot_be_written():
    recipe = Recipe(name="a-b", domain="a")
    with pytest.raises(ValueError, match=r"training\.batch_size"):
        typed.to_json(replace(recipe, training=Training(batch_size=0)))


def test_older_json_without_a_new_field_reads_with_its_default():
    data = typed.to_json(Recipe(name="a-b", domain="a"))
    del data["summary"]
    assert typed.from_json(Recipe, data).summary == ""
