// The model card: GET /model, as a person reads it.

import { ask, changes, follow, get, Problem } from "./api.js";
import { curlButton } from "./curl.js";
import { byId, el, facts, number, svg, whole } from "./dom.js";

const request = get("model");
let card = null; // a promise

changes.addEventListener("model", () => (card = null));

/** GET /model, asked once for each model; null if it is refused. */
export function model() {
  card ??= ask(request).catch((error) => {
    if (error instanceof Problem) return null;
    throw error;
  });
  return card;
}

/** One line under the navigation: what is being served. */
export async function drawServed() {
  const served = await model();
  byId("served").textContent = served
    ? `${served.family} · ${whole(served.dataset.users)} users · ${whole(served.dataset.items)} items · trained ${age(served.created_at)}`
    : "";
}

export async function show() {
  const served = await model();
  if (!served) return;
  byId("model-cards").replaceChildren(
    panel("What is served", facts([
      ["Version", served.model_version],
      ["Family", served.family],
      ["Trained", `${date(served.created_at)} (${age(served.created_at)})`],
      ["Loaded", `${date(served.loaded_at)} (${age(served.loaded_at)})`],
      ["Seed", served.seed],
      ...(served.compared ? [["Compared with", served.compared.error ?? `${served.compared.family}, ${served.compared.model_version}`]] : []),
    ]), curlButton(() => request)),
    panel("Data", facts([
      ["Interactions", whole(served.dataset.rows)],
      ["Users", whole(served.dataset.users)],
      ["Items", whole(served.dataset.items)],
      ...(served.dataset.first_timestamp ? [["From", day(served.dataset.first_timestamp)], ["To", day(served.dataset.last_timestamp)]] : []),
      ["Fingerprint", `${String(served.dataset.sha256).slice(0, 16)}…`],
    ])),
    quality(served.metrics, served.has_report),
    learning(served.training),
    retrieval(served.retrieval, served.live_recall),
    foldIn(served.fold_in),
    panel("Configuration", facts(Object.entries(served.config ?? {}))),
    panel("Made with", facts(Object.entries(served.libraries ?? {}))),
  );
}

const panel = (title, content, ...tools) => el("div", { class: "panel" },
  el("div", { class: "head" }, el("h2", {}, title), el("span", { class: "tools" }, ...tools)), content);

const sentence = (...text) => el("p", { class: "about" }, ...text);

function quality(metrics, reported) {
  const report = reported && el("a", { href: "model/report", target: "_blank", onclick: follow }, "Evaluation report");
  if (!metrics?.model) {
    return panel("Quality", sentence("Not measured: this model was trained without ", el("code", {}, "--holdout"), "."), report);
  }
  const how = { latest: "the latest part of everybody's history", random: "a random part of everybody's history" };
  const contenders = ["model", "popularity"];
  const within = metrics.intervals ?? {};
  return panel("Quality", el("div", {},
    sentence(`Judged by ${how[metrics.holdout] ?? metrics.holdout}`, metrics.share ? ` (${Math.round(100 * metrics.share)} %)` : "",
      ", held out from a fit of its own."),
    el("table", { class: "figures" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Metric"), contenders.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, Object.keys(metrics.model).map((metric) => el("tr", {}, el("th", { scope: "row" }, metric),
        contenders.map((name) => figure(metrics[name][metric], within[name]?.[metric])))),
        metrics.rmse && el("tr", {}, el("th", { scope: "row" }, "rmse"), figure(metrics.rmse, within.rmse), el("td", {}, "–")))),
    within.level && sentence(`In small print: ${100 * within.level} % intervals, over users.`)), report);
}

const figure = (value, interval) => el("td", {}, typeof value === "number" ? number(value) : "–",
  interval && el("span", { class: "sub" }, interval.map((end) => number(end)).join(" – ")));

function learning(training) {
  const loss = training?.loss ?? [];
  if (loss.length < 2) return panel("Learning", sentence("This family is not trained step by step."));
  const [width, height, margin] = [320, 120, 6];
  const [low, high] = [Math.min(...loss), Math.max(...loss)];
  const x = (step) => margin + (step * (width - 2 * margin)) / (loss.length - 1);
  const y = (value) => margin + ((high - value) * (height - 2 * margin)) / (high - low || 1);
  const text = `Loss after each of ${loss.length} iterations, from ${number(loss[0])} to ${number(loss.at(-1))}`;
  return panel("Learning", el("div", {},
    svg("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text },
      svg("polyline", { points: loss.map((value, step) => `${x(step)},${y(value)}`).join(" ") }),
      loss.map((value, step) => svg("circle", { cx: x(step), cy: y(value), r: 2.5 }))),
    sentence(`${text}.`)));
}

function retrieval(certificates, live) {
  const described = { recommend: "Recommendations", similar: "Similar items" };
  return panel("Retrieval, measured", el("div", {}, Object.entries(certificates ?? {}).map(([name, of]) => [
    el("h3", {}, described[name] ?? name),
    sentence(`${of.method === "exact" ? "Exact scan" : "HNSW graph"}, recall@${of.k} ${number(of.recall)} against the exact scan on ${whole(of.sample_size)} queries (target ${of.target}), ${number(of.microseconds, 0)} µs each.`),
    of.reason && sentence(`Why: ${of.reason}.`),
    live?.[name]?.samples > 0 && sentence(`Live: recall ${number(live[name].recall_estimate)} on ${whole(live[name].samples)} sampled lists${live[name].has_fallen ? "; below what the certificate promises, so it answers exactly now" : ""}.`),
  ])));
}

function foldIn(certificate) {
  if (!certificate) return panel("Fold-in, measured", sentence("Not measured for this family."));
  return panel("Fold-in, measured", el("div", {},
    sentence(`${whole(certificate.sample_size)} users of the training data, folded in from their own history as if they were new:`),
    facts([
      ["Largest difference to the stored vector", certificate.max_abs_difference === 0 ? "0" : certificate.max_abs_difference.toExponential(1)],
      [`Same top ${certificate.k}`, `${number(100 * certificate.top_k_overlap, 1)} %`],
    ])));
}

const date = (text) => new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });

const day = (seconds) => new Date(seconds * 1000).toLocaleDateString("en", { dateStyle: "medium", timeZone: "UTC" });

function age(text) {
  const seconds = (Date.now() - new Date(text)) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = units.find(([, each]) => seconds >= each) ?? ["second", 1];
  return new Intl.RelativeTimeFormat("en").format(-Math.floor(seconds / size), unit);
}
