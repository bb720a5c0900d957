"""Time of a training epoch of each model on one thread and on all: TMSAM's acceleration (Fig. 10, eq. 14)."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from time import perf_counter
from typing import Any

import torch

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.nn.losses import objectives
from graphsocial.plugins import resolve
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import make_loader, prepare
from graphsocial.training.loop import begin, one_epoch
from graphsocial.types import Progress

BENCHMARKS = ("acceleration",)
PUBLISHED = {"msa": 0.73, "absa": 0.94, "lstm": 1.17, "tmsam": 1.61}
"""TMSAM's Fig. 10: model → S."""


@dataclass(frozen=True)
class Acceleration:
    """Acceleration of the training epochs of one model by multithreading.

    Attributes:
        model: name of the model.
        examples: number of training examples.
        parameters: number of parameters of the network.
        threads: number of threads of the parallel epochs.
        serial_seconds: median seconds of an epoch on one thread.
        parallel_seconds: median seconds of an epoch on all threads.
        ratio: S of eq. 14: serial_seconds / parallel_seconds.
        examples_per_second: training examples per second on all threads.
        published: the paper's S of this model, of a GPU over a CPU.
    """

    model: str
    examples: int
    parameters: int
    threads: int
    serial_seconds: float
    parallel_seconds: float
    ratio: float
    examples_per_second: float
    published: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
        return asdict(self)


def benchmark(
    store: GraphStore,
    what: str,
    task: str = "dialogue-emotion",
    *,
    models: Sequence[str] = (),
    dataset: str | None = None,
    split: str | SplitPolicy | None = None,
    features: Mapping[str, str | None] | None = None,
    as_of: datetime | str | None = None,
    settings: Mapping[str, object] | None = None,
    rounds: int = 3,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Acceleration]:
    r"""Time training epochs of several models on the same data; only features and the split are written.

    .. math:: S = T_{serial} / T_{parallel}

    The paper's S is the ratio of the time of an epoch on a CPU to that on a GPU; ours is the ratio of one thread to
    all. Both are measured alternately after one untimed epoch each, so that other load on the machine slows both.

    Args:
        store: the store of the data.
        what: name of the benchmark: `acceleration`.
        task: name of the task.
        models: names of models; the task's default and its trained baselines by default.
        dataset: name of the dataset; required where the store holds several.
        split: split policy; the task's by default.
        features: `type.column` → encoder, as `train` takes them.
        as_of: rows and edges until this time only.
        settings: settings for the models that have them.
        rounds: number of timed epochs on one and on all threads, whose medians are compared; at least 1.
        threads: number of threads of the parallel epochs, at least 2; all cores by default.
        progress: called with the name of the step, rounds done and rounds in all.

    Raises:
        UnknownNameError: no benchmark has that name.
        InputError: fewer than two threads, no round, or a given model that is not trained.
    """
    if what not in BENCHMARKS:
        raise UnknownNameError.of("benchmark", what, BENCHMARKS)
    threads = threads or os.cpu_count() or 1
    if threads < 2 or rounds < 1:
        raise InputError(f"{threads} threads and {rounds} rounds cannot be compared; give at least 2 and 1.")
    kind: Any = resolve("task", task)
    names = tuple(models) or (kind.default_model, *kind.baselines)

    def config_of(model: str, settings: Mapping[str, object] | None = None) -> RunConfig:
        options = TrainOptions(
            model=model, dataset=dataset, split=split, features=features, as_of=as_of, settings=settings
        )
        return design(store, task, options)

    results = []
    for model, model_settings in _settings_by_model({name: config_of(name) for name in names}, settings or {}).items():
        config = config_of(model, model_settings)
        epoch, examples, parameters = _epoch(store, config, progress)
        if parameters:
            results.append(_compare(config.model_name, epoch, examples, parameters, rounds, threads, progress))
        elif models:
            raise InputError(f"'{model}' is not trained; name models that are.")
    return results


def _settings_by_model(
    configs: Mapping[str, RunConfig], settings: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Model → those settings that exist in its run configuration.

    Raises:
        UnknownNameError: a setting that no configuration has.
    """
    setting_names = {model: _setting_names(config) for model, config in configs.items()}
    for name in settings:
        if not any(name.rpartition(".")[2] in names for names in setting_names.values()):
            raise UnknownNameError.of("setting", name, set().union(*setting_names.values()))
    return {
        model: {name: value for name, value in settings.items() if name.rpartition(".")[2] in names}
        for model, names in setting_names.items()
    }


def _setting_names(config: RunConfig) -> set[str]:
    """The names of all settings of a run configuration."""
    parts: tuple[Any, ...] = (
        config.task,
        config.model,
        config.fitting,
        config.visibility,
        config.split,
    )
    return {entry.name for part in parts for entry in fields(part)}


def _epoch(store: GraphStore, config: RunConfig, progress: Progress | None) -> tuple[Callable[[], None], int, int]:
    """A function that trains one epoch, the number of its examples, and the number of the network's parameters."""
    data = prepare(store, config, progress=progress)
    graph, train = data.graph, data.examples("train")
    torch.manual_seed(config.seed)
    network = config.model.build(graph, train, seed=config.seed)
    state = begin(network, config.fitting, len(train))
    loader, parts = make_loader(config, data), objectives(graph, train)

    def epoch() -> None:
        for _ in one_epoch(state, loader, train, parts, config.fitting):
            pass

    return epoch, len(train), sum(part.numel() for part in network.parameters())


def _compare(
    model: str,
    epoch: Callable[[], None],
    examples: int,
    parameters: int,
    rounds: int,
    threads: int,
    progress: Progress | None,
) -> Acceleration:
    """Time epochs alternately on one thread and on all; the first round is not counted."""
    seconds: dict[int, list[float]] = {1: [], threads: []}
    for round_index in range(rounds + 1):
        for count, times in seconds.items():
            if progress:
                progress(f"timing {model}", round_index, rounds + 1)
            with _threads(count):
                start = perf_counter()
                epoch()
                times.append(perf_counter() - start)
    serial, parallel = (statistics.median(times[1:]) for times in seconds.values())
    return Acceleration(
        model,
        examples,
        parameters,
        threads,
        serial,
        parallel,
        serial / parallel,
        examples / parallel,
        PUBLISHED.get(model),
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of torch threads within a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
