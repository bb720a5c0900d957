"""Writes the tables and images of a synthetic IESN, drawn from the model in `graphsocial.synthesis.world`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from PIL import Image

from graphsocial.synthesis.content import (
    EMOTIONS,
    THEMES,
    Floats,
    Integers,
    draw_image,
    write_captions,
    write_comments,
    write_group,
)
from graphsocial.synthesis.iesn import SyntheticIesn
from graphsocial.synthesis.world import World, contacts, draw_world, memberships, sample, views
from graphsocial.types import Progress

APPRAISALS = np.array(  # valence, arousal, dominance of each emotion, 1 to 9
    [
        [7.4, 5.5, 6.3],
        [2.6, 6.4, 4.6],
        [7.0, 5.2, 5.5],
        [7.3, 3.0, 6.5],
        [2.6, 5.2, 4.2],
        [7.5, 6.8, 6.4],
        [2.8, 6.3, 3.4],
        [2.4, 3.8, 3.5],
    ]
)
NUISANCES = 12  # dimensions of an image vector besides the affect
START, DAY = 1_356_998_400, 86_400  # labels fall into 2013 and 2014
SPAN = 730 * DAY
README = """# A synthetic Image-Emotion-Social-Net

Nobody in here exists. `graphsocial synthesize {layout}` drew it from a model, so that the ground truth is known.
It says nothing about real people, and a score on it says nothing about a score on the real IESN.

{counts}

Users belong to hidden taste communities. Contacts are mostly inside a community, groups are about its theme, and
an image's affect a_i (`warmth`, `light`, `roughness`, `spikiness`) shows in its pixels or its vector. The emotion of a
label is drawn from

    p(k | u, i) = softmax_k( b_k + s·( 0.5·B_k·a_i + t_u·C_k a_i + 0.3·mood_uk ) )
    t_u = centroid of u's community + a little of u's own

`labels.optimal` holds these eight probabilities, for comparison only and never as a feature, in this order:
{emotions}.
The whole model is written down in `graphsocial/synthesis/world.py`. Settings (also in `settings.json`):

```json
{settings}
```
"""


def write_iesn(folder: Path, settings: SyntheticIesn, progress: Progress) -> dict[str, int]:
    """Write all tables in the layout of the source `iesn`, and the images.

    Args:
        folder: an empty folder.
        settings: sizes and strengths.
        progress: called after each table and image.

    Returns:
        Table → its rows.
    """
    counts: dict[str, int] = {}

    def write(name: str, columns: dict[str, Any], *, parquet: bool = settings.format == "parquet") -> None:
        table = pa.table(columns)
        if parquet:
            pa.parquet.write_table(table, folder / f"{name}.parquet")
        else:
            pa.csv.write_csv(table, folder / f"{name}.csv")
        counts[name] = table.num_rows
        progress("tables", len(counts), 7)

    world, lists = draw_world(settings), settings.format == "parquet"
    rng = np.random.default_rng([settings.seed, 4])
    user_ids, image_ids = _ids("u", settings.users, 5), _ids("img", settings.images, 5)
    group_ids, comment_ids = _ids("g", settings.groups, 3), _ids("c", settings.views, 7)

    viewer, image = views(world, settings)
    owner = rng.choice(settings.users, settings.images, p=world.activity / world.activity.sum())
    labelled, uploaded, joined = _times(rng, viewer, image, owner, settings)
    names = rng.permutation(settings.users)
    write("users", {"user_id": user_ids, "name": [f"member {n}" for n in names.tolist()], "joined_at": _iso(joined)})

    columns = {"image_id": image_ids, "owner_id": user_ids.take(pa.array(owner))}
    if settings.images_as == "jpeg":
        columns["file"] = _draw_images(folder, image_ids, world, settings, progress)
    columns |= {**write_captions(settings.images, rng), "uploaded_at": _iso(uploaded)}
    expected = sample(rng, world.probabilities(owner, np.arange(settings.images)))
    expected = np.where(rng.random(settings.images) < 0.1, -1, expected)
    columns["expected_emotion"] = pa.array([*EMOTIONS, "unknown"]).take(pa.array(expected % 9))
    columns |= {
        f"expected_{name}": value for name, value in _appraise(rng, expected, np.full_like(expected, -1)).items()
    }
    if settings.images_as == "vectors":
        columns["vector"] = _lists(_vectors(world, settings))
    write("images", columns, parquet=lists or settings.images_as == "vectors")

    user, contact = contacts(world, settings)
    write("contacts", {"user_id": user_ids.take(pa.array(user)), "contact_id": user_ids.take(pa.array(contact))})
    topic = rng.permutation(np.arange(settings.groups) % settings.communities)
    texts = [write_group(THEMES[t], rng) for t in topic.tolist()]
    about = {"name": [name for name, _ in texts], "description": [text for _, text in texts]}
    write("groups", {"group_id": group_ids, **{key: pa.array(value, pa.string()) for key, value in about.items()}})
    user, group = memberships(world, topic, settings)
    write("memberships", {"user_id": user_ids.take(pa.array(user)), "group_id": group_ids.take(pa.array(group))})

    first, second, optimal = _felt(rng, world, viewer, image, settings)
    columns = {"viewer_id": user_ids.take(pa.array(viewer)), "image_id": image_ids.take(pa.array(image))}
    columns |= {"emotions": _emotions(first, second, lists=lists), **_appraise(rng, first, second)}
    columns |= {"comment_id": comment_ids, "labelled_at": _iso(labelled)}
    columns["optimal"] = _lists(optimal) if lists else _rows_as_text(optimal)
    write("labels", columns)

    commented = np.sort(rng.choice(settings.views, round(settings.views * settings.comment_share), replace=False))
    quiet = (first < 0) | ((second < 0) & (rng.random(settings.views) >= settings.mention_share))
    lines = write_comments(first[commented], second[commented], quiet[commented], rng)
    write("comments", {"comment_id": comment_ids.take(pa.array(commented)), "text": pa.array(lines, pa.string())})
    return counts


def _times(
    rng: np.random.Generator, viewer: Integers, image: Integers, owner: Integers, settings: SyntheticIesn
) -> tuple[Floats, Floats, Floats]:
    """Seconds of each label, upload and joining: a user joins before an upload, which comes before its labels."""
    labelled = START + np.sort(rng.uniform(0, SPAN, settings.views))
    uploaded = rng.uniform(START - 30 * DAY, START + SPAN, settings.images)
    uploaded[image] = np.inf
    np.minimum.at(uploaded, image, labelled - 60 - rng.exponential(30 * DAY, settings.views))
    joined = rng.uniform(START - 365 * DAY, START + SPAN, settings.users)
    np.minimum.at(joined, viewer, labelled - 3600)
    np.minimum.at(joined, owner, uploaded - 3600)
    return labelled, uploaded, joined


def _felt(
    rng: np.random.Generator, world: World, viewer: Integers, image: Integers, settings: SyntheticIesn
) -> tuple[Integers, Integers, Floats]:
    """Each label's emotion (-1: unknown), its second one (-1: none) and the probabilities they were drawn from."""
    optimal = world.probabilities(viewer, image)
    first, second = sample(rng, optimal), np.full(settings.views, -1)
    order = rng.permutation(settings.views)
    unknown, several = round(settings.views * settings.unknown_share), round(settings.views * settings.multi_share)
    both = order[unknown : unknown + several]
    others = optimal[both]
    others[np.arange(len(both)), first[both]] = 0
    second[both] = sample(rng, others)
    first[order[:unknown]] = -1
    return first, second, optimal


def _draw_images(folder: Path, ids: pa.Array, world: World, settings: SyntheticIesn, progress: Progress) -> list[str]:
    (folder / "images").mkdir()
    files = [f"images/{name}.jpg" for name in ids.to_pylist()]
    for i, file in enumerate(files):
        pixels = draw_image(world.affect[i], settings.image_size, np.random.default_rng([settings.seed, 5, i]))
        Image.fromarray(pixels).save(folder / file, "JPEG", quality=90)
        progress("images", i + 1, len(files))
    return files


def _vectors(world: World, settings: SyntheticIesn) -> Floats:
    """A fixed random linear map of affect and nuisance, plus noise.  # (I, vector_size)"""
    rng = np.random.default_rng([settings.seed, 6])
    scales = np.sqrt([1 / 3] * world.affect.shape[1] + [1 / 6] * NUISANCES)[:, None]
    mixing = rng.normal(size=(len(scales), settings.vector_size))
    nuisance = rng.normal(size=(settings.images, NUISANCES)) * scales[-NUISANCES:, 0]
    noise = 0.8 * rng.normal(size=(settings.images, settings.vector_size))
    return np.asarray(np.hstack([world.affect, nuisance]) @ mixing + noise)


def _emotions(first: Integers, second: Integers, *, lists: bool) -> pa.Array:
    """Each row's one or two emotions, or `unknown`, as a list or as `a|b`."""
    pool = [[a] for a in EMOTIONS] + [[a, b] for a in EMOTIONS for b in EMOTIONS] + [["unknown"]]
    code = np.select([first < 0, second < 0], [len(pool) - 1, first], 8 + 8 * first + second)
    return pa.array(pool if lists else ["|".join(names) for names in pool]).take(pa.array(code))


def _appraise(rng: np.random.Generator, first: Integers, second: Integers) -> dict[str, pa.Array]:
    """Sentiment, valence, arousal and dominance of felt emotions; -1 in `first` is unknown, in `second` none."""
    centre = (APPRAISALS[first] + APPRAISALS[np.where(second < 0, first, second)]) / 2
    scores = np.clip(centre + rng.normal(0, 0.7, centre.shape), 1, 9).round(2)  # (N, 3)
    polarity = np.select([first < 0, scores[:, 0] < 4, scores[:, 0] > 6], [1, 0, 2], 1)
    columns = {"sentiment": pa.array(["negative", "neutral", "positive"]).take(pa.array(polarity))}
    for j, name in enumerate(("valence", "arousal", "dominance")):
        columns[name] = pa.array(scores[:, j], mask=first < 0)
    return columns


def _ids(prefix: str, count: int, width: int) -> pa.Array:
    width = max(width, len(str(count)))
    return pa.array([f"{prefix}{i:0{width}d}" for i in range(1, count + 1)], pa.string())


def _iso(seconds: Floats) -> pa.Array:
    stamps = np.datetime_as_string(seconds.astype(np.int64).astype("datetime64[s]"))
    return pa.array([f"{stamp}Z" for stamp in stamps.tolist()], pa.string())


def _lists(values: Floats) -> pa.Array:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel().astype(np.float32)))


def _rows_as_text(values: Floats) -> pa.Array:
    form = "|".join(["%.6f"] * values.shape[1])
    return pa.array([form % tuple(row) for row in values.tolist()], pa.string())
