// "Around an item": what is known of it, and what is near it.

import { ask, get, Problem } from "./api.js";
import { cover, itemRequest, learn } from "./catalogue.js";
import { curlButton } from "./curl.js";
import { byId, count, el, say } from "./dom.js";
import { entries } from "./list.js";
import { rate, STRENGTHS } from "./profile.js";
import { search } from "./search.js";

const K = 12;

let requests = {};
let underway = new AbortController();

export function setUp() {
  search(byId("item-search"), "Search for an item", (id) => (location.hash = `#item/${encodeURIComponent(id)}`));
  byId("item-tools").append(curlButton(() => requests.item));
  byId("similar-tools").append(curlButton(() => requests.similar));
}

export async function show(id) {
  underway.abort();
  if (!id) {
    byId("item-columns").hidden = true;
    return;
  }
  const mine = (underway = new AbortController());
  requests = { item: itemRequest(id), similar: get("similar", { item_id: id, k: K, explain: true }) };
  byId("item-columns").hidden = false;
  try {
    const [item, similar] = await Promise.all([ask(requests.item, mine.signal), ask(requests.similar, mine.signal)]);
    learn(item);
    draw(item, similar);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    byId("item-name").textContent = id;
    byId("item-card").replaceChildren(el("p", { class: "about" }, error.message));
    byId("similar").replaceChildren();
    byId("similar-about").textContent = "";
  }
}

function draw(item, similar) {
  const { title, image_url: _, ...fields } = item.metadata ?? {};
  const name = typeof title === "string" && title ? title : item.item_id;
  byId("item-name").textContent = name;
  byId("item-card").replaceChildren(el("div", { class: "known" },
    cover(item.item_id),
    el("dl", {},
      pair("Id", item.item_id),
      pair("Had by", `${count(item.interactions, "interaction")} in the training data`),
      Object.entries(fields).map(([field, value]) => pair(field, shown(value))))),
    el("p", {}, el("button", { type: "button", onclick: () => {
      rate(item.item_id, STRENGTHS);
      location.hash = "#new";
    } }, "I like it: recommend to me")));
  byId("similar-about").textContent = similar.items.length
    ? "By the cosine of their vectors: who likes the one tends to like the other."
    : "Nothing: the model has no direction for this item.";
  byId("similar").replaceChildren(...entries(similar.items, { plain: true }));
  say(`${name}: ${count(similar.items.length, "similar item")}`);
}

const pair = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

function shown(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
