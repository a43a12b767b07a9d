"use strict";

// The charts: drawn when they come near the screen, in the colours of the style sheet.
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const chosen = {};
  const drawn = new Set();

  // A colour "@name" is the property "--name". Only colours are looked at: texts are data.
  function paint(value, isColor, style) {
    if (typeof value === "string") {
      return isColor && value.startsWith("@")
        ? style.getPropertyValue("--" + value.slice(1)).trim()
        : value;
    }
    if (Array.isArray(value)) {
      return isColor ? value.map((item) => paint(item, true, style)) : value;
    }
    if (value === null || typeof value !== "object") {
      return value;
    }
    const painted = {};
    for (const [name, item] of Object.entries(value)) {
      const list = name === "shapes" || name === "annotations";
      painted[name] = list
        ? item.map((part) => paint(part, false, style))
        : paint(item, /color/i.test(name), style);
    }
    return painted;
  }

  function draw(plot) {
    const name = plot.dataset.chart;
    const choices = figures[name];
    const figure = choices[chosen[name] ?? Object.keys(choices)[0]];
    const style = getComputedStyle(root);
    const layout = paint(figure.layout, false, style);
    layout.autosize = true;
    if (name === "map" && matchMedia("(pointer: fine)").matches) {
      layout.dragmode = "zoom";
      layout.xaxis.fixedrange = layout.yaxis.fixedrange = false;
    }
    const data = figure.data.map((trace) => paint(trace, false, style));
    drawn.add(plot);
    return Plotly.react(plot, data, layout, { responsive: true, displayModeBar: false });
  }

  function redraw() {
    for (const plot of drawn) {
      draw(plot);
    }
  }

  const plots = document.querySelectorAll(".plot");
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          observer.unobserve(entry.target);
          draw(entry.target);
        }
      }
    },
    { rootMargin: "800px" },
  );
  plots.forEach((plot) => observer.observe(plot));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // On paper everything is drawn, and light.
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    plots.forEach((plot) => draw(plot));
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    redraw();
  });

  document.querySelectorAll("input[name=map-color]").forEach((input) => {
    input.addEventListener("change", () => {
      chosen.map = input.value;
      draw(document.querySelector("[data-chart=map]"));
    });
  });
})();

// The table: sorted, filtered, and shown by the page. Cells are texts, never markup.
(() => {
  const PAGE_ROWS = 25;
  const columns = JSON.parse(document.getElementById("columns").textContent);
  const count = columns[0].values.length;
  const text = document.getElementById("filter-text");
  const pValue = document.getElementById("filter-p");
  const form = document.getElementById("filters");
  const table = document.getElementById("table");
  const collator = new Intl.Collator("en", { numeric: true });
  const whole = new Intl.NumberFormat("en");
  const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const state = { column: null, isDescending: false, rows: [], page: 0 };
  const selects = [];

  function formatNumber(value) {
    if (value === null) {
      return "–";
    }
    return (Number.isInteger(value) ? whole : rounded).format(value);
  }

  for (const column of columns) {
    column.text =
      column.kind === "choice"
        ? (row) => column.choices[column.values[row]]
        : column.kind === "text"
          ? (row) => column.values[row]
          : (row) => formatNumber(column.values[row]);
  }
  const searched = columns.filter((column) => column.kind !== "number");
  const haystack = Array.from({ length: count }, (_, row) =>
    searched.map((column) => column.text(row)).join("\n").toLowerCase(),
  );
  const pColumn = columns.find((column) => column.name === "p-value" && column.kind === "number");

  function addFilter(column) {
    const field = document.createElement("div");
    const label = document.createElement("label");
    const select = document.createElement("select");
    field.className = "field";
    label.textContent = column.name;
    label.htmlFor = select.id = `filter-choice-${selects.length}`;
    field.append(label, select);
    select.append(new Option("any", ""));
    const order = column.choices.map((_, i) => i);
    order.sort((a, b) => collator.compare(column.choices[a], column.choices[b]));
    order.forEach((i) => select.append(new Option(column.choices[i], String(i))));
    document.getElementById("filter-choices").append(field);
    selects.push([column, select]);
  }

  function compare(column) {
    const { values, kind } = column;
    if (kind === "number") {
      return (a, b) => values[a] - values[b];
    }
    const rank = new Map();
    const distinct = [...new Set(values)];
    const named = kind === "choice" ? (value) => column.choices[value] : (value) => value;
    distinct.sort((a, b) => collator.compare(named(a), named(b)));
    distinct.forEach((value, i) => rank.set(value, i));
    return (a, b) => rank.get(values[a]) - rank.get(values[b]);
  }

  function update() {
    const wanted = text.value.trim().toLowerCase();
    const most = pValue.value === "" ? null : Number(pValue.value);
    const active = selects.filter(([, select]) => select.value !== "");
    let rows = [];
    for (let row = 0; row < count; row++) {
      if (
        haystack[row].includes(wanted) &&
        (most === null || (pColumn.values[row] !== null && pColumn.values[row] <= most)) &&
        active.every(([column, select]) => String(column.values[row]) === select.value)
      ) {
        rows.push(row);
      }
    }
    if (state.column !== null) {
      // What has no number comes last, in either direction.
      const isKnown = (row) => state.column.values[row] !== null;
      const known = rows.filter(isKnown).sort(compare(state.column));
      const unknown = rows.filter((row) => !isKnown(row));
      rows = [...(state.isDescending ? known.reverse() : known), ...unknown];
    }
    state.rows = rows;
    state.page = 0;
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(state.rows.length / PAGE_ROWS));
    const first = state.page * PAGE_ROWS;
    const shown = state.rows.slice(first, first + PAGE_ROWS);
    table.tBodies[0].replaceChildren(...shown.map(makeRow));
    const range = `${whole.format(first + 1)} to ${whole.format(first + shown.length)}`;
    const total = whole.format(state.rows.length);
    const all = state.rows.length === count ? "" : `, filtered from ${whole.format(count)}`;
    document.getElementById("table-status").textContent = shown.length
      ? `Rows ${range} of ${total}${all}`
      : `No rows${all}`;
    document.getElementById("page-previous").disabled = state.page === 0;
    document.getElementById("page-next").disabled = state.page >= pages - 1;
  }

  function makeRow(row) {
    const line = document.createElement("tr");
    for (const column of columns) {
      const cell = document.createElement("td");
      const isNumber = column.kind === "number";
      cell.className = column.kind;
      const content = isNumber ? cell : document.createElement("bdi");
      content.textContent = column.text(row);
      if (!isNumber) {
        cell.append(content);
      }
      line.append(cell);
    }
    return line;
  }

  function sortBy(column) {
    state.isDescending = state.column === column && !state.isDescending;
    state.column = column;
    columns.forEach((other) => {
      const direction = state.isDescending ? "descending" : "ascending";
      other.head.setAttribute("aria-sort", other === column ? direction : "none");
    });
    update();
  }

  const head = table.tHead.insertRow();
  for (const column of columns) {
    column.head = document.createElement("th");
    column.head.scope = "col";
    column.head.className = column.kind === "number" ? "number" : "text";
    column.head.setAttribute("aria-sort", "none");
    const button = document.createElement("button");
    button.type = "button";
    const arrow = document.createElement("span");
    arrow.className = "arrow";
    arrow.ariaHidden = "true";
    button.append(column.name, arrow);
    button.addEventListener("click", () => sortBy(column));
    column.head.append(button);
    head.append(column.head);
  }
  columns.filter((column) => column.kind === "choice").forEach(addFilter);
  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  const turn = (by) => () => {
    state.page += by;
    show();
  };
  document.getElementById("page-previous").addEventListener("click", turn(-1));
  document.getElementById("page-next").addEventListener("click", turn(1));
  update();
})();
