// The service, asked. Waits and asks again where waiting helps; every other refusal is thrown as a Problem.

import * as notice from "./notice.js";

/** A refusal that the panel has to show: `status`, the service's own sentence, the fields that it names. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `The service answered ${status}.`);
    this.status = status;
    this.type = document.type ?? "";
    this.fields = (document.errors ?? []).map((each) => each.field);
  }
}

/** Have a refusal shown. What was given up is nobody's concern; a defect of the page is thrown on. */
export function told(error, show) {
  if (error instanceof Problem) show(error);
  else if (error.name !== "AbortError") throw error;
}

const RETRY_SECONDS = 3;
let key = null; // in memory only
let keyed = null; // the question for the key, while it is open
let version = null;

export const changes = new EventTarget(); // "model": another one is served

export const get = (path, parameters = {}) => ({ method: "GET", path: path + query(parameters) });

export const post = (path, body) => ({ method: "POST", path, body });

function query(parameters) {
  const pairs = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.length ? `?${pairs.join("&")}` : "";
}

/** Ask, and return the answer's JSON; throws Problem, and AbortError once the `signal` says so. */
export async function ask(request, signal) {
  for (;;) {
    signal?.throwIfAborted();
    const reply = await sent(request, signal);
    if (reply === null) {
      await notice.gone(RETRY_SECONDS);
    } else if (reply.status === 401) {
      if (reply.used === key) await asked(key !== null);
    } else if (reply.status === 503 || reply.status === 429) {
      const seconds = Number(reply.headers.get("Retry-After")) || RETRY_SECONDS;
      await (reply.status === 503 ? notice.notReady : notice.busy)(seconds);
    } else {
      notice.well();
      if (!request.other) noteVersion(reply.headers.get("X-Model-Version"));
      if (reply.ok) return reply.answer;
      throw new Problem(reply.status, reply.answer);
    }
  }
}

// The reply with its JSON and the key that was used; null where none came, or not all of it.
async function sent({ method, path, body, priority }, signal) {
  const used = key;
  const headers = withKey();
  if (body) headers["Content-Type"] = "application/json";
  try {
    const reply = await fetch(address(path), {
      method, headers, signal, priority, body: body && JSON.stringify(body), cache: "no-cache",
    });
    const answer = reply.headers.get("Content-Type")?.includes("json") ? await reply.json() : {};
    return { ok: reply.ok, status: reply.status, headers: reply.headers, answer, used };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

const withKey = () => (key === null ? {} : { "X-API-Key": key });

/** Follow a link to a page that may need the key: no link can send one, so the page is then saved as a file. */
export async function follow(event) {
  if (key === null) return;
  event.preventDefault();
  const page = await fetch(event.target.href, { headers: withKey() });
  const href = URL.createObjectURL(await page.blob());
  Object.assign(document.createElement("a"), { href, download: "report.html" }).click();
}

/** Ask for the key, once for however many requests want it. */
async function asked(wrong) {
  keyed ??= notice.askKey(wrong).then((typed) => {
    key = typed;
    keyed = null;
  });
  await keyed;
}

function noteVersion(served) {
  if (!served || served === version) return;
  const first = version === null;
  version = served;
  if (!first) changes.dispatchEvent(new Event("model"));
}

// Below the page, wherever that is mounted.
const address = (path) => new URL(path, new URL(".", location.href)).href;

/** The request as a command; a key stands there by the name of a shell variable. */
export function asCurl({ method, path, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl", quoted(address(path))];
  if (method !== "GET") parts.splice(1, 0, "-X", method);
  if (key !== null) parts.push("-H", '"X-API-Key: $API_KEY"');
  if (body) parts.push("-H", quoted("Content-Type: application/json"), "-d", quoted(JSON.stringify(body)));
  return parts.join(" ");
}
