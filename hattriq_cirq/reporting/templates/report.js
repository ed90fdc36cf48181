"use strict";
/* Maps of a report: choose the input, the class and the features, sort, search, and read single values. */

for (const root of document.querySelectorAll(".maps")) start(root);

function start(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const sentences = [...root.querySelectorAll("[data-sentence]")].map((each) => each.textContent);
  const classes = data.inputs[0].maps.length;
  const state = { input: 0, map: data.inputs[0].first, class: "", count: Number(part("count").value), sort: "size", search: "" };
  const body = part("rows"), sample = body.rows[0].cloneNode(true), tip = makeTip();
  const collator = new Intl.Collator("en", { numeric: true });

  const ofInput = () => data.inputs[state.input];
  const map = () => ofInput().maps[state.map];
  const nameOf = (place) => data.names[ofInput().features ? ofInput().features[place] : place];
  const half = (place) => (map().halves ? map().halves[place] : 0);
  const number = (value) => inUnit(value, map().unit);
  const interval = (place, width) => {
    const value = map().values[place];
    return width ? `[${number(value - width)}, ${number(value + width)}]` : "";
  };

  /* The places of the features that are listed: the strongest that match the search, in the chosen order. */
  function listed() {
    const values = map().values, wanted = state.search.toLocaleLowerCase();
    const bySize = (a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b;
    const found = values.map((_, place) => place).filter((place) => nameOf(place).toLocaleLowerCase().includes(wanted));
    const strongest = found.sort(bySize).slice(0, state.count);
    const orders = {
      size: bySize,
      value: (a, b) => values[b] - values[a] || a - b,
      name: (a, b) => collator.compare(nameOf(a), nameOf(b)) || a - b,
      place: (a, b) => a - b,
    };
    return [strongest.sort(orders[state.sort]), found.length];
  }

  function limits() {
    const ends = map().values.flatMap((value, place) => [value - half(place), value + half(place)]);
    const low = Math.min(0, ...ends), high = Math.max(0, ...ends);
    return low || high ? [low, high] : [-1, 1];
  }

  function draw() {
    const [places, matching] = listed(), [low, high] = limits();
    const share = (value) => (100 * (value - low)) / (high - low);
    const of = (row, name) => row.querySelector(`[data-part="${name}"]`);
    const rows = places.map((place, position) => {
      const row = sample.cloneNode(true), value = map().values[place], error = half(place);
      row.dataset.place = place;
      row.tabIndex = position ? -1 : 0;
      of(row, "name").textContent = nameOf(place);
      of(row, "shown").textContent = ofInput().shown[place];
      of(row, "value").textContent = number(value);
      of(row, "interval").textContent = interval(place, error);
      const bar = of(row, "bar");
      bar.setAttribute("class", signOf(value));
      bar.setAttribute("x", `${Math.min(share(0), share(value))}%`);
      bar.setAttribute("width", `${Math.abs(share(value) - share(0))}%`);
      of(row, "zero").setAttribute("x1", `${share(0)}%`);
      of(row, "zero").setAttribute("x2", `${share(0)}%`);
      for (const [name, from, to] of [["whisker", -error, error], ["low", -error, -error], ["high", error, error]]) {
        of(row, name).setAttribute("x1", `${share(value + from)}%`);
        of(row, name).setAttribute("x2", `${share(value + to)}%`);
        of(row, name).toggleAttribute("hidden", !error);
      }
      return row;
    });
    body.replaceChildren(...rows);
    part("axis-low").textContent = low < 0 ? number(low) : "0";
    part("axis-high").textContent = high > 0 ? number(high) : "0";
    const total = map().values.length;
    part("counted").textContent = state.search
      ? `${places.length} of ${matching} features whose names contain "${state.search}", out of ${total}.`
      : `${places.length} of ${total} features${places.length < total ? ", the largest in size" : ""}.`;
    if (data.shape) drawImage();
  }

  function drawImage() {
    const { values, halves } = map(), size = Math.max(...values.map(Math.abs)) || 1;
    const shades = ofInput().shown.map((text) => Math.abs(parseFloat(text)) || 0), brightest = Math.max(...shades) || 1;
    const [picture, picturesInk, overlay] = ["picture", "ink", "overlay"].map(part);
    const cells = (parent, shape) => {
      parent.replaceChildren(...values.map((_, place) => shape(place)).filter((each) => each));
    };
    const cell = (kind, place, attributes) => {
      const made = document.createElementNS(picture.namespaceURI, kind);
      const [row, col] = [Math.floor(place / data.shape[1]), place % data.shape[1]];
      const box = kind === "circle" ? { cx: col + 0.5, cy: row + 0.5, r: 0.11 } : { x: col, y: row, width: 1, height: 1 };
      for (const [name, value] of Object.entries({ ...box, ...attributes })) made.setAttribute(name, value);
      return made;
    };
    const ink = (kind) => (place) =>
      shades[place] ? cell("rect", place, { class: kind, "fill-opacity": shades[place] / brightest }) : null;
    cells(picture, ink("bright"));
    cells(picturesInk, ink("faint-ink"));
    const drawn = [];
    values.forEach((value, place) => {
      if (value) drawn.push(cell("rect", place, { class: signOf(value), "fill-opacity": Math.abs(value) / size }));
      if (halves && Math.abs(value) > halves[place]) drawn.push(cell("circle", place, { class: "dot" }));
    });
    overlay.replaceChildren(...drawn);
    part("scale-low").textContent = number(-size);
    part("scale-high").textContent = number(size);
  }

  /* The sentence of the chosen input and class, and all that depends on them. */
  function choose() {
    const own = ofInput();
    state.map = state.class === "" ? own.first : Number(state.class);
    part("answer").textContent = sentences[state.input * classes + state.map];
    part("what").textContent = [own.name, own.label && `labelled ${own.label}`].filter(Boolean).join(", ") + ". " + map().score;
    part("remark").textContent = own.remark;
    part("input").value = state.input;
    part("previous").disabled = state.input === 0;
    part("next").disabled = state.input === data.inputs.length - 1;
    hide();
    draw();
  }

  function step(by) {
    state.input = Math.min(Math.max(state.input + by, 0), data.inputs.length - 1);
    choose();
  }

  function facts(place) {
    const { sampled } = map(), plusMinus = (size) => `± ${number(Math.round(size)).replace("+", "")}`;
    return [
      [part("quantity").textContent, ofInput().shown[place]],
      ["attribution", number(map().values[place])],
      ["95% interval", interval(place, half(place)) || "exact"],
      ["error of shots", sampled ? plusMinus(sampled[place]) : ""],
      ["systematic error", sampled ? plusMinus(Math.sqrt(Math.max(half(place) ** 2 - sampled[place] ** 2, 0))) : ""],
    ].filter(([, text]) => text);
  }

  function show(place, box) {
    const list = document.createElement("dl");
    for (const [term, text] of facts(place)) {
      const line = document.createElement("div");
      for (const [kind, content] of [["dt", term], ["dd", text]]) {
        line.append(Object.assign(document.createElement(kind), { textContent: content }));
      }
      list.append(line);
    }
    const heading = Object.assign(document.createElement("strong"), { textContent: nameOf(place), dir: "auto" });
    tip.replaceChildren(heading, list);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect(), gap = 10;
    const left = Math.min(Math.max(box.left, gap), document.documentElement.clientWidth - width - gap);
    const below = box.bottom + gap + height < window.innerHeight;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(below ? box.bottom + gap : Math.max(box.top - height - gap, gap)) + window.scrollY}px`;
  }

  function hide() {
    tip.hidden = true;
    for (const cursor of root.querySelectorAll(".cursor")) cursor.setAttribute("hidden", "");
  }

  const rowOf = (event) => event.target.closest("tr[data-place]");
  const at = (event) => ({ left: event.clientX + 12, top: event.clientY, bottom: event.clientY });
  const showRow = (row, box) => show(Number(row.dataset.place), box || row.getBoundingClientRect());
  body.addEventListener("pointermove", (event) => rowOf(event) && showRow(rowOf(event), at(event)));
  body.addEventListener("pointerdown", (event) => rowOf(event) && showRow(rowOf(event), at(event)));
  body.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  body.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && showRow(rowOf(event)));
  body.addEventListener("focusout", hide);
  body.addEventListener("keydown", (event) => {
    const rows = [...body.rows], position = rows.indexOf(rowOf(event));
    const next = { ArrowDown: position + 1, ArrowUp: position - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (next === undefined || !rows[next]) return;
    event.preventDefault();
    rows[position].tabIndex = -1;
    rows[next].tabIndex = 0;
    rows[next].focus();
  });

  if (data.shape) {
    const [rows, cols] = data.shape;
    for (const image of root.querySelectorAll("svg.pixels")) {
      let place = 0;
      const mark = (to) => {
        hide();
        place = to;
        const cursor = image.querySelector(".cursor"), box = image.getBoundingClientRect();
        const [row, col] = [Math.floor(place / cols), place % cols];
        cursor.setAttribute("x", col);
        cursor.setAttribute("y", row);
        cursor.removeAttribute("hidden");
        const edge = (share) => box.top + (share * box.height) / rows;
        show(place, { left: box.left + ((col + 1) * box.width) / cols, top: edge(row), bottom: edge(row + 1) });
      };
      const pointed = (event) => {
        const box = image.getBoundingClientRect();
        const [row, col] = [((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * cols];
        const within = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
        mark(within(row, rows) * cols + within(col, cols));
      };
      image.setAttribute("role", "application");
      image.setAttribute("tabindex", "0");
      image.addEventListener("pointermove", pointed);
      image.addEventListener("pointerdown", pointed);
      image.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
      image.addEventListener("focus", () => image.matches(":focus-visible") && mark(place));
      image.addEventListener("blur", hide);
      image.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        const isSideways = Math.abs(by) === 1 && Math.floor((place + by) / cols) !== Math.floor(place / cols);
        if (place + by < 0 || place + by >= rows * cols || (isSideways && cols > 1)) return;
        mark(place + by);
        part("spoken").textContent = [nameOf(place), ...facts(place).map((fact) => fact.join(" "))].join(", ");
      });
    }
  }

  const on = (name, kind, act) => part(name) && part(name).addEventListener(kind, (event) => act(event.target.value));
  on("input", "change", (value) => step(Number(value) - state.input));
  on("class", "change", (value) => choose(Object.assign(state, { class: value })));
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("sort", "change", (value) => draw(Object.assign(state, { sort: value })));
  on("search", "input", (value) => draw(Object.assign(state, { search: value.trim() })));
  on("count", "input", (value) => value >= 1 && draw(Object.assign(state, { count: Math.floor(value) })));
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  part("controls").hidden = false;
  choose();
}

function makeTip() {
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  tip.setAttribute("aria-hidden", "true"); /* rows are read as text, pixels by a live region */
  document.body.append(tip);
  return tip;
}

/* Whole multiples of a power of 10 as text, as the page without scripts has it. */
function inUnit(value, unit) {
  if (!value) return "0";
  const size = Math.abs(value), sign = value > 0 ? "+" : "-", digits = String(size).length - 1, exponent = unit + digits;
  if (unit >= -6 && unit <= 0) return sign + (size / 10 ** -unit).toFixed(-unit);
  return `${sign}${(size / 10 ** digits).toFixed(digits)}e${exponent < 0 ? "-" : "+"}${Math.abs(exponent)}`;
}

function signOf(value) {
  return value > 0 ? "plus" : value < 0 ? "minus" : "none";
}
