// Counts over the last hour, from the samples that the speaker keeps for this page.

import { h, s } from "./dom.js";
import { clock, now, number } from "./words.js";

const EVERY = 10_000;
const HOUR = 3_600_000;
/** Samples further apart have a gap between them: the speaker did not answer itself. */
const GAP = 25_000;

const SERIES = [
  ["IPv4 prefixes", (sample) => sample.ipv4],
  ["IPv6 prefixes", (sample) => sample.ipv6],
  ["Routes in the kernel", (sample) => sample.installed],
  ["Own routes", (sample) => sample.originated],
  ["Sessions up", (sample) => sample.peers.established],
  ["Sessions not up", (sample) => sample.peers.configured - sample.peers.established],
];

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 190, 64, 14, 12, 28];

/** A few round numbers around all values. What does not change is in the middle. */
function ticks(lowest, highest) {
  const still = lowest === highest;
  const [low, high] = still ? [Math.max(lowest - 1, 0), highest + 1] : [lowest, highest];
  const wide = (high - low) / 3;
  const ten = 10 ** Math.floor(Math.log10(wide));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= wide));
  const first = Math.floor(low / step) * step;
  const last = Math.max(Math.ceil(high / step) * step, first + step);
  return Array.from({ length: Math.round((last - first) / step) + 1 }, (_, n) => first + n * step);
}

function chart(title, samples, of) {
  const values = samples.map(of);
  const [low, high, last] = [Math.min(...values), Math.max(...values), values.at(-1)];
  const marks = ticks(low, high);
  const [bottom, top] = [marks[0], marks.at(-1)];
  const end = now();
  const x = (time) => LEFT + (1 - (end - time) / HOUR) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  const points = samples.map((sample) => [Date.parse(sample.at), of(sample)])
    .filter(([time]) => time >= end - HOUR);
  const runs = points.reduce((found, point) => {
    const run = found.at(-1);
    if (run && point[0] - run.at(-1)[0] <= GAP) run.push(point);
    else found.push([point]);
    return found;
  }, []);
  // A count holds until the next one: steps, no slopes.
  const line = (run) => run.map(([time, value], n) =>
    (n === 0 ? `M${x(time).toFixed(1)} ` : `H${x(time).toFixed(1)}V`) + y(value).toFixed(1)).join("");
  const latest = points.at(-1);
  const range = low === high ? "unchanged" : `between ${number(low)} and ${number(high)}`;
  return h("figure", { class: "card chart" },
    h("figcaption", {}, h("h3", {}, title), h("strong", {}, number(last)), h("span", { class: "quiet" }, range)),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${number(last)} now, ${range} in the last hour` },
      marks.map((mark) => s("g", { class: "grid" },
        s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(mark), y2: y(mark) }),
        s("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, number(mark)))),
      [60, 45, 30, 15, 0].map((minutes) => s("text", {
        class: "when", x: x(end - minutes * 60_000), y: HEIGHT - 8,
        "text-anchor": minutes === 0 ? "end" : minutes === 60 ? "start" : "middle",
      }, minutes === 0 ? "now" : `−${minutes} min`)),
      runs.map((run) => s("path", { d: line(run), class: "curve" })),
      latest && s("circle", { cx: x(latest[0]), cy: y(latest[1]), r: 4, class: "latest" })));
}

/** The same in numbers, one line for each five minutes. */
function table(samples) {
  const every = samples.filter((_, n) => (samples.length - 1 - n) % 30 === 0).reverse();
  const row = (sample) => h("tr", { "data-key": sample.at }, h("th", { scope: "row" }, clock(sample.at)),
    SERIES.map(([, of]) => h("td", { class: "number" }, number(of(sample)))));
  return h("details", { class: "numbers" }, h("summary", {}, "In numbers"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "When"),
        SERIES.map(([title]) => h("th", { scope: "col", class: "number" }, title)))),
      h("tbody", {}, every.map(row)))));
}

export const counts = {
  title: "Counts",
  asks: () => [["samples", "v1/samples", EVERY]],
  draw({ samples, refused }) {
    if (!samples?.length) return h("p", { class: "quiet" }, refused ?? "Nothing is counted yet.");
    return h("div", { class: "view" },
      h("h2", {}, "The last hour"),
      h("div", { class: "charts" }, SERIES.map(([title, of]) => chart(title, samples, of))),
      table(samples));
  },
};
