const SPEEDS = [1, 2, 5, 10, 20, 60, 200, 1000]; // generations a second
const CALM = 1; // the speed to begin with where less motion is asked for
const USUAL = 4;
const BUDGET = 12; // milliseconds of a frame for generations
const LIGHT = { dead: [244, 241, 234], alive: [29, 58, 86], gone: [246, 190, 140], extra: [213, 94, 0] };
const DARK = { dead: [32, 37, 44], alive: [150, 205, 250], gone: [132, 66, 20], extra: [255, 160, 60] };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

class Screen {
  constructor(world, attributes, caption) {
    const { height, width } = world.spec;
    this.world = world;
    this.canvas = make("canvas", { height, width, ...attributes });
    this.cursor = make("span", { class: "bnn-live-cursor", "aria-hidden": "true" });
    this.frame = make("div", { class: "bnn-live-frame" }, this.canvas, this.cursor);
    this.figure = make("figure", {}, this.frame, make("figcaption", {}, caption));
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(width, height);
  }

  // Paint alive(at, y, x), and where wanted(at) is another value in the colours of errors.
  paint(colours, alive, wanted) {
    const { data } = this.image;
    this.world.each((at, y, x) => {
      const cell = alive(at, y, x);
      const right = wanted === null || cell === wanted[at];
      const name = right ? (cell ? "alive" : "dead") : cell ? "extra" : "gone";
      data.set(colours[name], 4 * at);
      data[4 * at + 3] = 255;
    });
    this.context.putImageData(this.image, 0, 0);
  }

  // Whole pixels of the display a cell, so that all cells look alike.
  fit(space, largest) {
    const dots = window.devicePixelRatio || 1;
    const cell = Math.max(1, Math.floor((Math.min(space, largest) * dots) / this.canvas.width)) / dots;
    this.canvas.style.width = `${cell * this.canvas.width}px`;
    this.canvas.style.height = `${cell * this.canvas.height}px`;
  }

  show(y, x) {
    const { style } = this.cursor;
    style.left = `${(100 * x) / this.canvas.width}%`;
    style.top = `${(100 * y) / this.canvas.height}%`;
    style.width = `${100 / this.canvas.width}%`;
    style.height = `${100 / this.canvas.height}%`;
  }
}

class Demo {
  constructor(root, spec, compute) {
    this.root = root;
    this.spec = spec;
    this.world = new World(spec, compute);
    this.playing = false;
    this.shown = 0;
    this.at = [spec.history ? 0 : spec.height >> 1, spec.width >> 1];
    this.build();
    this.listen();
    this.resize();
    this.refresh();
  }

  build() {
    const { spec } = this;
    const keys = "Arrow keys move the cursor, Space changes a cell.";
    this.screen = new Screen(
      this.world,
      { tabindex: "0", role: "application", "aria-label": `${spec.title}: board, ${spec.width} by ${spec.height} cells. ${keys}` },
      spec.caption,
    );
    this.screens = [this.screen];
    this.beside = null;
    if (this.world.expected()) {
      this.beside = new Screen(this.world, { role: "img", "aria-label": spec.besideLabel }, spec.beside);
      this.screens.push(this.beside);
    }
    this.boards = make("div", { class: "bnn-live-boards" }, ...this.screens.map((s) => s.figure));
    this.generation = make("b", { "data-demo-generation": "" });
    this.differ = make("b", { "data-demo-differ": "" });
    this.alive = make("b", { "data-demo-alive": "" });
    this.status = make("p", { class: "bnn-live-status", "aria-live": "polite" });
    this.status.append("Generation ", this.generation, " · alive ", this.alive);
    if (this.beside) this.status.append(` · ${spec.compared} `, this.differ);
    const hint = make("p", { class: "bnn-live-hint" }, `Click or drag to change cells${spec.history ? " of the last row" : ""}. With the keyboard: ${keys}`);
    this.root.replaceChildren(this.boards, this.status, this.controls(), hint);
  }

  controls() {
    const { world, spec } = this;
    const act = (name, label, action) => {
      const button = make("button", { type: "button", "data-demo-action": name }, label);
      button.addEventListener("click", () => {
        action();
        this.refresh();
      });
      return button;
    };
    const begin = (name, label, action) =>
      act(name, label, () => {
        action();
        if (this.pattern) this.pattern.lastChild.value = "0";
      });
    this.pattern = spec.patterns.length ? this.patterns() : null;
    this.play = act("play", "Play", () => this.run(!this.playing));
    const row = [
      this.play,
      act("step", "Step", () => {
        this.run(false);
        world.step();
      }),
      begin("restart", "Restart", () => world.restart()),
    ];
    if (spec.density > 0) row.push(begin("random", "Random", () => world.randomize()));
    row.push(begin("clear", "Clear", () => world.clear()), act("erase", "Erase a block", () => world.erase()));
    if (this.pattern) row.push(this.pattern);
    if (spec.channels > 1) row.push(this.channels());
    row.push(this.speed());
    return make("div", { class: "bnn-live-controls", role: "group", "aria-label": `Controls of ${spec.title}` }, ...row);
  }

  choice(name, label, options, chosen) {
    const select = make("select", { "data-demo-choice": name });
    options.forEach((text, i) => select.append(make("option", { value: String(i) }, text)));
    select.addEventListener("change", () => {
      chosen(Number(select.value));
      this.refresh();
    });
    return make("label", {}, `${label} `, select);
  }

  patterns() {
    const { patterns } = this.spec;
    const names = ["choose", ...patterns.map((pattern) => pattern.name)];
    return this.choice("pattern", "Pattern", names, (i) => i && this.world.place(patterns[i - 1].rows));
  }

  channels() {
    const names = Array.from({ length: this.spec.channels }, (_, i) => (i ? `hidden ${i}` : "the picture"));
    return this.choice("channel", "Show", names, (i) => (this.shown = i));
  }

  speed() {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const slider = make("input", { type: "range", min: "0", max: String(SPEEDS.length - 1), step: "1" });
    const told = make("span", { "aria-hidden": "true" });
    const tell = () => {
      this.rate = SPEEDS[Number(slider.value)];
      slider.setAttribute("aria-valuetext", `${this.rate} generations a second`);
      told.textContent = ` ${this.rate}/s`;
    };
    slider.value = String(calm ? CALM : USUAL);
    slider.addEventListener("input", tell);
    tell();
    return make("label", {}, "Speed ", slider, told);
  }

  run(playing) {
    this.playing = playing;
    this.play.textContent = playing ? "Pause" : "Play";
    this.status.setAttribute("aria-live", playing ? "off" : "polite");
    if (!playing) return;
    let before = performance.now();
    let due = 0;
    const frame = (now) => {
      if (!this.playing || !this.root.isConnected) return;
      due = Math.min(due + ((now - before) * this.rate) / 1000, this.rate);
      before = now;
      const end = performance.now() + BUDGET;
      const steps = Math.floor(due);
      for (; due >= 1 && performance.now() < end; due--) this.world.step();
      if (steps) this.refresh();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  listen() {
    const { canvas } = this.screen;
    let drawing = null;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const within = (share, n) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
      return [
        within((event.clientY - box.top) / box.height, canvas.height),
        within((event.clientX - box.left) / box.width, canvas.width),
      ];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.at = place(event);
      drawing = 1 - this.world.cell(0, ...this.at);
      this.change(drawing);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drawing === null) return;
      const [y, x] = place(event);
      const [fromY, fromX] = this.at;
      const n = Math.max(Math.abs(y - fromY), Math.abs(x - fromX));
      for (let i = 1; i <= n; i++) {
        this.at = [fromY + Math.round((i * (y - fromY)) / n), fromX + Math.round((i * (x - fromX)) / n)];
        this.change(drawing);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (drawing = null));
    canvas.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    const { height, width } = this.spec;
    if (move) this.at = [(this.at[0] + move[0] + height) % height, (this.at[1] + move[1] + width) % width];
    else this.change(1 - this.world.cell(0, ...this.at));
    this.refresh();
  }

  change(alive) {
    this.world.set(...this.at, alive);
    this.refresh();
  }

  resize() {
    const fit = () => {
      const style = getComputedStyle(this.boards);
      const gap = parseFloat(style.columnGap) || 0;
      const wide = this.boards.clientWidth;
      const pair = (wide - gap) / 2;
      const space = this.screens.length === 2 && pair >= 240 ? pair : wide;
      for (const screen of this.screens) screen.fit(space, this.screens.length === 2 ? 480 : 560);
    };
    new ResizeObserver(fit).observe(this.boards);
    fit();
    const repaint = () => this.refresh();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    for (const element of [document.documentElement, document.body]) {
      new MutationObserver(repaint).observe(element, { attributes: true });
    }
  }

  // The page's text is light where the page is dark, whatever made it so.
  colours() {
    const [red, green, blue] = getComputedStyle(this.root).color.match(/[\d.]+/g).map(Number);
    return 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? DARK : LIGHT;
  }

  refresh() {
    const { world, spec } = this;
    const colours = this.colours();
    const expected = world.expected();
    const { alive, differ } = world.counts();
    const channel = this.shown;
    this.screen.paint(colours, (at, y, x) => world.cell(channel, y, x), channel ? null : expected);
    if (this.beside) this.beside.paint(colours, (at) => expected[at], null);
    if (spec.history) this.at[0] = world.row;
    this.screen.show(...this.at);
    this.generation.textContent = world.generation;
    this.alive.textContent = alive;
    this.differ.textContent = `${differ} of ${spec.height * spec.width}`;
  }
}

// The page may hold the same demo twice, and a notebook may run the script before it shows the root.
function start(key, spec, compute, tries = 100) {
  const roots = document.querySelectorAll(`[data-demo="${key}"]:not([data-demo-ready])`);
  for (const root of roots) {
    root.setAttribute("data-demo-ready", "");
    new Demo(root, spec, compute);
  }
  if (!roots.length && tries) requestAnimationFrame(() => start(key, spec, compute, tries - 1));
}
