// The map of items; drawn where the model has one.

import { byId, el } from "./dom.js";

export async function show() {
  byId("map-panel").replaceChildren(el("p", { class: "about" }, "This version of the service has no map of its items."));
}
