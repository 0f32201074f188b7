// The layers: a path that has the focus is shown on the slab it comes from, and struck
// through on those where it is hidden.

const ROWS = "[data-said]";

const shortened = (path) => (path.length > 20 ? `...${path.slice(-17)}` : path);

const mark = (el, row) => {
  for (const old of el.querySelectorAll(".row.chosen")) old.classList.remove("chosen");
  for (const slab of el.querySelectorAll(".slab")) {
    const { layer } = slab.dataset, hidden = row?.dataset.hides.split(" ").includes(layer);
    const from = row?.dataset.from === layer;
    slab.classList.toggle("from", from);
    slab.classList.toggle("hidden", Boolean(hidden));
    slab.querySelector(".here").textContent = from || hidden ? shortened(row.dataset.path) : "";
  }
  row?.classList.add("chosen");
  const said = el.querySelector(".said");
  if (row && said) said.textContent = row.dataset.said;
};

const seen = (el) => [...el.querySelectorAll(ROWS)].filter((row) => row.offsetParent);

const step = (el, by) => {
  const rows = seen(el), at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
};

export default {
  render(context) {
    const { el } = context;
    let chosen = null;
    const again = () => mark(el, chosen && el.querySelector(`[data-path="${CSS.escape(chosen)}"]`));
    el.addEventListener("focusin", ({ target }) => {
      if (!target.matches(ROWS)) return;
      chosen = target.dataset.path;
      mark(el, target);
    });
    el.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by || !event.target.matches(ROWS)) return;
      event.preventDefault();
      step(el, by);
    });
    el.addEventListener("drawn", again);
    return page(context);
  },
};
