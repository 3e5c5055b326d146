// What stands between the page and an answer: one plain sentence at the top, and what to do.

import { byId, el } from "./dom.js";

let waiting = null;
let again = null; // ends the wait
let shown = ""; // which notice

const box = () => byId("notice");

function show(kind, ...children) {
  if (shown === kind) return;
  shown = kind;
  box().replaceChildren(...children);
  box().hidden = false;
}

/** All is well again. */
export function well() {
  if (shown === "" || shown === "key") return;
  shown = "";
  box().hidden = true;
}

/** Wait so many seconds, or until somebody presses the button. All who wait, wait together. */
function wait(kind, seconds, sentence, ...advice) {
  waiting ??= new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      waiting = null;
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    again = done;
    show(kind, el("p", {}, el("strong", {}, sentence), " ", ...advice),
      el("button", { type: "button", onclick: () => again() }, "Try now"));
  });
  return waiting;
}

export const gone = (seconds) =>
  wait("gone", seconds, "The service does not answer.",
    "Is it running, and is the network up? This page keeps trying.");

export const notReady = (seconds) =>
  wait("not-ready", seconds, "No model is loaded yet.",
    "Train one with ", el("code", {}, "python -m scripts.train"),
    "; the service picks it up by itself, and so does this page.");

export const busy = (seconds) =>
  wait("busy", seconds, "The service is busy.", `It asks to be left alone for ${seconds} s; then this page tries again.`);

/** Ask for the API key; resolves to what is typed. */
export function askKey(wrong) {
  return new Promise((resolve) => {
    const input = el("input", { id: "key", type: "password", autocomplete: "off", required: true, pattern: "[!-~]+" });
    const form = el("form", {
      class: "ask",
      onsubmit: (event) => {
        event.preventDefault();
        shown = "";
        box().hidden = true;
        resolve(input.value);
      },
    }, el("label", { for: "key" }, "API key"), input, el("button", {}, "Use it"));
    shown = "";
    show("key", el("p", {},
      el("strong", {}, wrong ? "That key was not accepted." : "This service asks for a key."), " ",
      "It is one of FOLDREC_API_KEYS. The page keeps it in memory until it is closed or loaded again."), form);
    input.focus();
  });
}
