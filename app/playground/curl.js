// "Copy as curl": the exact request behind what a panel shows.

import { asCurl } from "./api.js";
import { el, say } from "./dom.js";

/** A button that copies a request as a command. `request` is called when it is pressed. */
export function curlButton(request) {
  const button = el("button", { type: "button", class: "quiet", onclick: copy }, "Copy as curl");

  async function copy() {
    const command = asCurl(request());
    try {
      await navigator.clipboard.writeText(command);
    } catch {
      shown(button, command); // no clipboard without https or localhost
      return;
    }
    button.textContent = "Copied";
    say("Copied as curl");
    setTimeout(() => (button.textContent = "Copy as curl"), 1500);
  }
  return button;
}

function shown(button, command) {
  const text = el("textarea", { readonly: true, rows: 4, "aria-label": "The request as a curl command" });
  text.value = command;
  text.addEventListener("blur", () => text.remove());
  button.closest(".head").after(text);
  text.select();
}
