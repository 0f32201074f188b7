// The meter: a chart for each knob, drawn from one window of samples that the kernel
// sends whole. The limit's line is drawn from what Linux has; the slider only asks.

const STALE_MS = 3000, SAY_MS = 5000;

// A binary trait arrives as a view into a larger buffer.
const samples = (model) => {
  const view = model.get("data");
  if (!view?.byteLength) return new Float32Array();
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
};

const threeLines = (text) => {
  const [first, ...rest] = text.split("\n");
  const lines = rest.map((line) => html("div", {}, line));
  return html("div", { class: "trouble", role: "alert" }, html("b", {}, first), ...lines);
};

export default {
  render({ model, el }) {
    const ask = (knob, value) => {
      const { turn = 0 } = model.get("limit_request");
      model.set("limit_request", { knob, value, turn: turn + 1 });
      try {
        model.save_changes();
      } catch {
        el.classList.add("gone");
      }
    };
    const charts = model.get("knobs").map((knob) => new Chart(knob, model.get("span_s"), ask));
    const note = html("p", { class: "note" }), state = html("span", { class: "chip" }), trouble = html("div");
    const said = html("div", { class: "sr", role: "status", "aria-live": "polite" });
    el.append(html("section", { class: "lk lk-meter", "aria-label": model.get("title") },
      html("header", {}, html("div", {}, html("h4", {}, model.get("title")), note), html("div", { class: "side" }, state)),
      ...charts.map((chart) => chart.el), trouble, said));

    let frame = 0, heard = performance.now(), spoke = -SAY_MS;
    const draw = () => {
      frame = 0;
      const rows = samples(model), peaks = model.get("peaks"), counts = model.get("counts");
      for (const chart of charts) {
        const { name } = chart.knob;
        chart.happened = counts[name];
        chart.show(rows, model.get("columns"), model.get("marks").filter((mark) => mark.knob === name), peaks[name]);
      }
      if (performance.now() - spoke < SAY_MS) return;
      spoke = performance.now();
      said.textContent = charts.map((chart) => chart.said).join("; ");
    };
    const later = () => { frame ||= requestAnimationFrame(draw); };
    const news = () => {
      heard = performance.now();
      later();
    };
    const limits = () => {
      for (const chart of charts) chart.settle(model.get("limits")[chart.knob.name]);
      later();
    };
    const answered = () => {
      const { knob, limit } = model.get("answer");
      charts.find((chart) => chart.knob.name === knob)?.settle(limit);
      later();
    };
    const words = () => {
      note.textContent = model.get("note");
      state.textContent = model.get("state");
      for (const { range } of charts) if (range) show(range, model.get("state") === "live");
      trouble.replaceChildren(...(model.get("error") ? [threeLines(model.get("error"))] : []));
    };
    const watch = setInterval(() => {
      const late = performance.now() - heard > STALE_MS;
      el.classList.toggle("stale", late && model.get("state") === "live");
    }, 500);

    const acts = { data: news, marks: later, limits, answer: answered, state: words, note: words, error: words };
    for (const [name, act] of Object.entries(acts)) model.on(`change:${name}`, act);
    limits();
    words();
    const end = lease(model, el);
    return () => {
      end();
      clearInterval(watch);
      cancelAnimationFrame(frame);
      for (const [name, act] of Object.entries(acts)) model.off(`change:${name}`, act);
    };
  },
};
