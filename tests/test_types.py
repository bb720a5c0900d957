import pytest

from graphsocial.errors import GraphSocialError, InputError, UnknownNameError
from graphsocial.types import SQL_TYPES, Column, EdgeType, GraphSchema, NodeType, Target


@pytest.mark.parametrize("name", ["", "User", "1st", "a b", "a-b", "é", "x" * 49, 'a"; drop table runs; --'])
def test_names_that_are_not_identifiers_are_refused(name: str) -> None:
    for make in (
        lambda: Column(name, "text"),
        lambda: NodeType(name),
        lambda: EdgeType("user", name, "image"),
        lambda: EdgeType(name, "views", "image"),
        lambda: Target(name),
    ):
        with pytest.raises(InputError, match="cannot name"):
            make()


@pytest.mark.parametrize("name", ["idx", "id", "src", "dst", "dataset"])
def test_columns_that_every_table_has_cannot_be_declared(name: str) -> None:
    with pytest.raises(InputError, match="every table has"):
        Column(name, "text")


@pytest.mark.parametrize("kind", list(SQL_TYPES))
def test_every_kind_has_a_type_in_the_store(kind: str) -> None:
    assert Column("x", kind).sql_type == SQL_TYPES[kind]  # type: ignore[arg-type]


def test_unknown_kinds_and_roles_say_what_is_known() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'number'\?.*Known: audio, boolean"):
        Column("x", "numbr")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"Known: feature, label, reference"):
        Column("x", "text", "answer")  # type: ignore[arg-type]


def test_columns_are_named_once_and_times_are_timestamps() -> None:
    with pytest.raises(InputError, match=r"has the column 'a' twice"):
        NodeType("user", (Column("a", "text"), Column("a", "number")))
    with pytest.raises(InputError, match=r"'user views image' says its time is 'at'"):
        EdgeType("user", "views", "image", time="at")
    with pytest.raises(InputError, match=r"no timestamp column"):
        NodeType("user", (Column("at", "text"),), time="at")
    assert NodeType("user", (Column("at", "timestamp"),), time="at").time == "at"


def test_types_know_their_tables_and_words() -> None:
    edge = EdgeType("user", "views", "image")
    assert (edge.table, str(edge), edge.canonical) == (
        "edge_user_views_image",
        "user views image",
        ("user", "views", "image"),
    )
    assert (NodeType("user").table, str(NodeType("user"))) == ("node_user", "user")


def test_a_schema_needs_the_ends_of_its_edges_and_each_table_once() -> None:
    user, image = NodeType("user"), NodeType("image")
    with pytest.raises(InputError, match=r"needs a node type 'image'"):
        GraphSchema((user,), (EdgeType("user", "views", "image"),))
    with pytest.raises(InputError, match=r"'node_user' twice"):
        GraphSchema((user, user))
    with pytest.raises(InputError, match=r"'edge_a_b_c_d' twice"):  # two types, one table name
        GraphSchema(
            (NodeType("a"), NodeType("a_b"), NodeType("c_d"), NodeType("d")),
            (EdgeType("a", "b", "c_d"), EdgeType("a_b", "c", "d")),
        )
    schema = GraphSchema((user, image), (EdgeType("user", "views", "image"),))
    assert [str(entry) for entry in schema.types] == ["user", "image", "user views image"]
    assert schema.node("user") == user and schema.edge("user views image").dst == "image"
    assert schema and not GraphSchema()
    with pytest.raises(UnknownNameError, match=r"Did you mean 'user'\?"):
        schema.node("usr")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'user views image'\?"):
        schema.edge("user view image")


def test_a_target_names_each_class_once() -> None:
    with pytest.raises(InputError, match="twice"):
        Target("emotion", classes=("awe", "awe"))


def test_errors_are_both_ours_and_builtin() -> None:
    error = UnknownNameError.of("source", "iens", ["table", "iesn"])
    assert isinstance(error, GraphSocialError) and isinstance(error, LookupError)
    assert str(error) == "No source is called 'iens'. Did you mean 'iesn'? Known: iesn, table."
    many = [f"run-{number:02}" for number in range(40)]
    message = str(UnknownNameError.of("run", "run-411", many, listing="graphsocial runs"))
    assert message.startswith("No run is called 'run-411'. Did you mean 'run-")
    assert message.endswith("? 40 are known; 'graphsocial runs' lists them.") and message.count("run-") == 4
    message = str(UnknownNameError.of("run", "zzz", many))
    assert message == "No run is called 'zzz'. 40 are known, such as run-00, run-01, run-02."
    assert str(UnknownNameError.of("source", "qqqq", [])) == "No source is called 'qqqq'. Known: none yet."
