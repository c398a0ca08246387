// Asking the speaker, again and again.
//
// An answer is asked for anew some seconds after it came, later where it was long in coming, and not at all
// while nobody looks. When there is none, the next try is twice as far away, up to half a minute.

const PATIENCE = 8_000;
const LONGEST = 30_000;

/** The speaker understood, and said no: there is no such peer, this is no address. */
export class Refused extends Error {}

/** One answer. Throws `Refused`, or anything else when nobody answers. */
export async function ask(path, stop) {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE)]);
  const response = await fetch(path, { signal, credentials: "omit" });
  if (response.ok) return response.json();
  const why = await response.json().then((body) => body.error, () => response.statusText);
  if (response.status < 500) throw new Refused(why);
  throw new Error(why);
}

/**
 * Asks for a path every so many milliseconds, and tells `answered(value)`, `refused(why)` or
 * `silent(error)`. Returns what stops it.
 */
export function poll(path, every, { answered, refused, silent }) {
  const stop = new AbortController();
  let failures = 0;
  const turn = async () => {
    const began = performance.now();
    let wait = every;
    try {
      const value = await ask(path, stop.signal);
      failures = 0;
      if (!stop.signal.aborted) answered(value);
      wait = Math.max(every, 10 * (performance.now() - began));
    } catch (error) {
      if (stop.signal.aborted) return;
      if (error instanceof Refused) {
        refused(error.message);
      } else {
        failures += 1;
        wait = Math.min(every * 2 ** failures, LONGEST);
        silent(error);
      }
    }
    await looked_at(wait, stop.signal);
    if (!stop.signal.aborted) turn();
  };
  turn();
  return () => stop.abort();
}

/** Some time passes, and somebody looks. Who comes back to the page does not wait. */
function looked_at(wait, stop) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const { signal } = over;
    const done = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const if_seen = () => document.hidden || done();
    const timer = setTimeout(if_seen, wait);
    document.addEventListener("visibilitychange", if_seen, { signal });
    window.addEventListener("online", done, { signal });
    stop.addEventListener("abort", done, { signal });
  });
}
