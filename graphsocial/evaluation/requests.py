"""Checks of the names in a request to train: they answer at once, before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.features.encoders import named_encoder
from graphsocial.plugins import configure, names, plain
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.tasks import entity_of, task_class
from graphsocial.types import EdgeType, NodeType


def check_request(
    store: GraphStore,
    task: str,
    *,
    model: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    features: Mapping[str, str | None] | None = None,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Check task, columns, model, encoders and split of a training; settings of the model are checked by `design`.

    Args:
        store: the store with the data.
        task: a registered name, or a file.
        model: a registered name, or a file; None for the task's.
        dataset: the dataset's name; None for the only one.
        split: a split policy; None for the default.
        features: column → encoder, None to leave it out.
        settings: settings of the task and of other parts.

    Raises:
        UnknownNameError, MissingFileError, InputError, DataError: a name does not exist, or does not fit.
    """
    kind = task_class(task)
    if model is not None and not model.endswith(".py") and plain(model) not in names("model"):
        raise UnknownNameError.of("model", model, names("model"), listing="graphsocial list models")
    name = store.dataset(dataset)
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # tasks are dataclasses
    given = {key.removeprefix("task."): value for key, value in (settings or {}).items()}
    configured = configure(kind, {key: value for key, value in given.items() if key in own})
    entity = entity_of(configured.resolved(store, name), store.schema_of(name))
    if split is not None:
        check_split(configure(SplitPolicy, {"policy": split}), entity, store)
    for spec in (features or {}).values():
        for part in Spec.parse_all(spec) if spec is not None and not spec.startswith("to=") else ():
            if plain(part.name) in names("featurizer") or ":" not in part.text:
                named_encoder(str(Spec(part.text)))


def check_split(policy: SplitPolicy, entity: NodeType | EdgeType, store: GraphStore) -> None:
    """Check that a split's column or folder exists, and that it is one for nodes or for pairs.

    Args:
        policy: the policy.
        entity: the node or edge type of the examples.
        store: the store, for the endpoints of an edge type.

    Raises:
        InputError, UnknownNameError, MissingFileError: it does not fit.
    """
    if policy.policy in ("source", "destination") and isinstance(entity, NodeType):
        raise InputError(f"Nodes have no {policy.policy}; split them by another policy, such as group:COLUMN.")
    if policy.folder is not None and not policy.folder.is_dir():
        raise MissingFileError(f"There is no folder '{policy.folder}' with split files.")
    if policy.column is not None:
        split_column(policy.column, entity, store)


def split_column(name: str, entity: NodeType | EdgeType, store: GraphStore) -> tuple[NodeType | EdgeType, str, str]:
    """The type that has a split's column, the column, and which of its rows an example reads: `idx`, `src` or `dst`.

    A column of an endpoint is written `source.COLUMN` or `destination.COLUMN`.

    Args:
        name: the column, as in `group:COLUMN`.
        entity: the node or edge type of the examples.
        store: the store, for the endpoints of an edge type.

    Raises:
        UnknownNameError: there is no such column.
    """
    owner, key, column = entity, "idx", name
    end, _, rest = name.partition(".")
    if isinstance(entity, EdgeType) and end in ("source", "destination"):
        owner = store.schema.node(entity.src if end == "source" else entity.dst)
        key, column = ("src" if end == "source" else "dst"), rest
    known = [entry.name for entry in owner.columns]
    if column not in known and not (owner != entity and column == "id"):
        ends = [f"{end}.{entry.name}" for end, node in _ends(entity, store) for entry in node.columns]
        raise UnknownNameError.of(f"column of '{owner}'", column, [*known, *ends], listing="graphsocial info")
    return owner, key, column


def _ends(entity: NodeType | EdgeType, store: GraphStore) -> list[tuple[str, NodeType]]:
    if isinstance(entity, NodeType):
        return []
    return [("source", store.schema.node(entity.src)), ("destination", store.schema.node(entity.dst))]
