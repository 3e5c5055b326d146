// Which panel is shown: the part of the address after #.

import { changes } from "./api.js";
import { byId } from "./dom.js";
import * as item from "./item.js";
import * as map from "./map.js";
import * as model from "./model.js";
import * as somebody from "./new.js";
import * as user from "./user.js";

const views = { new: somebody, user, item, map, model };

for (const view of Object.values(views)) view.setUp?.();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(".view:not([hidden]) h1").focus();
});
addEventListener("hashchange", () => route(true));
changes.addEventListener("model", () => {
  model.drawServed();
  route(false);
});
model.drawServed();
route(false);

async function route(moved) {
  const [wanted, ...rest] = location.hash.slice(1).split("/");
  const name = wanted in views ? wanted : "new";
  for (const each of Object.keys(views)) byId(`view-${each}`).hidden = each !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const heading = byId(`${name}-title`);
  document.title = `${heading.textContent} · Foldrec playground`;
  if (moved) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  await views[name].show(decoded(rest.join("/")));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
