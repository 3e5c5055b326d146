// "A known user": history beside recommendations, stored vector against folded-in one.

import { ask, get, told } from "./api.js";
import { beside } from "./beside.js";
import { itemLink, learn } from "./catalogue.js";
import { curlButton } from "./curl.js";
import { byId, count, el, place, say } from "./dom.js";
import { colours, entries, provenance, weightiest } from "./list.js";
import { spotlight } from "./profile.js";

const K = 10;
const REASONS = 6;
const HISTORY = 200;

let requests = {};
let underway = new AbortController();

export function setUp() {
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = place("user", byId("user-id").value.trim());
  });
  byId("history-tools").append(curlButton(() => requests.history));
  byId("user-tools").append(curlButton(() => requests.list));
  byId("alike-tools").append(curlButton(() => requests.alike));
}

export async function show(id) {
  underway.abort();
  if (!id) {
    byId("user-columns").hidden = true;
    return;
  }
  const mine = (underway = new AbortController());
  byId("user-id").value = id;
  requests = {
    history: get("recommend", { user_id: id, k: 1, explain: true, exclude_seen: false }),
    list: get("recommend", { user_id: id, k: K, explain_top: REASONS }),
    alike: get("similar-users", { user_id: id, k: 8 }),
  };
  try {
    const [history, list] = await Promise.all([ask(requests.history, mine.signal), ask(requests.list, mine.signal)]);
    byId("user-columns").hidden = false;
    const entriesOf = draw(history, list);
    await beside("user-list", requests.list, mine.signal, entriesOf);
    drawAlike(await ask(requests.alike, mine.signal).catch((error) => told(error, () => {})));
  } catch (error) {
    told(error, ({ message }) => {
      byId("user-columns").hidden = false;
      byId("user-about").textContent = message;
      for (const list of ["user-list", "user-list-other"]) byId(list).replaceChildren();
    });
  }
}

function draw(history, list) {
  const had = history.items[0]?.because ?? [];
  had.forEach(learn);
  const palette = colours(weightiest(list.items));
  const byWeight = [...had].sort((a, b) => palette.has(b.item_id) - palette.has(a.item_id));
  byId("history-about").textContent = had.length
    ? `${count(had.length, "item")}; those in colour are behind most of the recommendations.`
    : "No history.";
  byId("history").replaceChildren(
    ...byWeight.slice(0, HISTORY).map(({ item_id: id }) => el("li", {},
      el("span", { class: "swatch", "aria-hidden": "true", style: { background: palette.get(id) ?? "var(--c-rest)" } }),
      itemLink(id))),
    ...(had.length > HISTORY ? [el("li", { class: "sub" }, `and ${had.length - HISTORY} more`)] : []));
  byId("user-about").textContent = provenance(list, `By this user's stored vector. ${comparison(list.items)}`);
  const entriesOf = (answer) => entries(answer.items, { palette, counted: answer.source === "popular" });
  byId("user-list").replaceChildren(...entriesOf(list));
  Object.assign(spotlight, { history: had.map((item) => item.item_id), recommended: list.items.map((item) => item.item_id) });
  say(`${count(list.items.length, "recommendation")} for user ${list.user_id}`);
  return entriesOf;
}

/** The score comes from the stored vector, the contributions from folding the history in anew. */
export function comparison(items) {
  const differences = items.filter((item) => item.because?.length).map((item) =>
    Math.abs(item.score - item.intercept - (item.because_rest ?? 0)
      - item.because.reduce((sum, { contribution }) => sum + contribution, 0)));
  if (!differences.length) return "";
  const largest = Math.max(...differences);
  const scale = Math.max(...items.map((item) => Math.abs(item.score)), 1e-12);
  if (largest <= 1e-4 * scale) return "Folding the history in anew gives the same scores.";
  return `Folding the history in anew gives scores that differ by up to ${largest.toPrecision(2)}.`;
}

function drawAlike(answer) {
  const users = answer?.users ?? []; // an unknown user has none
  byId("alike").replaceChildren(...(users.length
    ? users.map(({ user_id: id, score }) => el("a", { href: place("user", id), title: `cosine ${score.toFixed(3)}` }, id))
    : ["None."]));
}
