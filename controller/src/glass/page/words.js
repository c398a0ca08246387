// Times and numbers in words.

/** How far the browser's clock is ahead of the speaker's, in milliseconds. */
let ahead = 0;

/** The speaker says what time it is. */
export function set_clock(now) {
  ahead = Date.now() - Date.parse(now);
}

/** The speaker's clock, in milliseconds since 1970. */
export const now = () => Date.now() - ahead;

const STEPS = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];

/** `3 d 4 h`: the two largest units of a time that has passed. */
export function span(milliseconds) {
  let left = Math.max(0, Math.round(milliseconds / 1000));
  const first = STEPS.findIndex(([, seconds]) => left >= seconds);
  if (first < 0) return "0 s";
  const words = STEPS.slice(first, first + 2).map(([unit, seconds]) => {
    const count = Math.floor(left / seconds);
    left -= count * seconds;
    return count > 0 ? `${count} ${unit}` : "";
  });
  return words.filter(Boolean).join(" ");
}

/** How long ago that was. */
export const since = (time) => span(now() - Date.parse(time));

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DATE = new Intl.DateTimeFormat("en-CA");

/** `14:03:22`, with the day where that is not today. */
export function clock(time) {
  const at = new Date(time);
  const day = DATE.format(at);
  return (day === DATE.format(now()) ? "" : `${day} `) + TIME.format(at);
}

const NUMBER = new Intl.NumberFormat("en");

/** `12,345` */
export const number = (n) => NUMBER.format(n);

/** `1 node`, `12 nodes` */
export const count = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** The order of names: n2 before n10. */
export const by_name = (a, b) => COLLATOR.compare(a, b);

/** `10.0.0.1`, `fe80::1%eth0`, of `10.0.0.1:179` and `[fe80::1]:179`. */
export function address(peer) {
  if (!peer.remote) return peer.interface ? `on ${peer.interface}` : "";
  const host = peer.remote.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const plain = host.replace(/%.*$/, "");
  return peer.interface ? `${plain}%${peer.interface}` : plain;
}
