// Elements as values, and a page that becomes them.
//
// A view is a function from answers to elements. `become` turns what is on the page into that and leaves
// alone what is the same, so focus, selection and scrolling stay. Text is only ever text: nothing here, or
// anywhere in this page, reads markup, because names and errors come from elsewhere.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "oninput", "onsubmit", "onkeydown", "onpointerenter", "onfocus"];

/** An element of HTML. Children that are nothing are left out, lists of children are spread. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (HANDLERS.includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  const something = (child) => child !== null && child !== undefined && child !== false;
  node.append(...children.flat(Infinity).filter(something));
  return node;
}

/** Makes an element on the page like a fresh one. Children with a `data-key` are known by it. */
export function become(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  // Once they are there, whether details are open is the reader's business.
  const ours = ({ name }) => name !== "open";
  for (const { name } of [...old.attributes].filter(ours)) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes].filter(ours)) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) old[handler] = fresh[handler];
  become_children(old, [...fresh.childNodes]);
}

const key = (node) => node.dataset?.key;

function become_children(parent, fresh) {
  const keyed = new Map([...parent.childNodes].filter(key).map((node) => [key(node), node]));
  const wanted = new Set(fresh.map(key));
  for (const [name, node] of keyed) {
    if (!wanted.has(name)) node.remove();
  }
  let place = parent.firstChild;
  for (const node of fresh) {
    const alike = place && !key(place) && place.nodeName === node.nodeName;
    const found = key(node) ? keyed.get(key(node)) : alike && place;
    if (!found) {
      parent.insertBefore(node, place);
      continue;
    }
    become(found, node);
    if (found === place) place = place.nextSibling;
    else parent.insertBefore(found, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
