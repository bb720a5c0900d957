"""JSON files as one object a line: arrays, objects over several lines, records inside of a document."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from graphsocial.errors import InputError
from graphsocial.ingestion.encodings import open_text

LARGEST = 2 << 30  # characters of a document, which is read as a whole
_DECODER = json.JSONDecoder(
    strict=False, parse_float=str, parse_constant=lambda _: None
)  # no digit of a number is lost


def is_json(text_file: Path, encoding: str, name: str, *, by_content: bool = True) -> bool:
    """Whether a text file holds JSON, by its content: it begins with an object, or with an array of objects.

    Args:
        text_file: the file, gzipped or not.
        encoding: its encoding.
        name: its own name; `.jsonl`, `.ndjson` and `.json` are JSON whatever they hold.
        by_content: whether the content decides about other names.
    """
    if name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json")):
        return True
    if not by_content:
        return False
    with open_text(text_file, encoding, errors="replace") as text:
        head = text.read(1 << 16).lstrip()
    if not head.startswith(("{", "[")):
        return False
    inner = head[1:].lstrip()
    return inner.startswith(('"', "}") if head[0] == "{" else ("{", "]")) and (head[0] == "[" or ":" in inner)


def is_lines(text_file: Path, encoding: str) -> bool:
    """Whether the first lines of a JSON file are records of their own; a broken line among them does not matter."""
    with open_text(text_file, encoding, errors="replace") as text:
        lines = [line for line in islice(text, 50) if line.strip()]
    if lines and lines[0].lstrip().startswith("["):
        return False
    objects = sum(_object(line) is not None for line in lines)
    return not lines or (objects > 0 and objects >= len(lines) / 2) or (objects > 0 and _object(lines[0]) is not None)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def as_lines(file: Path, text_file: Path, encoding: str, path: str | None, copy: Path) -> array[int]:
    """Write the objects of a document one a line; what is in an array and no object stays, to be a reject.

    Args:
        file: the file, for messages.
        text_file: its text.
        encoding: the text's encoding.
        path: where the records are in the document: keys, joined by dots; None for the document itself.
        copy: the file to write.

    Returns:
        The line on which each record begins; of records inside of a document, that of the document.

    Raises:
        InputError: it is not JSON, or has no records there.
    """
    lines = array("q")
    with copy.open("w", encoding="utf-8", errors="surrogatepass", newline="") as target:
        for line, value in _records(file, text_file, encoding, path):
            target.write(json.dumps(value) + "\n")
            lines.append(line)
    return lines


def _records(file: Path, text_file: Path, encoding: str, path: str | None) -> Iterator[tuple[int, Any]]:
    with open_text(text_file, encoding, errors="replace", newline=None) as source:
        text = source.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise InputError(f"'{file}' is one JSON document of over 2 GB; write it as JSON lines, one object a line.")
    position, line, in_array = 0, 1, False
    while True:
        start = position
        while position < len(text) and (text[position].isspace() or (in_array and text[position] in ",]")):
            position += 1
        line += text.count("\n", start, position)
        if position == len(text):
            return
        if text[position] == "[" and not in_array and path is None:
            in_array, position = True, position + 1
            continue
        try:
            value, end = _DECODER.raw_decode(text, position)
        except ValueError as error:
            at = f"line {line + text.count(chr(10), position, getattr(error, 'pos', position))}"
            raise InputError(f"'{file}' is not JSON from {at} on: {getattr(error, 'msg', error)}.") from error
        if path is None and not in_array and isinstance(value, dict):
            _refuse_document(file, value, text, end)
        if path is None:
            yield line, value
        else:
            yield from ((line, record) for record in _inside(file, value, path))
        line += text.count("\n", position, end)
        position = end


def _refuse_document(file: Path, value: dict[str, Any], text: str, end: int) -> None:
    """An only object that has the records inside is not one record itself."""
    arrays = [name for name, entry in value.items() if isinstance(entry, list) and entry and isinstance(entry[0], dict)]
    if arrays and not text[end:].strip():
        names = " or ".join(f"`records: {name}`" for name in arrays)
        raise InputError(f"'{file}' is one JSON document with records inside; say where they are: {names}.")


def _inside(file: Path, value: Any, path: str) -> list[Any]:
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        else:
            there = f"There: {', '.join(value)}." if isinstance(value, dict) else "There is no object there."
            raise InputError(f"'{file}' has no '{step}' of `records: {path}`. {there}")
    if isinstance(value, dict):  # id → record
        return list(value.values())
    if not isinstance(value, list):
        raise InputError(f"'{file}': `records: {path}` is no array but {json.dumps(value)[:60]}.")
    return value
