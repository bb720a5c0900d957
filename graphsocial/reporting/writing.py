"""From a run or a dataset in the store to a page in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from graphsocial import runs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.reporting import analyses, card, data, explained, groups, inner, network, results
from graphsocial.reporting.embeddings import look
from graphsocial.reporting.page import Page, Section, package, words, written
from graphsocial.reporting.subject import Subject, subjects
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.types import Progress

LESS = "; less is better"
SECTIONS: tuple[Callable[[Subject], Section | None], ...] = (
    results.scores,
    results.classes,
    results.numbers,
    results.calibration,
    groups.cold_start,
    groups.groups,
    network.graph,
    explained.explanations,
)


def report(
    store: GraphStore,
    run: Run | str | None = None,
    *,
    dataset: str | None = None,
    output: Path | str | None = None,
    against: Sequence[Run | str] = (),
    by: Sequence[str] = (),
    inside: bool = True,
    samples: int = 1000,
    progress: Progress | None = None,
) -> Path:
    """Write one HTML file, which opens without a network: charts and tables about a run, or about a dataset.

    The page of a run ends with its model card. The analyses of its dataset that stand in the store are part of it;
    without a run, they are what the page is about.

    Args:
        run: a run, its id, the start of it, or `latest`; the seeds of its configuration are taken together.
        dataset: what to report on without a run; needed where the store holds several.
        output: the file; `<run>.html` or `<dataset>.html` in the current folder by default.
        against: other runs, configurations or models of the same question, as in `compare`.
        by: further SQL expressions to group by, as in `compare`.
        inside: rebuild the network to show embeddings, gates and attention; it reads the run's weights and the whole
            graph.
        samples: of the bootstrap.
        progress: told (what, done, of how many).

    Returns:
        The file.

    Raises:
        PackageError: the packages of the extra `report` are not installed.
        DataError: the run has no labelled test predictions.
        InputError: the run is not done, `against` answers another question, or what only a run has is asked of a
            dataset.
    """
    for name in ("altair", "vl_convert"):
        package(name)
    tell = progress or (lambda what, done, of: None)
    if run is None:
        if against or by:
            raise InputError("`against` and `by` are about a run; name one.")
        dataset = store.dataset(dataset)
        path = _file(output, dataset)
        tell("writing", 0, 1)
        return _write(path, data.page(store, dataset))
    if dataset is not None:
        raise InputError("A run has its dataset; name one of the two.")
    run = runs.load(store, run) if isinstance(run, str) else run
    if run.status != "done":
        raise InputError(f"The run '{run.id}' is not done; finish it with the `train` command that began it.")
    path = _file(output, run.id)
    tell("comparing", 0, 3)
    found = subjects(store, run, against=against, by=by, samples=samples)
    tell("looking inside", 1, 3)
    sections: list[Section] = []
    seen = look(store, run) if inside else None
    for subject in found:
        own = [section for make in SECTIONS if (section := make(subject))]
        own += [section] if seen is not None and (section := inner.embeddings(subject, seen)) else []
        sections += own if len(found) == 1 else [_titled(section, subject) for section in own]
    learning = results.learning(found[0])  # of all targets together
    sections[1:1] = [learning] if learning else []
    if seen is not None:
        sections += [section for section in (inner.gates(found[0], seen), inner.attention(seen)) if section]
    sections += analyses.sections(store, run.dataset, run)
    sections.append(card.card(found[0]))
    tell("writing", 2, 3)
    return _write(path, _page(found, sections))


def _file(output: Path | str | None, name: str) -> Path:
    path = Path(f"{name}.html" if output is None else output)
    if not path.parent.is_dir():
        raise MissingFileError(f"There is no folder '{path.parent}' for the report.")
    return path


def _write(path: Path, page: Page) -> Path:
    """The file appears whole or not at all."""
    text = page.html()
    partly = path.with_name(f".{path.name}.part")
    partly.write_text(text, encoding="utf-8")
    partly.replace(path)
    return path


def _titled(section: Section, subject: Subject) -> Section:
    return replace(section, title=f"{section.title}: {subject.examples.target}")


def _page(found: Sequence[Subject], sections: Sequence[Section]) -> Page:
    first = found[0]
    record = first.record
    numbers = [number for subject in found for number in _numbers(subject, several=len(found) > 1)]
    finished = f", trained {record['finished_at']:%-d %B %Y}" if record["finished_at"] else ""
    return Page(
        title=f"{first.run.model} on {first.run.dataset}",
        subtitle=f"{first.run.task}, split {record['split']}, run {first.run.id}{finished}",
        numbers=numbers,
        notes=list(dict.fromkeys(note for subject in found for note in subject.comparison.notes)),
        sections=sections,
    )


def _numbers(subject: Subject, *, several: bool) -> list[tuple[str, str, str]]:
    """The few that matter: scores with their intervals, what the graph is worth, calibration."""
    found = subject.comparison
    before = f"{subject.examples.target}: " if several else ""
    numbers = []
    scores = found.scores.filter(model=subject.label)
    for row in (scores.filter(metric=found.metric) if several else scores).to_dicts():
        if row["mean"] is not None:
            told = f"{row['low']:.3f} to {row['high']:.3f}" if row["low"] is not None else ""
            numbers.append((before + words(row["metric"]), written(row["mean"]), told))
    for row in found.lift.filter(model=subject.label, metric=found.metric).to_dicts() if found.lift.height else []:
        if row["difference"] is not None and row["low"] is not None:
            told = f"{row['low']:+.3f} to {row['high']:+.3f}"
            name = f"{before}graph lift in {words(found.metric)}"
            numbers.append((name, f"{row['difference']:+.3f}", told + LESS * (found.metric in LOWER_IS_BETTER)))
    for row in found.calibration.filter(model=subject.label).to_dicts() if found.calibration.height else []:
        told = f"temperature {row['temperature']:.2f}" if row["temperature"] is not None else ""
        numbers.append((f"{before}calibration error", written(row["calibration_error"]), told))
    return numbers
