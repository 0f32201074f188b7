// Small helpers for views that draw in the browser.

const svg = (name, given = {}, text) => {
  const el = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(el, given);
  if (text !== undefined) el.textContent = text;
  return el;
};

const html = (name, given = {}, ...children) => {
  const el = document.createElement(name);
  set(el, given);
  el.append(...children);
  return el;
};

const set = (el, given) => {
  for (const [key, value] of Object.entries(given)) el.setAttribute(key, value);
};

const show = (el, shown) => { el.style.display = shown ? "" : "none"; };

const round = (value) => (value < 10 ? +value.toFixed(1) : Math.round(value));

const known = (value) => value !== null && value !== undefined;

// The next round number that is not below: 1, 2, 2.5, 4, 5, 8 times a power of ten.
const nice = (value) => {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 2.5, 4, 5, 8, 10].map((k) => k * power).find((n) => n >= value);
};

// Push labels apart so that each can be read, as near to its value as possible.
const spread = (labels, floor, gap = 14) => {
  const shown = labels.filter(({ y }) => known(y)).sort((a, b) => a.y - b.y);
  for (let i = 1; i < shown.length; i++) shown[i].y = Math.max(shown[i].y, shown[i - 1].y + gap);
  for (let i = shown.length - 1; i >= 0; i--, floor -= gap) shown[i].y = Math.min(shown[i].y, floor);
  for (const { el, y } of labels) {
    show(el, known(y));
    if (known(y)) el.setAttribute("y", y + 4);
  }
};
