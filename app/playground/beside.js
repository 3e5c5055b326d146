// The same question to the model that the service compares with (FOLDREC_COMPARE_WITH), list beside list.

import { ask, told } from "./api.js";
import { curlButton } from "./curl.js";
import { byId, el } from "./dom.js";
import { model } from "./model.js";

/** Put the other model's list, if there is one, beside the list `name`. `draw` makes entries of an answer. */
export async function beside(name, request, signal, draw) {
  const [title, other, own] = [byId(`${name}-served`), byId(`${name}-other`), byId(name)];
  const card = await model();
  const { model_version: version, family } = card?.compared ?? {};
  title.hidden = other.hidden = !version || version === card.model_version;
  if (other.hidden) return;
  const asked = { ...request, path: `${request.path}&model_version=${version}`, other: true };
  title.textContent = `${card.family} (served)`;
  const heading = el("h3", { title: version }, family);
  const list = el("ol", { class: "items" });
  other.replaceChildren(el("div", { class: "head" }, heading, el("span", { class: "tools" }, curlButton(() => asked))), list);
  try {
    list.append(...draw(await ask(asked, signal)));
    mark(own, list);
    heading.textContent = `${family}: ${mark(list, own)} of ${list.children.length} in both`;
  } catch (error) {
    told(error, ({ message }) => list.replaceWith(el("p", { class: "about" }, message)));
  }
}

// Mark what another list has, too; returns how many.
function mark(list, other) {
  const there = new Set([...other.children].map((entry) => entry.dataset.item));
  const shared = [...list.children].filter((entry) => there.has(entry.dataset.item));
  for (const entry of shared) {
    entry.classList.add("shared");
    entry.querySelector(".line").append(el("span", { class: "move up" }, "in both"));
  }
  return shared.length;
}
