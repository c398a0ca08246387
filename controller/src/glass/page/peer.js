// Everything that is known of one peer: the session, why there is none, what happened to it lately.

import { h } from "./dom.js";
import { lines } from "./history.js";
import { kind } from "./sessions.js";
import { chip, state_of } from "./states.js";
import { address, clock, count, number, since } from "./words.js";

const EVERY = 3_000;

/** A list of names and values; what has no value is left out. */
function facts(rows) {
  const given = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts-list" }, given.map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function notice(last) {
  return last && [last.text, " ", h("time", { class: "quiet", datetime: last.at }, clock(last.at))];
}

function session(peer) {
  const held = peer.holdTime !== null && `${peer.holdTime} s, ${Math.round(peer.holdRemaining ?? 0)} s left`;
  const { messages, routes } = peer;
  return h("section", { class: "card" }, h("h3", {}, "Session"), facts([
    ["Since", h("time", { datetime: peer.since }, `${clock(peer.since)} (${since(peer.since)})`)],
    ["Came up", count(peer.establishedCount, "time")],
    ["Kind", kind(peer)],
    ["Object", h("span", { class: "code" }, peer.object)],
    ["Address", h("span", { class: "code" }, address(peer) || "not found")],
    ["Our address", peer.local && h("span", { class: "code" }, peer.local)],
    ["Listen range", peer.range && `${peer.range.prefix} of ${peer.range.name}`],
    ["AS", peer.remoteAs && `${peer.remoteAs}, ours ${peer.localAs}`],
    ["Router ID", peer.remoteRouterId],
    ["Hold time", held || null],
    ["Next attempt", peer.connectRemaining !== null && peer.connectRemaining !== undefined
      ? `in ${Math.round(peer.connectRemaining)} s` : null],
    ["Last error", peer.lastError],
    ["It told us", notice(peer.lastReceived)],
    ["We told it", notice(peer.lastSent)],
    ["Messages", `${number(messages.totalIn)} in (${number(messages.updatesIn)} UPDATE), `
      + `${number(messages.totalOut)} out (${number(messages.updatesOut)} UPDATE)`],
    ["Routes", `${number(routes.imported)} in, ${number(routes.exported)} out, ${number(routes.preferred)} best`
      + (routes.stale > 0 ? `, ${number(routes.stale)} stale` : "")],
    ["Refused", Object.entries(peer.refused).map(([why, n]) => `${number(n)} ${why}`).join(", ")],
  ]));
}

function families(peer) {
  if (peer.channels.length === 0) return null;
  const titles = ["Family", "In", "Out", "Best", "Refused", "Limit", "Next hop"];
  const row = (c) => h("tr", {}, h("th", { scope: "row" }, c.family),
    [c.routes.imported, c.routes.exported, c.routes.preferred, c.refused, c.limit ?? "none"].map((n) =>
      h("td", { class: "number" }, typeof n === "number" ? number(n) : n)),
    h("td", { class: "code" }, c.nextHop ?? ""));
  return h("section", { class: "card" }, h("h3", {}, "Families"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, titles.map((title, n) =>
        h("th", { scope: "col", class: n > 0 && n < 6 && "number" }, title)))),
      h("tbody", {}, peer.channels.map(row)))));
}

function capabilities(peer) {
  const { localCapabilities: ours, remoteCapabilities: theirs } = peer;
  if (ours.length + theirs.length === 0) return null;
  const one = (name) => h("li", {}, name);
  return h("section", { class: "card" }, h("h3", {}, "Capabilities"),
    h("div", { class: "halves" },
      h("div", {}, h("h4", {}, "We offered"), h("ul", {}, ours.map(one))),
      h("div", {}, h("h4", {}, "It offered"), h("ul", {}, theirs.map(one)))));
}

/** What `redc why-down` says. */
function reasons(peer, why) {
  if (!why || state_of(peer) === "up") return null;
  const cause = ({ id, says, suggestion }) => h("li", {},
    h("p", {}, says, " ", h("code", {}, id)), suggestion && h("p", { class: "quiet" }, suggestion));
  return h("section", { class: "card why" }, h("h3", {}, "Why there is no session"),
    why.causes.length > 0 ? h("ol", {}, why.causes.map(cause)) : h("p", {}, "Nothing is known to be wrong."),
    why.seen.length > 0 && h("p", { class: "quiet" }, `Seen on this node: ${why.seen.join("; ")}.`));
}

export const peer = {
  title: "Peer",
  list: ["#history tbody", "a"],
  asks({ name }) {
    const named = encodeURIComponent(name ?? "");
    return [
      ["found", `v1/protocols?name=${named}`, EVERY],
      ["why", `v1/why-down?peer=${named}`, EVERY],
      ["entries", `v1/history?peer=${named}`, EVERY],
    ];
  },
  draw({ found, why, entries, refused }) {
    const back = h("p", {}, h("a", { href: "#/sessions" }, "← Sessions"));
    const one = found?.[0];
    if (!one) return h("div", { class: "view" }, back, h("p", { class: "quiet" }, refused ?? "Asking …"));
    return h("div", { class: "view" },
      back,
      h("div", { class: "title" }, h("h2", {}, one.name), chip(one)),
      reasons(one, why),
      h("div", { class: "cards" }, session(one), h("div", {}, families(one), capabilities(one))),
      h("section", { class: "card" }, h("h3", {}, "History"), entries?.length > 0
        ? lines([...entries].reverse(), false) : h("p", { class: "quiet" }, "Nothing has happened yet.")));
  },
};
