// "Around an item": what is known of it, and what is near it.

import { ask, get, told } from "./api.js";
import { beside } from "./beside.js";
import { cover, itemRequest, learn } from "./catalogue.js";
import { curlButton } from "./curl.js";
import { byId, count, el, facts, place, say } from "./dom.js";
import { entries } from "./list.js";
import { rate, STRENGTHS } from "./profile.js";
import { search } from "./search.js";

const K = 12;
const FANS = 20;

let requests = {};
let underway = new AbortController();

export function setUp() {
  search(byId("item-search"), "Search for an item", (id) => (location.hash = place("item", id)));
  byId("item-tools").append(curlButton(() => requests.item));
  byId("similar-tools").append(curlButton(() => requests.similar));
  byId("fans-tools").append(curlButton(() => requests.fans));
}

export async function show(id) {
  underway.abort();
  if (!id) {
    byId("item-columns").hidden = true;
    return;
  }
  const mine = (underway = new AbortController());
  const item = itemRequest(id);
  requests = { item, similar: get("similar", { item_id: id, k: K, explain: true }), fans: get(`${item.path}/users`, { k: FANS }) };
  byId("item-columns").hidden = false;
  try {
    const [item, similar] = await Promise.all([ask(requests.item, mine.signal), ask(requests.similar, mine.signal)]);
    learn(item);
    draw(item, similar);
    await Promise.all([
      ask(requests.fans, mine.signal).then(drawFans),
      beside("similar", requests.similar, mine.signal, (answer) => entries(answer.items, { plain: true })),
    ]);
  } catch (error) {
    told(error, ({ message }) => {
      byId("item-name").textContent = id;
      byId("item-card").replaceChildren(el("p", { class: "about" }, message));
      for (const rest of ["similar-about", "similar", "similar-other", "fans-about", "fans"]) byId(rest).replaceChildren();
    });
  }
}

function draw(item, similar) {
  const { title, image_url: _, ...fields } = item.metadata ?? {};
  const name = typeof title === "string" && title ? title : item.item_id;
  byId("item-name").textContent = name;
  byId("item-card").replaceChildren(el("div", { class: "known" },
    cover(item.item_id),
    facts([["Id", item.item_id], ["Had by", `${count(item.interactions, "interaction")} in the training data`], ...Object.entries(fields)])),
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

function drawFans({ total, users }) {
  const order = users.some(({ value }) => value !== users[0].value) ? " The largest values first." : "";
  byId("fans-about").textContent = `${count(total, "user")} of the training data.${order}`;
  byId("fans").replaceChildren(...users.map(({ user_id: id, value }) =>
    el("a", { href: place("user", id) }, id, order && el("span", { class: "sub" }, ` ${value}`))));
}

