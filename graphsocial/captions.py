"""Captions as rows of the store, so that SQL can read what a captioner wrote about each image."""

from __future__ import annotations

from pathlib import Path

from graphsocial.contents import Progress, gather
from graphsocial.errors import InputError
from graphsocial.featurization import columns_of
from graphsocial.featurizers.base import set_id
from graphsocial.featurizers.caption import Caption
from graphsocial.store import GraphStore


def write_captions(
    store: GraphStore,
    what: str,
    captioner: Caption | None = None,
    *,
    dataset: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Caption a column's images into the table `captions`; what has a caption already is not captioned again.

    The table is `captions(set_id, content, caption, templated)`: a caption stands beside the image's content, never in
    a column of people's texts, and says whether a template wrote it. After `featurize` with the same captioner the rows
    of an image are those of `feature_rows` with its `set_id` and `content`.

    Args:
        what: one column of images, such as `image.file`.
        captioner: `Caption()`, templated descriptions, by default.
        progress: called with a word, contents done and contents to do.

    Returns:
        The captioner's `set_id`.

    Raises:
        InputError: the column holds no images, or `what` names several.
        FeatureError: the captioner lacks its weights.
    """
    captioner = captioner or Caption()
    found = columns_of(store.schema, what)
    if len(found) != 1 or found[0][1].kind != "image":
        raise InputError(f"'{what}' is not one column of images; give it as 'image.file'.")
    ((entry, column),) = found
    gather(store, entry, column, store.dataset(dataset), progress)
    key = set_id(captioner)
    store.connection.execute(
        "create table if not exists captions (set_id varchar not null, content varchar not null, "
        "caption varchar not null, templated boolean not null, primary key (set_id, content))"
    ).fetchall()
    missing = store.sql(
        "select content, any_value(item) from contents where content not in "
        "(select content from captions where set_id = ?) group by content order by min(idx)",
        [key],
    ).fetchall()
    for start in range(0, len(missing), captioner.batch_size):
        if progress:
            progress(f"captioning {what}", start, len(missing))
        batch = missing[start : start + captioner.batch_size]
        texts, rejects = captioner.captions([Path(item) for _, item in batch])
        with store.transaction():
            for place, (content, _) in enumerate(batch):
                if place not in rejects:  # featurize lists these, with the reason
                    store.connection.execute(
                        "insert into captions values (?, ?, ?, ?)", [key, content, texts[place], captioner.templated]
                    ).fetchall()
    if progress and missing:
        progress(f"captioning {what}", len(missing), len(missing))
    return key
