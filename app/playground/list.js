// A list of recommended items: score, what it is made of, and where it moved.

import { cover, itemLink, lateSubtitle, learn, titleOf } from "./catalogue.js";
import { count, el, number, signed } from "./dom.js";

const COLOURS = 8;

const REASONS = {
  unknown_user: "The model does not know this user, so these are the items that most people have.",
  unknown_items: "The model knows none of these items, so these are the items that most people have.",
  empty_history: "Nothing is known of you yet: these are the items that most people have. Start with one of them.",
  no_preference: "Nothing here says what you like, so these are the items that most people have.",
};

/** Where a personal list comes from, in a sentence. */
export function provenance(answer, folded) {
  if (answer.source === "popular") return REASONS[answer.fallback_reason] ?? "The items that most people have.";
  const short = answer.shortfall ? ` ${count(answer.shortfall, "item")} fewer than asked for: there are no more.` : "";
  const ignored = answer.ignored_items?.length ? ` Not in this model: ${answer.ignored_items.join(", ")}.` : "";
  return folded + ignored + short;
}

/** Colours of the causes: in the order given, the rest has none. */
export function colours(ids) {
  return new Map(ids.slice(0, COLOURS).map((id, position) => [id, `var(--c${position})`]));
}

/** The causes of a list, those that move most first. */
export function weightiest(items) {
  const weights = new Map();
  for (const { item_id: id, contribution } of items.flatMap((item) => item.because ?? [])) {
    weights.set(id, (weights.get(id) ?? 0) + Math.abs(contribution));
  }
  return [...weights.keys()].sort((a, b) => weights.get(b) - weights.get(a));
}

/**
 * Make the entries of a list.
 *   palette   Map of causes to colours
 *   actions   item id -> buttons
 *   moves     Map of item ids to entries of `changes`
 *   counted   scores are numbers of interactions
 *   plain     bars show the score alone
 */
export function entries(items, { palette = new Map(), actions, moves, counted = false, plain = false } = {}) {
  for (const item of items) for (const each of [item, ...(item.because ?? [])]) learn(each);
  const scale = plain || counted ? null : extent(items);
  const most = Math.max(...items.map((item) => Math.abs(item.score)), 1e-12);
  return items.map((item) => el("li", { class: "item", "data-item": item.item_id },
    cover(item.item_id),
    el("div", { class: "what" },
      el("div", { class: "line" },
        el("span", { class: "name" }, itemLink(item.item_id)),
        moves && movement(moves.get(item.item_id)),
        el("span", { class: "score" }, counted ? count(item.score, "interaction") : number(item.score),
          item.score_std !== undefined && el("span", { class: "std" }, ` ± ${number(item.score_std)}`))),
      lateSubtitle(item.item_id),
      scale && item.because?.length ? stacked(item, palette, scale) : plainBar(item.score / most),
      scale && item.because?.length > 0 && because(item, palette),
      actions && el("div", { class: "actions" }, actions(item.item_id)))));
}

function movement(change) {
  if (!change) return null;
  if (change.rank_before === undefined) return el("span", { class: "move up" }, "new");
  const moved = change.rank_change ?? 0;
  if (moved === 0) return el("span", { class: "move" }, "stays");
  return el("span", { class: moved < 0 ? "move up" : "move down" },
    el("span", { "aria-hidden": "true" }, moved < 0 ? "▲" : "▼"), el("span", { class: "unseen" }, moved < 0 ? "up" : "down"),
    ` ${Math.abs(moved)}`);
}

function plainBar(share) {
  return el("span", { class: "bar", "aria-hidden": "true" },
    el("span", { class: "part", style: { width: `${Math.max(0, share) * 100}%`, background: "var(--accent)" } }));
}

// Parts of a score: its causes, and what is left over as one.
function parts(item) {
  const known = item.because.map((cause) => ({ id: cause.item_id, name: titleOf(cause.item_id), value: cause.contribution }));
  if (item.because_rest) known.push({ name: "all others", value: item.because_rest });
  if (item.intercept) known.push({ name: "whatever the history (intercept)", value: item.intercept });
  return known;
}

const total = (values, sign) => values.reduce((sum, { value }) => sum + Math.max(0, sign * value), 0);

function extent(items) {
  const all = items.filter((item) => item.because?.length).map(parts);
  return { left: Math.max(0, ...all.map((each) => total(each, -1))), right: Math.max(1e-12, ...all.map((each) => total(each, 1))) };
}

// Positive parts to the right of zero, negative ones to the left, all items to one scale.
function stacked(item, palette, { left, right }) {
  const piece = ({ id, value }) => el("span", {
    class: "part",
    style: { width: `${(100 * Math.abs(value)) / (left + right)}%`, background: palette.get(id) ?? "var(--c-rest)" },
  });
  const all = parts(item);
  const negative = all.filter(({ value }) => value < 0);
  const indent = left - total(all, -1);
  return el("span", { class: "bar", "aria-hidden": "true" },
    el("span", { class: "space", style: { width: `${(100 * indent) / (left + right)}%` } }),
    negative.reverse().map(piece),
    left > 0 && el("span", { class: "zero" }),
    all.filter(({ value }) => value > 0).map(piece));
}

function because(item, palette) {
  const all = parts(item);
  const [first, second] = item.because;
  const lead = [first, second].filter((cause) => cause && cause.contribution > 0);
  const swatch = (id) => el("span", { class: "swatch", "aria-hidden": "true", style: { background: palette.get(id) ?? "var(--c-rest)" } });
  const summary = lead.length
    ? ["Because of ", lead.map((cause, position) => [position ? " and " : "", swatch(cause.item_id), titleOf(cause.item_id)])].flat(2)
    : ["Little speaks for it"];
  return el("details", { class: "because" },
    el("summary", { "data-focus": `why ${item.item_id}` }, ...summary),
    el("table", {},
      el("caption", { class: "unseen" }, `What the score of ${titleOf(item.item_id)} is made of`),
      el("tbody", {}, all.map(({ id, name, value }) =>
        el("tr", {}, el("th", { scope: "row" }, swatch(id), name), el("td", {}, signed(value))))),
      el("tfoot", {}, el("tr", {},
        el("th", { scope: "row" }, "Sum"),
        el("td", {}, number(all.reduce((sum, { value }) => sum + value, 0)))))));
}
