"""Image files as encoders need them: upright, in RGB, decoded in threads, and never a crash for a broken one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")  # not EPS, which would run Ghostscript
T = TypeVar("T")
R = TypeVar("R")


def read_images(
    items: Sequence[Path], prepare: Callable[[Image.Image], T], *, side: int | None = None
) -> list[T | str]:
    """Each image upright and in RGB as `prepare` makes it ready for a network, or why there is none; in threads.

    Orientation (EXIF) is applied, transparency laid on white, the first frame of an animation taken. Images of more
    pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million) are refused undecoded.

    Args:
        items: the files.
        prepare: an RGB image → what the network takes.
        side: what `prepare` makes of the shorter side, in px. A JPEG is then decoded at a half, a quarter or an eighth
            of its size, which takes a fraction of the time, where that leaves at least twice as many.
    """
    return map_images(items, prepare, list, side=side, threads=min(8, os.cpu_count() or 1))


def map_images(
    items: Sequence[Path],
    prepare: Callable[[Image.Image], T],
    run: Callable[[list[T]], Iterable[R]],
    *,
    side: int | None = None,
    size: int = 1,
    threads: int,
    start: Callable[[], None] = lambda: None,
) -> list[R | str]:
    """The same, and what `run` makes of `size` prepared images at a time, in the thread that has read them.

    Args:
        items: the files.
        prepare: an RGB image → what the network takes.
        side: as in `read_images`.
        size: number of images that `run` takes at a time.
        threads: number of threads.
        run: prepared images → one result each; it never sees those that cannot be read.
        start: called once in each thread.
    """

    def part(first: int) -> list[R | str]:
        read = [_read(item, side) for item in items[first : first + size]]
        results = iter(
            run(ready) if (ready := [prepare(image) for image in read if not isinstance(image, str)]) else ()
        )
        return [image if isinstance(image, str) else next(results) for image in read]

    Image.init()  # else which formats are known depends on what was opened before
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, initializer=start) as pool:
        warnings.simplefilter("ignore")  # odd but readable: broken EXIF, bytes as palette transparency
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [result for parts in pool.map(part, range(0, len(items), size)) for result in parts]


def _read(path: Path, side: int | None) -> Image.Image | str:
    """The image upright and in RGB, perhaps smaller (see `read_images`), or why there is none."""
    try:
        if not path.is_file():
            return "there is no such file"
        with Image.open(path, formats=FORMATS) as image:
            if side:
                image.draft(None, (2 * side, 2 * side))  # other formats than JPEG take no notice
            return _center(_to_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"the image has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    except UnidentifiedImageError:
        return f"the file is not an image of a format that is read ({', '.join(FORMATS)})"
    except Exception as error:  # decoders of damaged files raise nearly anything
        return f"the image cannot be read: {str(error) or type(error).__name__}"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: PIL would clip where it should scale
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _center(image: Image.Image) -> Image.Image:
    """The middle of an image that is all but a line: resizing its short side would blow up the long one."""
    longest = 8 * min(image.size)
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
