"""The images and texts of synthetic data: pictures drawn from an affect, texts drawn from a topic or an emotion."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EMOTIONS = ("amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness")
AFFECTS = ("warmth", "light", "roughness", "spikiness")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EMOTION_WORDS: dict[str, tuple[str, ...]] = {
    "amusement": _words("amusing cheerful playful silly funny hilarious goofy witty comical humorous jolly wacky"),
    "anger": _words("angry furious annoying outrage irritating mad hostile bitter rage hateful offensive hatred"),
    "awe": _words(
        "awe amazed astonished majestic magnificent awesome breathtaking sublime wonder miracle glorious epic"
    ),
    "contentment": _words(
        "content calm peaceful relaxed serene satisfied cozy comfortable gentle grateful tranquil soothing"
    ),
    "disgust": _words("disgusting gross revolting nasty sickening repulsive foul filthy vile nauseous rotten yucky"),
    "excitement": _words(
        "excited thrilling energetic eager delighted ecstatic exciting lively electric passion enthusiastic adventure"
    ),
    "fear": _words(
        "scared afraid frightened terrified anxious nervous worried panic uneasy horrifying dreadful alarming"
    ),
    "sadness": _words(
        "sad gloomy lonely heartbroken depressing miserable unhappy tearful hopeless mournful sorrow grief"
    ),
}


@dataclass(frozen=True)
class Theme:
    """What the groups of one taste community talk about."""

    name: str
    things: tuple[str, ...]
    places: tuple[str, ...]
    doings: tuple[str, ...]


def _theme(name: str, things: str, places: str, doings: str) -> Theme:
    return Theme(name, *(tuple(part.split(", ")) for part in (things, places, doings)))


THEMES: tuple[Theme, ...] = (
    _theme(
        "mountain hiking",
        "ridges, glaciers, hiking boots, summit crosses, rope climbs, mountain huts, snow fields, switchback trails",
        "the Alps, the Andes, a high pass, the national park, a granite valley",
        "climbing before sunrise, crossing glaciers, planning long treks, camping above the tree line",
    ),
    _theme(
        "home cooking",
        "sourdough bread, noodle soups, spice mixes, iron pans, layer cakes, fermented pickles, pasta, grill recipes",
        "a small kitchen, the farmers market, grandmother's bakery, a street food stall, the restaurant pass",
        "baking at weekends, plating desserts, tasting sauces, swapping recipes",
    ),
    _theme(
        "pets and wildlife",
        "rescue dogs, kittens, song birds, foxes, parrots, aquarium fish, horses, hedgehogs",
        "the animal shelter, a bird hide, the stable, a wetland reserve, the dog park",
        "feeding strays, watching birds, training puppies, tracking deer",
    ),
    _theme(
        "city architecture",
        "skyscrapers, tram lines, concrete facades, neon signs, subway stations, bridges, staircases, office windows",
        "downtown, the old harbour district, a metro platform, the business quarter, a rooftop",
        "walking through blocks at night, framing symmetry, sketching buildings, mapping towers",
    ),
    _theme(
        "live music",
        "guitars, drum kits, vinyl records, jazz trumpets, choirs, festival stages, amplifiers, synthesizers",
        "a basement club, the concert hall, the summer festival, a rehearsal room, the record shop",
        "recording demos, touring with bands, tuning strings, collecting set lists",
    ),
    _theme(
        "motor sport",
        "rally cars, motorcycles, engines, racing helmets, pit crews, carburettors, vintage roadsters, tyres",
        "the race track, a repair garage, the drag strip, a hill climb course, the paddock",
        "rebuilding engines, timing laps, overtaking in corners, polishing chrome",
    ),
    _theme(
        "gardening and flowers",
        "tulips, rose bushes, vegetable beds, orchids, compost, herb pots, seedlings, fruit trees",
        "the botanical garden, an allotment, a greenhouse, the back yard, a meadow",
        "pruning hedges, sowing seeds, repotting ferns, photographing petals",
    ),
    _theme(
        "fashion and portraits",
        "silk dresses, studio lights, leather jackets, make-up kits, runway shows, hats, tailored suits, jewellery",
        "the atelier, a photo studio, the fashion week, a vintage boutique, the dressing room",
        "styling models, sewing patterns, retouching portraits, casting for shoots",
    ),
)

_GROUP_NAMES = (
    "{Name} circle",
    "We are into {name}",
    "{Name}: {thing}",
    "{Thing} and more",
    "Friends of {name}",
    "Daily {name}",
)
_GROUP_SENTENCES = (
    "A group for everybody who is into {name}.",
    "We post pictures of {thing} and {other}.",
    "Members meet in {place} for {doing}.",
    "Please add only photos of {thing}, {other} or {third}.",
    "Our archive has {thing} from {place}, and {other} too.",
    "If {doing} is how you spend your Sundays, join us.",
    "We talk about {thing}, compare {other} and plan trips to {place}.",
    "The monthly theme is {thing}; last month it was {other}.",
    "Beginners in {name} are welcome, and so are people who have been {doing} for decades.",
    "From {place} we bring back {thing}.",
)
_OPENERS = (
    "",
    "",
    "",
    "Hm. ",
    "Well, ",
    "Looking at it again: ",
    "Back to this one. ",
    "Late to the thread. ",
    "To be honest, ",
)
_FEELINGS = (
    "one word, {w}.",
    "{w}, that is what comes to mind.",
    "my first thought was {w}.",
    "for me this is {w}.",
    "I would file it under {w}.",
    "so {w}!",
    "{w}, and I do not say that often.",
    "it says {w} to me.",
    "my whole evening turned {w} after this.",
    "the left half alone is {w}.",
    "I showed it at work and everybody said {w}.",
    "could not find another word than {w}.",
    "rather {w}, even as a thumbnail.",
    "{w}... and the longer I look the more so.",
)
_BOTH = (
    "both {w} and {v} at once.",
    "{w}, but also {v}.",
    "half {w}, half {v}.",
    "I went from {w} to {v}.",
    "{w} first, {v} later.",
)
_CHATTER = (
    "Which lens was that?",
    "Is this the road behind the station?",
    "I have seen this place in another album.",
    "Number two of the series, I guess.",
    "The frame would also work in a square.",
    "Saved to my list.",
    "Did you use a tripod here?",
    "What time of day was it?",
    "Posted this link in our group.",
    "The file is larger than I thought.",
    "You moved the horizon a bit to the left.",
    "Same corner as last week?",
    "I am going to try that setting.",
    "Thanks for adding the map.",
    "Scanned from film or digital?",
    "Number seven on my page.",
    "There is a second version in my folder.",
    "Could you upload the original size?",
)
_CLOSERS = (
    "",
    "",
    "",
    "Which lens was that?",
    "Saved to my list.",
    "Greetings from the north.",
    "More from this set?",
    "Posted it in our group.",
)
_TITLES = ("Untitled", "Frame", "Study", "Sheet", "From the archive", "Series", "Test roll", "Plate")
_TAGS = _words("photo camera upload digital album square 35mm print series archive scan lens raw studio print roll")
_CAPTIONS = (
    "Taken with a {mm} mm lens.",
    "Frame {n} of the series.",
    "Scan of plate {n}.",
    "Uploaded from the archive, box {n}.",
)


def draw_image(affect: Floats, size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw one picture whose colours and shapes carry `affect`; everything else about it is random.

    Args:
        affect: the four values of `AFFECTS`, each in -1..1: hue from blue over violet to orange red, dark to pastel,
            spatial frequency and contrast of the background's waves, and outlines from discs to spiked stars.
        size: pixels a side.
        rng: decides positions, orientations, sizes, colour jitter and noise.
    """
    warmth, light, roughness, spikiness = affect
    y, x = np.mgrid[0:size, 0:size] / size - 0.5  # (S, S)
    hue = (0.85 + 0.20 * warmth + rng.normal(0, 0.01)) % 1
    base = np.array(hsv_to_rgb(hue, 0.75 - 0.4 * max(light, 0) + rng.normal(0, 0.02), 0.6 + 0.38 * light))

    angle, shift = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 3)
    frequency = 2 ** (2.6 + 1.5 * roughness) * rng.uniform(0.9, 1.1)  # cycles a side: 2 to 17
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    waves = np.sin(2 * np.pi * frequency * along + shift[0] + 0.8 * np.sin(4 * np.pi * across + shift[1]))
    waves *= 0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * frequency * across + shift[2])
    shade = 1 + (0.22 + 0.12 * roughness) * waves + 0.1 * along
    picture = base * shade[..., None]  # (S, S, 3)

    points = int(rng.integers(5, 9))
    accent = 1 - 0.9 * base
    for _ in range(int(rng.integers(7, 10))):
        centre, radius, turn = rng.uniform(0.05, 0.95, 2), rng.uniform(0.08, 0.15), rng.uniform(0, 2 * np.pi)
        low, high = ((np.clip(centre + sign * 1.8 * radius, 0, 1) * size).astype(int) for sign in (-1, 1))
        window = slice(low[1], high[1] + 1), slice(low[0], high[0] + 1)  # the star is inside
        dx, dy = x[window] + 0.5 - centre[0], y[window] + 0.5 - centre[1]
        ray = np.abs(np.mod((np.arctan2(dy, dx) + turn) * points / np.pi, 2) - 1)  # 1 at a tip, 0 in a notch
        outline = radius * (1 + (0.5 + 0.5 * spikiness) * (1.5 * ray**2 - 0.75))
        edge = np.clip((outline - np.hypot(dx, dy)) * size / 1.5, 0, 1)[..., None]
        picture[window] += edge * (accent * rng.uniform(0.92, 1.08) - picture[window])
    picture += rng.normal(0, 0.015, picture.shape)
    return np.asarray(np.clip(picture * 255, 0, 255), dtype=np.uint8)


def _choose(rng: np.random.Generator, pool: tuple[str, ...]) -> str:
    return pool[int(rng.integers(len(pool)))]


def write_group(theme: Theme, rng: np.random.Generator) -> tuple[str, str]:
    """Name and description of a group of that theme, in two to four sentences."""
    thing, other, third = (str(word) for word in rng.choice(theme.things, 3, replace=False))
    words = {"name": theme.name, "thing": thing, "other": other, "third": third}
    words |= {"Name": theme.name.capitalize(), "Thing": thing.capitalize()}
    words |= {"place": _choose(rng, theme.places), "doing": _choose(rng, theme.doings)}
    sentences = rng.choice(_GROUP_SENTENCES, int(rng.integers(2, 5)), replace=False)
    return _choose(rng, _GROUP_NAMES).format(**words), " ".join(str(s) for s in sentences).format(**words)


def write_comments(
    first: Integers, second: Integers, silent: npt.NDArray[np.bool_], rng: np.random.Generator
) -> list[str]:
    """Comment texts: one emotion word, two, or none.

    Args:
        first: index into `EMOTIONS` of each comment's emotion.  # (N,)
        second: index of a second emotion that is named too, or -1.  # (N,)
        silent: no emotion word at all, only chatter.  # (N,)
        rng: decides templates and words.
    """
    words = [EMOTION_WORDS[emotion] for emotion in EMOTIONS]
    pools = (_OPENERS, _FEELINGS, _BOTH, _CHATTER, _CHATTER, _CLOSERS, words[0], words[0])  # as many words each
    picks = np.stack([rng.integers(0, len(pool), len(first)) for pool in pools], axis=1).tolist()
    texts = []
    for emotion, other, quiet, (o, f, b, c, d, e, w, v) in zip(
        first.tolist(), second.tolist(), silent.tolist(), picks, strict=True
    ):
        if quiet:
            texts.append(_CHATTER[c] if c == d else f"{_CHATTER[c]} {_CHATTER[d]}")
            continue
        word = words[emotion][w]
        core = _FEELINGS[f].format(w=word) if other < 0 else _BOTH[b].format(w=word, v=words[other][v])
        text = _OPENERS[o] + core
        texts.append(f"{text[0].upper()}{text[1:]} {_CLOSERS[e]}".rstrip())
    return texts


def write_captions(count: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """Neutral `title`, `tags` and `description` of `count` images: nothing in them depends on the picture."""
    title, caption = rng.integers(0, len(_TITLES), count), rng.integers(0, len(_CAPTIONS), count)
    tags, number = rng.integers(0, len(_TAGS), (count, 3)), rng.integers(10, 200, count)

    def each(values: Any) -> list[Any]:
        return list(values.tolist())

    return {
        "title": [f"{_TITLES[t]} {n}" for t, n in zip(each(title), each(number), strict=True)],
        "tags": [" ".join(dict.fromkeys(_TAGS[t] for t in row)) for row in each(tags)],
        "description": [_CAPTIONS[c].format(mm=n, n=n) for c, n in zip(each(caption), each(number), strict=True)],
    }
