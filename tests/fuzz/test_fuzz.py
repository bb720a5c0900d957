"""Any file, mapping, query or setting ends with success or a sentence: no traceback, masked or shown, and no lost rows.

    GRAPHSOCIAL_FUZZ=2000 pytest -m slow tests/fuzz -s

tries so many inputs of each kind and prints how many there were in a second.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import pytest
from conftest import write_social
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.cli.main import main

pytestmark = pytest.mark.slow
CASES = int(os.environ.get("GRAPHSOCIAL_FUZZ", "60"))
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
WORDS = """
select from where group by order limit 1 0 -1 1e309 null true 'a' "b" ( ) [ ] { } , ; . : * / % = <> -- /* */ $1 ? ' "
node_user node_image edge_user_views_image predictions runs user image id src dst idx emotions count(*) avg(idx) unnest
cast as varchar timestamptz 'infinity' '5000-01-01 (BC)' union all with x as join on read_csv('/etc/passwd') copy to
attach pragma install load set create table drop insert update delete struct_pack map array list lambda x: window over é
😀 \\ \x00
"""
TOKENS = st.sampled_from(WORDS.split()).map(lambda word: word.replace("\\x00", "\0"))
QUERIES = st.lists(TOKENS, min_size=1, max_size=12).map(" ".join)
SETTINGS = st.sampled_from(
    [
        "strength",
        "epochs",
        "select",
        "loader",
        "fanouts",
        "also",
        "label",
        "edge",
        "classes",
        "negatives",
        "batch_size",
        "x",
    ]
)
VALUES = st.sampled_from(
    ["", "1", "0", "-1", "1e400", "nan", "true", "none", "a,b", "[1", "{}", "é", "0.5", "9" * 30, "user", "="]
)
CELLS = st.sampled_from(
    [
        "u1",
        "i1",
        "u2",
        "i2",
        "joy",
        "",
        "NULL",
        "1.29403E+18",
        '"',
        '""',
        "a;b",
        "é",
        "\t",
        "2020-01-01",
        "1,5",
        "nope",
        "\0",
        "#",
        " ",
    ]
)
BYTES = st.one_of(
    st.lists(st.lists(CELLS, min_size=1, max_size=5).map(",".join), max_size=8).map("\n".join).map(str.encode),
    st.binary(max_size=60),
    st.just(b"\xff\xfea\x00"),
    st.sampled_from(
        [b'[{"id": "u1"}, {"id": 2}]', b'{"id": "u1"}\n{"id":', b'{"a": [{"id": "x"}]}', b"PK\x03\x04", b"\x1f\x8b\x08"]
    ),
)
HEADERS = st.sampled_from(
    [b"", b"user,image\n", b"image,user\n", b"id\n", b"user;image\n", b"user_id,image_id,emotion\n"]
)
LINES = st.sampled_from(
    [
        "dataset: d",
        "files: {f: f.csv}",
        "files: {f: {path: f.csv, quote: none}}",
        "files: {f: {path: f.csv, skip: 1, comment: '#', decimal: ','}}",
        "files: {f: ../../etc/passwd}",
        "files: {f: {path: 'f*', records: a}}",
        "nodes: {user: {file: f, id: id}}",
        "nodes: {user: {file: f, id: {sql: 'upper(id)'}, where: 'id > 1', columns: {name: text}}}",
        "nodes: {user: {ids_from: [f.id]}, image: {file: f, id: image}}",
        "edges: [{type: user views image, file: f, src: user, dst: image}]",
        "edges: [{type: user knows user, file: f, src: id, dst: {each: friends}, columns: {w: {kind: number}}}]",
        "edges: [{type: user views, file: f}]",
        "nodes: [1, 2]",
        "x: {",
        "null",
        "- a",
    ]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A store with a finished run, and the run's id."""
    path = tmp_path_factory.mktemp("fuzz") / "s.duckdb"
    with gs.open(path) as opened:
        write_social(opened)
        run = gs.train(opened, "edge-emotion", model="destination_prior")
    yield path, run.id


@pytest.fixture(scope="module", autouse=True)
def speed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints how many inputs were tried in a second."""
    begin = perf_counter()
    yield
    seconds = perf_counter() - begin
    print(f"\n{COUNT[0]:,} inputs in {seconds:,.0f} s, {COUNT[0] / seconds:,.0f} a second")


COUNT = [0]


def ends_well(*arguments: str) -> int:
    """The exit code of a command, which is a success or one sentence on stderr."""
    COUNT[0] += 1
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    said = err.getvalue()
    assert code in (0, 1, 2), (code, arguments)
    assert "Traceback" not in said and "GRAPHSOCIAL_DEBUG" not in said, (arguments, said)
    assert code == 0 or "Error" in said or "Usage" in said or said.strip(), (arguments, said)
    return code


@fuzzed
@seed(0)
@given(query=QUERIES, form=st.sampled_from([(), ("--json",), ("--csv",), ("--csv", "--csv-safe")]))
def test_queries(store: tuple[Path, str], query: str, form: tuple[str, ...]) -> None:
    ends_well(
        "--store", str(store[0]), *(f for f in form if f == "--json"), "sql", query, *(f for f in form if f != "--json")
    )


@fuzzed
@seed(0)
@given(name=SETTINGS, value=VALUES)
def test_settings(store: tuple[Path, str], name: str, value: str) -> None:
    ends_well(
        "--quiet", "--store", str(store[0]), "train", "edge-emotion", "--model", "majority", "--set", f"{name}={value}"
    )


@fuzzed
@seed(0)
@given(expression=QUERIES)
def test_groups(store: tuple[Path, str], expression: str) -> None:
    ends_well("--store", str(store[0]), "compare", store[1], "--by", expression, "--samples", "100")


@fuzzed
@seed(0)
@given(header=HEADERS, content=BYTES)
def test_ids(store: tuple[Path, str], header: bytes, content: bytes) -> None:
    _with_files(
        {"p.csv": header + content},
        lambda folder: ends_well(
            "--quiet", "--store", str(store[0]), "predict", store[1], "--ids", str(folder / "p.csv")
        ),
    )


@fuzzed
@seed(0)
@given(header=HEADERS, parts=st.lists(BYTES, min_size=3, max_size=3))
def test_split_files(store: tuple[Path, str], header: bytes, parts: list[bytes]) -> None:
    files = {f"{name}.csv": header + part for name, part in zip(("train", "val", "test"), parts, strict=True)}
    _with_files(
        files,
        lambda folder: ends_well(
            *("--quiet", "--store", str(store[0]), "train", "edge-emotion", "--model", "majority"),
            *("--split", f"file:{folder}"),
        ),
    )


@fuzzed
@seed(0)
@given(lines=st.lists(LINES, max_size=5), content=BYTES, header=HEADERS)
def test_mappings_and_their_files(lines: list[str], content: bytes, header: bytes) -> None:
    def ingested(folder: Path) -> int:
        code = ends_well("--quiet", "--store", str(folder / "s.duckdb"), "ingest", "table", str(folder / "m.yaml"))
        if code:
            assert not (folder / "s.duckdb").exists(), "a failed first ingest leaves no store"
        return code

    _with_files({"m.yaml": "\n".join(lines).encode(), "f.csv": header + content}, ingested)


@fuzzed
@seed(0)
@given(lines=st.lists(st.tuples(SETTINGS, VALUES).map(": ".join), max_size=4))
def test_configurations(store: tuple[Path, str], lines: list[str]) -> None:
    _with_files(
        {"c.yaml": "\n".join(lines).encode()},
        lambda folder: ends_well(
            *("--quiet", "--store", str(store[0]), "train", "edge-emotion", "--model", "majority"),
            *("--config", str(folder / "c.yaml")),
        ),
    )


def _with_files(files: dict[str, bytes], command: Callable[[Path], int]) -> None:
    with TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        command(Path(name))
