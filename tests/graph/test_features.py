"""Arrow to tensors: order, sharing of memory, vectors in the order of the rows, means over neighbours."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import IMAGE, VIEWS

import graphsocial as gs
from graphsocial.errors import DataError
from graphsocial.features import featurize
from graphsocial.features.vectors import in_order
from graphsocial.graph.aggregation import neighbor_mean
from graphsocial.graph.features import Feature, encoded, table_of, tensor, vector_columns


def test_rows_are_sorted_only_when_they_are_not_in_order() -> None:
    lying = pa.table({"idx": [2, 5, 9], "x": [1.0, 2.0, 3.0]})
    assert in_order(lying) is lying
    mixed = in_order(pa.table({"idx": [5, 2, 9], "x": [1.0, 2.0, 3.0]}))
    assert mixed.to_pydict() == {"idx": [2, 5, 9], "x": [2.0, 1.0, 3.0]}
    empty = pa.table({"idx": pa.array([], pa.int64())})
    assert in_order(empty).num_rows == 0


def test_a_column_in_one_piece_shares_its_memory() -> None:
    numbers = pa.array([1, 2, 3], pa.int64())
    shared = tensor(pa.chunked_array([numbers]))
    assert shared.dtype == torch.int64 and shared.tolist() == [1, 2, 3]
    assert tensor(numbers).data_ptr() == numbers.buffers()[1].address
    assert tensor(pa.chunked_array([numbers, numbers])).tolist() == [1, 2, 3, 1, 2, 3]
    assert tensor(pa.chunked_array([], pa.float32())).shape == (0,)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_lists_become_a_table_without_their_nulls(kind: pa.DataType) -> None:
    pieces = [pa.array([[1, 2], None], kind), pa.array([[3, None]], kind)]
    found = table_of(pa.chunked_array(pieces), 2)
    np.testing.assert_array_equal(found.numpy(), [[1, 2], [3, np.nan]])


def test_vectors_of_the_data_keep_their_rows() -> None:
    rows = pa.table({"vector": pa.array([None, [1, 2], [3, 4], None], pa.list_(pa.float32()))})
    (feature,) = vector_columns(IMAGE, rows)
    assert feature.index.tolist() == [-1, 0, 1, -1]
    assert feature.vectors.tolist() == [[1, 2], [3, 4]]
    assert vector_columns(IMAGE, rows.slice(0, 1)) == []
    with pytest.raises(DataError, match=r"several lengths: \[1, 2\]"):
        vector_columns(IMAGE, pa.table({"vector": pa.array([[1], [1, 2]], pa.list_(pa.float32()))}))


def test_vectors_come_in_the_order_of_the_rows_whatever_order_they_were_encoded_in(social: gs.GraphStore) -> None:
    (report,) = featurize(social, "user views image.comment", "hash_text", dataset="small")
    idx = social.read(VIEWS, dataset="small").pl()["idx"].to_numpy()
    before = encoded(social, report.use, "small", idx)
    held = f"vectors_{report.use.dimension}"
    with social.transaction():
        social.connection.execute(f"create temp table turned as select * from {held} order by content desc").fetchall()
        social.connection.execute(f"delete from {held}").fetchall()
        social.connection.execute(f"insert into {held} select 'another', content, vector from turned").fetchall()
        social.connection.execute(f"insert into {held} from turned").fetchall()
    after = encoded(social, report.use, "small", idx)
    assert torch.equal(before.vectors, after.vectors)
    assert torch.equal(before.index, after.index)
    firsts = [before.index.tolist().index(number) for number in range(len(before.vectors))]
    assert firsts == sorted(firsts)
    vector_of = dict(
        social.sql(
            f"select idx, vector from feature_rows join {held} using (set_id, content) where set_id = ?",
            [report.use.set_id],
        ).fetchall()
    )
    for number, row in zip(after.index.tolist(), idx.tolist(), strict=True):
        assert (number >= 0) == (row in vector_of)
        if number >= 0:
            assert after.vectors[number].tolist() == list(vector_of[row])


def test_rows_that_are_not_visible_lend_no_vector(social: gs.GraphStore) -> None:
    (report,) = featurize(social, "user views image.comment", "hash_text", dataset="small")
    idx = social.read(VIEWS, dataset="small").pl()["idx"].to_numpy()
    whole = encoded(social, report.use, "small", idx)
    visible = (whole.index != 0).numpy()  # all rows but those with the first comment
    part = encoded(social, report.use, "small", idx[visible])
    assert len(part.vectors) == len(whole.vectors) - 1 > 0
    assert torch.equal(part.vectors[part.index[part.present]], whole.vectors[whole.index[visible]][part.present])
    assert torch.equal(part.present, whole.present[visible])


def test_means_are_over_the_neighbours_that_have_a_vector() -> None:
    feature = Feature("g", torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([0, -1, 1]))
    to, of = torch.tensor([3, 0, 3, 1, 0]), torch.tensor([2, 0, 0, 1, 0])
    found = neighbor_mean(feature, to, of, 4)
    assert found.index.tolist() == [0, -1, -1, 1]
    assert found.vectors.tolist() == [[1.0, 0.0], [2.0, 2.0]]
    nothing = neighbor_mean(feature, to[:0], of[:0], 4)
    assert nothing.vectors.shape == (0, 2) and not nothing.present.any()
