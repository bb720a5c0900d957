"""Files in the shapes that exports really have: written here, and as found beside the checkout where they are there."""

# ruff: noqa: E501  # lines of data files and mappings stay whole

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.ingestion import IngestReport, ingest
from graphsocial.store import GraphStore

POST = "dataset: d\nfiles: {{t: {file}}}\nnodes:\n  post: {{file: t, id: post_id, columns: {{score: number, text: text}}}}\n"
VIEWS = """dataset: d
files: {t: FILE}
nodes:
  user: {ids_from: [t.user]}
  image: {ids_from: [t.image]}
edges:
  - {type: user views image, file: t, src: user, dst: image, time: at, columns: {emotion: {kind: category, role: label}, at: timestamp, split: {kind: category, role: reference}}}
"""
EMOTIONS = ("fear", "joy", "anger")


def views(count: int, at: Callable[[int], str], emotion: Callable[[int], str]) -> str:
    parts = ("train", "train", "train", "dev", "test")
    rows = [f"u{n % 13},i{n % 17},{emotion(n)},{at(n)},{parts[n % 5]}" for n in range(count)]
    return "\n".join(["user,image,emotion,at,split", *rows]) + "\n"


def hours(n: int) -> str:
    return f"2023-01-{1 + n // 24:02d}T{n % 24:02d}:00:00"


def packed(name: str, content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
            archive.writestr(f"__MACOSX/._{name}", b"\0")

    return write


def zstd(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with pa.output_stream(path, "zstd") as stream:
            stream.write(content)

    return write


ROWS = b"post_id,score,text\np1,3,h\np2,4,y\n"
REDDIT = "".join(
    f'{{"id":"c{n}","author":"{who}","created_utc":{when},"edited":{edited},"score":3,"body":"{body}","author_flair":null}}\n'
    for n, (who, when, edited, body) in enumerate(
        [
            ("[deleted]", 1700000000, "false", "[removed]"),
            ("mia", '"1700000100"', "1700000200.0", "x"),
            ("[deleted]", 1700000300, "false", "nope"),
            ("leo", 1700000400.5, "false", "ok"),
        ]
    )
)
AUTHORS = "dataset: d\nfiles: {c: FILE}\nnodes:\n  user: {ids_from: [c.author]}\n"
TWEETS = '{"id":"t1","author":"ann","mentions":["bob","cid"]}\n{"id":"t2","author":"bob","mentions":[]}\n{"id":"t3","author":"cid"}\n'
DAYS = [f"{day:02d}/{month:02d}/23" for day in (3, 14, 25, 31) for month in (1, 3, 5, 12)]
CASES: dict[str, dict[str, Any]] = {
    "02_same_edge/m4": {
        "m4.yaml": "dataset: d4\nfiles: {tweets: tweets.csv, users: users.csv}\nnodes:\n  user: {file: users, id: name}\n"
        "edges:\n  - {type: user mentions user, file: tweets, src: author, dst: reply_to_user}\n"
        "  - {type: user mentions user, file: tweets, src: author, dst: quoted_user}\n",
        "tweets.csv": "tweet_id,author,reply_to_user,quoted_user\nt1,anna,ben,cara\nt2,ben,cara,anna\nt3,cara,anna,ben\n",
        "users.csv": "name\nanna\nben\ncara\n",
    },
    "19_place/reason_edges": {
        "reason_edges.yaml": "dataset: reports\nfiles: {v: reports.csv}\nnodes:\n  user: {ids_from: [v.reporter]}\n"
        "  post: {ids_from: [v.post]}\nedges:\n"
        "  - {type: user reports post, file: v, src: reporter, dst: post, columns: {reason: category}}\n",
        "reports.csv": "reporter,post,reason\nann,p1,spam\nbob,p1,abuse\ncid,p2,\ndan,p3,spam\n",
    },
    "01_dates/eu": {
        "eu.yaml": "dataset: d\nfiles: {posts: eu.csv}\nnodes:\n"
        "  post: {file: posts, id: id, columns: {when: timestamp}, time: when}\n",
        "eu.csv": "id,when\n" + "".join(f"p{n},{day}\n" for n, day in enumerate(DAYS)),
    },
    "05_json/keys": {
        "keys.yaml": "dataset: d\nfiles: {k: keys.jsonl}\nnodes:\n  post: {file: k, id: id, columns: "
        "{body: {kind: text, from: text}, shout: {kind: text, from: Text}}}\n",
        "keys.jsonl": '{"id":"1","ID":"A","Text":"upper","text":"lower"}\n'
        '{"id":"2","ID":"B","Text":"upper2","text":"lower2"}\n',
    },
    "05_json/reddit": {
        "reddit.yaml": 'dataset: d\nfiles: {c: {path: reddit.jsonl, nulls: ["[deleted]", "[removed]", NA]}}\nnodes:\n'
        "  user: {ids_from: [c.author]}\n  comment:\n    file: c\n    id: id\n    columns:\n      body: text\n"
        "      edited: boolean\nedges:\n  - {type: user writes comment, file: c, src: author, dst: id}\n",
        "reddit.jsonl": REDDIT,
    },
    "05_json/yelp": {"yelp.yaml": AUTHORS.replace("FILE", "reddit.json"), "reddit.json": REDDIT},
    "05_json/yelpgz": {
        "yelpgz.yaml": AUTHORS.replace("FILE", "reddit.json.gz"),
        "reddit.json.gz": gzip.compress(REDDIT.encode()),
    },
    "05_json/tg": {
        "tg.yaml": "dataset: d\nfiles: {m: result.json}\nnodes:\n  user: {ids_from: [m.from_id]}\n",
        "result.json": '{"name":"chat","id":5,\n "messages":[\n  {"id":1,"from_id":"user1","text":["see ",{"type":"link"}]},\n'
        '  {"id":2,"from_id":"user2","text":"hi"}]}\n',
    },
    "06_ids/m": {
        "m.yaml": "dataset: d\nfiles: {t: tweets.csv}\nnodes:\n"
        "  tweet: {file: t, id: tweet_id, distinct: true, columns: {text: text}}\n  user: {ids_from: [t.user_id]}\n",
        "tweets.csv": "tweet_id,user_id,text\n1.29403E+18,9.06E+17,a\n1.29403E+18,9.06E+17,b\n1.29403E+18,8.03E+17,c\n"
        "1294030472427835393,803000000000000001,d\n",
    },
    "07_csv/quotes": {
        "quotes.yaml": POST.format(file="quotes.tsv"),
        "quotes.tsv": 'post_id\tscore\ttext\np1\t3\tHe said "no" loudly\np2\t4\t"starts with quote\np3\t4\tnormal\n'
        'p4\t5\tend"\np5\t5\t"a" b\n',
    },
    "07_csv/excel2": {
        "excel2.yaml": POST.format(file="{path: excel_latin1.csv, encoding: latin-1}"),
        "excel_latin1.csv": 'post_id;when;score;text\r\np1;2023-01-01;3,5;"line one\r\nline; two"\r\n'
        "p2;2023-01-02;1.234,5;café\r\n".encode("latin-1"),
    },
    "08_paths/zip": {"zip.yaml": POST.format(file='"posts.zip"'), "posts.zip": packed("a.csv", ROWS)},
    "08_paths/zst": {"zst.yaml": POST.format(file='"posts.csv.zst"'), "posts.csv.zst": zstd(ROWS)},
    "08_paths/glob": {
        "glob.yaml": POST.format(file='"parts/*.csv"'),
        "parts/._a.csv": b"\0\5\26\7\0\2\0\0Mac OS X        ",
        "parts/a.csv": ROWS,
        "parts/b.csv": "post_id,text,score\np3,h,3\np4,y,4\n",
        "parts/c.csv": "post_id;score;text\np5;3;h\np6;4;y\n",
    },
    "08_paths/space": {
        "space.yaml": 'root: "dir with späce #1?"\n' + POST.format(file='"posts [2023].csv"'),
        "dir with späce #1?/posts [2023].csv": ROWS,
    },
    "09_graph/snap": {
        "snap.yaml": 'dataset: d\nfiles: {t: {path: snap.txt, header: false, names: [a, b], delimiter: "\\t"}}\nnodes:\n'
        "  user: {ids_from: [t.a, t.b]}\nedges:\n  - {type: user knows user, file: t, src: a, dst: b}\n",
        "snap.txt": "# Directed graph\n# Nodes: 4 Edges: 5\n# FromNodeId\tToNodeId\n0\t1\n0\t2\n1\t2\n2\t2\n0\t1\n",
    },
    "10_train/nan": {
        "nan.yaml": VIEWS.replace("FILE", "nan.csv"),
        "nan.csv": views(300, hours, lambda n: (*EMOTIONS, "nan", "N/A", "Unknown")[n * 7 % 6]),
    },
    "10_train/equal": {
        "equal.yaml": VIEWS.replace("FILE", "equal.csv"),
        "equal.csv": views(300, lambda n: "2023-01-01", lambda n: EMOTIONS[n * 7 % 3]),
    },
    "10_train/missing_time": {
        "missing_time.yaml": VIEWS.replace("FILE", "missing_time.csv"),
        "missing_time.csv": views(300, lambda n: "2023-01-01" if n % 2 else "", lambda n: EMOTIONS[n * 7 % 3]),
    },
    "10_train/split": {
        "split.yaml": VIEWS.replace("FILE", "split.csv"),
        "split.csv": views(221, hours, lambda n: EMOTIONS[n % 3]),
    },
    "15_more/kinds": {
        "kinds.yaml": "dataset: d\nfiles: {t: kinds.jsonl}\nnodes:\n  post: {file: t, id: post_id, where: type = 'post', "
        "columns: {title: {kind: text, required: true}, shares: {kind: integer, required: true}}}\n"
        "  comment: {file: t, id: post_id, where: type = 'comment', columns: {text: text}}\n  user: {ids_from: [t.user]}\n"
        "edges:\n  - {type: comment answers post, file: t, src: post_id, dst: parent, where: type = 'comment'}\n",
        "kinds.jsonl": '{"post_id":"p1","type":"post","user":"ann","text":"x","title":"T","shares":3}\n'
        '{"post_id":"c1","type":"comment","user":"bob","text":"x","parent":"p1"}\n'
        '{"post_id":"c2","type":"comment","user":"cid","text":"x","parent":"p1"}\n'
        '{"post_id":"p2","type":"post","user":"ann","text":"x","title":"T2","shares":4}\n'
        '{"post_id":"p3","type":"post","user":"ann","text":"x","title":"T2","shares":4}\n',
    },
    "16_unnest/m": {
        "m.yaml": "dataset: d\nfiles: {t: t.jsonl}\nnodes:\n  tweet: {file: t, id: id}\n  user: {ids_from: [t.author]}\n"
        "edges:\n  - {type: tweet mentions user, file: t, src: id, "
        'dst: {sql: "unnest(from_json(mentions, \'[\\"VARCHAR\\"]\'))"}}\n',
        "t.jsonl": TWEETS,
    },
    "15_more/pretty": {
        "pretty.yaml": "dataset: d\nfiles: {t: pretty.jsonl}\nnodes:\n"
        "  post: {file: t, id: post_id, columns: {text: text}}\n  user: {ids_from: [t.user]}\n",
        "pretty.jsonl": "".join(f'{{\n "post_id": "p{n}",\n "user": "ann",\n "text": "x"\n}}\n' for n in range(4)),
    },
    "17_wide/h": {
        "h.yaml": "dataset: d\nfiles: {t: {path: h.csv, header: false, names: [id, text]}}\nnodes:\n"
        "  user: {file: t, id: id, columns: {text: text}}\n",
        "h.csv": f"a,{'x' * 200_000}\nb,y\n",
    },
    "17_wide/hq": {
        "hq.yaml": "dataset: d\nfiles: {t: hq.csv}\nnodes:\n"
        "  user: {file: t, id: id, distinct: true, columns: {text: text}}\n",
        "hq.csv": 'id,"text\n' + "p2,x\n" * 50_000,
    },
    "23_chat/m": {
        "m.yaml": "dataset: chat\nfiles: {c: chat.csv}\nsegments:\n  - file: c\n    columns: {dialogue: chat, "
        'turn: {sql: "epoch(time::timestamp)"}, speaker: who, text: msg, emotion: felt, said_at: time}\n',
        "chat.csv": "chat,time,who,msg,felt\n"
        + "".join(f"g1,2023-01-01 10:{n // 3:02d}:00,{('ann', 'bob', 'cid')[n % 3]},m{n},joy\n" for n in range(40)),
    },
    "25_enc/m": {
        "m.yaml": "dataset: d\nfiles: {t: {path: cp1252.csv, encoding: latin-1}}\nnodes:\n"
        "  p: {file: t, id: id, columns: {text: text}}\n",
        "cp1252.csv": b"id,text\n1,\x93quoted\x94 \x805\n2,plain\n3,plain\n",
    },
    "25_enc/m2": {
        "m2.yaml": "dataset: d\nfiles: {t: {path: cp1252.csv}}\nnodes:\n  p: {file: t, id: id, columns: {text: text}}\n",
        "cp1252.csv": b"id,text\n1,\x93quoted\x94 \x805\n2,plain\n3,plain\n",
    },
    "26_ct/m": {
        "m.yaml": "dataset: ct\nfiles: {t: ct.csv}\nnodes:\n  post: {file: t, id: Message, time: at, columns: "
        "{at: {kind: timestamp, from: Post Created}}}\n",
        "ct.csv": "Post Created,Message\n"
        + "".join(
            f"2021-{n % 12 + 1:02d}-15 10:00:00 {'EDT' if 3 <= n % 12 <= 9 else 'EST'},m{n}\n" for n in range(24)
        ),
    },
    "29_role/a": {
        "a.yaml": "dataset: d\nfiles: {t: u.csv}\nnodes:\n  user: {file: t, id: id, columns: {age: number, score: number}}\n",
        "b.yaml": "dataset: d\nfiles: {t: u.csv}\nnodes:\n"
        "  user: {file: t, id: id, columns: {age: number, score: {kind: number, role: label}}}\n",
        "u.csv": "id,age,score\nu1,20,3\nu2,30,4\n",
    },
}


@pytest.fixture(params=["written", "shared"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """The mapping of a case: written here, or as it lies in ../shared/cases beside the checkout."""

    def mapping(name: str) -> Path:
        if request.param == "shared":
            folder = Path(__file__).resolve().parents[3] / "shared" / "cases"
            if not folder.is_dir():
                pytest.skip("the cases of ../shared/cases are not on this machine")
            return folder / f"{name}.yaml"
        for file, content in CASES[name].items():
            path = tmp_path / name.partition("/")[0] / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / f"{name}.yaml"

    return mapping


@pytest.fixture
def take(case: Callable[[str], Path], store: GraphStore) -> Callable[..., IngestReport]:
    def run(name: str, source: str = "table", limit: float = 0.5) -> IngestReport:
        return ingest(store, source, case(name), reject_limit=limit)

    return run


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Any:
    with gs.open(Path(shutil.copy(empty_store, tmp_path))) as opened:
        yield opened


Take = Callable[..., IngestReport]


def column(store: GraphStore, table: str, name: str) -> list[Any]:
    return [value for (value,) in store.sql(f"select {name} from {table} order by idx").fetchall()]


def test_two_edge_rules_of_one_type_are_all_edges(take: Take, store: GraphStore) -> None:
    assert take("02_same_edge/m4").rows["user mentions user"] == 6
    pairs = "select distinct s.id, d.id from edge_user_mentions_user e join node_user s on s.idx = src join node_user d on d.idx = dst"
    assert len(store.sql(pairs).fetchall()) == 6


def test_a_column_called_reason_is_a_column(take: Take, store: GraphStore) -> None:
    assert take("19_place/reason_edges").rows["user reports post"] == 4
    assert column(store, "edge_user_reports_post", "reason") == ["spam", "abuse", None, "spam"]


def test_years_of_two_digits_need_a_format(take: Take, case: Callable[[str], Path], store: GraphStore) -> None:
    with pytest.raises(InputError, match='has a year of two digits, so set its `format`, such as "%d/%m/%y"'):
        take("01_dates/eu")
    rows = take("01_dates/eu", limit=1.0).rejected
    assert rows == 16 and "03/01/23" in store.sql("select reason from rejects order by line limit 1").fetchall()[0][0]


def test_keys_that_differ_in_case_are_two_columns(take: Take, store: GraphStore) -> None:
    take("05_json/keys")
    assert store.sql("select id, body, shout from node_post order by idx").fetchall() == [
        ("1", "lower", "upper"),
        ("2", "lower2", "upper2"),
    ]


def test_nulls_are_missing_in_json_too(take: Take, store: GraphStore) -> None:
    report = take("05_json/reddit")
    assert "[deleted]" not in column(store, "node_user", "id") and "[removed]" not in column(
        store, "node_comment", "body"
    )
    assert report.rows["user writes comment"] == 1 and report.left_out["user writes comment"] == 2
    assert report.rejects == {"c": {"edited is not true or false": 1}}


@pytest.mark.parametrize("name", ["05_json/yelp", "05_json/yelpgz"])
def test_json_lines_are_known_by_their_content(take: Take, store: GraphStore, name: str) -> None:
    assert take(name).rows == {"user": 3}


def test_records_inside_of_a_document_are_named(
    take: Take, case: Callable[[str], Path], store: GraphStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="say where they are: `records: messages`"):
        take("05_json/tg")
    mapping = case("05_json/tg")
    named = tmp_path / "named.yaml"
    text = mapping.read_text().replace(
        "result.json", f"{{path: '{mapping.parent / 'result.json'}', records: messages}}"
    )
    named.write_text(text)
    assert ingest(store, "table", named, allow_outside=True).rows == {"user": 2}


def test_rounded_ids_are_rejects(take: Take, store: GraphStore) -> None:
    with pytest.raises(InputError, match="tweet_id is an id that a spreadsheet or a number type has rounded"):
        take("06_ids/m")
    take("06_ids/m", limit=1.0)
    assert not [key for key in column(store, "node_tweet", "id") if "E" in key]


def test_a_field_that_begins_with_a_quote_takes_no_other_row(
    take: Take, case: Callable[[str], Path], store: GraphStore, tmp_path: Path
) -> None:
    assert take("07_csv/quotes").rows == {"post": 3}
    assert column(store, "node_post", "id") == ["p1", "p3", "p4"]
    assert "the lines after it are rows: set `quote: none`" in str(store.sql("select reason from rejects").fetchall())
    mapping = case("07_csv/quotes")
    plain = tmp_path / "plain.yaml"
    file = mapping.parent / "quotes.tsv"
    plain.write_text(mapping.read_text().replace("quotes.tsv", f"{{path: '{file}', quote: none}}"))
    assert ingest(store, "table", plain, allow_outside=True).rows == {"post": 5}
    assert column(store, "node_post", "text")[1] == '"starts with quote'


def test_decimal_commas_are_found_by_looking(take: Take, store: GraphStore) -> None:
    report = take("07_csv/excel2")
    assert column(store, "node_post", "score") == [3.5, 1234.5] and "decimal comma" in report.notes[0]


@pytest.mark.parametrize(("name", "rows"), [("zip", 2), ("zst", 2), ("glob", 6), ("space", 2)])
def test_packed_files_hidden_files_and_brackets(take: Take, name: str, rows: int) -> None:
    report = take(f"08_paths/{name}")
    assert report.rows == {"post": rows} and not report.rejects


def test_comment_lines_before_the_rows_are_left_out_and_said(take: Take) -> None:
    report = take("09_graph/snap")
    assert report.rows == {"user": 3, "user knows user": 5} and "are left out as comments" in report.notes[0]


def test_words_for_no_answer_are_no_classes(take: Take, store: GraphStore) -> None:
    report = take("10_train/nan")
    assert {*column(store, "edge_user_views_image", "emotion")} == {*EMOTIONS, None}
    assert "are no answers, so missing labels" in report.notes[0] and "'Unknown'" in report.notes[0]


@pytest.mark.parametrize("name", ["equal", "missing_time"])
def test_equal_times_are_the_reason_of_an_empty_part(take: Take, store: GraphStore, name: str) -> None:
    take(f"10_train/{name}")
    with pytest.raises(InputError, match=r"have 1 different times, .* and equal times share a part"):
        gs.train(store, "edge-emotion", model="majority", split="time", settings={"label": "emotion"})


def test_edges_are_split_by_a_column(take: Take, store: GraphStore) -> None:
    take("10_train/split")
    gs.train(store, "edge-emotion", model="majority", split="column:split", settings={"label": "emotion"})
    roles = dict(store.sql("select role, count(*) from split_members group by all").fetchall())
    assert roles.keys() == {"train", "validation", "test"} and roles["train"] > roles["test"]


def test_rules_check_their_own_rows_alone(take: Take) -> None:
    report = take("15_more/kinds")
    assert report.rows == {"post": 3, "comment": 2, "user": 3, "comment answers post": 2} and not report.rejects


def test_sql_that_changes_the_number_of_rows_is_refused(take: Take) -> None:
    with pytest.raises(InputError, match=r"one value a row|unnest"):
        take("16_unnest/m")


def test_objects_over_several_lines_are_read(take: Take) -> None:
    assert take("15_more/pretty").rows == {"post": 4, "user": 1}


@pytest.mark.parametrize(("name", "rows"), [("h", 2), ("hq", 1)])
def test_a_long_first_record_is_read(take: Take, store: GraphStore, name: str, rows: int) -> None:
    report = take(f"17_wide/{name}")
    assert report.rows == {"user": rows} and not report.rejects


def test_messages_of_one_minute_are_in_the_order_of_the_file(take: Take, store: GraphStore) -> None:
    assert take("23_chat/m", "dialogue").rows["segment"] == 40
    following = "select s.text, d.text from edge_segment_next_segment e join node_segment s on s.idx = src join node_segment d on d.idx = dst order by s.idx"
    assert store.sql(following).fetchall() == [(f"m{n}", f"m{n + 1}") for n in range(39)]


def test_the_likely_encoding_is_named(take: Take, store: GraphStore) -> None:
    with pytest.raises(InputError, match=r"is not latin-1: line 2 has the byte 0x93.*set `encoding: cp1252`"):
        take("25_enc/m")
    take("25_enc/m2")
    assert "cp1252" in store.sql("select reason from rejects").fetchall()[0][0]


def test_summer_times_are_read_as_well_as_winter_times(take: Take, store: GraphStore) -> None:
    report = take("26_ct/m")
    assert not report.rejects
    utc = store.sql("""select distinct hour("at") from node_post where hour("at") in (14, 15)""").fetchall()
    assert sorted(hour for (hour,) in utc) == [14, 15]  # both zones: ten o'clock in summer is 14 UTC, in winter 15


def test_the_role_of_a_column_is_corrected_and_said(take: Take, case: Callable[[str], Path], store: GraphStore) -> None:
    take("29_role/a")
    mapping = case("29_role/a")
    report = ingest(store, "table", mapping.with_name("b.yaml"))
    assert "'score' of 'user' was number (feature), is number (label)" in report.notes[0]
    assert [c.role for c in store.schema.node("user").columns] == ["feature", "label"]
    with pytest.raises(InputError, match="it cannot be number"):
        ingest(store, "table", mapping, dataset="other")


def test_dialogues_of_one_segment_are_said(store: GraphStore, tmp_path: Path) -> None:
    rows = [f"d{n},0,s{n % 5},text {n},{EMOTIONS[n % 3]}" for n in range(60)]
    (tmp_path / "ones").mkdir()
    (tmp_path / "ones" / "segments.csv").write_text("\n".join(["dialogue,turn,speaker,text,emotion", *rows]) + "\n")
    assert ingest(store, "dialogue", tmp_path / "ones").rows["segment next segment"] == 0
    with pytest.raises(InputError, match="as if each dialogue were a single one"):
        gs.train(store, "dialogue-emotion", settings={"epochs": 1})
