// The keyboard: keys that work everywhere, and lists in which arrow keys go from one to the next.

const FORWARD = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };

/** Calls `act[key]` when a key is pressed and nobody is typing. Escape leaves a field. */
export function everywhere(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key !== "Escape") return;
      // Some browsers would empty the field and tell nobody.
      event.preventDefault();
      event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]") || !Object.hasOwn(act, event.key)) return;
    event.preventDefault();
    act[event.key]();
  });
}

/**
 * Makes the items of a list one stop of the Tab key, within which arrow keys, Home and End move. To be
 * called after each drawing; the place in the list is kept with the item.
 */
export function rove(list, selector) {
  if (!list) return;
  const items = [...list.querySelectorAll(selector)];
  const focused = items.find((item) => item === document.activeElement);
  const kept = items.find((item) => item === list.stop);
  list.stop = focused ?? kept ?? items.find((item) => item.hasAttribute("aria-current")) ?? items[0];
  for (const item of items) item.setAttribute("tabindex", item === list.stop ? 0 : -1);
  list.onkeydown = (event) => {
    const at = items.indexOf(document.activeElement);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = items.length - 1;
    const to = { Home: 0, End: last }[event.key] ?? at + FORWARD[event.key];
    if (Number.isNaN(to)) return;
    event.preventDefault();
    const next = items[Math.min(Math.max(to, 0), last)];
    list.stop.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    list.stop = next;
    next.focus();
  };
}
