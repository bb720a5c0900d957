import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import DataError, InputError, StoreError, UnknownNameError
from graphsocial.store import GraphStore
from graphsocial.store.sql import utc
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

USER = NodeType("user", (Column("name", "text"), Column("age", "number")))
IMAGE = NodeType("image", (Column("born", "timestamp"),), time="born")
VIEWS = EdgeType("user", "views", "image", (Column("at", "timestamp"), Column("score", "number")), time="at")
KNOWS = EdgeType("user", "knows", "user")
SCHEMA = GraphSchema((USER, IMAGE), (VIEWS, KNOWS))
START = datetime(2016, 1, 1, tzinfo=timezone.utc)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


def fill(store: GraphStore, dataset: str = "a", users: int = 3) -> None:
    """Users u0…, images i0… born on day 0, 1, …; user n sees image n and n + 1 the day after, and knows user n + 1."""
    names = range(users)
    store.declare(SCHEMA)
    store.write(USER, pl.DataFrame({"id": [f"u{n}" for n in names], "age": [float(n) for n in names]}), dataset=dataset)
    store.write(IMAGE, pl.DataFrame({"id": [f"i{n}" for n in names], "born": [day(n) for n in names]}), dataset=dataset)
    seen = [(n, (n + k) % users) for n in names for k in (0, 1)]
    views = {"src": [f"u{n}" for n, _ in seen], "dst": [f"i{m}" for _, m in seen], "at": [day(m + 1) for _, m in seen]}
    store.write(VIEWS, pl.DataFrame(views), dataset=dataset)
    knows = {"src": [f"u{n}" for n in names], "dst": [f"u{(n + 1) % users}" for n in names]}
    store.write(KNOWS, pl.DataFrame(knows), dataset=dataset)


def named(store: GraphStore, edge: EdgeType, dataset: str) -> list[tuple[str, str]]:
    """A dataset's edges by the source's own ids."""
    return store.sql(
        f"select s.id, d.id from ({store.visible(edge, dataset=dataset)}) e "
        f"join node_{edge.src} s on s.idx = e.src join node_{edge.dst} d on d.idx = e.dst order by e.idx"
    ).fetchall()


def temporary(store: GraphStore) -> list[tuple[str]]:
    """The temporary tables and views that are there."""
    return store.sql(
        "select table_name from duckdb_tables() where temporary "
        "union select view_name from duckdb_views() where temporary and not internal"
    ).fetchall()


# Contract 1: ids


def test_idx_is_dense_and_in_the_order_of_the_rows(store: GraphStore) -> None:
    fill(store)
    for entry in SCHEMA.types:
        frame = store.read(entry).pl()
        assert frame["idx"].to_list() == list(range(len(frame)))
    assert store.read(USER).pl()["id"].to_list() == ["u0", "u1", "u2"]
    assert named(store, KNOWS, "a") == [("u0", "u1"), ("u1", "u2"), ("u2", "u0")]


def test_rows_come_in_the_order_of_row_whatever_order_they_are_given_in(store: GraphStore) -> None:
    store.declare(GraphSchema((USER,)))
    for dataset, rows in (("a", [30, 10, 20]), ("b", [2, 3, 1]), ("c", [1, 2, 3])):
        store.write(USER, pl.DataFrame({"id": [f"u{row}" for row in rows], "row": rows}), dataset=dataset)
        frame = store.read(USER, dataset=dataset).pl()
        assert frame["id"].to_list() == [f"u{row}" for row in sorted(rows)]
    assert store.read(USER).pl()["idx"].to_list() == list(range(9))


@pytest.mark.parametrize("wide", [False, True])
def test_rows_lie_in_the_order_of_idx(store: GraphStore, wide: bool) -> None:
    """Reads sort only what is not in order: a write that leaves rows in another order costs every read after it."""
    count = 150_000  # more than one row group
    store.declare(GraphSchema((USER,), (EdgeType("user", "rates", "user", (Column("score", "number"),)),)))
    mixed = f"select (n * 7919) % {count} as row, 'u' || (n * 7919) % {count} as id"
    store.write(USER, f"{mixed}{', null as age' if wide else ''} from range({count}) as t(n)", dataset="a")
    edge = store.schema.edge("user rates user")
    ends = f"select n as row, 'u' || (n * 31) % {count} as src, 'u' || (n * 17) % {count} as dst"
    store.write(edge, f"{ends}{', n / 2 as score' if wide else ''} from range({count}) as t(n)", dataset="a")
    for table in ("node_user", "edge_user_rates_user"):
        rows = store.sql(f"select idx from {table}").pl()["idx"]
        assert sorted(rows) == list(range(count))
        if not (wide and table == "node_user"):  # wide rows are left where they come from
            assert rows.is_sorted()
    assert store.first("select count(*) from node_user where id <> 'u' || idx") == (0,)


def test_a_write_in_parts_continues_the_numbering_and_sees_ids_of_earlier_parts(store: GraphStore) -> None:
    store.declare(GraphSchema((USER,)))
    store.write(USER, pl.DataFrame({"id": ["x", "y"]}), dataset="a")
    written = store.write(USER, pl.DataFrame({"id": ["z", "x"]}), dataset="a", strict=False)
    assert (written.rows, written.rejected) == (1, 1)
    assert written.rejects.to_pylist() == [{"row_number": 2, "reason": "duplicate id: x"}]
    assert store.read(USER).pl()["id"].to_list() == ["x", "y", "z"]


def test_a_dataset_is_not_appended_to_after_another_has_written(store: GraphStore) -> None:
    store.declare(GraphSchema((USER,)))
    for dataset in ("a", "b"):
        store.write(USER, pl.DataFrame({"id": ["x"]}), dataset=dataset)
    with pytest.raises(InputError, match="cannot grow there"):
        store.write(USER, pl.DataFrame({"id": ["y"]}), dataset="a")


def test_two_datasets_may_use_the_same_ids_and_edges_stay_inside_theirs(store: GraphStore) -> None:
    fill(store, "a", 3)
    fill(store, "b", 4)
    assert named(store, KNOWS, "b") == [("u0", "u1"), ("u1", "u2"), ("u2", "u3"), ("u3", "u0")]
    assert store.read(KNOWS, dataset="b").pl()["src"].min() == 3
    assert store.datasets() == ["a", "b"] and store.dataset("b") == "b"
    with pytest.raises(DataError, match="several datasets"):
        store.dataset()
    with pytest.raises(UnknownNameError, match="Known: a, b"):
        store.dataset("c")


def test_remove_leaves_the_others_as_they_were(store: GraphStore) -> None:
    for dataset, users in (("a", 3), ("b", 4), ("c", 5)):
        fill(store, dataset, users)
    before = {dataset: [named(store, edge, dataset) for edge in (VIEWS, KNOWS)] for dataset in "ac"}
    store.remove("b")
    assert store.datasets() == ["a", "c"]
    for dataset in "ac":
        assert [named(store, edge, dataset) for edge in (VIEWS, KNOWS)] == before[dataset]
    for entry in SCHEMA.types:
        frame = store.read(entry).pl()
        assert frame["idx"].to_list() == list(range(len(frame)))
        assert set(frame["dataset"]) == {"a", "c"}
        assert store.read(entry, dataset="c").pl()["dataset"].unique().to_list() == ["c"]
    store.remove("nobody")  # what is not there needs no removing
    fill(store, "b", 2)
    assert named(store, KNOWS, "b") == [("u0", "u1"), ("u1", "u0")]


def test_data_hash_changes_with_a_value_and_not_with_another_dataset(store: GraphStore) -> None:
    fill(store, "a")
    before = store.data_hash("a")
    fill(store, "b", 5)
    assert store.data_hash("a") == before
    wider = NodeType("user", (*USER.columns, Column("mood", "text")))
    store.declare(GraphSchema((wider, NodeType("film"))))
    store.write(wider, pl.DataFrame({"id": ["z"], "mood": ["glad"]}), dataset="c")
    store.write(NodeType("film"), pl.DataFrame({"id": ["f"]}), dataset="c")
    assert store.data_hash("a") == before
    store.connection.execute("update node_user set age = 99 where idx = 0")
    assert store.data_hash("a") != before


# What is refused


@pytest.mark.parametrize(
    ("entry", "rows", "reasons"),
    [
        (USER, {"id": ["x", None, "", "x", " x "]}, ["the id is missing"] * 2 + ["duplicate id: x"] * 2),
        (
            KNOWS,
            {"src": ["u0", "u9", None, "u0"], "dst": ["u1", "u1", "u1", "u8"]},
            ["no user has the id: u9", "the user is missing", "no user has the id: u8"],
        ),
    ],
)
def test_rows_with_missing_or_unknown_ids_are_refused(
    store: GraphStore, entry: NodeType | EdgeType, rows: dict[str, list[str]], reasons: list[str]
) -> None:
    fill(store)
    before = len(store.read(entry).pl())
    frame = pl.DataFrame(rows)
    with pytest.raises(DataError, match=rf"{len(reasons)} rows of '{entry}' cannot be written: row \d: {reasons[0]}"):
        store.write(entry, frame, dataset="a")
    assert len(store.read(entry).pl()) == before
    written = store.write(entry, frame, dataset="a", strict=False)
    assert (written.rows, written.rejected) == (len(frame) - len(reasons), len(reasons))
    assert written.rejects["reason"].to_pylist() == reasons
    assert written.rejects["row_number"].to_pylist() == sorted(written.rejects["row_number"].to_pylist())
    assert store.read(entry).pl()["idx"].to_list() == list(range(before + written.rows))


def test_refused_rows_do_not_shift_the_columns_of_the_others(store: GraphStore) -> None:
    fill(store)
    rows = {
        "src": ["u9", "u0", "u9", "u1"],
        "dst": ["i0"] * 4,
        "at": [day(n) for n in range(4)],
        "score": [0.0, 1, 2, 3],
    }
    store.write(VIEWS, pl.DataFrame(rows), dataset="a", strict=False)
    assert store.read(VIEWS).pl().tail(2).select("src", "score").rows() == [(0, 1.0), (1, 3.0)]


@pytest.mark.parametrize("rejected", [False, True])
def test_columns_may_have_any_name_that_a_type_takes(store: GraphStore, rejected: bool) -> None:
    """A column named as the SQL of the check might name one of its own keeps its values."""
    names = ("row", "row_number", "reason", "position", "place", "rows", "s", "d", "given", "edges", "select", "order")
    user = NodeType("user", tuple(Column(name, "text") for name in names))
    knows = EdgeType("user", "knows", "user", user.columns)
    store.declare(GraphSchema((user,), (knows,)))
    values = {name: [f"{name} {n}" for n in range(3)] for name in names if name != "row"}
    unknown = {"id": ["a", "b", "b" if rejected else "c"], "row": [7, 8, 9]}
    users = store.write(user, pl.DataFrame({**unknown, **values}), dataset="x", strict=False)
    ends = {"src": ["a", "b", "z" if rejected else "a"], "dst": ["b", "a", "a"], "row": [3, 1, 2]}
    edges = store.write(knows, pl.DataFrame({**ends, **values}), dataset="x", strict=False)
    assert users.rejected == edges.rejected == int(rejected)
    for name in values:
        assert store.read(user).pl()[name].to_list() == values[name][: users.rows]
        order = [1, 0] if rejected else [1, 2, 0]
        assert store.read(knows).pl()[name].to_list() == [values[name][n] for n in order]


@pytest.mark.parametrize("strict", [False, True])
def test_a_write_leaves_nothing_temporary(store: GraphStore, strict: bool) -> None:
    fill(store)
    before = temporary(store)
    store.write(USER, pl.DataFrame({"id": ["x"], "age": [1.0]}), dataset="a")
    for rows in ({"id": ["y", "x"], "age": [1.0, 2.0]}, {"id": ["z"], "age": ["no number"]}, {"ids": ["z"]}):
        with suppress(DataError, InputError):
            store.write(USER, pl.DataFrame(rows), dataset="a", strict=strict)
    assert temporary(store) == before == []


def test_columns_that_are_not_the_types_and_missing_keys_are_named(store: GraphStore) -> None:
    fill(store)
    with pytest.raises(InputError, match=r"'user' has no column 'agee'"):
        store.write(USER, pl.DataFrame({"id": ["x"], "agee": [1]}), dataset="a")
    with pytest.raises(InputError, match=r"need a column 'dst'"):
        store.write(KNOWS, pl.DataFrame({"src": ["u0"]}), dataset="a")


def test_rows_may_be_sql_arrow_or_pandas(store: GraphStore) -> None:
    store.declare(SCHEMA)
    store.write(USER, "select 'u' || range as id, range / 2 as age from range(5)", dataset="a")
    frame = pl.DataFrame({"id": ["x"], "age": [1.5]})
    store.write(USER, frame.to_arrow(), dataset="a")
    store.write(USER, frame.to_pandas().assign(id="y"), dataset="a")
    assert store.read(USER).pl()["id"].to_list() == ["u0", "u1", "u2", "u3", "u4", "x", "y"]
    assert store.read(USER).pl()["age"].to_list() == [0.0, 0.5, 1.0, 1.5, 2.0, 1.5, 1.5]


# Declarations


def test_a_declared_type_gains_columns_and_keeps_the_old_ones(store: GraphStore) -> None:
    fill(store)
    store.declare(GraphSchema((NodeType("user", (Column("town", "category"),)),)))
    assert [column.name for column in store.schema.node("user").columns] == ["name", "age", "town"]
    assert store.read(store.schema.node("user")).pl()["town"].to_list() == [None] * 3
    with pytest.raises(InputError, match="cannot be category"):
        store.declare(GraphSchema((NodeType("user", (Column("age", "category"),)),)))
    with pytest.raises(InputError, match=r"The time of 'image' is 'born'"):
        store.declare(GraphSchema((NodeType("image", (Column("seen", "timestamp"),), time="seen"),)))
    assert [column.name for column in store.schema.node("image").columns] == ["born"]


# Round trips

SPACES = "".join(chr(code) for code in range(0x3001) if unicodedata.category(chr(code)) == "Zs")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(timezone.utc))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": TEXT.map(lambda text: text.strip(SPACES)).filter(bool),  # ids are trimmed
            "words": st.none() | TEXT,
            "number": st.none() | st.floats(allow_nan=False),
            "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
            "yes": st.none() | st.booleans(),
            "tags": st.none() | st.lists(TEXT, max_size=3),
            "vector": st.none() | st.lists(st.floats(width=32, allow_nan=False), max_size=3),
            "at": st.none() | TIMES,
        }
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["id"],
)
WIDE = NodeType(
    "thing",
    (
        Column("words", "text"),
        Column("number", "number"),
        Column("whole", "integer"),
        Column("yes", "boolean"),
        Column("tags", "categories"),
        Column("vector", "vector"),
        Column("at", "timestamp"),
    ),
)
POLARS = {
    "id": pl.String,
    "words": pl.String,
    "number": pl.Float64,
    "whole": pl.Int64,
    "yes": pl.Boolean,
    "tags": pl.List(pl.String),
    "vector": pl.List(pl.Float32),
    "at": pl.Datetime("us", "UTC"),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[GraphStore]:
    """One store for many examples, each of which is rolled back."""
    with tempfile.TemporaryDirectory() as folder, gs.open(Path(folder) / "s.duckdb") as opened:
        opened.declare(GraphSchema((WIDE, *SCHEMA.nodes), SCHEMA.edges))
        yield opened


class _Rollback(Exception):
    pass


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_rows_read_are_the_rows_written(shared: GraphStore, rows: list[dict[str, object]]) -> None:
    with pytest.raises(_Rollback), shared.transaction():
        frame = pl.DataFrame(rows, schema=POLARS)
        shared.write(WIDE, frame, dataset="a")
        assert shared.read(WIDE).pl().select(frame.columns).rows() == frame.rows()
        raise _Rollback


# Contract 2: time


@settings(max_examples=25, deadline=None)
@given(
    born=st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=6),
    seen=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.none() | st.integers(0, 9)), max_size=12),
    moment=st.integers(0, 10),
)
def test_reading_as_of_a_time_is_reading_a_store_without_what_came_later(
    shared: GraphStore, born: list[int | None], seen: list[tuple[int, int, int | None]], moment: int
) -> None:
    def write(images: dict[int, int | None], edges: list[tuple[int, int, int | None]], dataset: str) -> None:
        def when(number: int | None) -> datetime | None:
            return None if number is None else day(number)

        shared.write(USER, pl.DataFrame({"id": [f"u{n}" for n in range(4)]}), dataset=dataset)
        image = {"id": [f"i{n}" for n in images], "born": [when(time) for time in images.values()]}
        shared.write(
            IMAGE, pl.DataFrame(image, schema={"id": pl.String, "born": pl.Datetime("us", "UTC")}), dataset=dataset
        )
        edge = {
            "src": [f"u{u}" for u, _, _ in edges],
            "dst": [f"i{i}" for _, i, _ in edges],
            "at": [when(time) for *_, time in edges],
        }
        types = {"src": pl.String, "dst": pl.String, "at": pl.Datetime("us", "UTC")}
        shared.write(VIEWS, pl.DataFrame(edge, schema=types), dataset=dataset)

    def seen_in(dataset: str, as_of: datetime | None) -> tuple[list[tuple[object, ...]], ...]:
        ends = "join node_user s on s.idx = e.src join node_image d on d.idx = e.dst order by e.idx"
        edges = shared.visible(VIEWS, dataset=dataset, as_of=as_of)
        return (
            shared.read(USER, dataset=dataset, as_of=as_of).pl().select("id").rows(),
            shared.read(IMAGE, dataset=dataset, as_of=as_of).pl().select("id", "born").rows(),
            shared.sql(f"select s.id, d.id, e.at from ({edges}) e {ends}").pl().rows(),
        )

    images = dict(enumerate(born))
    edges = [(u, i % len(born), time) for u, i, time in seen]
    alive = {i: time for i, time in images.items() if time is not None and time <= moment}
    visible = [(u, i, time) for u, i, time in edges if i in alive and time is not None and time <= moment]
    with pytest.raises(_Rollback), shared.transaction():
        write(images, edges, "all")
        write(alive, visible, "past")
        assert seen_in("all", day(moment)) == seen_in("past", None) == seen_in("past", day(moment))
        raise _Rollback


def test_the_moment_itself_is_included_and_text_without_a_zone_is_utc(store: GraphStore) -> None:
    fill(store)
    for moment in ("2016-01-02", "2016-01-02T00:00:00Z", "2016-01-02T02:00:00+02:00", day(1)):
        assert store.read(IMAGE, as_of=moment).pl()["id"].to_list() == ["i0", "i1"]
    assert store.read(IMAGE, as_of="2016-01-01T23:59:59.999999").pl()["id"].to_list() == ["i0"]
    assert utc(datetime(2016, 1, 1)) == START
    with pytest.raises(InputError, match="is not a time"):
        store.read(IMAGE, as_of="yesterday")


# Transactions


def test_a_transaction_is_all_or_nothing_also_when_nested(store: GraphStore) -> None:
    fill(store, "a")
    with pytest.raises(_Rollback), store.transaction():
        fill(store, "b")
        with store.transaction():
            store.remove("a")
        raise _Rollback
    assert store.datasets() == ["a"] and len(named(store, VIEWS, "a")) == 6
    fill(store, "b")
    assert store.datasets() == ["a", "b"]


def test_a_process_killed_in_the_middle_of_a_write_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with gs.open(path) as opened:
        fill(opened)
        before = opened.data_hash("a")
    code = f"""
import os, signal
import graphsocial as gs
with gs.open({str(path)!r}) as store:
    user = store.schema.node("user")
    with store.transaction():
        store.remove("a")
        store.write(user, "select 'u' || range as id from range(200000)", dataset="b")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with gs.open(path) as opened:
        assert opened.datasets() == ["a"] and opened.data_hash("a") == before
        fill(opened, "b")


# Opening


def test_a_store_opens_again_and_read_only(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with gs.open(path) as opened:
        fill(opened)
    with gs.open(path, read_only=True) as opened:
        assert opened.schema == SCHEMA and len(opened.read(USER).pl()) == 3
        for change in (lambda: fill(opened, "b"), lambda: opened.remove("a"), lambda: opened.declare(SCHEMA)):
            with pytest.raises(StoreError, match="open for reading only"):
                change()
    with gs.open(path) as opened:
        assert opened.schema == SCHEMA


def test_a_store_that_is_not_there_or_empty_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no store"):
        gs.open(tmp_path / "none.duckdb", read_only=True)
    assert not (tmp_path / "none.duckdb").exists()
    with pytest.raises(StoreError, match="There is no folder"):
        gs.open(tmp_path / "no" / "s.duckdb")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(StoreError, match="is empty; ingest a dataset first"):
        gs.open(tmp_path / "empty.duckdb", read_only=True)
    with gs.open(tmp_path / "new.duckdb") as opened, pytest.raises(DataError, match="holds no dataset yet"):
        opened.dataset()


def test_what_is_no_store_is_refused_and_unchanged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        gs.open(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("Not a database, but long enough to have room for a header. " * 100)
    before = text.read_bytes()
    with pytest.raises(StoreError, match="is not a graphsocial store"):
        gs.open(text)
    assert text.read_bytes() == before
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("create table mine (x int)")
    with pytest.raises(StoreError, match="not a graphsocial store"):
        gs.open(other)
    with duckdb.connect(str(other)) as connection:
        assert connection.execute("select table_name from duckdb_tables()").fetchall() == [("mine",)]


def test_a_store_held_by_another_process_names_it(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    code = f"import graphsocial as gs\nwith gs.open({str(path)!r}):\n    print('open', flush=True)\n    input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match=f"held by process {other.pid}"):
            gs.open(path)
        other.stdin.write(b"\n")
        other.stdin.flush()
        other.wait()
    gs.open(path).close()


# SQL


def test_sql_gives_polars_arrow_and_pandas(store: GraphStore) -> None:
    fill(store)
    query = "select id, age from node_user where age >= ? order by idx"
    assert store.sql(query, [1]).pl().rows() == [("u1", 1.0), ("u2", 2.0)]
    assert store.sql(query, [1]).to_arrow_table().to_pylist() == [{"id": "u1", "age": 1.0}, {"id": "u2", "age": 2.0}]
    assert store.sql(query, [1]).df()["id"].tolist() == ["u1", "u2"]
    assert store.read(IMAGE).pl()["born"].to_list()[0] == START


@pytest.mark.parametrize(
    "query", ["selekt 1", "select * from nothing_here", "select no_column from node_types", "select ("]
)
def test_invalid_sql_is_an_input_error(store: GraphStore, query: str) -> None:
    with pytest.raises(InputError, match="The SQL does not run"):
        store.sql(query)


def test_a_python_variable_is_not_a_table(store: GraphStore) -> None:
    mine = pl.DataFrame({"x": [1]})
    with pytest.raises(InputError, match="mine"):
        store.sql("select * from mine")
    assert len(mine) == 1
