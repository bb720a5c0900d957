import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import polars as pl
import pytest
import yaml

import graphsocial as gs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.ingestion import ingest
from graphsocial.schemas import text
from graphsocial.sources._mapping import json_schema
from graphsocial.sources.table import Table
from graphsocial.store import GraphStore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MAPPING = """
dataset: ratings
root: data
files:
  people: {path: people.csv, nulls: [NA]}
  ratings: {path: "ratings-*.tsv", header: false, names: [who, film, stars, when]}
  towns: towns.csv
nodes:
  user:
    file: people
    id: pid
    columns:
      age: number
      gender: {kind: category, from: sex, role: label, values: [f, m]}
      country: {kind: category, sql: "(select any_value(country) from towns where towns.town = people_town)"}
    where: pid <> 'nobody'
  film: {ids_from: [ratings.film]}
edges:
  - type: user rates film
    file: ratings
    src: {sql: "'p' || who"}
    dst: film
    columns:
      emotions: {kind: categories, sql: "[stars]", role: label, values: ["1", "2", "3"]}
    time: when
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "people.csv").write_text(
        "pid,age,sex,people_town\np1,30,F,Oslo\np2,NA,m,Lima\np3,old,f,\nnobody,1,f,Oslo\n"
    )
    (data / "ratings-1.tsv").write_text("1\tx\t3\t2016-01-01\n1\ty\t1\t2016-01-02\n")
    (data / "ratings-2.tsv").write_text("2\tx\t2\t2016-01-03\n2\tx\t4\t2016-01-03\n9\tz\t1\t\n2\tx\t1\t\n")
    (data / "towns.csv").write_text("town,country\nOslo,Norway\nLima,Peru\n")
    file = tmp_path / "mapping.yaml"
    file.write_text(MAPPING)
    return file


def test_tables_become_a_graph(store: GraphStore, mapping: Path) -> None:
    report = ingest(store, "table", mapping)
    assert report.dataset == "ratings"
    assert report.read == {"people": 4, "ratings": 6}
    assert report.rows == {"user": 2, "film": 3, "user rates film": 4}
    assert report.left_out == {"user": 1, "film": 2}
    assert store.sql("select file, line, reason from rejects order by line").fetchall() == [
        ("ratings-2.tsv", 2, "user rates film emotions is not among 1, 2, 3: [4]"),
        ("ratings-2.tsv", 3, "no user has the id: p9"),
        ("people.csv", 4, "age is not a number: old"),
    ]
    assert store.read(store.schema.node("user")).pl().drop("idx", "dataset").rows() == [
        ("p1", 30.0, "f", "Norway"),
        ("p2", None, "m", "Peru"),
    ]
    rates = store.schema.edge("user rates film")
    assert rates.time == "when" and [(c.name, c.role) for c in rates.columns] == [
        ("emotions", "label"),
        ("when", "feature"),
    ]
    assert store.read(rates).pl()["emotions"].to_list() == [["3"], ["1"], ["2"], ["1"]]
    assert store.read(store.schema.node("film")).pl()["id"].to_list() == ["x", "y", "z"]
    assert not ingest(store, "table", mapping).changed
    (mapping.parent / "data" / "towns.csv").write_text("town,country\nOslo,Norge\n")
    assert ingest(store, "table", mapping).changed  # a table that only SQL looks into counts too


def test_a_node_file_may_be_completed_by_the_ids_of_edges(store: GraphStore, mapping: Path) -> None:
    given = yaml.safe_load(MAPPING)
    given["nodes"]["user"] = {"file": "people", "id": "pid", "ids_from": ["ratings.who"]}
    mapping.write_text(yaml.safe_dump(given))
    report = ingest(store, "table", mapping)
    assert store.read(store.schema.node("user")).pl()["id"].to_list() == ["p1", "p2", "p3", "nobody", "1", "2", "9"]
    assert report.left_out["user"] == 2  # of five good ratings by three


def test_the_root_is_from_the_mapping_the_environment_or_the_call(
    store: GraphStore, mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping.write_text(MAPPING.replace("root: data", "root: ${SOME_DATA}/data"))
    monkeypatch.delenv("SOME_DATA", raising=False)
    with pytest.raises(InputError, match=r"the environment has no SOME_DATA. Set it, or give --set root"):
        ingest(store, "table", mapping)
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert ingest(store, "table", mapping, dataset="one").rows["user"] == 2
    monkeypatch.delenv("SOME_DATA")
    report = ingest(store, "table", mapping, dataset="two", settings={"root": str(tmp_path / "data")})
    assert report.dataset == "two" and report.rows["user"] == 2
    with pytest.raises(MissingFileError, match="there is no folder"):
        ingest(store, Table(root=tmp_path / "no"), mapping)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dataset: ratings", "datset: ratings", "No key of the mapping is called 'datset'. Did you mean 'dataset'"),
        ("dataset: ratings\n", "", "dataset: field required"),
        ("nulls: [NA]", "nuls: [NA]", "No key of files.people is called 'nuls'. Did you mean 'nulls'"),
        ("role: label, values: [f, m]", "rol: label", "No key of .*gender is called 'rol'. Did you mean 'role'"),
        ("age: number", "age: numbr", "nodes.user.columns.age.kind: input should be 'text'"),
        ("age: number", "Age: number", "nodes.user: 'Age' cannot name a column"),
        ("age: number", "idx: number", "nodes.user: 'idx' is a column that every table has"),
        ("    file: people", "    file: peple", "nodes.user: No file is called 'peple'. Did you mean 'people'"),
        ("id: pid", "id: pdi", "people.csv' has no column 'pdi', which table 'people' needs. Did you mean 'pid'"),
        ("    id: pid\n", "", "nodes.user needs `id`"),
        ("from: sex", "from: sx", "has no column 'sx'.*Did you mean 'sex'"),
        ("from: sex", "from: sex, sql: sex", "both `from` and `sql`"),
        ("[ratings.film]", "[ratings]", "nodes.film.ids_from: 'ratings' must be written table.column"),
        ("{ids_from: [ratings.film]}", "{}", "nodes.film needs `file` and `id`, or only `ids_from`"),
        ("user rates film", "user film", "edges.0.type must be `source relation destination`"),
        ("user rates film", "user rates flim", "edges.0: No node type is called 'flim'. Did you mean 'film'"),
        ("'p' || who", "'p' || whoo", "The SQL of 'user rates film src' does not run"),
        ("'p' || who", "'p' ||", "user rates film src: the SQL .* syntax error"),
        ("people.csv", "peopel.csv", "files.people: no file 'peopel.csv' in .*There: people.csv"),
        ("time: when", "time: wen", "has no column 'wen'.*Did you mean 'when'"),
        ("[who, film, stars, when]", "[who, film, stars, when, extra]", "has 4 fields a row, but 5 names"),
        ("root: data", "root: dta", "there is no folder"),
        ("dataset: ratings", "dataset: [", "is not YAML"),
    ],
)
def test_a_mistake_in_the_mapping_is_named(store: GraphStore, mapping: Path, old: str, new: str, message: str) -> None:
    assert old in MAPPING
    mapping.write_text(MAPPING.replace(old, new))
    with pytest.raises(InputError, match=message):
        ingest(store, "table", mapping)
    assert store.datasets() == []


def test_a_file_that_is_no_mapping_is_refused(store: GraphStore, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="reads a YAML file"):
        ingest(store, "table", tmp_path / "no.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(InputError, match="must have the keys dataset, root, files, nodes, edges"):
        ingest(store, "table", tmp_path / "list.yaml")


def test_the_schema_of_the_mapping_is_that_of_the_models() -> None:
    stored = json.loads(text("datasets", "table.schema.json"))
    assert stored == json_schema(), (
        "write json.dumps(graphsocial.sources._mapping.json_schema(), indent=2) to schemas/datasets/table.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(stored)
    for given in (MAPPING, *(file.read_text() for file in EXAMPLES.glob("*.yaml"))):
        jsonschema.validate(yaml.safe_load(given), stored)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(MAPPING.replace("nulls:", "nuls:")), stored)


def test_many_files_are_one_table_and_rejects_still_name_file_and_line(store: GraphStore, tmp_path: Path) -> None:
    for number in range(6):
        odd = "x" if number == 4 else "2"
        ends = "\r\n" if number == 2 else "\n"
        rows = ["id,likes", f"a{number},{number}", f"b{number},{odd}", *(["c,1,7"] if number == 5 else [])]
        (tmp_path / f"{number}.csv").write_text(ends.join(rows) + ends, newline="")
    (tmp_path / "6.csv").write_text("likes,id\n9,z\n")
    (tmp_path / "posts.yaml").write_text(
        'dataset: posts\nfiles: {posts: "*.csv"}\nnodes: {post: {file: posts, id: id, columns: {likes: integer}}}\n'
    )
    report = ingest(store, "table", tmp_path / "posts.yaml")
    assert report.read == {"posts": 14} and report.rows == {"post": 12}
    assert store.sql("select id, likes from node_post order by idx").fetchall() == [
        *((name, value) for n in range(6) for name, value in ((f"a{n}", n), (f"b{n}", 2)) if name != "b4"),
        ("z", 9),
    ]
    rejects = store.sql("select file, line, reason from rejects order by file").fetchall()
    assert [(Path(file).name, line) for file, line, _ in rejects] == [("4.csv", 3), ("5.csv", 4)]


def test_rows_with_one_key_may_be_one_node_or_one_edge(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("id,page,likes\np1,a,3\np2,a,4\np1,a,9\n,b,1\n")
    mapping = """
dataset: posts
files: {posts: posts.csv}
nodes:
  post: {file: posts, id: id, columns: {likes: integer}, distinct: true}
  page: {file: posts, id: page, distinct: true}
edges:
  - {type: page publishes post, file: posts, src: page, dst: id, distinct: true}
"""
    (tmp_path / "posts.yaml").write_text(mapping)
    report = ingest(store, "table", tmp_path / "posts.yaml")
    assert report.rows == {"post": 2, "page": 2, "page publishes post": 2}
    assert report.left_out == {"post": 2, "page": 2, "page publishes post": 2} and not report.rejected
    assert store.sql("select id, likes from node_post order by idx").fetchall() == [("p1", 3), ("p2", 4)]


# The examples, on the real data


def test_affectivedynamics(store: GraphStore, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    report = ingest(store, "table", EXAMPLES / "affectivedynamics.yaml")
    assert report.rows == {"user": 832, "image": 100, "user views image": 53_835}
    assert report.rejected == 0
    assert report.missing_images == 1  # Surgery 3 is among the photographs of injury that oasis/ leaves out
    counts = "select count(*), count(valence), count(arousal), count(emotions) from edge_user_views_image"
    assert store.sql(counts).fetchall() == [(53_835, 53_810, 53_792, 53_810)]
    shares = (
        "select emotions[1] as emotion, count(*) from edge_user_views_image group by all order by emotion nulls last"
    )
    assert store.sql(shares).fetchall() == [("negative", 20_828), ("neutral", 15_687), ("positive", 17_295), (None, 25)]
    files = store.sql("select id, file from node_image where file is not null order by id::int").fetchall()
    assert len(files) == 12 and files[0] == ("1", "../oasis/images/Baby 7.jpg")
    roles = {column.name: column.role for column in store.schema.node("image").columns}
    assert (roles["valence_ml"], roles["arousal_ml"]) == ("reference", "reference")
    genders = "select gender, count(*) from node_user group by all order by gender nulls last"
    assert {gender for gender, _ in store.sql(genders).fetchall()} <= {
        "male",
        "female",
        "non-binary",
        "other",
        "prefer not to answer",
        None,
    }


def test_hin_yelp(store: GraphStore, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    report = ingest(store, "table", EXAMPLES / "hin_yelp.yaml")
    assert report.rows == {
        "user": 16_239,
        "business": 14_284,
        "compliment": 11,
        "category": 511,
        "city": 47,
        "user rates business": 198_397,
        "user connects user": 158_590,
        "user gets compliment": 76_875,
        "business in category": 40_009,
        "business in city": 14_267,
    }
    assert report.rejected == 0
    friends = "edge_user_connects_user"
    back = f"select count(*) from {friends} a join {friends} b on a.src = b.dst and a.dst = b.src"
    assert store.sql(back).fetchall() == [(158_590,)]  # both directions are in the file
    stars = "select emotions[1] as stars, count(*) from edge_user_rates_business group by all order by stars"
    assert store.sql(stars).fetchall() == [("1", 10_696), ("2", 17_715), ("3", 35_810), ("4", 75_918), ("5", 58_258)]


@pytest.mark.slow
def test_facebook_pages(store: GraphStore, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    report = ingest(store, "table", EXAMPLES / "facebook_pages.yaml")
    assert report.read == {"posts": 242_081}
    assert report.rows == {
        "post": 228_688,
        "page": 144,
        "site": 1_081,
        "page publishes post": 228_688,
        "post cites site": 226_332,
    }
    assert report.rejected == 0
    assert report.left_out["post"] == 242_081 - 228_688  # 8,833 second copies, and the posts after 21 June
    newest = store.sql("select max(published) < timestamptz '2016-06-22 00:00:00+00' from node_post").fetchall()
    assert newest == [(True,)]
    joined = (
        "select count(*) from edge_page_publishes_post e join node_page p on p.idx = e.src "
        "join node_post n on n.idx = e.dst where n.id like p.id || '_%'"
    )
    assert store.sql(joined).fetchall() == [(228_688,)]
    columns = {column.name: column.role for column in store.schema.node("post").columns}
    assert {name for name, role in columns.items() if role == "feature"} == {
        "message",
        "link_name",
        "type",
        "site",
        "published",
    }


def test_a_list_without_entries_is_null_and_not_rejected(store: GraphStore, tmp_path: Path) -> None:
    """`[stars]` of a row without stars: the edge stays, and is not rejected."""
    (tmp_path / "ratings.csv").write_text("who,film,stars\na,x,3\nb,x,\nc,x,7\n")
    pl.DataFrame({"who": ["d", "e", "f"], "film": "x", "kinds": [["1", None], [None], []]}).write_parquet(
        tmp_path / "more.parquet"
    )
    rule = '{type: %s, file: %s, src: who, dst: film, columns: {emotions: {kind: categories, %s values: ["1", "3"]}}}'
    (tmp_path / "m.yaml").write_text(
        "dataset: d\nfiles: {ratings: ratings.csv, more: more.parquet}\n"
        "nodes: {user: {ids_from: [ratings.who, more.who]}, film: {ids_from: [ratings.film]}}\nedges:\n"
        f"  - {rule % ('user rates film', 'ratings', 'sql: ' + repr('[stars]') + ',')}\n"
        f"  - {rule % ('user tags film', 'more', 'from: kinds,')}\n"
    )
    ingest(store, "table", tmp_path / "m.yaml", reject_limit=1.0)
    emotions = "select u.id, emotions from %s as e join node_user as u on u.idx = e.src order by 1"
    assert store.sql(emotions % "edge_user_rates_film").fetchall() == [("a", ["3"]), ("b", None)]
    assert store.sql(emotions % "edge_user_tags_film").fetchall() == [("e", None), ("f", None)]
    assert store.sql("select reason from rejects order by reason").fetchall() == [
        ("kinds is a malformed list: [1, NULL]",),
        ("user rates film emotions is not among 1, 3: [7]",),
    ]
