"""What others write in one file of their own works through the commands, and its mistakes end in a sentence."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import graphsocial as gs
from graphsocial import extending
from graphsocial.cli.main import app, main
from graphsocial.errors import GraphSocialError
from graphsocial.ingestion.contract import check_plan

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("source", "featurizer", "task", "model")
MESSAGES = 120
make_forum = runpy.run_path(str(ROOT / "examples" / "make_forum.py"))["make_forum"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples and a forum; commands run in it."""
    make_forum(tmp_path / "forum", MESSAGES)
    for kind in KINDS:
        shutil.copy(ROOT / "examples" / f"custom_{kind}.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def forum(home: Path) -> Path:
    """The same with the forum in a store."""
    with gs.open("graphsocial.duckdb") as store:
        gs.ingest(store, "./custom_source.py", "forum")
    return home


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    return re.findall(r"^\$ graphsocial (.*)$", "\n".join(blocks), flags=re.MULTILINE)


def run(command: str) -> str:
    done = CliRunner().invoke(app, shlex.split(command))
    assert done.exit_code == 0, (command, done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_imports_nothing_but_extending(kind: str) -> None:
    imported = re.findall(
        r"^(?:from|import) (graphsocial\S*)", (ROOT / "examples" / f"custom_{kind}.py").read_text(), re.M
    )
    assert imported == ["graphsocial.extending"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_shows_the_example_as_it_is(kind: str) -> None:
    (shown,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / f"extending_{kind}s.md").read_text(), flags=re.DOTALL
    )
    assert shown == (ROOT / "examples" / f"custom_{kind}.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_a_page_run(kind: str, forum: Path) -> None:
    for command in commands(f"extending_{kind}s.md"):
        assert run(command), command


def test_the_examples_work_on_one_another(home: Path) -> None:
    *before, last = commands("extending.md")
    for command in before:
        run(command)
    assert len(run(last).splitlines()) == 1 + 5  # a header and five rows
    with gs.open("graphsocial.duckdb", read_only=True) as store:
        columns = store.sql("describe custom_task_predictions").fetchall()
        assert [name for name, *_ in columns] == [
            *("run_id", "dataset", "node", "message_id", "votes", "lower", "upper"),
            *("reception", "confidence", "probabilities", "split", "true_votes", "true_reception", "created_at"),
        ]
        (counts,) = store.sql(
            "select count(*), count(distinct run_id), count(*) filter (p.votes is null or reception is null), "
            "count(*) filter ((true_votes >= 3) <> (true_reception = 'liked')) from custom_task_predictions as p "
            "join node_message on message_id = id"
        ).fetchall()
        assert counts[0] > 30 and counts[1:] == (2, 0, 0)


def test_the_page_makes_the_forum(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its commands before the first of graphsocial copy the files and write the forum that the tests read."""
    page = (ROOT / "docs" / "extending.md").read_text()
    copied, made = re.findall(r"^\$ ((?:cp|python) .*)$", page, flags=re.MULTILINE)
    folder = tmp_path_factory.mktemp("own")
    subprocess.run(copied.replace("REPOSITORY", shlex.quote(str(ROOT))), shell=True, check=True, cwd=folder)
    subprocess.run([sys.executable, *shlex.split(made)[1:]], check=True, cwd=folder)
    assert (folder / "forum" / "messages.csv").read_text() == (home / "forum" / "messages.csv").read_text()
    assert {path.name for path in home.glob("custom_*.py")} <= {path.name for path in folder.iterdir()}


def test_all_names_are_there_and_documented() -> None:
    for name in extending.__all__:
        value = getattr(extending, name)
        assert name in dir(extending)
        if callable(value) and hasattr(value, "__module__") and value.__module__.startswith("graphsocial"):
            assert value.__doc__, name
    with pytest.raises(AttributeError, match="has no 'NodeTsak'"):
        extending.NodeTsak  # noqa: B018 - the access is the test


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    text = (ROOT / "graphsocial" / "extending.py").read_text()
    assert sorted(re.findall(r"^    from graphsocial\S* import \w+ as (\w+)$", text, re.M)) == sorted(extending.__all__)


def test_only_the_names_of_models_load_torch() -> None:
    code = (
        "import sys, graphsocial.extending as e\n"
        "from graphsocial.extending import NodeTask, Target, Encoded, Plan, Findings, digest, GraphStore\n"
        "print('torch' in sys.modules, e.Network and 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


TASK = """
from __future__ import annotations
from dataclasses import dataclass, replace
import numpy as np
import polars as pl
from graphsocial.extending import Column, Context, EdgeTask, Labels, NodeTask, Target

@dataclass(frozen=True)
class Mistake(NodeTask):
    node = "message"
    targets = (Target("votes", "regression"),)
    {line}

    def labels(self, store, dataset, *, as_of=None):
        labels = super().labels(store, dataset, as_of=as_of)
        {body}
        return labels
"""
MOOD = "Target('mood', classes=('a', 'b'))"
MISTAKES = {  # what the author writes in labels() → the sentence
    "return 3": r"Mistake\.labels\(\) returned a value of type int; it must return Labels",
    "labels.target_labels['votes'] = np.zeros(100)": r"the labels 'votes' for 100 of 120 examples; it takes one each",
    "labels = replace(labels, src=np.zeros(120, int))": r"120 rows for 1 different examples: idx 0 is in it 120 times",
    "labels = replace(labels, src=labels.src + 7)": r"7 src that are no 'message' of 'forum', such as 120; .* 0 to 119",
    "labels = replace(labels, src=labels.src[::-1])": r"is not sorted; sort its rows by idx",
    "labels = replace(labels, src=list(labels.src))": r"gave src as a value of type list; it takes \(P,\) int64",
    "labels = replace(labels, dst=labels.src)": r"about 'message' and takes dst=None",
    "labels = replace(labels, target_labels={})": r"gave labels of none and the targets 'votes'",
    f"labels = replace(labels, targets=({MOOD},), target_labels={{'mood': np.full(120, 2)}})": (
        r"the labels 'mood' the code 2; with the 2 classes 'a', 'b' codes are 0 to 1, and -1"
    ),
    f"labels = replace(labels, targets=({MOOD},), target_labels={{'mood': np.full(120, 'a')}})": (
        r"the labels 'mood' as <U1 \(120,\); it takes \(P,\) int64 codes"
    ),
    "labels = replace(labels, targets=(Target('mood', classes=('a',)),), target_labels={'mood': np.zeros(120, int)})": (
        r"the target 'mood' 1 classes; it takes two or more"
    ),
    "labels.target_labels['votes'][0] = np.inf": r"the labels 'votes' 1 infinite numbers; NaN stands for no label",
    "labels.target_labels['votes'][:] = np.nan": r"has 120 examples, and a label for none of them",
    "labels = replace(labels, times=labels.times.astype('datetime64[D]'))": r"times as datetime64\[D\] \(120,\);",
    "labels = replace(labels, times=labels.times[:5])": r"gave 5 times for 120 examples",
    "labels = replace(labels, label_time=labels.times - np.timedelta64(1, 'h'))": (
        r"120 label_time that are before the time of their example, such as row 0: 2024-01-01T07:00"
    ),
    "labels = replace(labels, times=None, label_time=labels.times)": r"gave label_time without times",
    "labels = replace(labels, context=Context((Column('a', 'number'),), pl.DataFrame({'a': [1.0]})))": (
        r"a context of 1 rows for 120 examples"
    ),
    "labels = replace(labels, context=Context((Column('a', 'number'),), pl.DataFrame({'b': [1.0] * 120})))": (
        r"the rows' columns \['b'\] and declared \['a'\]"
    ),
    "labels = replace(labels, target_labels=None)": r"gave target_labels as None; it takes a dict",
    "labels = replace(labels, targets=None)": r"gave targets as None; it takes a tuple of Target",
    "labels = replace(labels, targets=('votes',))": r"gave targets as \('votes',\); it takes a tuple of Target",
    "labels = replace(labels, src=labels.src.astype('uint64'))": r"gave src as uint64 \(120,\); it takes \(P,\) int64",
    "labels = replace(labels, targets=(Target('likes', 'regression'),), "
    "target_labels={'likes': labels.target_labels['votes']})": (
        r"gave the target 'likes' \(regression\), and Mistake\.targets has 'votes \(regression\)'"
    ),
    "labels = replace(labels, context=Context((Column('a', 'number'),), {'a': [1.0] * 120}))": (
        r"a context's rows as a value of type dict; they are a polars DataFrame"
    ),
    "labels = replace(labels, context=Context((Column('a', 'number'),), pl.DataFrame({'a': ['x'] * 120})))": (
        r"the context's column 'a', a number, as String"
    ),
    "labels = replace(labels, context=Context((Column('a', 'number'),), pl.DataFrame({'a': [np.inf] * 120})))": (
        r"the context's column 'a' 120 infinite numbers"
    ),
    "labels = replace(labels, context=Context((Column('p', 'number'),), pl.DataFrame({'p': [1] * 120}), {'x': 'p'}))": (
        r"the context's part 'x' as 'p'; it is a tuple of columns"
    ),
    "labels = labels.target_labels['mood']": r"mistake\.py, line 16: Mistake\.labels\(\) raised KeyError\('mood'\)",
}


@pytest.mark.parametrize("body", MISTAKES)
def test_a_mistake_in_what_a_task_returns_is_a_sentence(body: str, forum: Path) -> None:
    (forum / "mistake.py").write_text(TASK.format(line="", body=body))
    with gs.open("graphsocial.duckdb") as store, pytest.raises(GraphSocialError, match=MISTAKES[body]):
        gs.train(store, "./mistake.py", model="majority")


def test_labels_of_nodes_that_do_not_exist_yet_are_refused(forum: Path) -> None:
    (forum / "mistake.py").write_text(TASK.format(line="", body="labels = super().labels(store, dataset)"))
    sentence = r"names 59 'message' nodes that did not exist as of 2024-04-01, such as idx 61; read them from \$rows"
    with gs.open("graphsocial.duckdb") as store, pytest.raises(GraphSocialError, match=sentence):
        gs.train(store, "./mistake.py", model="majority", as_of="2024-04-01T12:00:00Z")


DECLARATIONS = {  # a line of the class → the sentence
    "node = 'post'": r"No node type is called 'post'.* Known: member, message",
    "targets = (Target('votes', 'regression'))": r"Mistake\.targets is Target.*write a tuple of Target, with a comma",
    "targets: tuple = (Target('votes', 'regression'),)": r"annotates 'targets', which makes a setting of it",
    "targets = (Target('split'),)": r"a target 'split' like a column that every predictions view has",
    "targets = (Target('mood'),)": r"column of 'message' is called 'mood'",
    "targets = (Target('text', 'regression'),)": r"target 'text' is a number, and its column holds (large_)?string",
    "baselines = 'majority'": r"Mistake\.baselines is 'majority'; write a tuple of str",
    "sql = 'select idx, votes from $row'": r"label SQL of Mistake: No \$name is called 'row'\. Did you mean 'rows'",
    "sql = 'select idx, text from $rows'": r"selects no column 'votes', which its targets name; it selects idx, text",
    "sql = 'select votes from $rows'": r"selects no column 'idx'; it selects votes",
    "sql = 'select idx, vote from $rows'": r"label SQL of Mistake does not run on 'message': .*\"vote\" not found",
    "sql = 'select idx, 1 as votes from $rows'": r"nothing to learn about 'votes' of 'message' of 'forum': all 120",
    "sql = 'labels.sql'": r"reads its label SQL from '.*labels\.sql', and there is no such file",
    "name = 'latest'": r"'latest' cannot name a task: the view 'latest_predictions' is taken",
    "name = 'popularity'": r"'popularity' cannot name a task: the view 'popularity_predictions' is taken",
    "name = 'My task'": r"Mistake is called 'My task'; write lower-case words joined by -",
    "targets = None": r"Mistake\.targets is None; write a tuple of Target",
    "targets = ('votes',)": r"Mistake\.targets is \('votes',\); write a tuple of Target",
    "targets = (Target('votes', 'regression', weight='1'),)": r"'votes' has the weight '1'; it is a number, 0 or more",
    "targets = (Target('votes', 'regression', weight=float('nan')),)": r"'votes' has the weight nan",
    "targets = (Target('mood', classes=(1, 2)),)": r"'mood' has the classes \(1, 2\); write a tuple of names",
    "id_columns = ('a', 'b')": r"id_columns names 2 columns; the id of nodes has 1",
    "id_columns = ('votes',)": r"id_columns has 'votes', which another column is called",
    "sql = 'select null::bigint as idx, votes from $rows'": r"selects 120 rows without 'idx'",
    "sql = 'select idx, votes, 3 as time from $rows'": r"selects 'time' as int32; it takes a time",
    "targets = (Target('votes', 'regression', (), 'log1p'),); sql = 'select idx, votes - 99 as votes from $rows'": (
        r"'votes' of 'message' of 'forum' is -\d+ somewhere, which has no log\(1 \+ x\)"
    ),
    "sql = 'select idx::varchar as idx, votes from $rows'": r"selects 'idx' as (large_)?string; it takes the",
    "sql = 'select idx::double as idx, votes from $rows'": r"selects 'idx' as double; it takes the store's idx",
    "sql = 'select idx, text::integer as votes from $rows'": r"fails on 'message': Conversion Error: .*INT32",
    "time: int = 3": r"setting 'time' is called like \$time of the label SQL",
    "baselines = ('majorty',)": r"Mistake\.baselines: No model is called 'majorty'\. Did you mean 'majority'",
    "entity = lambda self, schema: None": r"Mistake\.entity\(\) returned None; it must return one of the schema's node",
    "values = lambda self, entity: None": r"Mistake\.values\(\) returned None; it must return a dict",
    "target_labels = lambda self, rows, entity, dataset: None": r"Mistake\.target_labels\(\) returned .*NoneType",
    "import sys; sys.exit(3)": r"cannot be imported: SystemExit\(3\) \(line \d+\)",
    "default_model = 'custom_modle'": r"No model is called 'custom_modle'",
}


@pytest.mark.parametrize("line", DECLARATIONS)
def test_a_mistake_in_a_declaration_is_a_sentence(line: str, forum: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (forum / "mistake.py").write_text(TASK.format(line=line, body="pass"))
    model = () if "default_model" in line else ("--model", "majority")
    assert main(["--quiet", "train", "./mistake.py", *model]) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert re.search(DECLARATIONS[line], message), message


CLASSES = {  # a whole file → the sentence
    "class Mistake: pass": r"Mistake in '\./mistake\.py' is not a dataclass; write @dataclass\(frozen=True\) above it",
    "class Other: pass": r"'\./mistake\.py' has no class 'Mistake', which its name requires; it has: Other",
    "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mistake:\n    pass": r"KIND",
    "import this_is_not_there": r"cannot be imported: ModuleNotFoundError.* \(line 1\)",
    "from dataclasses import dataclass\n@dataclass\nclass Mistake:\n    x: int = 1": r"Mistake in .* can be changed",
    "class Mistake(:": r"cannot be imported: SyntaxError.* \(line 1\)",
}
LACKING = {
    "source": r"Mistake in '\./mistake\.py' has no plan, which every source has",
    "featurizer": r"has no modalities and no requires and no fingerprint and no encode and no dimension",
    "task": r"Mistake is not a task; write `class Mistake\(NodeTask\)` or `\(EdgeTask\)`",
    "model": r"Mistake in '\./mistake\.py' is no model; write `class Mistake\(Model\)`",
}
DOORS = {
    "source": "ingest ./mistake.py forum",
    "featurizer": "featurize message.text --encoder ./mistake.py",
    "task": "train ./mistake.py",
    "model": "train ./custom_task.py --model ./mistake.py",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", CLASSES)
def test_a_file_that_holds_something_else_is_a_sentence(
    text: str, kind: str, forum: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (forum / "mistake.py").write_text(text)
    assert main(["--quiet", *shlex.split(DOORS[kind])]) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert re.search(CLASSES[text].replace("KIND", LACKING[kind]), message), message


MODEL = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn
from graphsocial.extending import Model, Network

@dataclass(frozen=True)
class Mistake(Model):
    {line}

    def build(self, graph, train, *, seed):
        return MistakeNetwork(graph)

class MistakeNetwork(Network):
    def __init__(self, graph):
        {start}
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, graph, batch):
        count = len(batch.examples)
        outputs = {{"reception": self.weight.expand(count, 2), "votes": self.weight[:1].expand(count)}}
        {body}
        return outputs
"""
NETWORKS = {
    "outputs = outputs['reception']": r"MistakeNetwork returned a tensor of shape \(\d+, 2\).*must return a dict",
    "del outputs['votes']": r"MistakeNetwork returned nothing for the target 'votes'",
    "outputs['likes'] = outputs.pop('votes')": r"returned (nothing for the target 'votes'|the unknown target 'likes')",
    "outputs['votes'] = outputs['votes'][:, None]": r"shape \(\d+, 1\) .* for the target 'votes'; it must.*\(\d+,\)",
    "outputs['reception'] = outputs['reception'].argmax(1)": (
        r"type int64 for the target 'reception'.*\(examples, classes\)"
    ),
    "outputs = outputs['mood']": r"mistake\.py, line 23: MistakeNetwork\.forward\(\) raised KeyError\('mood'\)",
    "outputs = {name: torch.zeros_like(part) for name, part in outputs.items()}": r"do not depend on its",
    "import sys; sys.exit(3)": r"MistakeNetwork\.forward\(\) raised SystemExit\(3\)",
    "outputs['votes'] = outputs['votes'].to_sparse()": r"a sparse tensor for the target 'votes'; call to_dense\(\)",
    "outputs['votes'] = outputs['votes'] * float('nan')": r"The loss became nan in epoch 1",
}


@pytest.mark.parametrize("body", NETWORKS)
def test_a_mistake_in_what_a_network_returns_is_a_sentence(body: str, forum: Path) -> None:
    (forum / "mistake.py").write_text(MODEL.format(line="", start="super().__init__()", body=body))
    with gs.open("graphsocial.duckdb") as store, pytest.raises(GraphSocialError, match=NETWORKS[body]):
        gs.train(store, "./custom_task.py", model="./mistake.py", epochs=1, features=dict.fromkeys(TEXTS))


TEXTS = ("message.text", "message.picture")


def test_a_mistake_in_how_a_model_is_written_is_a_sentence(forum: Path) -> None:
    cases = {
        ("", "pass"): r"line 18: Mistake\.build\(\) raised AttributeError\(.*before Module\.__init__\(\)",
        (
            "",
            "super().__init__(); self.head = nn.LazyLinear(2)",
        ): r"has 'head\.weight' without a shape, as lazy modules",
        ("training: dict = None", "super().__init__()"): r"Mistake annotates 'training', which makes a setting of it",
        ("training = ['epochs']", "super().__init__()"): r"Mistake\.training is \['epochs'\]; write a mapping",
        ("reads = 'nodes'", "super().__init__()"): r"Mistake\.reads is 'nodes'; write a tuple of 'nodes' and 'edges'",
        ("layers = -1", "super().__init__()"): r"Mistake\.layers is -1; it is the number of message-passing layers",
        ("layers = 'two'", "super().__init__()"): r"Mistake\.layers is 'two'; it is the number",
        ("", "super().__init__(); self.penalty = lambda: 0.5"): r"penalty\(\) returned a value of type float",
        ("", "super().__init__(); self.penalty = lambda: 1 / 0"): r"penalty\(\) raised ZeroDivisionError",
        (
            "",
            "super().__init__(); self.together = lambda g: torch.zeros(3)",
        ): r"together\(\) returned a tensor of shape \(3,\)",
    }
    with gs.open("graphsocial.duckdb") as store:
        for (line, start), sentence in cases.items():
            (forum / "mistake.py").write_text(MODEL.format(line=line, start=start, body="pass"))
            with pytest.raises(GraphSocialError, match=sentence):
                gs.train(store, "./custom_task.py", model="./mistake.py", epochs=1, features=dict.fromkeys(TEXTS))
        text = MODEL.format(line="", start="super().__init__()", body="pass").replace("MistakeNetwork(graph)", "3", 1)
        (forum / "mistake.py").write_text(text)
        with pytest.raises(
            GraphSocialError, match=r"Mistake\.build\(\) returned a value of type int; it must return a Network"
        ):
            gs.train(store, "./custom_task.py", model="./mistake.py", epochs=1, features=dict.fromkeys(TEXTS))


FEATURIZER = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from graphsocial.extending import Encoded, Requires, digest

@dataclass(frozen=True)
class Mistake:
    modalities = ("text",)
    requires = Requires()
    sequences = False
    dimension = 3
    batch_size = 64

    def fingerprint(self):
        return digest(self, weights="mistake")

    def encode(self, items):
        vectors = np.ones((len(items), 3), np.float32)
        {body}
        return Encoded(vectors)
"""
ENCODINGS = {
    "vectors = vectors[1:]": r"Mistake\.encode gave .*63",
    "vectors = vectors[:, :2]": r"Mistake\.encode gave .*2",
    "vectors[0] = np.nan": r"Mistake\.encode gave item 0 of 64 numbers that are not finite",
    "vectors = vectors.astype(float)": r"Mistake\.encode gave vectors as .*float64.*must be a numpy array of float32",
    "return vectors": r"Mistake\.encode returned .*; it must return an Encoded",
    "items[0].no_such_method()": r"mistake\.py, line 20: Mistake\.encode\(\) raised AttributeError",
}


DECLARED = {  # what replaces a part of the featurizer → the sentence
    'return digest(self, weights="mistake")': ("pass", r"Mistake\.fingerprint\(\) gave None, not 32 hex characters"),
    'digest(self, weights="mistake")': (
        "self.no_such",
        r"mistake\.py, line 16: Mistake\.fingerprint\(\) raised Attrib",
    ),
    "requires = Requires()": ("requires = None", r"Mistake\.requires is None; it must be a Requires"),
    "Encoded(vectors)": (
        "Encoded(vectors, rejects={0: None})",
        r"rejected item 0 with the reason None; .* must be text",
    ),
}


@pytest.mark.parametrize("part", DECLARED)
def test_a_mistake_in_what_a_featurizer_declares_is_a_sentence(part: str, forum: Path) -> None:
    wrong, sentence = DECLARED[part]
    text = FEATURIZER.format(body="pass")
    assert part in text
    (forum / "mistake.py").write_text(text.replace(part, wrong))
    with gs.open("graphsocial.duckdb") as store, pytest.raises(GraphSocialError, match=sentence):
        gs.featurize(store, "message.text", "./mistake.py")


def test_a_task_may_have_a_base_of_its_own_and_a_loss_weight_of_0(forum: Path) -> None:
    text = TASK.format(line="", body="pass")
    text = text.replace("@dataclass", "class _Shared(NodeTask):\n    pass\n\n@dataclass", 1)
    (forum / "mistake.py").write_text(text.replace("Mistake(NodeTask)", "Mistake(_Shared)"))
    with gs.open("graphsocial.duckdb") as store:
        assert gs.train(store, "./mistake.py", model="majority").task == "mistake"
    assert extending.Target("votes", "regression", weight=0).weight == 0  # as class_loss=0 of popularity is


@pytest.mark.parametrize("body", ENCODINGS)
def test_a_mistake_in_what_a_featurizer_returns_is_a_sentence(body: str, forum: Path) -> None:
    (forum / "mistake.py").write_text(FEATURIZER.format(body=body))
    with gs.open("graphsocial.duckdb") as store, pytest.raises(GraphSocialError, match=ENCODINGS[body]):
        gs.featurize(store, "message.text", "./mistake.py")


PLANS = {  # what replaces a part of the example → the sentence
    "dataset or root.name": ("'a/b'", r"plan\(\) names the dataset 'a/b'; a name is text of one line without /"),
    'RawColumn("text")': (
        'RawColumn("text", "words")',
        r"column 'text' of table 'messages': No column kind is called 'words'",
    ),
    'Rows(MEMBER, "messages", {"id"': (
        'Rows(MEMBER, "messages", {"src"',
        r"rows of 'member' the keys \['src'\]; .* id",
    ),
    'Rows(MEMBER, "messages"': ('Rows(MEMBER, "mesages"', r"raw table is called 'mesages'\. Did you mean 'messages'"),
    "{column.name: column.name for column in MESSAGE.columns}": ('{"likes": "votes"}', r"No column is called 'likes'"),
    'unique=("message_id",)': ('unique=("id",)', r"unique of table 'messages': No column is called 'id'"),
    "return Plan((messages,), rows, root, dataset or root.name)": (
        "pass",
        r"plan\(\) returned None; it must return a Plan",
    ),
    'files = find_table(root, "messages")': ("files = (root / 'x.csv',)", r"x\.csv' as a file of table 'messages'"),
    "root = require_folder(path).resolve()": ("root = path.no_such", r"custom_source\.py, line 54: CustomSource\.plan"),
}


@pytest.mark.parametrize("part", PLANS)
def test_a_mistake_in_a_plan_is_a_sentence(part: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (home / "custom_source.py").read_text()
    assert part in text
    wrong, sentence = PLANS[part]
    (home / "custom_source.py").write_text(text.replace(part, wrong))
    assert main(["--quiet", "ingest", "./custom_source.py", "forum"]) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert re.search(sentence, message), message


@pytest.mark.parametrize(("tables", "rows"), [((), ()), ([], ()), ((), (row for row in ()))])
def test_a_plan_of_nothing_is_refused(tables: object, rows: object) -> None:
    plan = extending.Plan(tables=tables, rows=rows, root=Path(), dataset="forum")  # type: ignore[arg-type]
    with pytest.raises(GraphSocialError, match=r"Mistake\.plan\(\) gave .* as tables; it takes a tuple of RawTable"):
        check_plan(plan, "Mistake")


def test_an_edge_task_reads_the_columns_of_its_targets(social: gs.GraphStore, tmp_path: Path) -> None:
    """One label a pair, null where its edges differ; the view is called like the file."""
    (tmp_path / "comment_task.py").write_text(
        "from dataclasses import dataclass\nfrom graphsocial.extending import EdgeTask, Target\n\n"
        "@dataclass(frozen=True)\nclass CommentTask(EdgeTask):\n"
        '    """Which comment belongs to a pair?"""\n\n    targets = (Target("comment"),)\n'
    )
    run = gs.train(social, str(tmp_path / "comment_task.py"), model="majority")
    assert run.task == "comment-task" and run.metrics["test"]["comment"]["accuracy"] > 0
    (wrong,) = social.sql(
        "select count(*) from comment_task_predictions as p join node_user as u on u.id = user_id "
        "join node_image as i on i.id = image_id join edge_user_views_image as e on e.src = u.idx and e.dst = i.idx "
        "where p.true_comment <> e.comment"
    ).fetchall()
    assert wrong == (0,)
    columns = [name for name, *_ in social.sql("describe comment_task_predictions").fetchall()]
    assert columns[2:7] == ["edge", "user_id", "image_id", "comment", "confidence"]
