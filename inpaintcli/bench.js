"use strict";
document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  const large = document.querySelector("dialog");
  const picture = large.querySelector(".room img");
  const names = large.querySelector(".names");
  const strips = [...document.querySelectorAll(".strip")];
  // The pictures that take each other's place: details, or whole photos, of one strip.
  let tiles = [];
  let at = 0;
  let opened = null;

  function show(index) {
    at = (index + tiles.length) % tiles.length;
    const image = tiles[at].querySelector("img");
    picture.src = image.src;
    picture.alt = image.alt;
    // A detail is shown with its pixels up to four times as wide, a whole photo up to twice.
    picture.style.setProperty("--most", tiles[at].closest(".whole") ? "2px" : "4px");
    picture.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    picture.style.setProperty("--wide", image.naturalWidth);
    [...names.children].forEach((button, place) => { button.ariaPressed = String(place === at); });
  }

  function enlarge(tile) {
    opened = tile;
    const strip = tile.closest(".strip");
    tiles = [...tile.parentElement.querySelectorAll(".tile")];
    names.replaceChildren(...tiles.map((one, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = one.querySelector("b").textContent;
      for (const event of ["pointerenter", "focus", "click"]) {
        button.addEventListener(event, () => show(place));
      }
      return button;
    }));
    const about = [...strip.querySelectorAll("h3, dl")].map((part) => part.cloneNode(true));
    about[0].id = "large-name";
    large.querySelector(".about").replaceChildren(...about);
    for (const button of large.querySelectorAll(".steps button")) {
      button.disabled = button.value !== "0" && !neighbour(Number(button.value));
    }
    if (!large.open) large.showModal();
    large.querySelector("button[value='0']").focus();
    show(tiles.indexOf(tile));
  }

  // The same picture of another photo.
  function neighbour(by) {
    const strip = strips[strips.indexOf(opened.closest(".strip")) + by];
    const kind = opened.closest(".whole") ? ".whole .tile" : ".tiles:not(.whole) .tile";
    return strip && [...strip.querySelectorAll(kind)];
  }

  function step(by) {
    const next = neighbour(by);
    if (next) enlarge(next[Math.min(at, next.length - 1)]);
  }

  for (const button of document.querySelectorAll(".tile button")) button.disabled = false;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.closest(".tile")) enlarge(button.closest(".tile"));
    else if (button?.value === "0") large.close();
    else if (button?.closest(".steps")) step(Number(button.value));
    else if (event.target === picture) show(at + 1);
  });
  large.addEventListener("keydown", (event) => {
    const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!across && !down) return;
    event.preventDefault();
    if (across) show(at + across);
    else step(down);
  });
  large.addEventListener("close", () => {
    const button = opened.querySelector("button");
    button.scrollIntoView({ block: "nearest" });
    button.focus({ preventScroll: true });
  });
});
