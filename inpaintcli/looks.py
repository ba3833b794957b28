"""How old photographs look where nothing is damaged: grey, sepia or faded, grainy, soft, screened,
with a white border and words in ink; and what a scanner adds.

None of it is damage. A picture so changed is what a damaged one is to be restored to.
"""

from __future__ import annotations

import math
import string

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Pixels


def look_old(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A photo as if it were old: tone, softness, grain, border and words, of each by chance.

    pixels: uint8 or uint16, (h, w, c) with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB,
    alpha); alpha is left alone. Returns an array of the same shape and depth.
    """
    full = np.iinfo(pixels.dtype).max
    colours = 3 if pixels.shape[2] >= 3 else 1
    picture = pixels[..., :colours].astype(np.float32) / np.float32(full)
    if colours == 1:
        picture = np.repeat(picture, 3, 2)
    scale = max(0.6, min(pixels.shape[:2]) / 500)
    if rng.random() < 0.35:
        picture = _soft(picture, scale * rng.uniform(0.3, 1.1))
    picture = toned(picture, rng)
    if rng.random() < 0.06:
        picture = _screened(picture, scale, rng)
    if rng.random() < 0.05:
        _write(picture, scale, rng)
    if rng.random() < 0.3:
        picture = _bordered(picture, scale, rng)
    if rng.random() < 0.5:
        picture = grained(picture, rng)
    if colours == 1:
        picture = picture.mean(2, keepdims=True)
    old = pixels.copy()
    old[..., :colours] = np.rint(np.clip(picture, 0, 1) * full).astype(pixels.dtype)
    return old


def scanned(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A uint8 (h, w, 3) picture as a scanner would give it: a little soft or sharpened, noisy, and
    through a JPEG."""
    picture = pixels
    choice = rng.random()
    if choice < 0.25:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8)), np.uint8)
    elif choice < 0.45:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        amount = rng.uniform(0.2, 0.9)
        picture = np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0), np.uint8)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(0.5, 3), picture.shape).astype(np.float32)
        picture = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), quality)
        if done:
            decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert decoded is not None
            picture = np.asarray(decoded[..., ::-1], np.uint8)
    return picture


def toned(picture: Floats, rng: np.random.Generator) -> Floats:
    """Colours and contrast that time has left, of float (h, w, 3) in [0, 1]."""
    choice = rng.random()
    if choice < 0.6:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        # Early film is blind to red.
        if rng.random() < 0.2:
            weights = np.array([0.05, 0.45, 0.5], np.float32)
        grey = np.asarray(picture @ weights)[..., None]
        picture = np.repeat(grey, 3, 2)
        if choice < 0.15:
            picture = _tinted(picture, rng)
        elif choice < 0.3:
            warm = rng.uniform(0.0, 0.35)
            shadow = np.array([0.16, 0.09, 0.04], np.float32) * np.float32(rng.uniform(0, 1))
            light = np.array([1, 1 - 0.35 * warm, 1 - warm], np.float32)
            picture = np.asarray(shadow + (light - shadow) * picture, np.float32)
    elif choice < 0.8:
        # Dyes fade at different rates.
        rates = rng.uniform(0.6, 1.4, 3).astype(np.float32)
        picture = np.asarray(np.power(picture, rates), np.float32)
        grey = np.asarray(picture.mean(2, keepdims=True), np.float32)
        picture = grey + (picture - grey) * np.float32(rng.uniform(0.3, 1))
    if rng.random() < 0.6:
        low, high = rng.uniform(0, 0.25), rng.uniform(0.65, 1)
        gamma = math.exp(rng.normal(0, 0.25))
        curve = np.power(np.clip(picture, 0, 1), np.float32(gamma))
        picture = np.asarray(low + (high - low) * curve, np.float32)
    if rng.random() < 0.25:
        uneven = cv2.resize(
            rng.uniform(0.75, 1.1, (3, 3)).astype(np.float32), picture.shape[1::-1],
            interpolation=cv2.INTER_CUBIC,
        )  # fmt: skip
        picture = np.asarray(picture * np.asarray(uneven)[..., None], np.float32)
    return np.clip(picture, 0, 1).astype(np.float32)


def is_pale(pixels: NDArray[np.uint8]) -> bool:
    """Whether a uint8 (h, w, 3) picture has hardly any colours."""
    picture = pixels.astype(np.float32) / np.float32(255)
    return bool(np.abs(picture - picture.mean(2, keepdims=True)).mean() < 0.06)


def retoned(
    pixels: NDArray[np.uint8], rng: np.random.Generator, *, grey: bool
) -> NDArray[np.uint8]:
    """A uint8 (h, w, 3) picture in shades of one warm tone, whatever it had before, or, if it is
    not to be made `grey`, with its colours and the tone over them."""
    picture = pixels.astype(np.float32) / np.float32(255)
    if grey:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, 2)
    return np.rint(np.clip(_tinted(picture, rng), 0, 1) * 255).astype(np.uint8)


def _tinted(picture: Floats, rng: np.random.Generator) -> Floats:
    """Of another tone, mostly warmer, most in the middle tones, while black and white stay about
    what they are; not everywhere alike."""
    tint = np.exp(rng.uniform(0, 0.45) * np.array([-1, 0, 1]) + rng.normal(0, 0.06, 3))
    picture = np.power(np.clip(picture, 0, 1), tint.astype(np.float32))
    return np.asarray(picture * _blotched(picture.shape, rng), np.float32)


def _blotched(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Factors (h, w, 3) around 1: faint blotches of colour, as wide as a twelfth of the picture or
    wider."""
    cells = int(rng.integers(3, 13))
    small = 1 + rng.uniform(0, 0.03) * rng.standard_normal((cells, cells, 3))
    large = cv2.resize(small.astype(np.float32), shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32)


def grained(picture: Floats, rng: np.random.Generator) -> Floats:
    """With the grain of film: clumps of one to three pixels, of float (h, w, 3) in [0, 1]."""
    colours = 1 if rng.random() < 0.7 else 3
    noise = rng.standard_normal((*picture.shape[:2], colours), np.float32)
    size = rng.uniform(0, 1.2)
    if size > 0.3:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), size), np.float32)
        noise = noise.reshape(*picture.shape[:2], colours) / np.float32(noise.std() + 1e-6)
    strength = np.float32(math.exp(rng.uniform(math.log(0.004), math.log(0.035))))
    return np.clip(picture + noise * strength, 0, 1).astype(np.float32)


def _soft(picture: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _screened(picture: Floats, scale: float, rng: np.random.Generator) -> Floats:
    """Printed in a newspaper or a book: dots on a turned lattice, larger where it is darker."""
    pitch, angle = scale * rng.uniform(2.5, 5), rng.uniform(0, math.pi / 2)
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    along = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / pitch)
    across = (-x * math.sin(angle) + y * math.cos(angle)) * (2 * math.pi / pitch)
    dots = ((np.cos(along) + np.cos(across)) / 4 + 0.5)[..., None]
    strength = np.float32(rng.uniform(0.15, 0.5))
    screened = np.clip((picture - dots) * 3 + 0.5, 0, 1)
    return np.asarray(picture * (1 - strength) + screened * strength, np.float32)


def _write(picture: Floats, scale: float, rng: np.random.Generator) -> None:
    """Words in ink or in print, in place: they belong to the picture."""
    height, width = picture.shape[:2]
    # No dots and dashes: alone they look as dust does.
    letters = list(string.ascii_letters + string.digits + "  ")
    for _ in range(int(rng.integers(1, 4))):
        words = "".join(rng.choice(letters, int(rng.integers(4, 22))))
        size = float(scale * rng.uniform(0.35, 1.6))
        ink = rng.uniform(0, 0.3, 3) if rng.random() < 0.6 else rng.uniform(0.75, 1, 3)
        place = (int(rng.integers(-20, max(1, width - 20))), int(rng.integers(10, max(11, height))))
        canvas = np.zeros((height, width), np.uint8)
        cv2.putText(canvas, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1)
        if rng.random() < 0.4:
            turn = cv2.getRotationMatrix2D(place, rng.normal(0, 8), 1.0)
            canvas = np.asarray(cv2.warpAffine(canvas, turn, (width, height)), np.uint8)
        cover = (canvas.astype(np.float32) / np.float32(255 / rng.uniform(0.6, 1)))[..., None]
        picture += (ink.astype(np.float32) - picture) * cover


def _bordered(picture: Floats, scale: float, rng: np.random.Generator) -> Floats:
    """With the white border of a print, at times a line around the picture, and at times the
    scanner's bed beyond it."""
    height, width = picture.shape[:2]
    least = min(height, width)
    light = rng.uniform(0.75, 1)
    paper = np.array([light, light * rng.uniform(0.94, 1), light * rng.uniform(0.85, 1)])
    inner = (least * rng.uniform(0.02, 0.09, 4)).astype(int)
    if rng.random() < 0.35:
        # Cut off by the scan, but for a sliver at some sides.
        inner = (inner * rng.uniform(0, 0.6, 4) * (rng.random(4) < 0.7)).astype(int)
    whole = np.zeros((height, width), np.float32)
    whole[inner[0] : height - inner[1], inner[2] : width - inner[3]] = 1
    soft = np.asarray(cv2.GaussianBlur(whole, (0, 0), scale * rng.uniform(0.3, 1.5)), np.float32)
    bordered = paper.astype(np.float32) + (picture - paper.astype(np.float32)) * soft[..., None]
    if rng.random() < 0.3:
        corners = ((int(inner[2]), int(inner[0])), (width - int(inner[3]), height - int(inner[1])))
        dark = rng.uniform(0, 0.4)
        cv2.rectangle(bordered, *corners, (dark, dark, dark), max(1, round(scale)), cv2.LINE_AA)
    if rng.random() < 0.5:
        bed = np.float32(rng.choice([rng.uniform(0, 0.1), rng.uniform(0.9, 1)]))
        outer = inner * rng.uniform(0.1, 0.8)
        shape = np.array([
            [outer[2], outer[0]], [width - outer[3], outer[0] * rng.uniform(0, 1.5)],
            [width - outer[3], height - outer[1]], [outer[2] * rng.uniform(0, 1.5),
            height - outer[1]],
        ])  # fmt: skip
        print_itself = np.zeros((height, width), np.uint8)
        cv2.fillPoly(print_itself, [np.rint(shape * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        cover = (print_itself.astype(np.float32) / np.float32(255))[..., None]
        bordered = bed + (bordered - bed) * cover
    return np.asarray(bordered, np.float32)
