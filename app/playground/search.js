// A combobox over titles: GET /items?query=…, as one types.

import { ask, get, told } from "./api.js";
import { details, learn, subtitle, titleOf } from "./catalogue.js";
import { byId, count, el, say } from "./dom.js";

const WAIT_MS = 60;
const MOST = 8;

/** Make a search field. `chosen` is called with an item id. */
export function search(container, label, chosen) {
  const name = container.id;
  const input = el("input", {
    id: `${name}-input`, type: "search", role: "combobox", autocomplete: "off", spellcheck: "false",
    "aria-expanded": "false", "aria-controls": `${name}-options`, "aria-autocomplete": "list",
    "aria-describedby": `${name}-hint`, placeholder: "A title, or part of one", maxlength: 200,
  });
  const options = el("ul", { id: `${name}-options`, role: "listbox", "aria-label": label, hidden: true });
  const hint = el("p", { class: "hint", id: `${name}-hint` });
  let found = [];
  let active = -1;
  let timer = null;
  let underway = new AbortController();
  let looking = null; // for the text that is there

  container.append(el("label", { for: input.id }, label), el("div", { class: "combo" }, input, options), hint);
  input.addEventListener("input", () => {
    clearTimeout(timer);
    looking = null;
    timer = setTimeout(() => (looking = look()), WAIT_MS);
  });
  input.addEventListener("keydown", pressed);
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.addEventListener("focus", () => found.length && input.value.trim() && open());

  async function look() {
    underway.abort();
    underway = new AbortController();
    clearTimeout(timer);
    const text = input.value.trim();
    hint.textContent = "";
    if (!text) {
      found = [];
      close();
      return;
    }
    try {
      found = (await ask(get("items", { query: text, k: MOST }), underway.signal)).items;
      found.forEach(learn);
      active = found.length ? 0 : -1;
      if (found.length) open();
      else close();
      hint.textContent = found.length ? "" : `Nothing is called “${text}”. An item id works, too: press Enter.`;
      say(count(found.length, "match").replace("matchs", "matches"));
    } catch (error) {
      told(error, ({ message }) => (hint.textContent = message));
    }
  }

  function open() {
    options.replaceChildren(...found.map((item, position) => el("li", {
      id: `${name}-${position}`, role: "option", "aria-selected": String(position === active),
      onmousedown: (event) => event.preventDefault(),
      onclick: () => choose(item.item_id),
    }, el("span", {}, titleOf(item.item_id)),
      el("span", { class: "sub" }, subtitle(item.metadata)))));
    options.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark();
  }

  function close() {
    options.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark() {
    [...options.children].forEach((option, position) => option.setAttribute("aria-selected", String(position === active)));
    input.setAttribute("aria-activedescendant", `${name}-${active}`);
    byId(`${name}-${active}`)?.scrollIntoView({ block: "nearest" });
  }

  async function pressed(event) {
    if (event.key === "Escape" && !options.hidden) {
      event.preventDefault(); // a search field would be emptied
      close();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      if (options.hidden) return open();
      active = (active + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      mark();
    } else if (event.key === "Enter" && input.value.trim()) {
      event.preventDefault();
      await (looking ??= look()); // a key may be faster than the list
      if (!options.hidden && found[active]) choose(found[active].item_id);
      else await chooseById(input.value.trim());
    }
  }

  async function chooseById(id) {
    const item = await details(id);
    if (item) choose(id);
    else hint.textContent = `There is no item “${id}” in this model.`;
  }

  function choose(id) {
    clearTimeout(timer);
    underway.abort();
    input.value = "";
    hint.textContent = "";
    found = [];
    close();
    chosen(id);
  }
}
