"""The planted truth behind synthetic social data: who people are, what they see, and what they then feel.

The model. U users live in M communities of unequal size; D = 4 affects (`AFFECTS`), K = 8 emotions, R = 8 tastes.

    taste       t_u = mu_c(u) + sigma·eps        mu_c orthonormal in R^R, eps ~ N(0, I), sigma = 0.04
    affect      a_i ~ uniform(-1, 1)^D           drawn into the pixels, or a noisy linear map of it is the vector
    contacts    u → v: u by activity, v by fame (both Pareto); with probability `homophily` v is of u's community;
                a fifth of the rows reciprocate another; no self contact, no pair twice
    groups      each of one community, described in its words; a user joins any at all with probability
                `join_share`, then 1 + Poisson(1), each of the user's own community with probability `loyalty`
    views       u by activity, i by popularity (Pareto), kept with probability exp(0.7·(clip(t_u·P a_i / 2, -1, 1) - 1))
    emotion     p(k | u, i) = softmax_k( b_k + s·( 0.5·B_k·a_i + t_u·C_k a_i + 0.3·(v_c(u),k + 0.15·e_uk) ) )

mu, P (R, D), B (K, D), C (K, R, D), v (M, K) and e (U, K) are drawn once a seed (all but mu from N(0, 1)). b is fitted
so that the mean of p is `EMOTION_SHARES`, and the sharpness s so that the Bayes-optimal prediction is right with
probability `certainty`. The interaction t_u·C_k a_i outweighs the image's own term: one image evokes different
emotions in different communities, and a user's community shows in contacts, in the other views and, for joiners, in
groups. The emotion of a label is one draw from p, its second emotion another without replacement; valence, arousal and
dominance scatter around the emotion's own, and the words of the comment follow it; nothing else depends on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graphsocial.synthesis.content import AFFECTS, EMOTIONS, Floats, Integers
from graphsocial.synthesis.iesn import SyntheticIesn

EMOTION_SHARES = np.array([0.22, 0.04, 0.16, 0.30, 0.03, 0.14, 0.04, 0.07])  # in the order of EMOTIONS
TASTES = 8


@dataclass(frozen=True)
class World:
    """The latent variables behind one dataset, which no model sees.

    Attributes:
        community: of each user.  # (U,)
        taste: t_u.  # (U, R)
        centroid: mu_c.  # (M, R)
        mood: v_c + 0.15·e_u.  # (U, K)
        activity, fame, popularity: Pareto weights of users as viewers, as contacts, and of images.  # (U,), (U,), (I,)
        affect: a_i.  # (I, D)
        image_term, interaction, preference: B, C, P.  # (K, D), (K, R, D), (R, D)
        bias, sharpness: b and s.  # (K,), ()
    """

    community: Integers
    taste: Floats
    centroid: Floats
    mood: Floats
    activity: Floats
    fame: Floats
    popularity: Floats
    affect: Floats
    image_term: Floats
    interaction: Floats
    preference: Floats
    bias: Floats
    sharpness: float

    def probabilities(self, viewer: Integers, image: Integers) -> Floats:
        """p(k | u, i) of each pair.  # (N, K)"""
        seen = _evoked(self.taste[viewer], self.mood[viewer], self.affect[image], self.image_term, self.interaction)
        return _softmax(self.bias + self.sharpness * seen)

    def liking(self, viewer: Integers, image: Integers) -> Floats:
        """The probability that a proposed view occurs.  # (N,)"""
        return _liking(self.taste[viewer], self.affect[image], self.preference)


def _evoked(taste: Floats, mood: Floats, affect: Floats, image_term: Floats, interaction: Floats) -> Floats:
    personal = np.einsum("nr,krd->nkd", taste, interaction)
    return np.asarray(np.einsum("nkd,nd->nk", personal + 0.5 * image_term, affect) + 0.3 * mood)


def _liking(taste: Floats, affect: Floats, preference: Floats) -> Floats:
    match = np.einsum("nr,rd,nd->n", taste, preference, affect)
    return np.asarray(np.exp(0.7 * (np.clip(match / 2, -1, 1) - 1)))


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _calibrate(evoked: Floats, certainty: float) -> tuple[Floats, float]:
    """The bias and sharpness at which p has the wanted mean and the wanted mean of its largest entry."""
    bias, low, high = np.log(EMOTION_SHARES), 0.0, 64.0
    for _ in range(20):
        sharpness = (low + high) / 2
        for _ in range(12):
            p = _softmax(bias + sharpness * evoked)
            bias = bias + np.log(EMOTION_SHARES / p.mean(axis=0))
        low, high = (sharpness, high) if p.max(axis=1).mean() < certainty else (low, sharpness)
    return bias, sharpness


def draw_world(settings: SyntheticIesn) -> World:
    """Draw the latent variables of the module's model."""
    rng = np.random.default_rng([settings.seed, 0])
    users, images, moods = settings.users, settings.images, len(EMOTIONS)
    centroid = np.linalg.qr(rng.normal(size=(TASTES, TASTES)))[0][: settings.communities]
    image_term, interaction = rng.normal(size=(moods, len(AFFECTS))), rng.normal(size=(moods, TASTES, len(AFFECTS)))
    preference, climate = rng.normal(size=(TASTES, len(AFFECTS))), rng.normal(size=(settings.communities, moods))
    sizes = rng.dirichlet(np.full(settings.communities, 12.0))

    def people(count: int) -> tuple[Integers, Floats, Floats]:
        community = rng.choice(settings.communities, count, p=sizes)
        taste = centroid[community] + 0.04 * rng.normal(size=(count, TASTES))
        return community, taste, climate[community] + 0.15 * rng.normal(size=(count, moods))

    _, taste, mood = people(8_192)  # as many views by people and of pictures that are not in the data
    affect = rng.uniform(-1, 1, (len(taste), len(AFFECTS)))
    kept = rng.random(len(taste)) < _liking(taste, affect, preference)
    bias, sharpness = _calibrate(
        _evoked(taste[kept], mood[kept], affect[kept], image_term, interaction), settings.certainty
    )
    community, taste, mood = people(users)
    return World(
        community=community,
        taste=taste,
        centroid=centroid,
        mood=mood,
        activity=1 + rng.pareto(2.0, users),
        fame=1 + rng.pareto(1.5, users),
        popularity=1 + rng.pareto(1.5, images),
        affect=rng.uniform(-1, 1, (images, len(AFFECTS))),
        image_term=image_term,
        interaction=interaction,
        preference=preference,
        bias=bias,
        sharpness=sharpness,
    )


def _pairs(
    rng: np.random.Generator,
    count: int,
    shape: tuple[int, int],
    propose: Callable[[int], tuple[Integers, Integers]],
    *,
    diagonal: bool = True,
) -> tuple[Integers, Integers]:
    """`count` different (row, column) pairs: from 16 rounds of `propose`, and what is missing then from free pairs."""
    rows, columns = shape
    keys = np.empty(0, dtype=np.int64)  # row · columns + column, sorted
    for attempt in itertools.count():
        missing = count - len(keys)
        if missing == 0:
            break
        if attempt < 16:
            row, column = propose(missing + missing // 4 + 64)
        elif rows * columns <= 50_000_000:
            free = np.ones(rows * columns, dtype=bool)
            free[keys] = False
            row, column = np.divmod(np.flatnonzero(free), columns)
        else:
            row, column = rng.integers(0, rows, 2 * missing), rng.integers(0, columns, 2 * missing)
        new = np.unique(row * columns + column if diagonal else (row * columns + column)[row != column])
        new = new[~np.isin(new, keys, assume_unique=True)]
        if len(new) > missing:
            new = rng.choice(new, missing, replace=False)
        keys = np.sort(np.concatenate([keys, new]))
    row, column = np.divmod(keys, columns)
    return row, column


def _weighted(rng: np.random.Generator, weights: Floats, count: int) -> Integers:
    cumulative = np.cumsum(weights)
    index = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return np.asarray(np.minimum(index, len(weights) - 1))


def contacts(world: World, settings: SyntheticIesn) -> tuple[Integers, Integers]:
    """The user and the contact of each row of the contact table.  # (contacts,), (contacts,)"""
    rng = np.random.default_rng([settings.seed, 1])
    order = np.argsort(world.community, kind="stable")
    cumulative = np.cumsum(world.fame[order])
    first = np.searchsorted(world.community[order], np.arange(settings.communities))
    last = np.searchsorted(world.community[order], np.arange(settings.communities), side="right")
    below, above = np.append(0.0, cumulative)[first], np.append(0.0, cumulative)[last]

    def propose(count: int) -> tuple[Integers, Integers]:
        user = _weighted(rng, world.activity, count)
        home, inside = world.community[user], rng.random(count) < settings.homophily
        low, high = np.where(inside, below[home], 0.0), np.where(inside, above[home], cumulative[-1])
        index = np.searchsorted(cumulative, low + rng.random(count) * (high - low), side="right")
        contact = order[np.minimum(index, settings.users - 1)]
        mutual = rng.random(count) < 0.25
        return np.append(user, contact[mutual]), np.append(contact, user[mutual])

    shape = (settings.users, settings.users)
    return _pairs(rng, settings.contacts, shape, propose, diagonal=False)


def memberships(world: World, topic: Integers, settings: SyntheticIesn) -> tuple[Integers, Integers]:
    """The user and the group of each membership, without duplicates.

    Args:
        world: the latent variables.
        topic: the taste community that each group is about.  # (groups,)
        settings: the dataset's settings.
    """
    rng = np.random.default_rng([settings.seed, 2])
    joins = np.where(rng.random(settings.users) < settings.join_share, 1 + rng.poisson(1.0, settings.users), 0)
    user = np.repeat(np.arange(settings.users), joins if settings.groups else 0)
    if not len(user):
        return user, user
    wanted = np.where(
        rng.random(len(user)) < settings.loyalty,
        world.community[user],
        rng.integers(0, settings.communities, len(user)),
    )
    order = np.argsort(topic, kind="stable")
    first = np.searchsorted(topic[order], wanted)
    size = np.searchsorted(topic[order], wanted, side="right") - first
    index = np.where(size > 0, first + (rng.random(len(user)) * size).astype(np.int64), -1)
    group = np.where(index >= 0, order[index], rng.integers(0, settings.groups, len(user)))
    return np.divmod(np.unique(user * settings.groups + group), settings.groups)


def views(world: World, settings: SyntheticIesn) -> tuple[Integers, Integers]:
    """The viewer and the image of each label, in random order.  # (views,), (views,)"""
    rng = np.random.default_rng([settings.seed, 3])

    def propose(count: int) -> tuple[Integers, Integers]:
        viewer, image = _weighted(rng, world.activity, 2 * count), _weighted(rng, world.popularity, 2 * count)
        kept = rng.random(2 * count) < world.liking(viewer, image)
        return viewer[kept], image[kept]

    viewer, image = _pairs(rng, settings.pairs, (settings.users, settings.images), propose)
    again = rng.choice(settings.pairs, settings.views - settings.pairs, replace=False)
    order = rng.permutation(settings.views)
    return np.append(viewer, viewer[again])[order], np.append(image, image[again])[order]


def sample(rng: np.random.Generator, p: Floats) -> Integers:
    """One class of each row, drawn with the probabilities `p`.  # (N, K) → (N,)"""
    cumulative = np.cumsum(p, axis=1)
    return np.asarray((rng.random((len(p), 1)) * cumulative[:, -1:] >= cumulative[:, :-1]).sum(axis=1))
