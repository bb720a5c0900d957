"""All featurizers keep one contract, directly and through the store; see `contract.py` for how a new one joins."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import contract
import numpy as np
import polars as pl
import pytest
from contract import CASES

import graphsocial as gs
from graphsocial.errors import FeatureError, InputError
from graphsocial.features import FeatureReport, featurize
from graphsocial.features.vectors import read_sequences
from graphsocial.featurizers.base import Encoded, FittedFeaturizer, Modality, Requires, set_id
from graphsocial.plugins import configure, names, resolve
from graphsocial.types import FILES, Column, EdgeType, GraphSchema, NodeType

KINDS = {float: "number", int: "integer", str: "category", bool: "boolean"}


def missing(name: str) -> str:
    """Why a case cannot be run here, if it cannot."""
    requires = resolve("featurizer", name.partition(",")[0]).requires
    lacking = requires.missing()
    return f"needs {', '.join(lacking)}: {requires.command}" if lacking else ""


class Subject:
    """A case on a folder of its own: the featurizer, what encodes, items and what became of them."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.case, self.folder = name, CASES[name], folder
        self.featurizer, self.items = contract.build(name, folder)
        self.ready = contract.ready(self.featurizer, self.items)
        self.encoded = self.ready.encode(self.items)

    def sequences(self, encoded: Encoded) -> list[np.ndarray]:
        parts = encoded.sequences
        return [parts.values[a:b] for a, b in zip(parts.offsets, parts.offsets[1:], strict=False)]

    def same(self, other: Encoded, rows: list[int] | None = None, *, tolerance: float | None = None) -> bool:
        """Whether vectors equal those of these items (all by default), up to the case's tolerance."""
        wanted = self.sequences(self.encoded)
        wanted = wanted if rows is None else [wanted[row] for row in rows]
        sequences = self.sequences(other)
        limit = self.case.tolerance if tolerance is None else tolerance
        return [a.shape for a in sequences] == [b.shape for b in wanted] and all(
            np.abs(a - b).max(initial=0) <= limit for a, b in zip(sequences, wanted, strict=True)
        )


@pytest.fixture(scope="module", params=list(CASES))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if reason := missing(request.param):
        pytest.skip(reason)
    return Subject(request.param, tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another process makes of all cases."""
    home = tmp_path_factory.mktemp("elsewhere")
    cases = [name for name in CASES if not missing(name)]
    script = [sys.executable, contract.__file__, str(home), *cases]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "" and done.stderr == "", done.stderr
    return home


def test_every_featurizer_has_a_case() -> None:
    assert {name.partition(",")[0] for name in CASES} == set(names("featurizer"))


def test_listing_needs_nothing_that_is_heavy() -> None:
    """The classes can be looked at where their packages are not installed, and quickly."""
    script = (
        "from graphsocial.plugins import names, resolve\n"
        "found = [resolve('featurizer', name).requires for name in names('featurizer')]\n"
        "import sys\nheavy = {'torch', 'transformers', 'sklearn', 'cv2', 'spacy', 'gensim'} & set(sys.modules)\n"
        "print(len(found), sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(names('featurizer'))} []\n"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sentence", {"model": "nobody/nothing"}),
        ("clip", {"model": "nobody/nothing"}),
        ("caption", {"model": "nobody/nothing"}),
        ("caption", {"text_model": "nobody/nothing"}),
        ("vision", {"model": "resnet50"}),
        ("video", {"model": "resnet50"}),
        ("regions", {}),
    ],
)
def test_offline_no_request_is_made(
    name: str, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from huggingface_hub import constants

    requests: list[object] = []

    def no_network(*arguments: object, **options: object) -> None:
        requests.append(arguments)
        raise OSError("no network")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for function in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, function, no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    made = configure(resolve("featurizer", name), settings)
    with pytest.raises(FeatureError, match=r"nobody/nothing|resnet50"):
        made.fingerprint()
    assert requests == []


class TestDirectly:
    def test_it_declares_its_attributes(self, subject: Subject) -> None:
        featurizer = subject.featurizer
        assert featurizer.modalities and set(featurizer.modalities) <= set(get_args(Modality))
        assert isinstance(featurizer.requires, Requires)
        assert featurizer.requires.missing() == () and bool(featurizer.requires.command) == (
            featurizer.requires != Requires()
        )
        files = set(featurizer.modalities) & set(FILES)
        assert bool(files) == (subject.case.corrupt is not None), "files can be corrupt: give the case such a file"

    def test_vectors_have_the_stated_shape(self, subject: Subject) -> None:
        encoded, ready = subject.encoded, subject.ready
        assert len(subject.items) >= 4 and len(encoded) == len(subject.items)
        assert encoded.vectors.shape[1] == ready.dimension and encoded.vectors.dtype == np.float32
        assert (encoded.offsets is not None) == ready.sequences
        assert encoded.sequences.offsets[-1] == len(encoded.vectors)
        assert encoded.captions is None or len(encoded.captions) == len(subject.items)
        assert encoded.rejects == {} and np.isfinite(encoded.vectors).all() and encoded.vectors.any()
        assert not all(subject.same(Encoded(e), [0]) for e in subject.sequences(encoded)), "they are all the same"

    def test_nothing_gives_no_rows(self, subject: Subject) -> None:
        empty = subject.ready.encode([])
        assert empty.vectors.shape == (0, subject.ready.dimension) and len(empty) == 0
        assert (empty.offsets is not None) == subject.ready.sequences

    def test_an_item_does_not_see_its_neighbours(self, subject: Subject) -> None:
        count = len(subject.items)
        pairs = replace(subject.ready, batch_size=2)  # type: ignore[type-var]
        assert subject.same(pairs.encode(subject.items[::-1]), list(range(count))[::-1])
        for place in (0, count - 1):
            assert subject.same(subject.ready.encode([subject.items[place]]), [place])

    def test_the_same_items_give_the_same_vectors(self, subject: Subject) -> None:
        assert subject.same(subject.ready.encode(subject.items), tolerance=0)

    def test_another_process_gives_the_same(self, subject: Subject, elsewhere: Path) -> None:
        stored = np.load(elsewhere / f"{subject.name}.npz")
        assert str(stored["fingerprint"]) == subject.featurizer.fingerprint()
        assert subject.same(Encoded(stored["values"], {}, stored["offsets"]), tolerance=1e-6)

    def test_a_corrupt_item_is_rejected_and_no_other(self, subject: Subject) -> None:
        if subject.case.corrupt is None:
            pytest.skip("nothing can be wrong with such an item")
        broken = subject.case.corrupt(subject.folder)
        gone = subject.folder / "gone"
        encoded = subject.ready.encode([subject.items[0], broken, subject.items[1], gone])
        assert list(encoded.rejects) == [1, 3] and subject.case.reason in encoded.rejects[1]
        assert subject.same(Encoded(*_only(encoded, [0, 2])), [0, 1])

    def test_settings_count_unless_they_change_no_vector(self, subject: Subject) -> None:
        featurizer: Any = subject.featurizer
        key = set_id(featurizer)
        hints = get_type_hints(type(featurizer))
        keys, changed = {key}, 0
        for entry in fields(featurizer):
            value = getattr(featurizer, entry.name)
            if get_origin(hints[entry.name]) is Literal:
                value = next(choice for choice in get_args(hints[entry.name]) if choice != value)
            elif isinstance(value, bool):
                value = not value
            elif isinstance(value, int):
                value += 1
            elif isinstance(value, tuple) and value:
                value = value[:-1] or (*value, value[-1])
            else:
                continue
            try:
                other = replace(featurizer, **{entry.name: value})
            except InputError:  # not without another setting beside it
                continue
            if entry.metadata.get("affects_output", True):
                changed += 1
                keys.add(set_id(other))
            else:
                assert set_id(other) == key
        assert len(keys) == changed + 1

    def test_a_batch_of_none_is_refused(self, subject: Subject) -> None:
        with pytest.raises(InputError, match="batch_size"):
            replace(subject.featurizer, batch_size=0)  # type: ignore[type-var]


class TestThroughTheStore:
    def test_encoded_once_committed_at_once_and_read_back(
        self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed after two items it goes on with the third; then nothing is encoded again, nor is equal content."""
        calls: list[Any] = []
        kind = type(subject.ready)
        encode = kind.encode

        def counting(self: Any, items: list[Any]) -> Encoded:
            if len(calls) == 2:
                calls.append(None)
                raise KeyboardInterrupt
            calls.extend(items)
            return encode(self, items)

        monkeypatch.setattr(kind, "encode", counting)
        featurizer: Any = replace(subject.featurizer, batch_size=1)  # type: ignore[type-var]
        count = len(subject.items)
        bad = [] if subject.case.corrupt is None else [subject.case.corrupt(subject.folder)]
        with gs.open(tmp_path / "s.duckdb") as store:
            fill(store, featurizer, [*subject.items, subject.items[0], *bad])
            with pytest.raises(KeyboardInterrupt):
                run(store, featurizer)
            (report,) = run(store, featurizer)
            assert len(calls) == 1 + count + len(bad)  # each content once; one was interrupted
            counts = (report.rows, report.encoded, report.reused, report.rejected)
            assert counts == (count + 1, count - 2, 2, len(bad))
            calls.append(None)
            (again,) = run(store, featurizer)
            assert (again.encoded, again.reused, again.rejected) == (0, count, len(bad))
            assert len(calls) == 2 + count + len(bad)
            sequences, index = read_sequences(store, report.use, "some", np.arange(count + 1 + len(bad)))
            assert index[count] == index[0] and len(set(index[:count])) == count and (index[count + 1 :] == -1).all()
            chosen = sequences.take(index[:count])
            assert subject.same(Encoded(chosen.values, {}, chosen.offsets))
            padded, mask = sequences.padded(index)
            assert padded.shape == (*mask.shape, subject.ready.dimension) and not padded[~mask].any()
            rejected = store.sql("select entity_id, reason from feature_rejects").fetchall()
            assert len(rejected) == len(bad)
            for entity, reason in rejected:
                assert entity == f"thing {count + 1}" and subject.case.reason in reason


def _only(encoded: Encoded, places: list[int]) -> tuple[np.ndarray, dict[int, str], np.ndarray]:
    chosen = encoded.sequences.take(np.array(places))
    return chosen.values, {}, chosen.offsets


def fill(store: gs.GraphStore, featurizer: Any, items: list[Any]) -> None:
    """Things with these contents, and a split that trains on all but the last two."""
    if "table" in featurizer.modalities:
        columns = tuple(Column(name, KINDS.get(type(value), "timestamp")) for name, value in items[0].items())  # type: ignore[arg-type]
        values = {column.name: [item[column.name] for item in items] for column in columns}
    else:
        columns = (Column("content", featurizer.modalities[0]),)
        values = {"content": [str(item) for item in items]}
    thing = NodeType("thing", columns)
    user = NodeType("user")
    sees = EdgeType("user", "sees", "thing", (Column("emotions", "categories", "label"),))
    store.declare(GraphSchema((thing, user), (sees,)))
    ids = [f"thing {number}" for number in range(len(items))]
    store.write(thing, pl.DataFrame({"id": ids, **values}), dataset="some")
    store.write(user, pl.DataFrame({"id": ["ann"]}), dataset="some")
    store.sql(
        "insert into splits (split_id, task, dataset, entity, policy, settings) "
        "values ('s', 'edge-emotion', 'some', 'user sees thing', '', '{}')"
    )
    for number, name in enumerate(ids):
        role = "train" if number < len(items) - 2 else "test"
        store.connection.execute("insert into split_members values ('s', 'ann', ?, ?)", [name, role])


def run(store: gs.GraphStore, featurizer: Any) -> list[FeatureReport]:
    what = "thing" if "table" in featurizer.modalities else "thing.content"
    return featurize(store, what, featurizer, split="s" if isinstance(featurizer, FittedFeaturizer) else None)
