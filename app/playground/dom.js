// Elements made without HTML: text is always text, whatever an item is called.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Where a panel shows an item or a user. */
export const place = (panel, id) => `#${panel}/${encodeURIComponent(id)}`;

/** Make an element. `attributes`: on… listens, style is an object, false and undefined are left out. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Pairs of a name and a value, any JSON. */
export const facts = (pairs) => el("dl", {}, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, shown(value))]));

function shown(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Tell a screen reader, without moving anything. */
export function say(text) {
  byId("said").textContent = text;
}

/** Replace an element's children; whoever was focused in it is taken to `refuge` if it is gone. */
export function replace(element, children, refuge) {
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  const inside = element.contains(document.activeElement);
  element.replaceChildren(...children);
  if (!inside) return;
  const again = held && element.querySelector(`[data-focus="${CSS.escape(held)}"]`);
  (again || refuge)?.focus();
}

export function number(value, digits = 3) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const whole = (value) => Math.round(value).toLocaleString("en");

export const signed = (value) => (value < 0 ? "−" : "+") + number(Math.abs(value));

/** "3 items", "1 item". */
export const count = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;
