"""The contact sheet: one file that is whole, safe and small, and what a reader does with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import photo
from inpaintcli.arrays import Pixels
from inpaintcli.sheet import MOST_SHOWN, PAIR_BYTES, SIDE, Row, page, pictures
from tests.browser import BROWSER, Browser
from tests.helpers import Depth, picture

MADE = datetime(2025, 3, 9, 8, 5, tzinfo=UTC)


def flat(red: int, green: int, blue: int, height: int = 90, width: int = 160) -> Pixels:
    """A picture of one colour."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


RED_AND_GREEN = pictures(flat(220, 0, 0), flat(0, 180, 0))


def row(name: str, status: str = "restored", **more: Any) -> Row:
    """A photo that was red before and is green after."""
    before, after = RED_AND_GREEN
    return Row(name, status, {"damaged": "3.91%"}, **{"before": before, "after": after, **more})


# ---- Pictures ------------------------------------------------------------------------------------


@given(
    height=st.integers(1, 900), width=st.integers(1, 900), channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_pictures_are_small_jpegs_of_one_size(
    height: int, width: int, channels: int, dtype: type[Depth]
) -> None:
    pixels = picture(height, width, channels, dtype)
    small = [photo.decode(one, "x.jpg") for one in pictures(pixels, pixels[::-1])]
    sizes = {(one.height, one.width) for one in small}
    assert len(sizes) == 1, "a slider lays one over the other"
    assert [one.format for one in small] == ["JPEG", "JPEG"]
    high, wide = sizes.pop()
    assert max(high, wide) == min(SIDE, max(height, width))
    scale = max(high, wide) / max(height, width)
    assert abs(high - max(1, height * scale)) <= 0.5
    assert abs(wide - max(1, width * scale)) <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_look_like_the_photo(channels: int, dtype: type[Depth]) -> None:
    """Against block means of floats over white."""
    pixels = picture(2 * SIDE // 4, 2 * SIDE, channels, dtype)
    floats = pixels / np.iinfo(dtype).max
    if channels % 2 == 0:
        pixels[..., -1] = np.linspace(0, np.iinfo(dtype).max, 2 * SIDE).astype(dtype)
        floats = pixels / np.iinfo(dtype).max
        alpha = floats[..., -1:]
        floats = floats[..., :-1] * alpha + 1 - alpha
    blocks = floats.reshape(SIDE // 4, 2, SIDE, 2, -1).mean((1, 3))
    for file in pictures(pixels, pixels):
        seen = photo.decode(file, "x.jpg").pixels / 255
        assert seen.shape == blocks.shape
        assert np.abs(seen - blocks).mean() < 0.012


def test_what_transparency_hides_does_not_bleed() -> None:
    pixels = np.zeros((2 * SIDE, 2 * SIDE, 4), np.uint8)
    pixels[..., 0] = 255  # Red, and hidden but for
    pixels[::2, :, :] = (0, 0, 255, 255)  # blue lines.
    seen = photo.decode(pictures(pixels, pixels)[0], "x.jpg").pixels.reshape(-1, 3).mean(0)
    assert np.abs(seen - (127.5, 127.5, 255)).max() < 3


def test_a_full_sheet_of_noise_stays_below_40_mb() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    before, after = pictures(noise[0], noise[1])
    assert len(before) + len(after) <= PAIR_BYTES
    rows = [row(f"{n}.png", before=before, after=after) for n in range(MOST_SHOWN)]
    assert len(page(rows, title="x").encode()) < 40e6


def test_the_profile_goes_along_unless_it_is_long() -> None:
    profile = b"\0" * 36 + b"acsp" + b"\0" * 200
    for length, kept in ((len(profile), profile), (9000, None)):
        file = pictures(flat(1, 2, 3), flat(1, 2, 3), profile.ljust(length, b"\0"))[0]
        assert (photo.decode(file, "x.jpg").metadata.icc_profile or None) == kept


# ---- The page, read without a browser ------------------------------------------------------------

VOID = {"meta", "link", "img", "input", "br"}


class Reader(HTMLParser):
    """Checks that tags are balanced and ids unique; keeps elements and the text of each class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            tag, attributes = self.open[-1]
            self.texts.append((attributes.get("class") or tag, data))

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and css_class in ["", *(attributes.get("class") or "").split()]
        ]

    def said(self, kind: str) -> list[str]:
        """The texts of elements by class, or by tag where they have none."""
        return [text for one, text in self.texts if one == kind]


def read(text: str) -> Reader:
    assert text.encode("utf-8").decode("utf-8") == text
    reader = Reader(text)
    tags = {tag for tag, _ in reader.elements}
    assert tags <= {
        "html", "head", "meta", "link", "title", "style", "script", "body", "header", "main", "h1",
        "h2", "h3", "p", "time", "div", "button", "b", "input", "section", "ul", "ol", "li", "span",
        "img", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "dialog", "kbd",
    }  # fmt: skip
    for _, attributes in reader.elements:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("src", "href"):
            assert (attributes.get(key) or "data:").startswith("data:")
    return reader


def test_the_page_tells_what_was_done() -> None:
    rows = [
        row("a.jpg", note="8 bit"), row("b.jpg", "copied", before=RED_AND_GREEN[1]),
        Row("c.jpg", "failed", {}, error="c.jpg: cut short"), Row("d.jpg", "skipped", {}),
    ]  # fmt: skip
    page_ = read(page(rows, title="Scans", made=MADE))
    assert ("html", {"lang": "en"}) in page_.elements
    assert page_.said("title") == page_.said("h1") == ["Scans"]
    assert page_.said("time") == ["2025-03-09, 08:05"]
    assert [one["value"] for one in page_.all("button") if "aria-pressed" in one] == [
        "", "restored", "copied", "skipped", "failed",
    ]  # fmt: skip
    assert page_.said("b") == ["4", "1", "1", "1", "1"]
    assert page_.said("name") == ["c.jpg", "a.jpg", "b.jpg", "d.jpg"], "failures come first"
    assert page_.said("error") == ["cut short"]
    assert page_.said("note") == ["8 bit"]
    assert "3.91%" in page_.said("dd")
    assert [one["alt"] for one in page_.all("img")] == [
        "a.jpg, before", "a.jpg, after", "b.jpg, after",
    ]  # fmt: skip
    assert len(page_.all("input")) == 2, "a search and one slider: a copy has nothing to compare"


@pytest.mark.parametrize("rows", [[], [Row("a", "failed", {})], [Row("a", "planned", {})]])
def test_a_page_of_nothing_much_is_whole(rows: list[Row]) -> None:
    page_ = read(page(rows, title=""))
    assert not page_.all("img")
    assert page_.said("b")[0] == str(len(rows))


def test_two_hundred_photos_are_shown_and_the_rest_listed() -> None:
    rows = [row(f"{n}.jpg") for n in range(MOST_SHOWN + 2)]
    rows.insert(3, Row("early", "skipped", {"seconds": "7"}))
    text = page(rows, title="x")
    page_ = read(text)
    assert MOST_SHOWN == 200
    assert len(page_.all("li", "card")) == 200
    assert len(page_.all("img")) == 400
    assert page_.said("name")[200:] == ["early", "200.jpg", "201.jpg"]
    assert page_.said("td").count("7") == 1
    assert "2 more are listed here" in text
    assert "more" not in " ".join(read(page(rows[:5], title="x")).said("p"))


def all_named(text: str) -> str:
    """A page with this text wherever there can be one."""
    rows = [
        Row(text, text, {text: text}, text, text, *RED_AND_GREEN),
        Row(text, "failed", {text: text}, text, text),
        Row(text, "skipped", {text: text}, text, text),
    ]
    return page(rows, title=text)


#: The elements of such a page.
PLAIN = [tag for tag, _ in read(all_named("x")).elements]


FRAGMENTS = [
    *"<>&\"' =\n\r\0\udcff\ud83d\u202e",
    "<b>",
    "</li>",
    "<!--",
    "&lt;",
    "&#10;",
    "onclick=",
    "x",
]


@given(text=st.text() | st.lists(st.sampled_from(FRAGMENTS)).map("".join))
@settings(max_examples=100, deadline=None)
def test_names_and_messages_cannot_break_the_page(text: str) -> None:
    """Whatever they hold, the page has the same elements, and says them in one line."""
    page_ = read(all_named(text))
    if text not in ("", "failed", "skipped"):
        assert [tag for tag, _ in page_.elements] == PLAIN
    whole = "".join(page_.said("name"))
    assert whole.isprintable()
    if text.isprintable():
        assert whole == text * 3
        assert {one["alt"] for one in page_.all("img")} == {f"{text}, before", f"{text}, after"}


def test_names_that_are_not_utf8_and_marks_of_direction_are_spelt_out() -> None:
    page_ = read(page([Row("a\udcff\u202eb\nc", "skipped", {})], title="x"))
    assert page_.said("name") == ["a\ufffd\\u202eb\\nc"]


# ---- The page in a browser -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome is installed here (Debian: apt install chromium)")
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


NAME = 'R&D <img src=x onerror=alert(1)> "q".jpg'


@pytest.fixture
def sheet(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """The browser with a sheet of four photos, which makes no complaints in the end either."""
    rows = [
        row(NAME), row("second.jpg"), row("copy.jpg", "copied", before=RED_AND_GREEN[1]),
        Row("broken.jpg", "failed", {}, error="cut short"), Row("done.jpg", "skipped", {}),
    ]  # fmt: skip
    path = tmp_path / "sheet.html"
    path.write_text(page(rows, title="Scans"), "utf-8")
    browser.view(1000, 800)
    browser.open(path)
    assert browser.complaints() == []
    yield browser
    assert browser.complaints() == []


def places(browser: Browser, selector: str) -> list[tuple[float, float]]:
    """A tenth, a half and nine tenths from the left of a picture, a quarter from its top."""
    left, top, width, height = browser.box(selector)
    return [(left + share * width, top + height / 4) for share in (0.1, 0.5, 0.9)]


def colours(browser: Browser, selector: str) -> list[str]:
    """What is to be seen a fifth from the left, and from the right, of a picture."""
    left, top, width, height = browser.box(selector)
    return [browser.colour(left + share * width, top + height * 0.8) for share in (0.2, 0.8)]


def test_nothing_is_loaded_and_names_are_text(sheet: Browser) -> None:
    assert sheet.value("document.querySelector('.card h3').textContent") == NAME
    assert sheet.value("document.images.length") == 5
    assert sheet.value("[...document.images].every((one) => one.naturalWidth === 160)")
    assert sheet.value("document.querySelectorAll('[onerror]').length") == 0


@pytest.mark.parametrize(
    "attempt",
    [
        "new Image().src = 'http://127.0.0.1:9/x.png'",
        "fetch('http://127.0.0.1:9/').catch(() => 0)",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'got = 1'}))",
        "document.body.innerHTML = '<p onclick=\"got = 1\"></p>'; document.body.firstChild.click()",
    ],
)
def test_the_policy_forbids_loading_and_foreign_script(sheet: Browser, attempt: str) -> None:
    blocked = sheet.value(
        "new Promise((done) => {"
        " document.addEventListener('securitypolicyviolation', (event) => done(event.type));"
        f" setTimeout(() => done('nothing'), 5000); {attempt}; }})"
    )
    assert blocked == "securitypolicyviolation"
    assert sheet.value("typeof got") == "undefined"
    sheet.events.clear()


def test_the_line_follows_mouse_finger_and_keys(sheet: Browser) -> None:
    assert colours(sheet, ".pair") == ["red", "green"]
    left, middle, right = places(sheet, ".pair")
    sheet.drag(middle, left)
    assert colours(sheet, ".pair") == ["green", "green"]
    sheet.drag(left, middle, right)
    assert colours(sheet, ".pair") == ["red", "red"]
    for _ in range(80):
        sheet.press("ArrowLeft")
    assert colours(sheet, ".pair") == ["green", "green"]

    sheet.view(400, 800, touch=True)
    left, middle, right = places(sheet, ".pair")
    sheet.touch(left, middle, right)
    assert colours(sheet, ".pair") == ["red", "red"]
    assert not sheet.value("document.querySelector('dialog').open")


def settled(check: Callable[[], bool]) -> bool:
    """Whether it comes true soon: a dialog tells a moment later that it is closed."""
    for _ in range(40):
        if check():
            return True
        time.sleep(0.05)
    return False


def test_the_large_view_opens_and_closes_by_keyboard(sheet: Browser) -> None:
    name = "document.querySelector('#large-name')?.textContent"
    is_open = "document.querySelector('dialog').open"
    for _ in range(20):
        sheet.press("Tab")
        if sheet.value("document.activeElement.className") == "enlarge":
            break
    sheet.press("Enter")
    assert sheet.value(is_open)
    assert sheet.value(name) == NAME
    assert sheet.box("dialog .pair")[2] >= 300, "twice the picture's own size"
    assert colours(sheet, "dialog .pair") == ["red", "green"]
    for _ in range(45):
        sheet.press("ArrowRight")
    assert colours(sheet, "dialog .pair") == ["red", "red"]
    sheet.press("ArrowDown")
    assert sheet.value(name) == "second.jpg"
    assert colours(sheet, "dialog .pair") == ["red", "green"]
    sheet.press("ArrowDown")
    assert sheet.value(name) == "copy.jpg"
    assert colours(sheet, "dialog .pair") == ["green", "green"]
    sheet.press("ArrowDown")
    assert sheet.value(name) == "copy.jpg", "the last one"
    sheet.press("ArrowUp")
    sheet.press("Escape")
    assert not sheet.value(is_open)
    where = "document.activeElement.closest('.card').querySelector('h3').textContent"
    assert settled(lambda: sheet.value(where) == "second.jpg"), "where the reader has got to"


def test_a_click_opens_the_large_view_and_a_button_closes_it(sheet: Browser) -> None:
    sheet.drag(places(sheet, ".pair")[0])
    assert sheet.value("document.querySelector('dialog').open")
    sheet.drag(places(sheet, "dialog .pair")[0])
    assert colours(sheet, "dialog .pair") == ["green", "green"], "a click there moves the line"
    x, y, width, height = sheet.box("dialog button[value='0']")
    sheet.drag((x + width / 2, y + height / 2))
    assert not sheet.value("document.querySelector('dialog').open")
    stays = settled(lambda: colours(sheet, ".pair") == ["green", "green"])
    assert stays, "the line stays where it was put"


def test_photos_are_filtered_by_status_and_name(sheet: Browser) -> None:
    seen = "[...document.querySelectorAll('.name')].filter((one) => one.checkVisibility())"
    names = f"{seen}.map((one) => one.textContent)"
    everything = ["broken.jpg", NAME, "second.jpg", "copy.jpg", "done.jpg"]
    assert sheet.value(names) == everything
    for status, expected in {
        "failed": ["broken.jpg"], "copied": ["copy.jpg"], "skipped": ["done.jpg"], "": everything,
    }.items():  # fmt: skip
        x, y, width, height = sheet.box(f".counts button[value='{status}']")
        sheet.drag((x + width / 2, y + height / 2))
        assert sheet.value(names) == expected
    sheet.value("document.querySelector('[type=search]').focus()")
    sheet.call("Input.insertText", text="SECOND")
    assert sheet.value(names) == ["second.jpg"]
    sheet.call("Input.insertText", text="x")
    assert sheet.value(names) == []
    assert sheet.value("document.querySelector('.none').textContent") == "No photo is called that."


def test_without_script_before_and_after_stand_side_by_side(sheet: Browser, tmp_path: Path) -> None:
    sheet.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        sheet.open(tmp_path / "sheet.html")
        assert colours(sheet, ".pair") == ["red", "green"]
        before, after = (sheet.box(f".card .{when}") for when in ("before", "after"))
        assert before[0] + before[2] <= after[0]
    finally:
        sheet.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1000])
def test_it_fits_the_window_and_is_readable(sheet: Browser, width: int, scheme: str) -> None:
    """Nothing sticks out sideways; text has WCAG's contrast of 4.5 to its ground."""
    sheet.view(width, 700, scheme=scheme, touch=width < 500)
    assert sheet.value("document.documentElement.scrollWidth") <= width
    ground = sheet.value("getComputedStyle(document.body).backgroundColor")
    for selector in ("h1", ".made", ".card h3", "dt", ".status dd", "thead th", ".error"):
        ink = sheet.value(f"getComputedStyle(document.querySelector('{selector}')).color")
        assert contrast(ink, ground) >= 4.5, selector
    assert (luminance(ground) < 0.1) == (scheme == "dark")


def luminance(colour: str) -> float:
    """Relative luminance, after WCAG 2, of "rgb(r, g, b)"."""
    values = np.array([float(n) for n in colour[4:-1].split(",")]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)
