"""Modules and parameters by the data's own names, which may be those of torch's attributes: `items`, `keys`, `type`."""

from __future__ import annotations

from torch import nn


def free_name(name: str) -> str:
    """A name that torch's dictionaries take: the same, unless it is that of one of their attributes.

    >>> free_name("user"), free_name("items")
    ('user', 'items_')
    """
    return f"{name}_" if hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name) else name


class NamedModules(nn.ModuleDict):
    """A `torch.nn.ModuleDict` with any names."""

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(free_name(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(free_name(key), module)

    def __contains__(self, key: str) -> bool:
        return super().__contains__(free_name(key))


class NamedParameters(nn.ParameterDict):
    """A `torch.nn.ParameterDict` with any names."""

    def __getitem__(self, key: str) -> nn.Parameter:
        return super().__getitem__(free_name(key))  # type: ignore[no-any-return]  # torch types it as Any

    def __setitem__(self, key: str, value: nn.Parameter) -> None:
        super().__setitem__(free_name(key), value)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(free_name(key))
