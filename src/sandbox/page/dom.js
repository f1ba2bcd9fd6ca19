// Making and updating nodes. Text from outside only ever becomes a text node or a checked attribute.

/** An element: properties, then children; `on…` are listeners, null and false are left out. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.className = value;
    else if (name === 'text') node.textContent = value;
    else if (name in node && typeof value !== 'string') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';
/** Outlines on a grid of 20. */
const ICONS = {
  close: 'M5 5l10 10M15 5L5 15',
  hash: 'M8 3L6 17M14 3l-2 14M4 7.5h13M3 12.5h13',
  reply: 'M4 4.5h12a1 1 0 011 1v7a1 1 0 01-1 1H9l-4 3v-3H4a1 1 0 01-1-1v-7a1 1 0 011-1z',
  link: 'M8.5 11.5l3-3M9 6l1.5-1.5a3.2 3.2 0 014.5 4.5L13.5 10.5M11 14l-1.5 1.5A3.2 3.2 0 015 11L6.5 9.5',
  eye: 'M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5zM10 12.3a2.3 2.3 0 100-4.6 2.3 2.3 0 000 4.6z',
  send: 'M3.5 3.5l13.5 6.5-13.5 6.5 2-6.5zM5.5 10H11',
  menu: 'M3 5.5h14M3 10h14M3 14.5h14',
  search: 'M9 14.5a5.5 5.5 0 100-11 5.5 5.5 0 000 11zM13.2 13.2L17 17',
  sun: 'M10 13.5a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM10 1.5V3M10 17v1.5M1.5 10H3M17 10h1.5M4 4l1 1M15 15l1 1M4 16l1-1M15 5l1-1',
  moon: 'M16.5 12A7 7 0 018 3.5a7 7 0 108.5 8.5z',
  auto: 'M10 3a7 7 0 100 14 7 7 0 000-14zM10 3v14M10 6h4.5M10 9h6.5M10 12h6M10 15h4',
  wire: 'M3 7h12l-3-3M17 13H5l3 3',
  file: 'M5 2.5h6.5L16 7v10.5H5zM11.5 2.5V7H16',
  down: 'M10 4v12M5 11l5 5 5-5',
  bulb: 'M7 14.5h6M8 17.5h4M10 2.5a5 5 0 00-3 9c.7.6 1 1.3 1 2h4c0-.7.3-1.4 1-2a5 5 0 00-3-9z',
  lock: 'M5 9h10v8H5zM7 9V6.5a3 3 0 016 0V9',
  warn: 'M10 3l8 14H2zM10 8v4M10 14.3v.4',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Makes the children of a node these, in this order; a child whose signature is the same stays as it
 * is, so that focus, selection and scrolling survive. Each item: {key, signature, make}.
 */
export function sync(parent, items) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const lost = focused?.dataset.focus;
  let at = parent.firstElementChild;
  for (const { key, signature, make } of items) {
    let node = present.get(key);
    present.delete(key);
    if (!node || node.signature !== signature) {
      const made = make();
      made.dataset.key = key;
      made.signature = signature;
      if (node) {
        if (node === at) at = made;
        node.replaceWith(made);
      }
      node = made;
    }
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const gone of present.values()) gone.remove();
  if (lost && !focused.isConnected) {
    parent.querySelector(`[data-focus="${CSS.escape(lost)}"]`)?.focus({ preventScroll: true });
  }
}

/** Kept in this browser; a browser that keeps nothing is no fault. */
export const kept = {
  get(key) {
    try { return localStorage.getItem(`neostock.${key}`); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(`neostock.${key}`, value); } catch { /* private window */ }
  },
};
