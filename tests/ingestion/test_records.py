"""Quotes that swallow lines, and records that are really on several lines."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.ingestion.records import LONGEST_LINE, SWALLOWS, TOO_LONG, Record, Splitter


def split(text: str, width: int, delimiter: str = ",", quote: str = '"') -> list[Record]:
    return list(Splitter(width, delimiter, quote).records(io.StringIO(text, newline="")))


texts = st.text(st.sampled_from('ab ,;"\n\t#1é'), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 10**6), texts, texts), min_size=1, max_size=8), st.sampled_from(",;\t"))
@settings(max_examples=150, deadline=None)
def test_what_a_csv_writer_writes_is_split_as_it_was_written(rows: list[tuple[int, str, str]], delimiter: str) -> None:
    rows = [(key, *(text.replace(delimiter, " ") for text in texts)) for key, *texts in rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    splitter = Splitter(3, delimiter)
    records = split(buffer.getvalue(), 3, delimiter)
    assert not any(record.fault for record in records)
    assert [splitter.fields(record.text) for record in records] == [[str(value) for value in row] for row in rows]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_stray_quotes_take_only_their_own_line(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 30))
    words = st.sampled_from(["fine", "two words", '"quoted, well"', "5 inch", "", '"a ""b"" c"'])
    lines = [f"p{number},{data.draw(words)},{number}\n" for number in range(count)]
    stray = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=3))
    for number in stray:
        lines[number] = f'p{number},"no end,{number}\n'
    records = split("".join(lines), 3)
    assert [record.line for record in records] == list(range(1, count + 1))
    assert {record.line - 1 for record in records if record.fault} == stray


@pytest.mark.parametrize(
    ("text", "width", "delimiter", "faulty"),
    [
        ('p1\t3\tHe said "no"\np2\t4\t"starts\np3\t4\tx\np4\t5\tend"\np5\t5\t"a" b\n', 3, "\t", {2, 5}),
        ('10,"hello, world\n11,x\n12,"k"\n13,foo\n14,end"\n', 2, ",", {1}),
        ('1,"hello\nfine, thanks"\n', 2, ",", set()),
        ('"Hello\nworld",5,6\n', 3, ",", set()),
        ('"Hello, my, dear\nworld",5,6\n', 3, ",", set()),
        ("1,'a\nb'\n", 2, ",", set()),
    ],
)
def test_the_lines_of_a_record_look_like_rows_or_like_text(
    text: str, width: int, delimiter: str, faulty: set[int]
) -> None:
    records = split(text, width, delimiter, "'" if "'" in text else '"')
    assert {record.line for record in records if record.fault} == faulty
    assert "".join(record.text for record in records) == text


def test_a_pair_of_stray_quotes_is_said_and_what_to_set() -> None:
    (first, *others) = split('1,"x\n' + "".join(f"{n},y\n" for n in range(2, 50)) + '50,z"\n', 2)
    assert first.fault == SWALLOWS and "quote: none" in SWALLOWS and len(others) == 49


def test_without_quotes_each_line_is_a_record() -> None:
    assert [record.text for record in split('1,"x\n2,y"\n', 2, quote="")] == ['1,"x\n', '2,y"\n']


def test_a_record_beyond_the_window_is_left_out_alone(tmp_path: Path) -> None:
    long = "x" * (2 * LONGEST_LINE + 7)
    records = split(f"a,b\n1,{long}\n2,y\n", 2)
    assert [(record.line, record.fault) for record in records] == [(1, None), (2, TOO_LONG), (3, None)]
    assert len(records[1].text) <= LONGEST_LINE + 1
