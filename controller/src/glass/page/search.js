// Why a destination is as it is: the answer of `redc explain`, step by step.

import { h } from "./dom.js";
import { count } from "./words.js";

const EVERY = 5_000;
const NAMES_EVERY = 30_000;

/** `withheld [no-endpoints]: the Service has …` */
function verdict(state, reason, meaning) {
  return [h("strong", { class: LOOKS[state] ?? "" }, state), reason && [" ", h("code", {}, reason)], meaning && `: ${meaning}`];
}

const LOOKS = {
  advertised: "up", aggregated: "up", waiting: "opening", withheld: "off", told: "up",
  installed: "up", pending: "opening", parked: "down", stale: "opening", best: "up",
};

const because = (sources) => sources.length > 0 && `, because of ${sources.join(", ")}`;
const by_rules = (rules) => rules.length > 0 && h("span", { class: "quiet" }, ` (${rules.join(", ")})`);

const FIRST = ["as_path", "next_hop", "local_pref", "med"];

/** Those first that are looked for first. */
function attributes(values) {
  const rank = ([name]) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const rows = Object.entries(values).sort((a, b) => rank(a) - rank(b) || a[0].localeCompare(b[0]));
  return rows.length > 0 && h("dl", { class: "attributes" },
    rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value || "empty"))));
}

const gateways = (list) => list.length > 0 && h("ul", { class: "code plain" }, list.map((one) => h("li", {}, one)));

function path(one) {
  const origin = one.kind === "local" ? one.object : `${one.object}, ${one.kind}`;
  const standing = one.reason
    ? [h("code", {}, one.reason), one.lostTo && ` to ${one.lostTo}`, `: ${one.meaning ?? ""}`, by_rules(one.rules),
      one.multipath && "; it shares the traffic all the same"]
    : [verdict("best"), one.advertisedBy.length > 0 && `, advertised by ${one.advertisedBy.join(", ")}`, by_rules(one.rules)];
  return h("li", { class: one.best ? "path best" : "path" },
    h("p", {}, h("b", {}, `from ${one.from}`), h("span", { class: "quiet" }, ` (${origin}) `), standing),
    attributes(one.attributes), gateways(one.gateways));
}

/** Peers that are told the same stand together: a mesh has many. */
function same_news(exports) {
  const groups = new Map();
  for (const { to, ...news } of exports) {
    const what = JSON.stringify(news);
    groups.set(what, { ...news, peers: [...(groups.get(what)?.peers ?? []), to] });
  }
  return [...groups.values()];
}

/** More peers than this are counted, and named on demand. */
const NAMED = 8;

function told({ peers, state, reason, meaning, because: sources, rules, attributes: values }) {
  const few = peers.length <= NAMED;
  return h("li", { class: "path" },
    h("p", {}, h("b", {}, few ? `to ${peers.join(", ")}` : `to ${count(peers.length, "peer")}`), ": ",
      verdict(state, reason, meaning), because(sources), by_rules(rules)),
    !few && h("details", {}, h("summary", {}, "Which"), peers.join(", ")),
    attributes(values));
}

function step(title, ...content) {
  return h("li", { class: "step" }, h("h3", {}, title), content);
}

function steps(e) {
  const { route } = e;
  const kernel = route?.kernel;
  return h("ol", { class: "steps" },
    e.services.length > 0 && step("Service", e.services.map((one) => h("p", {},
      h("b", {}, one.service), `, ${one.kind}: `, verdict(one.state, one.reason, one.meaning), because(one.sources),
      one.prefixes.length > 0 && h("span", { class: "quiet" }, ` as ${one.prefixes.join(", ")}`)))),
    e.owner && step("Node", h("p", {}, h("b", {}, e.owner.node), " has ", h("span", { class: "code" }, e.owner.prefix))),
    e.passedOver.map((unused) => step(`Not used: ${unused.prefix}`, h("ul", { class: "plain" }, unused.paths.map(path)))),
    !route && step("Route", h("p", {},
      e.asked.includes("/") ? "There is no route to just this prefix." : "No route covers it.")),
    route && step(`Route ${route.prefix}`, h("ul", { class: "plain" }, route.paths.map(path))),
    kernel && step("Kernel", h("p", {}, verdict(kernel.state, kernel.reason, kernel.detail)), gateways(kernel.gateways)),
    e.exports.length > 0 && step("On the wire", h("ul", { class: "plain" }, same_news(e.exports).map(told))));
}

function form({ what, to }, peers) {
  const asked = (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    const given = [...fields].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
    location.hash = `#/search?${new URLSearchParams(given)}`;
  };
  return h("form", { class: "bar", role: "search", onsubmit: asked },
    h("label", {}, "Address or prefix",
      h("input", { id: "what", name: "what", value: what ?? "", required: true, autocomplete: "off", spellcheck: "false",
        placeholder: "10.244.1.7 or 10.244.1.0/24", "aria-keyshortcuts": "/" })),
    h("label", {}, "Told to (* and ? stand for others)",
      h("input", { id: "to", name: "to", value: to ?? "", list: "peers", autocomplete: "off", spellcheck: "false",
        placeholder: "every peer" })),
    h("datalist", { id: "peers" }, (peers ?? []).map(({ name }) => h("option", { value: name }))),
    h("button", {}, "Explain"));
}

export const search = {
  title: "Search",
  field: "#what",
  asks({ what, to }) {
    const asked = new URLSearchParams(to ? { what, to } : { what });
    return [
      ["peers", "v1/protocols", NAMES_EVERY],
      ...(what ? [["explained", `v1/explain?${asked}`, EVERY]] : []),
    ];
  },
  draw({ peers, explained, refused }, parameters) {
    const { what } = parameters;
    const answer = () => {
      if (!what) return h("p", { class: "quiet" }, "Why is an address reached, advertised and in the kernel, or why not? The same as ", h("code", {}, "redc explain"), ".");
      if (refused) return h("p", { class: "refused", role: "alert" }, refused);
      return explained ? steps(explained) : h("p", { class: "quiet" }, "Asking …");
    };
    return h("div", { class: "view" }, h("h2", { class: "hidden" }, "Search"), form(parameters, peers),
      h("div", { id: "answer", "aria-live": "polite" }, answer()));
  },
};
