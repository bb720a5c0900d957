"""Package data: the tables of the store, file by file, label SQL of the tasks, contracts of the datasets."""

from importlib.resources import files


def text(*parts: str) -> str:
    """The text of a file below this folder, e.g. `text("tasks", "edge_emotion.sql")`."""
    return files(__name__).joinpath(*parts).read_text(encoding="utf-8")


def names(folder: str, ending: str) -> list[str]:
    """The sorted file names with that ending in one folder."""
    return sorted(entry.name for entry in files(__name__).joinpath(folder).iterdir() if entry.name.endswith(ending))
