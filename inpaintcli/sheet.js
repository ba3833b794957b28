
"use strict";
document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  const large = document.querySelector("dialog");
  const stage = large.querySelector(".pair");
  const search = document.querySelector("input[type=search]");
  const filters = [...document.querySelectorAll(".counts button")];
  const rows = [...document.querySelectorAll("[data-status]")];
  const cards = rows.filter((row) => row.classList.contains("card"));
  const slider = (pair) => pair.querySelector("input[type=range]");
  let shown = null;

  // ---- Before and after ----

  function slide(pair, percent) {
    const range = slider(pair);
    if (!range) return;
    range.value = Math.round(percent * 10) / 10;
    pair.style.setProperty("--at", range.value + "%");
  }

  document.addEventListener("input", (event) => {
    if (event.target.type === "range") slide(event.target.parentElement, event.target.value);
  });

  // A press that moves drags the line there; one that does not is a click. The range itself gets
  // no presses: what browsers make of them differs.
  let press = null;
  function follow(event) {
    const box = press.pair.getBoundingClientRect();
    slide(press.pair, ((event.clientX - box.left) / box.width) * 100);
  }
  document.addEventListener("pointerdown", (event) => {
    const pair = event.target.closest(".pair");
    if (!pair || !event.isPrimary || event.button || event.target.closest("button")) return;
    event.preventDefault();
    press = { pair, x: event.clientX, moved: false };
    pair.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!press || !event.isPrimary) return;
    press.moved ||= Math.abs(event.clientX - press.x) > 4;
    if (press.moved) follow(event);
  });
  document.addEventListener("pointerup", (event) => {
    if (!press || !event.isPrimary) return;
    const { pair, moved } = press;
    if (pair === stage) follow(event);
    press = null;
    if (pair !== stage && !moved) enlarge(pair.closest(".card"));
    else slider(pair)?.focus({ preventScroll: true });
  });
  document.addEventListener("pointercancel", () => { press = null; });

  // ---- Large ----

  function enlarge(card) {
    shown = card;
    const pair = card.querySelector(".pair");
    const copies = [...pair.querySelectorAll("img, input")].map((part) => part.cloneNode());
    stage.replaceChildren(...copies);
    stage.className = pair.className;
    const first = pair.querySelector("img");
    stage.style.setProperty("--ratio", first.naturalWidth / first.naturalHeight);
    stage.style.setProperty("--wide", first.naturalWidth);
    slide(stage, slider(pair)?.value);
    const about = [...card.querySelectorAll("h3, dl, .note")].map((part) => part.cloneNode(true));
    about[0].id = "large-name";
    large.querySelector(".about").replaceChildren(...about);
    for (const button of large.querySelectorAll(".steps button")) {
      button.disabled = button.value !== "0" && !neighbour(Number(button.value));
    }
    if (!large.open) large.showModal();
    (slider(stage) ?? large.querySelector("button[value='0']")).focus();
  }

  function neighbour(step) {
    const seen = cards.filter((card) => !card.hidden);
    return seen[seen.indexOf(shown) + step];
  }

  function step(by) {
    const next = neighbour(by);
    if (next) enlarge(next);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.matches(".enlarge")) enlarge(button.closest(".card"));
    else if (button?.value === "0") large.close();
    else if (button?.closest(".steps")) step(Number(button.value));
  });
  large.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  // Back to where the reader has got to.
  large.addEventListener("close", () => {
    slide(shown.querySelector(".pair"), slider(stage)?.value);
    shown.scrollIntoView({ block: "nearest" });
    shown.querySelector(".enlarge").focus({ preventScroll: true });
    stage.replaceChildren();
  });

  // ---- Filter and search ----

  function sift() {
    const status = filters.find((button) => button.ariaPressed === "true").value;
    const words = search.value.trim().toLowerCase();
    for (const row of rows) {
      const name = row.querySelector(".name").textContent.toLowerCase();
      row.hidden = (status && row.dataset.status !== status) || !name.includes(words);
    }
    for (const section of document.querySelectorAll("section")) {
      section.hidden = !section.querySelector("[data-status]:not([hidden])");
    }
    const none = rows.every((row) => row.hidden);
    document.querySelector(".none").textContent = none ? "No photo is called that." : "";
  }

  for (const button of filters) {
    button.disabled = false;
    button.addEventListener("click", () => {
      for (const other of filters) other.ariaPressed = String(other === button);
      sift();
    });
  }
  search.disabled = false;
  search.addEventListener("input", sift);
});
