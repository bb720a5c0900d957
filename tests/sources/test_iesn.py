from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.ingestion import ingest
from graphsocial.sources.synthetic import Synthetic
from graphsocial.store import GraphStore
from graphsocial.synthesis import SyntheticIesn, synthesize

FILES = {
    "users": "user_id,name,joined_at\nana,Ana,2010-01-01\nben,,\ncy,Cy,\n",
    "images": "image_id,owner_id,file,title,tags,expected_emotion,expected_valence,camera\n"
    "i1,ana,pictures/1.jpg,Sea,sea blue,Awe,7.5,Canon\ni2,,pictures/2.jpg,,,,,\ni3,dan,,,,,,\n",
    "contacts": "user_id,contact_id\nana,ben\nben,ana\nana,zoe\n",
    "groups": "group_id,name,description\ng1,Sea,All about the sea\n",
    "memberships": "user_id,group_id\nana,g1\n",
    "labels": "viewer_id,image_id,emotions,sentiment,valence,arousal,dominance,comment_id,labelled_at\n"
    "ben,i1,awe,positive,7.1,5,5.5,c1,2013-05-01T10:00:00Z\n"
    "cy,i1,Awe|Fear,,,,,c2,\n"
    "cy,i2,,,,,,c3,2013-05-02\n"
    "ana,i2,unknown,neutral,5,5,5,,2013-05-03\n"
    "ana,i1,joy,,,,,,\n",
    "comments": 'comment_id,text\nc1,"Exciting drama, wow"\nc2,I am frightened... really SCARED!\n'
    "c4,unseen\nc2,again\n",
}
NORMS = (
    "Word,V.Mean.Sum,A.Mean.Sum,D.Mean.Sum\nexciting,7.6,6.2,6.0\nwow,6.0,5.2,5.0\n"
    "frightened,2.4,6.2,3.0\nscared,3,6,4\ndrama,5,5,5\n"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "small"
    (made / "pictures").mkdir(parents=True)
    (made / "pictures" / "1.jpg").touch()
    for name, text in FILES.items():
        (made / f"{name}.csv").write_text(text)
    return made


def views(store: GraphStore, *columns: str) -> list[tuple[object, ...]]:
    return (
        store.sql(
            f"select s.id, d.id, {', '.join(columns)} from edge_user_views_image e "
            "join node_user s on s.idx = e.src join node_image d on d.idx = e.dst order by e.idx"
        )
        .pl()
        .rows()
    )


def test_a_folder_of_the_layout_becomes_users_images_groups_and_views(store: GraphStore, folder: Path) -> None:
    report = ingest(store, "iesn", folder)
    assert report.rows == {
        "user": 3,
        "image": 3,
        "group": 1,
        "user posts image": 1,
        "user connects user": 2,
        "user joins group": 1,
        "user views image": 4,
    }
    assert report.rejects == {
        "comments": {"duplicate comment_id": 1},
        "contacts": {"no user has the id": 1},
        "images": {"no user has the id": 1},
        "labels": {
            "emotions is not among amusement, anger, awe, contentment, disgust, excitement, fear, sadness, unknown": 1
        },
    }
    assert report.left_out == {"user posts image": 1}  # i2 has no owner
    assert report.missing_images == 1 and report.ignored == {"images": ["camera"]}
    assert views(store, "emotions", "valence", "comment") == [
        ("ben", "i1", ["awe"], 7.1, "Exciting drama, wow"),
        ("cy", "i1", ["awe", "fear"], None, "I am frightened... really SCARED!"),
        ("cy", "i2", None, None, None),
        ("ana", "i2", ["unknown"], 5.0, None),
    ]
    image = store.read(store.schema.node("image")).pl()
    assert image.select("id", "expected_emotion", "tags").rows()[0] == ("i1", "awe", "sea blue")


def test_only_views_have_a_time_and_those_without_one_are_left_out_as_of_a_moment(
    store: GraphStore, folder: Path
) -> None:
    ingest(store, "iesn", folder)
    schema = store.schema
    assert [str(entry) for entry in schema.types if entry.time] == ["user views image"]
    assert len(store.read(schema.node("user"), as_of="2000-01-01").pl()) == 3
    seen = store.read(schema.edge("user views image"), as_of="2013-05-02").pl()
    assert seen["comment_id"].to_list() == ["c1", "c3"]


def test_target_columns_are_labels_and_never_features(store: GraphStore, folder: Path) -> None:
    ingest(store, "iesn", folder)
    roles = {column.name: column.role for column in store.schema.edge("user views image").columns}
    assert {name for name, role in roles.items() if role == "label"} == {
        "emotions",
        "sentiment",
        "valence",
        "arousal",
        "dominance",
    }
    assert roles["optimal"] == roles["comment_id"] == "reference"
    roles = {column.name: column.role for column in store.schema.node("image").columns}
    assert {name for name, role in roles.items() if role == "label"} == {
        f"expected_{what}" for what in ("emotion", "sentiment", "valence", "arousal", "dominance")
    }


def test_three_tables_suffice_and_groups_may_come_from_memberships(store: GraphStore, folder: Path) -> None:
    for name in ("contacts", "groups", "comments"):
        (folder / f"{name}.csv").unlink()
    report = ingest(store, "iesn", folder)
    assert report.rows["group"] == 1 and report.rows["user views image"] == 4
    assert "user connects user" not in report.rows
    (folder / "memberships.csv").unlink()
    assert set(ingest(store, "iesn", folder).rows) == {"user", "image", "user posts image", "user views image"}
    (folder / "labels.csv").unlink()
    with pytest.raises(MissingFileError, match=r"no table 'labels': expected labels.csv.*There: images.csv, pictures"):
        ingest(store, "iesn", folder)


def test_a_table_in_two_formats_is_an_error_and_a_folder_of_parts_is_one(store: GraphStore, folder: Path) -> None:
    (folder / "users.tsv").write_text("user_id\nx\n")
    with pytest.raises(InputError, match="Two files claim to be the table 'users'"):
        ingest(store, "iesn", folder)
    (folder / "users.tsv").unlink()
    (folder / "users").mkdir()
    (folder / "users.csv").rename(folder / "users" / "1.csv")
    (folder / "users" / "2.csv").write_text("user_id\ndan\n")
    report = ingest(store, "iesn", folder)
    assert report.rows["user"] == 4 and report.rows["user posts image"] == 2


# Labels from comments


def test_labels_come_from_the_emotion_keywords_of_the_comment(store: GraphStore, folder: Path, tmp_path: Path) -> None:
    norms = tmp_path / "norms.csv"
    norms.write_text(NORMS)
    ingest(store, "iesn", folder, settings={"labels": "comments", "norms": str(norms)})
    assert views(store, "emotions", "sentiment", "round(valence, 4)", "round(arousal, 4)", "round(dominance, 4)") == [
        ("ben", "i1", ["awe", "excitement"], "positive", 6.8, 5.7, 5.5),  # exciting and wow, not drama
        ("cy", "i1", ["fear"], "negative", 2.7, 6.1, 3.5),  # frightened and scared
        ("cy", "i2", None, None, None, None, None),  # the comment is gone
        ("ana", "i2", None, None, None, None, None),  # there was none
    ]


@pytest.mark.parametrize(
    ("text", "emotions", "sentiment"),
    [
        ("A photograph", ["unknown"], None),
        ("", ["unknown"], None),
        ("Wow, wow, WOW; drama", ["awe"], "positive"),
        ("scared-frightened", ["fear"], "negative"),
        ("unscared", ["unknown"], None),
        ("hilarious", ["amusement"], None),  # has no norms here
        ("middling", ["unknown"], None),
    ],
)
def test_labels_of_one_comment(
    store: GraphStore, folder: Path, tmp_path: Path, text: str, emotions: list[str], sentiment: str | None
) -> None:
    norms = tmp_path / "norms.csv"
    norms.write_text(NORMS)
    (folder / "comments.csv").write_text(f'comment_id,text\nc1,"{text or "-"}"\nc9,x\n')
    ingest(store, "iesn", folder, settings={"labels": "comments", "norms": norms})
    assert views(store, "emotions", "sentiment")[0] == ("ben", "i1", emotions, sentiment)


def test_a_mean_of_exactly_five_is_neutral(store: GraphStore, folder: Path, tmp_path: Path) -> None:
    norms = tmp_path / "norms.csv"
    norms.write_text(NORMS.replace("wow,6.0", "wow,5"))
    (folder / "comments.csv").write_text("comment_id,text\nc1,wow\n")
    ingest(store, "iesn", folder, settings={"labels": "comments", "norms": norms})
    assert views(store, "sentiment", "valence")[0] == ("ben", "i1", "neutral", 5.0)


def test_the_real_norms_are_read(store: GraphStore, folder: Path, shared_data: Path) -> None:
    norms = shared_data / "warriner" / "Ratings_Warriner_et_al.csv"
    report = ingest(store, "iesn", folder, settings={"labels": "comments", "norms": norms})
    assert report.read["norms"] == 13_915 and "norms" not in report.rejects
    assert views(store, "emotions", "sentiment")[1] == ("cy", "i1", ["fear"], "negative")


def test_missing_norms_or_comments_are_an_error(store: GraphStore, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs norms=FILE, the word norms of Warriner"):
        ingest(store, "iesn", folder, settings={"labels": "comments"})
    with pytest.raises(MissingFileError, match="There is no norms file"):
        ingest(store, "iesn", folder, settings={"labels": "comments", "norms": tmp_path / "no.csv"})
    (folder / "comments.csv").unlink()
    with pytest.raises(MissingFileError, match="no table 'comments'"):
        ingest(store, "iesn", folder, settings={"labels": "comments", "norms": folder / "users.csv"})


# Other people's file and column names


def test_a_mapping_brings_other_names_to_the_layout(store: GraphStore, folder: Path, tmp_path: Path) -> None:
    ingest(store, "iesn", folder, dataset="ours")
    (folder / "labels.csv").rename(folder / "annotations.txt")
    text = (folder / "annotations.txt").read_text()
    text = text.replace("viewer_id,image_id", "who,what").replace(",", ";")
    (folder / "annotations.txt").write_bytes(text.encode("utf-16"))
    users = (folder / "users.csv").read_text().replace("user_id", "nsid")
    (folder / "users.csv").unlink()
    (folder / "people-1.csv").write_text(users)
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "users: {file: 'people-*.csv', columns: {user_id: nsid}}\n"
        "labels: {file: annotations.txt, columns: {viewer_id: who, image_id: what}, delimiter: ';', encoding: utf-16}\n"
    )
    report = ingest(store, "iesn", folder, dataset="theirs", map=mapping)
    assert report.rows["user"] == 3
    half = len(views(store, "e.idx")) // 2
    assert views(store, "emotions", "comment")[:half] == views(store, "emotions", "comment")[half:]
    mapping.write_text(mapping.read_text() + "groups: {columns: {name: group_id}}\n")
    assert ingest(store, "iesn", folder, dataset="theirs", map=mapping).changed  # another mapping, same file name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labls: {file: x.csv}", "No table of the IESN layout is called 'labls'. Did you mean 'labels'"),
        ("labels: {columns: {viewer: who}}", "No column of table labels is called 'viewer'. Did you mean 'viewer_id'"),
        ("labels: {colums: {}}", "No setting of table labels is called 'colums'. Did you mean 'columns'"),
        ("labels: {columns: [a]}", "'columns' of table 'labels' must be a mapping"),
        ("labels: {file: 3}", "'file' of table 'labels' must be text, not 3"),
        ("labels: x.csv", "'labels' must be a mapping"),
        ("- a", "must be a mapping of tables"),
        ("a: [", "is not YAML"),
        ("labels: {file: other.csv}", "declares 'other.csv' for table 'labels', but"),
        ("labels: {columns: {viewer_id: who}}", "has no column 'who', which table 'labels' needs"),
    ],
)
def test_errors_of_a_wrong_mapping(store: GraphStore, folder: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        ingest(store, "iesn", folder, map=tmp_path / "map.yaml")
    with pytest.raises(MissingFileError, match="There is no mapping"):
        ingest(store, "iesn", folder, map=tmp_path / "none.yaml")


# Synthetic data in the same layout


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_synthetic_data_goes_in_without_a_reject(store: GraphStore, tmp_path: Path, format: str) -> None:
    options = {
        "users": 60,
        "images": 40,
        "contacts": 200,
        "groups": 6,
        "views": 300,
        "image_size": 16,
        "format": format,
    }
    counts = synthesize("iesn", tmp_path / "made", settings=SyntheticIesn(**options))
    report = ingest(store, "iesn", tmp_path / "made")
    assert report.read == counts and report.rejected == 0 and report.missing_images == 0
    assert report.rows["user views image"] == 300 and report.rows["user posts image"] == 40
    optimal = pl.Series([row[2] for row in views(store, "list_sum(optimal)")])
    assert (optimal - 1).abs().max() < 1e-3
    again = ingest(store, "synthetic", tmp_path / "made2", dataset="again", settings=options)
    assert again.rows == report.rows
    first, second = (
        store.sql(f"select id, name from node_user where dataset = '{name}' order by idx").fetchall()
        for name in ("made", "again")
    )
    assert first == second
    with pytest.raises(InputError, match="not empty"):
        ingest(store, Synthetic(seed=1, **options), tmp_path / "made2", dataset="again")
