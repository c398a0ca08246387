// What happened to the sessions lately, newest first.

import { h } from "./dom.js";
import { clock, count, number } from "./words.js";

const EVERY = 5_000;

/** How an event looks: gone well, gone badly, somebody did it, or merely noted. */
const LOOKS = {
  up: "up", down: "down", "attempt-failed": "down", "malformed-received": "down", unsendable: "down",
  operator: "off",
};

let wanted = "";

/** The lines of a history; with the names of the peers where it is of several. */
export function lines(entries, named) {
  const columns = ["When", named && "Peer", "Event", "What", "Times"].filter(Boolean);
  const row = (entry) => h("tr", { "data-key": [entry.peer, entry.at, entry.event, entry.text].join(" ") },
    h("td", {}, h("time", { datetime: entry.until, title: entry.until }, clock(entry.until))),
    named && h("td", {}, h("a", { href: `#/peer/${encodeURIComponent(entry.peer)}` }, entry.peer)),
    h("td", {}, h("span", { class: `event ${LOOKS[entry.event] ?? ""}` }, entry.event)),
    h("td", { class: "trouble" }, entry.text),
    h("td", { class: "number" }, entry.times > 1
      ? h("span", { title: `since ${clock(entry.at)}` }, `${number(entry.times)} ×`) : ""));
  return h("div", { class: "scroll" }, h("table", { id: "history" },
    h("caption", { class: "hidden" }, "History"),
    h("thead", {}, h("tr", {}, columns.map((title) =>
      h("th", { scope: "col", class: title === "Times" && "number" }, title)))),
    h("tbody", {}, entries.map(row))));
}

export const history = {
  title: "History",
  field: "#find",
  list: ["#history tbody", "a"],
  asks: () => [["entries", "v1/history", EVERY]],
  draw({ entries, refused }, _parameters, redraw) {
    if (!entries) return h("p", { class: "quiet" }, refused ?? "Asking for the history …");
    const words = wanted.toLowerCase().split(/\s+/);
    const text = (entry) => `${entry.peer} ${entry.event} ${entry.text}`.toLowerCase();
    const some = entries.filter((entry) => words.every((word) => text(entry).includes(word))).reverse();
    const find = (event) => {
      wanted = event.target.value;
      redraw();
    };
    return h("div", { class: "view" },
      h("h2", { class: "hidden" }, "History"),
      h("div", { class: "bar" },
        h("input", {
          id: "find", type: "search", value: wanted, placeholder: "Peer, event, reason",
          "aria-label": "Filter the history", "aria-keyshortcuts": "/", oninput: find,
        }),
        h("p", { role: "status" }, some.length === entries.length
          ? count(entries.length, "event") : `${number(some.length)} of ${count(entries.length, "event")}`)),
      some.length === 0
        ? h("p", { class: "quiet" }, entries.length === 0 ? "Nothing has happened yet." : "Nothing of that kind.")
        : lines(some, true));
  },
};
