"""Statistics against simulations whose truth is known: coverage of intervals, size and power of tests.

    python benchmarks/inference.py [--trials 400] [NAME…]

Prints what was simulated, the statistic, the share of trials, its Monte Carlo standard error, and the target.
The table is in docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphsocial.analysis._assortativity import homophily
from graphsocial.analysis._averages import NodeValues
from graphsocial.analysis._exposure import Exposure
from graphsocial.analysis._lognormal import LogNormalCounts
from graphsocial.analysis._measures import simple, undirected
from graphsocial.analysis._pairs import SpokenSegments
from graphsocial.analysis._regression import regress
from graphsocial.auditing.label_means import LabelMeans
from graphsocial.comparison.bootstrap import BootstrapSamples, ScoredRows, paired_t
from graphsocial.comparison.outcomes import ClassOutcomes

PRIOR = np.asarray([0.5, 0.3, 0.2])
LARGE = 4000  # nodes of each end in the population that stands for the truth


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        design: what was simulated.
        statistic: what was computed.
        share: of the trials in which it did what is counted: the interval held the truth, the test rejected.
        trials: number of trials.
        target: what the share should be.
    """

    design: str
    statistic: str
    share: float
    trials: int
    target: str


@dataclass(frozen=True)
class Design:
    """Rows of users and images, and by how much each makes a model right more often, in logits.

    Attributes:
        name: in the table.
        users: number of users.
        images: number of images; 0 where rows have users alone.
        rows: number of rows, drawn among the pairs without repetition.
        user_effect: standard deviation of the users' effects.
        image_effect: that of the images' effects.
    """

    name: str
    users: int
    images: int
    rows: int
    user_effect: float
    image_effect: float


DESIGNS = (
    Design("400 rows, independent", 400, 0, 400, 0.0, 0.0),
    Design("10 users, 20 rows each", 10, 0, 200, 0.7, 0.0),
    Design("20 users, 20 rows each", 20, 0, 400, 0.7, 0.0),
    Design("40 users, 20 rows each", 40, 0, 800, 0.7, 0.0),
    Design("200 × 40 pairs, independent", 200, 40, 2000, 0.0, 0.0),
    Design("200 × 40 pairs, users differ", 200, 40, 2000, 0.7, 0.0),
    Design("200 × 40 pairs, both differ", 200, 40, 4000, 0.7, 0.7),
    Design("40 × 40 pairs, both differ", 40, 40, 800, 0.7, 0.7),
    Design("20 × 20 pairs, both differ", 20, 20, 200, 0.7, 0.7),
    Design("100 × 10 pairs, both differ", 100, 10, 800, 0.7, 0.7),
)


def rows_of(design: Design, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) the user and the image of each row."""
    if not design.images:
        return np.repeat(np.arange(design.users), design.rows // design.users), np.arange(design.rows)
    pairs = random.choice(design.users * design.images, design.rows, replace=False)
    return pairs // design.images, pairs % design.images


def answers(
    design: Design, user: NDArray[np.int64], image: NDArray[np.int64], random: np.random.Generator
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """The outcomes of two models, the first of which is better by 0.3 logits."""
    target = random.choice(len(PRIOR), len(user), p=PRIOR)
    outcomes = []
    for quality in (0.8, 0.5):
        effects = [
            random.normal(0, size, end.max() + 1)[end]
            for size, end in ((design.user_effect, user), (design.image_effect, image))
        ]
        right = random.random(len(user)) < 1 / (1 + np.exp(-(quality + sum(effects))))
        predicted = np.where(right, target, (target + random.integers(1, len(PRIOR), len(user))) % len(PRIOR))
        probabilities = np.full((len(user), len(PRIOR)), 0.15)
        probabilities[np.arange(len(user)), predicted] = 0.7
        outcomes.append(ClassOutcomes(target, predicted, probabilities))
    return outcomes[0], outcomes[1]


def intervals(trials: int) -> Iterator[Line]:
    """How often 95 % intervals of `compare` hold the truth."""
    metrics = ("accuracy", "weighted_f1", "macro_f1", "log_loss")
    for design in DESIGNS:
        random = np.random.default_rng(1)
        everyone = np.arange(LARGE * 50)
        large = answers(design, everyone % LARGE, random.permutation(everyone) % LARGE, random)
        truth = [
            {name: float(value[0]) for name, value in one.scores(np.ones((1, len(everyone)))).items()} for one in large
        ]
        held: dict[str, list[bool]] = {}
        for trial in range(trials):
            user, image = rows_of(design, random)
            ways = (user, image) if design.images else (user,)
            parts = {
                number: ScoredRows([one], np.arange(len(user)))
                for number, one in enumerate(answers(design, user, image, random))
            }
            scores = BootstrapSamples(tuple(np.unique(way, return_inverse=True)[1] for way in ways), 300, trial).scores(
                parts
            )
            for metric in metrics:
                found = scores.interval(0, metric)
                held.setdefault(metric, []).append(found["low"] <= truth[0][metric] <= found["high"])
                found, gap = scores.difference(0, 1, metric), truth[0][metric] - truth[1][metric]
                held.setdefault(f"difference of {metric}", []).append(found["low"] <= gap <= found["high"])
        for name, of_name in held.items():
            yield Line(design.name, f"95 % interval of {name} holds it", float(np.mean(of_name)), trials, "0.95")


def seeds(trials: int) -> Iterator[Line]:
    """How often the t tests of `compare` reject at .05 where two models are equally good."""
    random = np.random.default_rng(2)
    trials *= 10
    rejected = [
        (paired_t(*({("split", seed): random.normal() for seed in range(5)} for _ in range(2)))[1] or 1) < 0.05
        for _ in range(trials)
    ]
    yield Line("5 seeds, no difference", "p over seeds below .05", float(np.mean(rejected)), trials, "0.05")
    for folds in (5, 10):
        rejected = [
            (paired_t(*cross_validated(folds, random), test_share=1 / (folds - 1))[1] or 1) < 0.05
            for _ in range(trials // 2)
        ]
        design = f"{folds} folds × 3 seeds of 200 rows, no difference"
        yield Line(design, "p over folds below .05", float(np.mean(rejected)), len(rejected), "0.05")


def cross_validated(
    folds: int, random: np.random.Generator
) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], float]]:
    """(fold, seed) → accuracy of two classifiers by nearest mean, on features that are equally good."""
    target = random.integers(0, 2, 200)
    fold = random.permutation(len(target)) % folds
    scores: tuple[dict[tuple[str, int], float], ...] = ({}, {})
    for of_model in scores:
        features = random.normal(size=(len(target), 5)) + 0.3 * target[:, None]
        for number in range(folds):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            for seed in range(3):
                drawn = random.choice(train, len(train))
                means = [features[drawn[target[drawn] == side]].mean(0) for side in (0, 1)]
                distance = [np.square(features[test] - mean).sum(1) for mean in means]
                of_model[f"fold{number}", seed] = float(((distance[1] < distance[0]) == target[test]).mean())
    return scores[0], scores[1]


def label_columns(trials: int) -> Iterator[Line]:
    """How often the audit's check of averages of labels calls a column a leak: causes, and columns made of labels."""
    for nodes, raters in ((100, 30), (300, 5), (1000, 20)):
        found: dict[tuple[str, str], list[bool]] = {}
        for trial in range(trials):
            random = np.random.default_rng([3, trial, nodes])
            for column, cause, labels, values in _columns(nodes, raters, random):
                means = LabelMeans.of(np.repeat(np.arange(nodes), raters), labels, max_nodes=5000)
                explain = means.explain_category if column.startswith("category") else means.explain
                found.setdefault((column, "0" if cause else "1"), []).append(explain(values).leaks)
        for (column, target), leaks in found.items():
            design = f"{nodes} nodes, {raters} labels each"
            yield Line(design, f"leak: {column}", float(np.mean(leaks)), trials, target)


def _columns(
    nodes: int, raters: int, random: np.random.Generator
) -> Iterator[tuple[str, bool, NDArray[np.float64], NDArray[np.float64]]]:
    """Name, whether it is a cause, the labels and the values of columns of nodes."""
    genre = random.integers(0, 3, nodes)
    level = np.asarray([-1.0, 0.0, 1.0])[genre] + random.normal(0, 0.7, nodes)
    numbers = level[:, None] + random.normal(0, 1.5, (nodes, raters))
    labels, mean = numbers.reshape(-1, 1), numbers.mean(1)
    yield "a cause: the level itself", True, labels, level
    yield "a cause: the level with noise", True, labels, level + random.normal(0, 0.3, nodes)
    yield "category that is a cause", True, labels, genre.astype(np.float64)
    yield "no relation", True, labels, random.normal(size=nodes)
    yield "mean", False, labels, mean
    yield "mean, rounded to .1", False, labels, mean.round(1)
    yield "mean, rounded to .5", False, labels, (2 * mean).round() / 2
    yield (
        "mean with a tenth of its deviation as noise",
        False,
        labels,
        mean + 0.1 * mean.std() * random.normal(size=nodes),
    )
    yield "mean of nine tenths of the raters", False, labels, numbers[:, : max(1, round(0.9 * raters))].mean(1)
    logits = np.asarray([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])[genre] + random.normal(0, 0.7, (nodes, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = np.stack([random.choice(3, raters, p=row) for row in shares])
    classes = np.eye(3)[drawn.reshape(-1)]
    counted = np.stack([(drawn == number).mean(1) for number in range(3)], axis=1)
    yield "category that is a cause of classes", True, classes, genre.astype(np.float64)
    yield "a cause: the true share of a class", True, classes, shares[:, 0]
    yield "share of a class", False, classes, counted[:, 0]
    yield "category: the most frequent class", False, classes, counted.argmax(1).astype(np.float64)


@dataclass(frozen=True)
class Talk:
    """Dialogues of three speakers, each with a mood of his own in each dialogue: the shares of three emotions.

    Attributes:
        name: in the table.
        dialogues: number of dialogues.
        turns: segments of each dialogue.
        inertia: probability that a segment has the emotion of its speaker's last one.
        influence: probability that it has that of the segment before it, if that is by another speaker.
        drift: probability that it has an emotion which all speakers of the dialogue have at that time.
    """

    name: str
    dialogues: int
    turns: int
    inertia: float = 0.0
    influence: float = 0.0
    drift: float = 0.0

    def segments(self, random: np.random.Generator) -> tuple[SpokenSegments, NDArray[np.int64], NDArray[np.int64]]:
        """The segments, and pairs of successive ones."""
        shape = (self.dialogues, self.turns)
        every = np.arange(self.dialogues)
        moods = random.dirichlet(np.full(3, 1.5), (self.dialogues, 3)).cumsum(-1)
        speaker, emotion = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        last = np.full((self.dialogues, 3), -1)
        common = (random.integers(0, 3, self.dialogues)[:, None] + 2 * np.arange(self.turns) // self.turns) % 3
        for turn in range(self.turns):
            step = np.where(random.random(self.dialogues) < 0.7, random.integers(1, 3, self.dialogues), 0)
            speaker[:, turn] = (speaker[:, turn - 1] + step) % 3 if turn else random.integers(0, 3, self.dialogues)
            who, cause = speaker[:, turn], random.random(self.dialogues)
            felt = (random.random(self.dialogues)[:, None] > moods[every, who]).sum(1).clip(0, 2)
            own = last[every, who]
            felt = np.where((cause < self.inertia) & (own >= 0), own, felt)
            if turn:
                caught = (cause > 1 - self.influence) & (who != speaker[:, turn - 1])
                felt = np.where(caught, emotion[:, turn - 1], felt)
            felt = np.where(random.random(self.dialogues) < self.drift, common[:, turn], felt)
            emotion[:, turn] = last[every, who] = felt
        dialogue = np.repeat(every, self.turns)
        blocks = np.unique(dialogue * 3 + speaker.ravel(), return_inverse=True)[1]
        first = np.arange(emotion.size).reshape(shape)[:, :-1].ravel()
        return SpokenSegments(emotion.ravel(), blocks, dialogue, 3), first, first + 1


TALKS = (
    *(Talk(f"{count} dialogues of 12 turns, moods of speakers", count, 12) for count in (3, 20, 100)),
    *(Talk(f"{count} dialogues of 12 turns, emotions last", count, 12, inertia=0.5) for count in (20, 100)),
    Talk("20 dialogues of 40 turns, emotions last", 20, 40, inertia=0.5),
    Talk("100 dialogues of 12 turns, each reply influenced with probability .2", 100, 12, influence=0.2),
    Talk("100 dialogues of 12 turns, a common cause that changes half-way", 100, 12, drift=0.3),
)


def replies(trials: int) -> Iterator[Line]:
    """Likeness along replies and transitions of `analyze emotion`."""
    for talk in TALKS:
        null = not talk.influence and not talk.drift
        parts = ("another speaker",) if talk.inertia or not null else ("another speaker", "same speaker")
        for by in parts:
            yield from _replies(talk, by, trials, "0.05" if null else "power" if talk.influence else "no influence")


def _replies(talk: Talk, by: str, trials: int, target: str) -> Iterator[Line]:
    random = np.random.default_rng(5)

    def pairs(of: Talk) -> tuple[SpokenSegments, NDArray[np.int64], NDArray[np.int64]]:
        segments, first, second = of.segments(random)
        chosen = (segments.blocks[first] == segments.blocks[second]) == (by == "same speaker")
        return segments, first[chosen], second[chosen]

    large = pairs(replace(talk, dialogues=LARGE * 10))
    excess = large[0].likeness(*large[1:], permutations=0, random=random)[0].excess
    lifts = {(before, after): row.lift for before, after, row in large[0].transitions(*large[1:])}
    rejected, held, lift_held = [], [], []
    for _ in range(trials):
        segments, first, second = pairs(talk)
        likeness = segments.likeness(first, second, permutations=199, random=random).get(0)
        if likeness is None or likeness.low is None or likeness.high is None:
            continue
        rejected.append(likeness.p <= 0.05)
        held.append(likeness.low <= excess <= likeness.high)
        for before, after, row in segments.transitions(first, second):
            if (before, after) == (0, 1) and row.low is not None and row.high is not None:
                lift_held.append(row.low <= lifts[0, 1] <= row.high)
    yield Line(talk.name, f"likeness of replies to {by}, p ≤ .05", float(np.mean(rejected)), len(rejected), target)
    yield Line(talk.name, f"95 % interval of the excess holds {excess:.3f}", float(np.mean(held)), len(held), "0.95")
    about = f"95 % interval of a transition's lift holds {lifts[0, 1]:.2f}"
    yield Line(talk.name, about, float(np.mean(lift_held)), len(lift_held), "0.95")


@dataclass(frozen=True)
class Friends:
    """200 users in 20 communities of friends; each labels 10 images, four fifths of them those of the community.

    Attributes:
        name: in the table.
        images: number of images; each has 2,000 / images labels.
        trait: standard deviation of what users feel whatever they see, in logits.
        shared: share of the trait's variance that the friends of a community have in common.
    """

    name: str
    images: int
    trait: float = 0.0
    shared: float = 0.0

    def draw(self, random: np.random.Generator) -> tuple[csr_array, NodeValues]:
        """The graph of friends, and a label of two classes averaged by user."""
        users, communities, seen = 200, 20, 10
        of_user, of_image = np.arange(users) % communities, np.arange(self.images) % communities
        linked = random.random((users, users)) < np.where(of_user[:, None] == of_user, 0.4, 0.01)
        graph = undirected(simple(*np.nonzero(np.triu(linked, 1)), users))
        images = np.empty((users, seen), np.int64)
        for user in range(users):
            weights = np.where(of_image == of_user[user], 0.8 * communities, 0.2)
            images[user] = random.choice(self.images, seen, replace=False, p=weights / weights.sum())
        nodes, others = np.repeat(np.arange(users), seen), np.unique(images, return_inverse=True)[1].ravel()
        of_images = random.normal(0, 1, communities)[of_image] + random.normal(0, 1, self.images)
        own = (1 - self.shared) ** 0.5 * random.normal(size=users)
        common = self.shared**0.5 * random.normal(size=communities)[of_user]
        logits = of_images[images] + self.trait * (own + common)[:, None]
        labels = (random.random((users, seen)) < 1 / (1 + np.exp(-logits))).astype(float)
        exposure = Exposure.of(nodes, others, labels.reshape(-1, 1), users)
        return graph, NodeValues("feels", ["sad"], labels.mean(1, keepdims=True), "image", exposure)


def friends(trials: int) -> Iterator[Line]:
    """How often `analyze network` finds friends alike who only see the same, and who are alike."""
    for images in (1000, 200, 40):
        for design in (
            Friends(f"{2000 // images} labels an image, friends see the same", images),
            Friends(f"{2000 // images} labels an image, users differ", images, trait=1.0),
            Friends(f"{2000 // images} labels an image, friends are alike", images, trait=1.0, shared=0.8),
        ):
            random = np.random.default_rng(6)
            results = [homophily(*design.draw(random), permutations=199, random=random)[0] for _ in range(trials)]
            share = float(np.mean([result.p is not None and result.p <= 0.05 for result in results]))
            yield Line(design.name, "homophily, p ≤ .05", share, trials, "power" if design.shared else "0.05")


@dataclass(frozen=True)
class Posts:
    """1,000 posts of pages that differ in how much is shared; neither text, image nor likes have an effect.

    Attributes:
        name: in the table.
        pages: number of pages; 0 for posts that are independent, with shares that vary the more the better the text.
        apart: share of the variance of text and image emotion that is between pages.
        unequal: whether pages have few to many posts, or all the same number.
    """

    name: str
    pages: int
    apart: float = 0.0
    unequal: bool = False

    def draw(self, random: np.random.Generator) -> pl.DataFrame:
        """The posts."""
        posts = 1000
        weights = 1 / (1 + np.arange(self.pages)) if self.unequal else np.ones(self.pages)
        page = random.choice(self.pages, posts, p=weights / weights.sum()) if self.pages else np.arange(posts)
        of_page = random.normal(size=(2, page.max() + 1))[:, page] * self.apart**0.5
        own = random.normal(size=(2, posts)) * (1 - self.apart) ** 0.5
        text, image = (3 + of_page[0] + own[0]).clip(1, 5), (of_page[1] + own[1] > 0.5).astype(float)
        noise = random.normal(size=posts) * (1 if self.pages else 0.3 + 0.4 * (text - 1))
        appeal = random.normal(size=page.max() + 1)[page] if self.pages else 0.0
        shares = np.exp(8 + appeal + noise).round()
        rows = {
            "shares": shares,
            "text": text,
            "image": image,
            "likability": random.integers(0, 3, posts).astype(float),
        }
        return pl.DataFrame(rows | ({"cluster": page} if self.pages else {}))


POSTS = (
    Posts("1,000 independent posts of unequal variance", 0),
    Posts("1,000 posts of 10 pages", 10),
    Posts("1,000 posts of 10 pages, half of the emotion is the page's", 10, 0.5),
    Posts("1,000 posts of 30 pages, half of the emotion is the page's", 30, 0.5),
    Posts("1,000 posts of 100 pages, half of the emotion is the page's", 100, 0.5),
    Posts("1,000 posts of 30 pages of unequal size, half of the emotion is the page's", 30, 0.5, unequal=True),
)


def regression(trials: int) -> Iterator[Line]:
    """How often coefficients of `analyze popularity` that are 0 have p < .05, and any of the table with Holm's p."""
    for design in POSTS:
        random = np.random.default_rng(7)
        rejected: dict[tuple[str, str], list[bool]] = {}
        for _ in range(trials):
            found, _notes = regress(design.draw(random))
            if not design.pages:  # unequal variance has an effect on who is popular
                found = found.filter(pl.col("model").str.starts_with("log_shares"))
            for row in found.filter(term="text").to_dicts():
                rejected.setdefault((row["model"], "text, p < .05"), []).append(row["p"] < 0.05)
            of_table = rejected.setdefault(("the table", "any p by Holm < .05"), [])
            of_table.append(found.select((pl.col("p_holm") < 0.05).any()).item())
        for (model, what), of_trials in rejected.items():
            yield Line(design.name, f"{model}: {what}", float(np.mean(of_trials)), len(of_trials), "0.05")


def counts(trials: int) -> Iterator[Line]:
    """How often a log-normal, rounded to whole numbers, is farther from its fit than Lilliefors' bound at .05."""
    for mean, deviation in ((0.5, 1.0), (2.0, 1.5), (5.0, 1.0)):
        random, far = np.random.default_rng(8), []
        for _ in range(trials):
            drawn = np.exp(random.normal(mean, deviation, 1000)).round()
            drawn = drawn[drawn > 0]
            far.append(LogNormalCounts.fit(drawn).distance(drawn) > 0.886 / len(drawn) ** 0.5)
        design = f"1,000 log-normal counts, μ = {mean:g}, σ = {deviation:g}"
        yield Line(design, "Kolmogorov's distance above .886 / √n", float(np.mean(far)), trials, "≤ 0.05")


TABLES: dict[str, Callable[[int], Iterator[Line]]] = {
    "intervals": intervals,
    "seeds": seeds,
    "label_columns": label_columns,
    "replies": replies,
    "friends": friends,
    "regression": regression,
    "counts": counts,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*TABLES], help=", ".join(TABLES))
    parser.add_argument("--trials", type=int, default=400)
    arguments = parser.parse_args()
    print("| simulation | statistic | share | ± Monte Carlo | target |\n| --- | --- | --- | --- | --- |")
    for line in (line for name in arguments.names for line in TABLES[name](arguments.trials)):
        error = (line.share * (1 - line.share) / line.trials) ** 0.5
        print(f"| {line.design} | {line.statistic} | {line.share:.3f} | {error:.3f} | {line.target} |", flush=True)


if __name__ == "__main__":
    main()
