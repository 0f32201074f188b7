// What every live view does in the browser: show HTML from the kernel, keep the
// elements that stay, send a word for a button, and say that somebody is looking.

const BEAT_MS = 2000;

const flash = (el) => {
  el.classList.remove("flash");
  void el.offsetWidth; // so that the animation starts again
  el.classList.add("flash");
  // Left in place, it would flash again when the theme changes.
  el.addEventListener("animationend", () => el.classList.remove("flash"), { once: true });
};

// Not the kernel's: an open fold, the mark of an element that had the focus.
const KEPT = new Set(["open", "data-lm-suppress-shortcuts"]);

const attributes = (old, fresh) => {
  for (const { name } of [...old.attributes])
    if (!KEPT.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  // A fold is the reader's, unless the kernel changes its mind about it.
  const open = fresh.hasAttribute("open");
  if (old.saidOpen !== undefined && old.saidOpen !== open) old.toggleAttribute("open", open);
  old.saidOpen = open;
};

const same = (a, b) =>
  a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;

// Bring `old` into the shape of `fresh`; focus and folds survive, what is new flashes.
const patch = (old, fresh) => {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  const changed = old.dataset.flash !== fresh.dataset.flash;
  attributes(old, fresh);
  if (changed && fresh.dataset.flash) flash(old);
  const keys = new Set([...fresh.children].map((c) => c.dataset.key));
  for (const child of [...old.children])
    if (child.dataset.key && !keys.has(child.dataset.key)) child.remove();
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = next.dataset?.key;
    const match = key
      ? [...old.children].find((c) => c.dataset.key === key)
      : at && same(at, next) ? at : null;
    if (!match) {
      old.insertBefore(next, at);
      if (key && next.dataset.flash) flash(next);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    patch(match, next);
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
};

const parse = (html) => {
  const box = document.createElement("template");
  box.innerHTML = html;
  return box.content.firstElementChild;
};

// `model.send` throws once the kernel is gone.
const send = (model, el, message) => {
  try {
    model.send(message);
    el.classList.remove("gone");
  } catch {
    el.classList.add("gone");
  }
};

// Keys pressed in a view are the view's: JupyterLab would take arrows for its own. It
// looks at the element that has the focus, so each gets the mark when it is reached.
const ownKeys = (el) =>
  el.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });

const lease = (model, el) => {
  ownKeys(el);
  const beat = () => {
    if (el.isConnected && document.visibilityState === "visible") send(model, el, { do: "lease" });
  };
  const timer = setInterval(beat, BEAT_MS);
  document.addEventListener("visibilitychange", beat);
  requestAnimationFrame(beat);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", beat);
  };
};

const buttons = (model, el) =>
  el.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-do]");
    if (pressed) send(model, el, { do: pressed.dataset.do });
  });
