"""The labelled rows that all runs predicted: one order, classes, endpoints and errors."""

from __future__ import annotations

import pytest
from predicted import answer, write_run

import graphsocial as gs
from graphsocial import runs
from graphsocial.comparison.examples import one_target, read
from graphsocial.comparison.outcomes import ClassOutcomes
from graphsocial.errors import DataError, InputError, UnknownNameError


def test_only_rows_that_all_runs_predicted_are_read_in_one_order(social: gs.GraphStore) -> None:
    first = [answer("u2", "i1", "awe", [0.8, 0.1, 0.1]), answer("u1", "i1", "fear", [0.3, 0.3, 0.4])]
    second = [answer("u1", "i1", "fear", [0.1, 0.8, 0.1]), answer("u1", "i2", "awe", [0.8, 0.1, 0.1], split="train")]
    write_run(social, "a", first)
    write_run(social, "b", [*second, *first[:1], answer("u3", "i3", "awe", [1, 0, 0])])
    examples, (one, two), left_out = read(
        social, [[runs.load(social, "a")], [runs.load(social, "b")]], "emotion", "test"
    )
    assert examples.ends == ("user", "image")
    assert examples.ids[0].to_list() == ["u1", "u2"]
    assert left_out == 1
    assert isinstance(one, ClassOutcomes)
    assert isinstance(two, ClassOutcomes)
    assert one.target.tolist() == two.target.tolist() == [1, 0]
    assert one.predicted.tolist() == [2, 0]
    assert two.probabilities[0] == pytest.approx([0.1, 0.8, 0.1])


def test_nodes_have_one_endpoint_type_and_numbers_no_classes(social: gs.GraphStore) -> None:
    rows = [{"entity_id": f"u{n}", "target": "age", "value": 30.0 + n, "true_value": 31.0} for n in range(3)]
    write_run(social, "a", rows, entity_type="user")
    examples, (one,), _ = read(social, [[runs.load(social, "a")]], "age", "test")
    assert (examples.ends, examples.classes) == (("user",), ())
    assert one.errors.tolist() == [1, 0, 1]


def test_ambiguous_and_unknown_targets_and_roles_are_errors(social: gs.GraphStore) -> None:
    write_run(social, "a", [answer("u1", "i1", "awe", [1, 0, 0]), answer("u1", "i1", "awe", [1, 0, 0], target="mood")])
    run = runs.load(social, "a")
    with pytest.raises(InputError, match="several targets: emotion, mood"):
        one_target(social, [run], None)
    with pytest.raises(UnknownNameError, match="Did you mean 'mood'"):
        one_target(social, [run], "moods")
    with pytest.raises(InputError, match="'all' is no split role"):
        read(social, [[run]], "emotion", "all")
    with pytest.raises(DataError, match="predict RUN --train"):
        read(social, [[run]], "emotion", "train")
