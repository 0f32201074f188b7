// One chart of the meter: a line over time, the limit, the peak, and what happened.
// The limit's handle is a native slider that lies on the chart.

const W = 728, H = 196, LEFT = 40, RIGHT = 132, TOP = 12, BOTTOM = 24;
const FOOT = H - BOTTOM, EDGE = W - RIGHT, THUMB = 18;

class Chart {
  constructor(knob, span, ask) {
    Object.assign(this, { knob, span, ask, wish: null, limit: null, rows: [] });
    this.number = html("span", { class: `big ${knob.meaning}` });
    this.of = html("span", { class: "of num" });
    this.chip = html("span", { class: "chip limit" });
    this.frame = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: `frame ${knob.meaning}`, role: "img" });
    this.plot = html("div", { class: "plot" }, this.frame);
    const head = [html("span", { class: "name" }, knob.title), this.number, this.of, this.chip];
    this.el = html("div", { class: "chart" }, html("div", { class: "head" }, ...head), this.plot);
    this.#furnish();
    if (knob.ceiling) this.#slider();
    this.#scale(knob.ceiling || knob.top);
  }

  // What Linux has now; it ends a wish, whether the wish was granted or not.
  settle(limit) {
    this.limit = limit ?? null;
    this.wish = null;
    if (this.range) this.range.value = limit ?? this.knob.ceiling;
  }

  // Samples are rows of `columns` numbers; this chart's begin at `knob.column`.
  show(rows, columns, marks, peak) {
    Object.assign(this, { rows, columns, given: marks, high: peak });
    this.draw();
  }

  draw() {
    const { rows, columns, knob } = this;
    const last = rows.length ? rows[rows.length - columns + knob.column] : null;
    if (rows.length) this.#curve();
    this.#levels(last);
    this.#events();
    this.#words(last);
  }

  #y(value) { return FOOT - (value / this.top) * (FOOT - TOP); }
  #x(t) { return Math.max(LEFT, EDGE - ((this.now - t) / this.span) * (EDGE - LEFT)); }

  // Elements that stay; a frame only adjusts them.
  #furnish() {
    this.grid = svg("g");
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    this.rug = svg("path", { class: "rug" });
    this.peak = svg("line", { x1: EDGE - 26, x2: EDGE + 6, class: "peak" });
    this.cap = svg("line", { x1: LEFT, x2: EDGE, class: "cap" });
    this.wished = svg("line", { x1: LEFT, x2: EDGE, class: "wish" });
    this.marks = svg("g");
    this.dot = svg("circle", { cx: EDGE, r: 3.5, class: "dot" });
    this.labels = ["limit strong", "strong", "here"].map((name) => svg("text", { x: EDGE + 30, class: name }));
    this.frame.append(this.grid, this.area, this.line, this.rug, this.peak, this.cap, this.wished, this.marks, this.dot, ...this.labels);
  }

  #scale(top) {
    this.top = top;
    const levels = [0, 1, 2, 3, 4].flatMap((i) => {
      const value = (top * i) / 4, y = this.#y(value);
      return [svg("line", { x1: LEFT, x2: EDGE, y1: y, y2: y, class: i ? "grid" : "base" }),
        svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, round(value))];
    });
    const times = [0, 1, 2, 3].map((i) => {
      const ago = Math.round((this.span * (3 - i)) / 3), anchor = ["start", "middle", "middle", "end"][i];
      return svg("text", { x: LEFT + (i / 3) * (EDGE - LEFT), y: H - 6, "text-anchor": anchor }, ago ? `${ago} s ago` : "now");
    });
    this.grid.replaceChildren(...levels, ...times);
    if (!this.range) return;
    this.#place();
    const { ceiling, short } = this.knob, y = this.#y(ceiling) + 4;
    this.grid.append(svg("text", { x: EDGE + 30, y }, `ceiling ${ceiling} ${short}`));
  }

  #slider() {
    const { knob } = this;
    this.range = html("input", {
      type: "range", min: knob.step, max: knob.ceiling, step: knob.step,
      "aria-label": `limit of ${knob.title}: ${knob.unit}, at most ${knob.ceiling}`,
    });
    this.range.oninput = () => { this.wish = +this.range.value; this.draw(); };
    this.range.onchange = () => this.ask(knob.name, +this.range.value);
    this.plot.append(this.range);
  }

  // Its ends lie at the heights of the smallest and the largest limit.
  #place() {
    const half = THUMB / 2, part = (y) => `${(100 * y) / H}%`;
    this.range.style.left = `calc(${(100 * (EDGE + 14)) / W}% - ${half}px)`;
    this.range.style.top = `calc(${part(this.#y(this.knob.ceiling))} - ${half}px)`;
    this.range.style.height = `calc(${part(this.#y(this.knob.step) - this.#y(this.knob.ceiling))} + ${THUMB}px)`;
  }

  #curve() {
    const { rows, columns, knob } = this, at = knob.column;
    this.now = rows[rows.length - columns];
    let most = 0;
    for (let i = at; i < rows.length; i += columns) most = Math.max(most, rows[i]);
    if (most > this.top) this.#scale(nice(most * 1.1));
    let path = "", rug = "";
    for (let i = 0; i < rows.length; i += columns) {
      const x = this.#x(rows[i]).toFixed(1);
      path += `${path ? "L" : "M"}${x} ${this.#y(rows[i + at]).toFixed(1)}`;
      if (rows[i + at + 1] > 0) rug += `M${x} ${FOOT}v-${(3 + 9 * rows[i + at + 1]).toFixed(1)}`;
    }
    set(this.line, { d: path });
    set(this.area, { d: `${path}L${EDGE} ${FOOT}L${this.#x(rows[0])} ${FOOT}Z` });
    set(this.rug, { d: rug });
  }

  #levels(last) {
    const { limit, wish, high, knob } = this;
    const place = (line, value) => {
      show(line, known(value) && value <= this.top);
      if (known(value)) set(line, { y1: this.#y(value), y2: this.#y(value) });
    };
    place(this.cap, limit);
    place(this.wished, wish);
    place(this.peak, high);
    show(this.dot, known(last));
    set(this.dot, { cy: this.#y(last ?? 0) });
    const [cap, here, peak] = this.labels, asked = known(wish);
    const words = (value) => `${round(value ?? 0)} ${knob.short}`;
    cap.textContent = asked ? `limit ${words(wish)}?` : `limit ${words(limit)}`;
    here.textContent = words(last);
    peak.textContent = `peak ${words(high)}`;
    const apart = known(high) && known(last) && high - last > 0.01 * this.top;
    const level = (value) => (known(value) && value <= this.top ? this.#y(value) : null);
    spread([{ el: cap, y: level(asked ? wish : limit) }, { el: here, y: level(last) }, { el: peak, y: apart ? level(high) : null }], FOOT);
  }

  #events() {
    const shown = (this.given ?? []).filter((mark) => mark.t >= this.now - this.span);
    this.marks.replaceChildren(...shown.map(({ t, word, count }) => {
      const x = this.#x(t), left = x > EDGE - 150;
      const sign = svg("g", { class: "mark", transform: `translate(${x.toFixed(1)} 0)` });
      sign.append(
        svg("line", { y1: TOP, y2: FOOT }),
        svg("circle", { cy: TOP, r: 6 }),
        svg("path", { d: `M-2.3 ${TOP - 2.3}l4.6 4.6m0-4.6l-4.6 4.6` }),
        svg("text", { x: left ? -11 : 11, y: TOP + 4, "text-anchor": left ? "end" : "start" }, count > 1 ? `${word}, ${count} times` : word));
      return sign;
    }));
  }

  #words(last) {
    const { knob, limit, happened = 0 } = this;
    const of = known(limit) ? `of ${round(limit)} ${knob.unit}` : `${knob.unit}, no limit`;
    this.number.textContent = known(last) ? round(last) : "-";
    this.of.textContent = of;
    show(this.chip, happened);
    const times = `${happened} ${knob.reached_as[happened === 1 ? 0 : 1]}`;
    this.chip.textContent = times;
    this.said = `${knob.title}: ${known(last) ? round(last) : "no reading yet"} ${of}${happened ? `, ${times}` : ""}`;
    this.frame.setAttribute("aria-label", this.said);
  }
}
