"""Files of ids: by their header, in any order, with every row accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.errors import InputError, MissingFileError
from graphsocial.evaluation.id_files import read_ids

PAIR = ("user", "image")


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "user,image\nu1,i2\n",
        "image,user\ni2,u1\n",
        "\ufeffuser;image\r\nu1;i2\r\n",
        "note\tIMAGE_ID\tUser_Id\nx\ti2\tu1\n",
        "other_id,entity_id\ni2,u1\n",
        "dst,src\ni2,u1\n",
        "image,who\ni2,u1\n",
        'user,image\n"u1","i2"\n\n',
    ],
)
def test_the_header_says_which_column_is_which_end(tmp_path: Path, content: str) -> None:
    file = read_ids(put(tmp_path / "ids.csv", content), PAIR)
    assert file.rows == [("u1", "i2")] and not file.rejects and file.lines == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\nu1,i2\n", "does not say which column is the source .* call them user and image, or src and dst"),
        ("", "needs a header, two columns of ids"),
        ("user,image\n", "needs a header, two columns of ids"),
        ("user\nu1\n", "needs a header, two columns of ids"),
        (b"user,image\nu\xff,i\n", "is not UTF-8"),
        ("u1,i2\nu1,i2\n", "The first line of .* is ids"),
    ],
)
def test_a_file_that_does_not_say_it_is_an_error(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_ids(put(tmp_path / "ids.csv", content), PAIR, known=({"u1"}, {"i2"}))


def test_ends_of_one_type_are_called_src_and_dst(tmp_path: Path) -> None:
    assert read_ids(put(tmp_path / "a.csv", "dst,src\nb,a\n"), ("user", "user")).rows == [("a", "b")]
    with pytest.raises(InputError, match="call them src and dst"):
        read_ids(put(tmp_path / "b.csv", "user,friend\na,b\n"), ("user", "user"))
    with pytest.raises(MissingFileError, match="There is no file"):
        read_ids(tmp_path / "c.csv", ("user",))


@given(
    st.lists(
        st.tuples(st.sampled_from(["u1", "u,2", "", "ü"]), st.sampled_from(["i1", 'i"2', ""]), st.booleans()),
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_rows_in_are_rows_read_and_rejects(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, bool]]
) -> None:
    lines = [
        f'"{user.replace(chr(34), chr(34) * 2)}","{image.replace(chr(34), chr(34) * 2)}"{",more" if more else ""}'
        for user, image, more in rows
    ]
    file = read_ids(put(tmp_path_factory.mktemp("ids") / "ids.csv", "\n".join(["user,image", *lines])), PAIR)
    good = [(user, image) for user, image, more in rows if user and image and not more]
    assert file.rows == good and file.read == len(rows)
    assert [line for line, _ in file.rejects] == [
        line for line, (user, image, more) in enumerate(rows, start=2) if not (user and image) or more
    ]
