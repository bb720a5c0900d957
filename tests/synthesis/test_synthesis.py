"""The synthetic data keeps its promises: the counts, the contract, the planted structure and the odds it claims."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis import SyntheticIesn, synthesize
from graphsocial.synthesis.content import EMOTION_WORDS, EMOTIONS, THEMES
from graphsocial.synthesis.world import EMOTION_SHARES, World, draw_world, sample, views

CONTRACT = json.loads((Path(__file__).parents[2] / "schemas" / "datasets" / "iesn.schema.json").read_text())
TABLES = ("users", "images", "contacts", "groups", "memberships", "labels", "comments")
SMALL = SyntheticIesn(users=250, images=60, contacts=2_000, groups=18, views=2_400, image_size=48)
VECTORS = SyntheticIesn(images_as="vectors", format="parquet")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis") / "small"
    synthesize("iesn", folder, settings=SMALL)
    return folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis") / "vectors"
    synthesize("iesn", folder, settings=VECTORS)
    return folder


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(VECTORS)


def table(folder: Path, name: str) -> pl.DataFrame:
    """One table as strings, numbers and lists, whichever format it was written in."""
    file = folder / f"{name}.parquet"
    if file.exists():
        return pl.read_parquet(file)
    frame = pl.read_csv(folder / f"{name}.csv", try_parse_dates=False)
    rules = CONTRACT["properties"][name]["items"]["properties"]
    for column in frame.columns:
        if rules[column]["x-kind"] in ("categories", "vector"):
            frame = frame.with_columns(pl.col(column).str.split("|"))
            if rules[column]["x-kind"] == "vector":
                frame = frame.with_columns(pl.col(column).cast(pl.List(pl.Float64)))
    return frame


def number(ids: pl.Series) -> np.ndarray:
    """The position that an id such as `u00001` was made from."""
    return ids.str.strip_chars_start("abcdefghijklmnopqrstuvwxyz").cast(pl.Int64).to_numpy() - 1


def clear_labels(folder: Path) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Emotion index (N,), true probabilities (N, 8) and rows of the labels that name one emotion."""
    rows = table(folder, "labels").filter(pl.col("emotions").list.len() == 1)
    rows = rows.filter(pl.col("emotions").list.first() != "unknown")
    emotion = np.array([EMOTIONS.index(name) for name in rows["emotions"].list.first()])
    return emotion, np.array(rows["optimal"].to_list()), rows


def weighted_f1(preds: np.ndarray, target: np.ndarray) -> float:
    return float(f1_score(target, preds, average="weighted"))


@pytest.mark.parametrize("name", ["small", "vectors"])
def test_every_table_has_as_many_rows_as_the_settings_say(name: str, request: pytest.FixtureRequest) -> None:
    folder, settings = request.getfixturevalue(name), {"small": SMALL, "vectors": VECTORS}[name]
    counts = json.loads((folder / "settings.json").read_text())["counts"]
    assert tuple(counts) == TABLES
    assert counts == {table_name: table(folder, table_name).height for table_name in TABLES}
    for field in ("users", "images", "contacts", "groups"):
        assert counts[field] == getattr(settings, field)
    assert counts["labels"] == settings.views
    assert counts["comments"] == round(settings.views * settings.comment_share)


def test_the_shares_of_special_labels_are_exact(vectors: Path) -> None:
    labels = table(vectors, "labels")
    emotions = labels["emotions"]
    assert (emotions.list.first() == "unknown").sum() == round(VECTORS.views * VECTORS.unknown_share)
    assert (emotions.list.len() == 2).sum() == round(VECTORS.views * VECTORS.multi_share)
    assert emotions.list.n_unique().to_list() == emotions.list.len().to_list()
    assert labels.select("viewer_id", "image_id").n_unique() == VECTORS.pairs == VECTORS.views * 0.99
    assert labels["comment_id"].n_unique() == VECTORS.views


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("folder_name", ["small", "vectors"])
def test_rows_are_valid_by_the_schema(name: str, folder_name: str, request: pytest.FixtureRequest) -> None:
    frame = table(request.getfixturevalue(folder_name), name)
    schema = CONTRACT["properties"][name]["items"]
    assert frame.columns == [column for column in schema["properties"] if column in frame.columns]
    left_out = set(schema["properties"]) - set(frame.columns)
    assert left_out == ({"vector"} if folder_name == "small" else {"file"} if name == "images" else set()) & set(
        schema["properties"]
    )
    validator = jsonschema.Draft202012Validator(schema)
    for row in frame.sample(min(frame.height, 60), seed=0).to_dicts():
        validator.validate(row)


def test_users_join_before_uploads_and_uploads_precede_labels(small: Path) -> None:
    users, images, labels = (table(small, name) for name in ("users", "images", "labels"))
    assert labels["labelled_at"].str.contains(r"^201[34]-\d\d-\d\dT\d\d:\d\d:\d\dZ$").all()
    rows = labels.join(images, on="image_id").join(users, left_on="viewer_id", right_on="user_id")
    assert (rows["uploaded_at"] < rows["labelled_at"]).all()
    assert (rows["joined_at"] < rows["labelled_at"]).all()
    owners = images.join(users, left_on="owner_id", right_on="user_id")
    assert owners.height == SMALL.images
    assert (owners["joined_at"] < owners["uploaded_at"]).all()


def test_the_same_settings_write_the_same_bytes(small: Path, tmp_path: Path) -> None:
    synthesize("iesn", tmp_path / "again", settings=SMALL)
    files = sorted(path.relative_to(small) for path in small.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*"))
    assert len(files) == 7 + 2 + SMALL.images
    for file in files:
        assert (small / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_another_seed_is_other_data_and_another_image_form_is_not(small: Path, tmp_path: Path) -> None:
    as_vectors = replace(SMALL, images_as="vectors")
    synthesize("iesn", tmp_path / "vectors", settings=as_vectors)
    synthesize("iesn", tmp_path / "seed", settings=replace(as_vectors, seed=1))
    assert (tmp_path / "vectors" / "labels.csv").read_bytes() == (small / "labels.csv").read_bytes()
    assert (tmp_path / "seed" / "labels.csv").read_bytes() != (small / "labels.csv").read_bytes()
    assert not (tmp_path / "vectors" / "images").exists()
    assert (tmp_path / "vectors" / "images.parquet").exists()


def test_contacts_are_distinct_heavy_tailed_and_mostly_inside_a_community(vectors: Path, world: World) -> None:
    rows = table(vectors, "contacts")
    assert rows.n_unique() == VECTORS.contacts
    user, contact = number(rows["user_id"]), number(rows["contact_id"])
    assert (user != contact).all()
    indegree = np.sort(np.bincount(contact, minlength=VECTORS.users))[::-1]
    assert indegree[: VECTORS.users // 10].sum() > 0.25 * VECTORS.contacts
    assert indegree[0] > 5 * indegree.mean()
    same = (world.community[user] == world.community[contact]).mean()
    chance = (np.bincount(world.community) ** 2).sum() / VECTORS.users**2
    assert same > 0.7 > 2.5 * chance


def test_groups_are_about_their_members_community_and_many_users_are_in_none(vectors: Path, world: World) -> None:
    text = dict(table(vectors, "groups").select("group_id", "description").iter_rows())
    mentions = {
        group: [sum(word in words for word in (theme.name, *theme.things, *theme.doings)) for theme in THEMES]
        for group, words in text.items()
    }
    rows = table(vectors, "memberships")
    assert rows.n_unique() == rows.height
    theme = np.array([int(np.argmax(mentions[group])) for group in rows["group_id"]])
    home = world.community[number(rows["user_id"])]
    assert 0.8 < (theme == home).mean() < 0.95  # a few memberships are noise
    assert rows["user_id"].n_unique() / VECTORS.users == pytest.approx(VECTORS.join_share, abs=0.05)


def test_the_labels_follow_their_optimal_probabilities(vectors: Path, small: Path) -> None:
    for folder, tolerance in ((vectors, 1e-6), (small, 5e-6)):
        emotion, optimal, _ = clear_labels(folder)
        assert np.abs(optimal.sum(axis=1) - 1).max() < tolerance
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(optimal)
            entropy = -np.where(optimal > 0, optimal * logs, 0).sum(axis=1)
            spread = np.where(optimal > 0, optimal * (logs + entropy[:, None]) ** 2, 0).sum()
        surprise = -logs[np.arange(len(emotion)), emotion]
        assert abs(surprise.mean() - entropy.mean()) < 4 * np.sqrt(spread) / len(emotion)
        error = np.bincount(emotion, minlength=8) - optimal.sum(axis=0)
        assert (np.abs(error) < 4 * np.sqrt((optimal * (1 - optimal)).sum(axis=0))).all()
    assert np.bincount(emotion) / len(emotion) == pytest.approx(EMOTION_SHARES, abs=0.06)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_image_alone_predicts_little_and_the_community_nearly_all(seed: int) -> None:
    settings = replace(VECTORS, users=400, images=300, contacts=0, seed=seed)
    world = draw_world(settings)
    viewer, image = views(world, settings)
    odds = world.probabilities(viewer, image)
    emotion = sample(np.random.default_rng(1), odds)

    everyone = np.arange(settings.users)
    average = np.zeros((settings.communities, settings.images, len(EMOTIONS)))
    popular = np.zeros((settings.images, len(EMOTIONS)))
    for i in range(settings.images):
        here = np.full(settings.users, i)
        probabilities, weight = world.probabilities(everyone, here), world.activity * world.liking(everyone, here)
        popular[i] = weight @ probabilities
        for c in range(settings.communities):
            average[c, i] = probabilities[world.community == c].mean(axis=0)
    best = weighted_f1(odds.argmax(axis=1), emotion)
    by_community = weighted_f1(average[world.community[viewer], image].argmax(axis=1), emotion)
    by_image = weighted_f1(popular[image].argmax(axis=1), emotion)
    majority = weighted_f1(np.full(len(emotion), EMOTIONS.index("contentment")), emotion)
    assert 0.70 < best < 0.82
    assert by_community >= 0.97 * best
    assert majority + 0.15 < by_image < 0.65 * best


def test_the_optimal_probabilities_reach_the_bayes_accuracy(vectors: Path) -> None:
    emotion, optimal, _ = clear_labels(vectors)
    assert 0.70 < weighted_f1(optimal.argmax(axis=1), emotion) < 0.82


def test_vectors_hold_the_affect(vectors: Path, world: World) -> None:
    x, half = np.array(table(vectors, "images")["vector"].to_list()), VECTORS.images // 2
    assert x.shape == (VECTORS.images, VECTORS.vector_size)
    probe = Ridge(1.0).fit(x[:half], world.affect[:half])
    assert probe.score(x[half:], world.affect[half:]) > 0.9


def test_pictures_show_the_affect(small: Path) -> None:
    affect, pixels = draw_world(SMALL).affect, []
    for file in table(small, "images")["file"]:
        with Image.open(small / file) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (48, 48))
            pixels.append(np.asarray(picture, dtype=float))
    images = np.stack(pixels)  # (I, S, S, 3)
    ground = np.median(images, axis=(1, 2))  # the stars cover less than half
    texture = np.abs(np.diff(images, axis=1)).mean(axis=(1, 2, 3))
    assert np.corrcoef(ground[:, 0] / ground.sum(1) - ground[:, 2] / ground.sum(1), affect[:, 0])[0, 1] > 0.8
    assert np.corrcoef(ground.sum(1), affect[:, 1])[0, 1] > 0.8
    assert np.corrcoef(texture, affect[:, 2])[0, 1] > 0.3


def test_ratings_and_comments_follow_the_emotion(vectors: Path) -> None:
    emotion, _, rows = clear_labels(vectors)
    bad = np.isin(emotion, [EMOTIONS.index(name) for name in ("anger", "disgust", "fear", "sadness")])
    valence = rows["valence"].to_numpy()
    assert valence[bad].mean() < 3.2 and valence[~bad].mean() > 6.8
    assert (rows["sentiment"].to_numpy()[valence < 4] == "negative").all()
    unknown = table(vectors, "labels").filter(pl.col("emotions").list.first() == "unknown")
    assert unknown["valence"].null_count() == unknown.height
    assert (unknown["sentiment"] == "neutral").all()

    owner_of = {word: name for name, words in EMOTION_WORDS.items() for word in words}
    assert len(owner_of) == sum(len(words) for words in EMOTION_WORDS.values()) == 12 * 8
    comments = table(vectors, "comments").join(table(vectors, "labels"), on="comment_id").to_dicts()
    named = []
    for row in comments:
        tokens = (token.strip(".,!?:").lower() for token in row["text"].split())
        emotions = [owner_of[token] for token in tokens if token in owner_of]
        if row["emotions"] == ["unknown"]:
            assert not emotions
        elif len(row["emotions"]) == 2:
            assert emotions == row["emotions"]
        else:
            assert emotions in ([], row["emotions"])
            named.append(bool(emotions))
    assert np.mean(named) == pytest.approx(VECTORS.mention_share, abs=0.05)
    assert len({row["text"] for row in comments}) > 0.6 * len(comments)


def test_presets() -> None:
    assert SyntheticIesn.preset("small") == SyntheticIesn()
    iesn = SyntheticIesn.preset("iesn")
    assert (iesn.users, iesn.images, iesn.contacts, iesn.views) == (108_899, 85_157, 1_649_058, 197_561)
    assert iesn.images_as == "vectors" and iesn.pairs == iesn.views
    assert iesn.unknown_share == iesn.multi_share == iesn.duplicate_share == 0
    with pytest.raises(UnknownNameError, match="Did you mean 'iesn'"):
        SyntheticIesn.preset("iesm")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "users is 0; allowed is a whole number of at least 1"),
        ({"users": "many"}, "users is 'many'"),
        ({"views": -1}, "views is -1"),
        ({"views": 2.5}, "views is 2.5"),
        ({"users": 3, "contacts": 7}, "contacts is 7; allowed is a whole number from 0 to 6"),
        ({"users": 3, "contacts": 6, "images": 2, "views": 8}, "only 6"),
        ({"seed": -1}, "seed is -1"),
        ({"communities": 9}, "from 2 to 8"),
        ({"comment_share": 1.5}, "comment_share is 1.5; allowed is a number from 0 to 1"),
        ({"homophily": float("nan")}, "homophily is nan"),
        ({"duplicate_share": 0.6}, "from 0 to 0.5"),
        ({"certainty": 1.0}, "from 0.4 to 0.95"),
        ({"unknown_share": 0.7, "multi_share": 0.7}, "together more than 1"),
        ({"images_as": "png"}, "images_as is 'png'; allowed: jpeg, vectors"),
        ({"format": "xml"}, "allowed: csv, parquet"),
    ],
)
def test_impossible_settings_are_refused_with_what_is_allowed(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticIesn(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        SyntheticIesn(users=1, images=1, contacts=0, groups=0, views=0, image_size=16),
        SyntheticIesn(users=6, images=4, contacts=30, groups=2, views=24, duplicate_share=0, images_as="vectors"),
        SyntheticIesn(users=3, images=2, contacts=1, groups=1, views=12, duplicate_share=0.5, format="parquet"),
    ],
    ids=["empty", "full", "parquet"],
)
def test_extreme_sizes_are_exact_too(settings: SyntheticIesn, tmp_path: Path) -> None:
    synthesize("iesn", tmp_path / "data", settings=settings)
    rows = table(tmp_path / "data", "contacts").select("user_id", "contact_id")
    assert rows.n_unique() == rows.height == settings.contacts
    labels = table(tmp_path / "data", "labels")
    assert labels.height == settings.views
    assert labels.select("viewer_id", "image_id").n_unique() == settings.pairs


def test_a_folder_is_written_once(small: Path) -> None:
    before = (small / "labels.csv").stat().st_mtime_ns
    counts = synthesize("iesn", small, settings=SMALL)
    assert counts["labels"] == SMALL.views
    assert (small / "labels.csv").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="is not empty and does not hold a synthetic dataset with these settings"):
        synthesize("iesn", small, settings=replace(SMALL, seed=7))


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="Name another folder"):
        synthesize("iesn", tmp_path, settings=SMALL)
    with pytest.raises(InputError, match="is a file"):
        synthesize("iesn", tmp_path / "notes.txt", settings=SMALL)
    with pytest.raises(UnknownNameError, match="Known: iesn"):
        synthesize("yelp", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_run_leaves_nothing_and_a_killed_one_is_overwritten(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, of: int) -> None:
        if (what, done) == ("images", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize("iesn", tmp_path / "data", settings=SMALL, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".data.partial").mkdir()
    (tmp_path / ".data.partial" / "half.csv").write_text("what a killed run had written")
    (tmp_path / "data").mkdir()
    synthesize("iesn", tmp_path / "data", settings=replace(SMALL, images_as="vectors"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not (tmp_path / "data" / "half.csv").exists()


def test_progress_counts_up(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    tiny = replace(SMALL, images=5, views=100)
    synthesize("iesn", tmp_path / "data", settings=tiny, progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "images"] == [("images", i, 5) for i in range(1, 6)]
    assert [call for call in calls if call[0] == "tables"] == [("tables", i, 7) for i in range(1, 8)]


def test_the_import_is_light() -> None:
    code = "import sys, graphsocial.synthesis; print(*{'torch', 'dgl', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


@pytest.fixture
def iesn(tmp_path: Path) -> Iterator[Path]:
    synthesize("iesn", tmp_path / "iesn", settings=SyntheticIesn.preset("iesn"))
    yield tmp_path / "iesn"


@pytest.mark.slow
def test_the_iesn_preset_has_the_papers_counts(iesn: Path) -> None:
    rows = table(iesn, "contacts")
    assert rows.n_unique() == rows.height == 1_649_058
    assert (rows["user_id"] != rows["contact_id"]).all()
    assert table(iesn, "labels").select("viewer_id", "image_id").n_unique() == 197_561
    assert (table(iesn, "users").height, table(iesn, "images").height) == (108_899, 85_157)
    emotion, optimal, _ = clear_labels(iesn)
    assert len(emotion) == 197_561
    assert 0.70 < weighted_f1(optimal.argmax(axis=1), emotion) < 0.82
