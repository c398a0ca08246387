// What a session is like, for the eye: four kinds of states, each with a colour, a shape and a word, so that
// none of the three is needed to tell them apart.

import { h, s } from "./dom.js";

/** Worst first, which is the order in which they are looked for. */
export const STATES = ["down", "opening", "off", "up"];

export const NAMES = { down: "Down", opening: "Opening", off: "Disabled", up: "Established" };

/** The kind of a peer's state. Those of RFC 4271 that are before the OPEN are all the same to the eye. */
export function state_of(peer) {
  if (peer.state === "Established") return "up";
  if (peer.disabled) return "off";
  return ["OpenSent", "OpenConfirm"].includes(peer.state) ? "opening" : "down";
}

/** How many peers there are of each kind. */
export function tally(peers) {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const peer of peers) counts[state_of(peer)] += 1;
  return counts;
}

/** The worst kind among them. */
export const worst = (peers) => STATES.find((state) => tally(peers)[state] > 0) ?? "up";

/** Why there is no session, in a line. */
export function trouble(peer) {
  if (state_of(peer) === "up") return "";
  return peer.disabled ? "disabled by an operator" : (peer.lastError ?? "");
}

const OUTLINE = {
  node: ["circle", { r: 9 }],
  router: ["rect", { x: -9, y: -9, width: 18, height: 18, rx: 4 }],
};
const HALF = {
  node: "M0-9A9 9 0 0 1 0 9Z",
  router: "M0-9H5a4 4 0 0 1 4 4V5a4 4 0 0 1-4 4H0Z",
};
const INSIDE = { down: "M-4-4 4 4M4-4-4 4", off: "M-5 0H5" };

/** The mark of a state, ten units wide to each side: round for nodes, square for routers. */
export function mark(state, role) {
  const kind = role === "router" ? "router" : "node";
  const [tag, shape] = OUTLINE[kind];
  return s("g", { class: `mark ${state}` },
    s(tag, { ...shape, class: "outline" }),
    state === "opening" && s("path", { d: HALF[kind], class: "half" }),
    INSIDE[state] && s("path", { d: INSIDE[state], class: "inside" }));
}

/** The same within text. */
export function badge(state, role) {
  return s("svg", { class: "badge", viewBox: "-12 -12 24 24", "aria-hidden": "true" }, mark(state, role));
}

/** Mark and word of a peer's state. */
export function chip(peer) {
  const state = state_of(peer);
  const word = state === "off" ? "Disabled" : peer.state;
  return h("span", { class: `chip ${state}` }, badge(state, peer.role), word);
}
