// What is known of items: titles from every answer, metadata once each, covers drawn from titles.

import { ask, changes, get } from "./api.js";
import { el, place, svg } from "./dom.js";

const titles = new Map();
const metadata = new Map(); // item id -> promise of the answer of GET /items/{item_id}
const policy = fetch(".", { method: "HEAD" }).then((page) => page.headers.get("Content-Security-Policy") ?? "", () => "");

changes.addEventListener("model", () => metadata.clear());

/** Keep the title of an item of an answer, where there is one. */
export function learn(item) {
  const title = item.title ?? item.metadata?.title ?? item.metadata?.name;
  if (typeof title === "string" && title) titles.set(item.item_id, title);
}

export const titleOf = (id) => titles.get(id) ?? id;

/** GET /items/{item_id}, asked once for each item; resolves to null where that fails. */
export function details(id) {
  if (!metadata.has(id)) {
    metadata.set(id, ask(itemRequest(id)).then((item) => (learn(item), item), () => null));
  }
  return metadata.get(id);
}

export const itemRequest = (id) => ({ ...get(`items/${encodeURIComponent(id)}`), priority: "low" });

export const itemLink = (id) => el("a", { href: place("item", id) }, titleOf(id));

/** "1977 · Action, Adventure", or nothing. */
export function subtitle(fields) {
  if (!fields) return "";
  const lists = Object.values(fields).filter((value) => Array.isArray(value) && value.length);
  return [fields.year, lists[0]?.slice(0, 3).join(", ")].filter((part) => part !== undefined).join(" · ");
}

/** A line under a title that fills itself once the metadata are there. */
export function lateSubtitle(id) {
  const line = el("span", { class: "sub" }, "\u00a0");
  details(id).then((item) => (line.textContent = subtitle(item?.metadata) || `id ${id}`));
  return line;
}

/** A picture of the item if the page may show it, else a cover drawn from its title. */
export function cover(id) {
  const frame = el("span", { class: "cover", "aria-hidden": "true" }, drawn(titleOf(id)));
  Promise.all([details(id), policy]).then(([item, rules]) => {
    const source = item?.metadata?.image_url;
    if (typeof source !== "string" || !mayShow(source, rules)) return;
    const picture = el("img", { alt: "", referrerpolicy: "no-referrer" });
    picture.addEventListener("load", () => frame.replaceChildren(picture));
    picture.src = source;
  });
  return frame;
}

// Whether the page's own policy lets a picture through; what it does not is not even asked for.
function mayShow(source, rules) {
  if (!URL.canParse(source)) return false;
  const { protocol, hostname, port, origin } = new URL(source);
  const allowed = /img-src ([^;]*)/.exec(rules)?.[1].split(" ") ?? [];
  return origin === location.origin || allowed.some((pattern) => {
    const [, scheme, host, at] = /^(?:(https?):\/\/)?([^:]+)(?::(\d+))?$/.exec(pattern) ?? [];
    if (!host || (scheme ?? protocol.slice(0, -1)) !== protocol.slice(0, -1) || (at ?? "") !== port) return false;
    return host.startsWith("*.") ? hostname.endsWith(host.slice(1)) : hostname === host;
  });
}

function drawn(title) {
  let hash = 2166136261; // FNV-1a
  for (const character of title) hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  const hue = hash % 360;
  const colour = (lightness, shift) => `oklch(${lightness} 0.09 ${hue + shift})`;
  const [x, y, r] = [4 + ((hash >>> 9) % 32), 6 + ((hash >>> 14) % 30), 10 + ((hash >>> 19) % 10)];
  const words = title.replace(/^(the|a|an)\s/i, "").match(/[\p{L}\p{N}]+/gu) ?? ["?"];
  const initials = words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join("");
  return svg("svg", { viewBox: "0 0 40 56", preserveAspectRatio: "xMidYMid slice" },
    svg("rect", { width: 40, height: 56, fill: colour(0.42, 0) }),
    svg("circle", { cx: x, cy: y, r, fill: colour(0.58, 40) }),
    svg("rect", { y: 40, width: 40, height: 16, fill: colour(0.3, 0) }),
    svg("text", { x: 20, y: 52, "text-anchor": "middle", "font-size": 11, "font-weight": 700, fill: "#fff" },
      initials));
}
