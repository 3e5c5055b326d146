// "Be somebody new": likes and dislikes in, recommendations and their reasons out, at once.

import { ask, post, told } from "./api.js";
import { itemLink, titleOf, details } from "./catalogue.js";
import { curlButton } from "./curl.js";
import { byId, count, el, number, replace, say } from "./dom.js";
import { colours, entries, provenance } from "./list.js";
import { model } from "./model.js";
import { changed, forget, interactions, profile, rate, spotlight, STRENGTHS } from "./profile.js";
import { search } from "./search.js";

const K = 10;

let ratings = false; // a model of ratings has no dislikes, only low values
let without = null; // the item whose absence is being tried
let uncertain = false;
let underway = new AbortController();
let last = null; // the request behind what is shown

export function setUp() {
  search(byId("new-search"), "Search for something you like", like);
  const uncertainty = el("label", { class: "check" },
    el("input", { type: "checkbox", id: "uncertainty", onchange: (event) => {
      uncertain = event.target.checked;
      update();
    } }), "Show uncertainty");
  byId("new-tools").append(uncertainty, curlButton(() => last));
  changed.addEventListener("profile", () => {
    if (!profile.has(without)) without = null;
    update();
  });
}

export async function show() {
  model().then((card) => {
    ratings = card?.row_rule?.needs_values === true;
    drawProfile();
  });
  await update();
}

const like = (id) => rate(id, STRENGTHS);
const dislike = (id) => rate(id, ratings ? 1 : -STRENGTHS);

async function update() {
  underway.abort();
  const mine = (underway = new AbortController());
  drawProfile();
  const body = { interactions: interactions(), k: K, explain: true };
  if (uncertain) body.uncertainty = true;
  if (without !== null) Object.assign(body, { what_if: { remove: [without] }, exclude: [without] });
  last = post("fold-in", body);
  try {
    draw(await ask(last, mine.signal));
  } catch (error) {
    told(error, refused);
  }
}

function refused(problem) {
  if (uncertain && problem.status === 422) { // not every family can tell it
    const box = byId("uncertainty");
    uncertain = box.checked = false;
    box.disabled = true;
    byId("new-note").textContent = problem.message;
    update();
  } else {
    byId("new-about").textContent = problem.message;
    byId("new-list").replaceChildren();
  }
}

function draw(answer) {
  const list = answer.after ?? answer;
  const moves = answer.changes && new Map(answer.changes.map((change) => [change.item_id, change]));
  const from = count(list.source === "popular" ? 0 : profile.size - (without === null ? 0 : 1), "item");
  const about = byId("new-about");
  about.textContent = provenance(list, `Folded in from ${from}.`);
  if (moves) about.replaceChildren(...whatIf(answer));
  replace(byId("new-list"), entries(list.items, {
    palette: colours([...profile.keys()]), moves, counted: list.source === "popular",
    actions: (id) => buttons(id),
  }), byId("new-list-title"));
  drawProfile(); // titles may have come with the answer
  Object.assign(spotlight, { history: [...profile.keys()], recommended: profile.size ? list.items.map((item) => item.item_id) : [] });
  const left = moves ? [...moves.values()].filter((change) => change.rank_after === undefined) : [];
  byId("new-gone").replaceChildren(...(left.length ? [gone(left)] : []));
  say(`${count(list.items.length, "recommendation")}${list.items.length ? `, first ${titleOf(list.items[0].item_id)}` : ""}`);
}

function whatIf({ changes: moves }) {
  const entered = moves.filter((change) => change.rank_before === undefined && change.rank_after !== undefined).length;
  const shifted = moves.filter((change) => change.rank_change).length;
  return [
    el("strong", {}, `Without ${titleOf(without)}: `),
    `${count(entered, "item")} of these would be new here, ${shifted} would change places. `,
    el("button", { type: "button", class: "quiet", onclick: () => forget(without) }, "Take it out"), " ",
    el("button", { type: "button", class: "quiet", onclick: () => tryWithout(null) }, "Keep it"),
  ];
}

const gone = (left) => el("p", { class: "about" }, "No longer among them: ",
  left.flatMap(({ item_id: id }, position) => [position ? ", " : "", itemLink(id)]), ".");

function buttons(id) {
  return [
    el("button", { type: "button", "data-focus": `like ${id}`, onclick: () => like(id), "aria-label": `Like ${titleOf(id)}` }, "Like"),
    el("button", { type: "button", class: "quiet", "data-focus": `dislike ${id}`, onclick: () => dislike(id), "aria-label": `Not for me: ${titleOf(id)}` }, "Not for me"),
  ];
}

function tryWithout(id) {
  without = id;
  update();
}

function drawProfile() {
  const palette = colours([...profile.keys()]);
  replace(byId("profile"), [...profile].map(([id, value]) => row(id, value, palette.get(id))), byId("profile-title"));
  byId("profile-hint").textContent = profile.size
    ? ""
    : "Nothing yet. Search above, or press Like beside something that most people have.";
}

function row(id, value, colour) {
  const disliked = value < 0;
  const title = titleOf(id);
  if (title === id) details(id).then((item) => item?.metadata?.title && titleOf(id) !== id && drawProfile());
  const strength = el("input", {
    type: "range", min: 1, max: STRENGTHS, step: 1, value: Math.abs(value), "data-focus": `strength ${id}`,
    "aria-label": `${ratings ? "Rating of" : disliked ? "How much you dislike" : "How much you like"} ${title}`,
    oninput: (event) => rate(id, (disliked ? -1 : 1) * Number(event.target.value)),
  });
  const toggle = !ratings && el("button", {
    type: "button", class: "quiet", "aria-pressed": String(disliked), "data-focus": `sign ${id}`,
    "aria-label": `Dislike ${title}`, onclick: () => rate(id, -value),
  }, disliked ? "Disliked" : "Liked");
  return el("li", { class: without === id ? "liked tried" : "liked" },
    el("span", { class: "swatch", "aria-hidden": "true", style: { background: colour ?? "var(--c-rest)" } }),
    el("span", { class: "name" }, itemLink(id)),
    el("button", { type: "button", class: "quiet remove", "aria-label": `Remove ${title}`, "data-focus": `remove ${id}`, onclick: () => forget(id) }, "×"),
    el("span", { class: "how" }, toggle, strength, el("output", {}, `${disliked ? "−" : ""}${number(Math.abs(value), 0)}`),
      el("button", {
        type: "button", class: "quiet", "aria-pressed": String(without === id), "data-focus": `without ${id}`,
        "aria-label": `What if not ${title}`, onclick: () => tryWithout(without === id ? null : id),
      }, "What if not?")));
}
