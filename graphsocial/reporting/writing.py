"""Write the report about a run or a dataset as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from graphsocial import runs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.reporting import analyses, card, data, explained, groups, inner, network, results
from graphsocial.reporting.embeddings import trace_test_examples
from graphsocial.reporting.page import Page, Section, format_value, import_package, metric_title
from graphsocial.reporting.subject import Subject, subjects
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.beside import file_name
from graphsocial.types import Progress

LOWER_BETTER = "; lower is better"
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
    """Write one self-contained HTML file with charts and tables about a run, or about a dataset.

    The page of a run has its scores and its model card. Both kinds of pages include the analyses of the dataset that
    are in the store.

    Args:
        store: the store of the run or the dataset.
        run: a run, its id, a prefix of it, or `latest`; the seeds of its configuration are pooled. None for a page
            about a dataset.
        dataset: name of the dataset of a page without a run; required where the store holds several.
        output: the file; `<run>.html` or `<dataset>.html` in the current folder by default.
        against: other runs, configurations or models of the same task to compare with, as in `compare`.
        by: SQL expressions to group by, beside the columns of the endpoints, as in `compare`.
        inside: rebuild the network to show embeddings, gates and attention, which reads the run's weights and the
            whole graph.
        samples: number of bootstrap samples.
        progress: called with the name of the step, steps done and steps in all.

    Returns:
        The path of the file.

    Raises:
        PackageError: the packages of the extra `report` are not installed.
        DataError: the run has no labelled test predictions.
        InputError: the run is not done, a run of `against` has another task, `against` or `by` are given without a
            run, or both a run and a dataset are given.
    """
    for name in ("altair", "vl_convert"):
        import_package(name)
    report_progress = progress or (lambda what, done, of: None)
    if run is None:
        if against or by:
            raise InputError("`against` and `by` are for reports about a run; name one.")
        dataset = store.dataset(dataset)
        path = _file(output, dataset)
        report_progress("writing", 0, 1)
        return _write(path, data.page(store, dataset))
    if dataset is not None:
        raise InputError("A run already has a dataset; give either `run` or `dataset`.")
    run = runs.load(store, run) if isinstance(run, str) else run
    if run.status != "done":
        raise InputError(f"The run '{run.id}' is not done; resume it with the `train` command that started it.")
    path = _file(output, run.id)
    report_progress("comparing", 0, 3)
    targets = subjects(store, run, against=against, by=by, samples=samples)
    report_progress("tracing the network", 1, 3)
    sections: list[Section] = []
    traces = trace_test_examples(store, run) if inside else None
    for subject in targets:
        of_target = [section for make in SECTIONS if (section := make(subject))]
        of_target += [section] if traces is not None and (section := inner.embeddings(subject, traces)) else []
        sections += of_target if len(targets) == 1 else [_with_target(section, subject) for section in of_target]
    learning = results.learning(targets[0])  # the same curves for all targets
    sections[1:1] = [learning] if learning else []
    if traces is not None:
        sections += [section for section in (inner.gates(targets[0], traces), inner.attention(traces)) if section]
    sections += analyses.sections(store, run.dataset, run)
    sections.append(card.card(targets[0]))
    report_progress("writing", 2, 3)
    return _write(path, _page(targets, sections))


def _file(output: Path | str | None, name: str) -> Path:
    path = Path(f"{file_name(name)}.html" if output is None else output)
    if not path.parent.is_dir():
        raise MissingFileError(f"There is no folder '{path.parent}' for the report.")
    return path


def _write(path: Path, page: Page) -> Path:
    """Write the page to a temporary file and rename it, so that an interruption leaves no incomplete file."""
    html = page.html()
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(path)
    return path


def _with_target(section: Section, subject: Subject) -> Section:
    return replace(section, title=f"{section.title}: {subject.examples.target}")


def _page(targets: Sequence[Subject], sections: Sequence[Section]) -> Page:
    first = targets[0]
    record = first.record
    figures = [figure for subject in targets for figure in _key_figures(subject, several=len(targets) > 1)]
    finished = f", trained {record['finished_at']:%-d %B %Y}" if record["finished_at"] else ""
    return Page(
        title=f"{first.run.model} on {first.run.dataset}",
        subtitle=f"{first.run.task}, split {record['split']}, run {first.run.id}{finished}",
        key_figures=figures,
        notes=list(dict.fromkeys(note for subject in targets for note in subject.comparison.notes)),
        sections=sections,
    )


def _key_figures(subject: Subject, *, several: bool) -> list[tuple[str, str, str]]:
    """Scores and graph lift with their confidence intervals, and the calibration error."""
    comparison = subject.comparison
    prefix = f"{subject.examples.target}: " if several else ""
    figures = []
    scores = comparison.scores.filter(model=subject.label)
    for row in (scores.filter(metric=comparison.metric) if several else scores).to_dicts():
        if row["mean"] is not None:
            bounds = f"{row['low']:.3f} to {row['high']:.3f}" if row["low"] is not None else ""
            figures.append((prefix + metric_title(row["metric"]), format_value(row["mean"]), bounds))
    lift = comparison.lift
    for row in lift.filter(model=subject.label, metric=comparison.metric).to_dicts() if lift.height else []:
        if row["difference"] is not None and row["low"] is not None:
            bounds = f"{row['low']:+.3f} to {row['high']:+.3f}"
            bounds += LOWER_BETTER * (comparison.metric in LOWER_IS_BETTER)
            figures.append(
                (f"{prefix}graph lift in {metric_title(comparison.metric)}", f"{row['difference']:+.3f}", bounds)
            )
    calibration = comparison.calibration
    for row in calibration.filter(model=subject.label).to_dicts() if calibration.height else []:
        remark = f"temperature {row['temperature']:.2f}" if row["temperature"] is not None else ""
        figures.append((f"{prefix}calibration error", format_value(row["calibration_error"]), remark))
    return figures
