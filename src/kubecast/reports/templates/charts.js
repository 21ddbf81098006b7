// Draws the charts of the page's payload by Observable Plot, each with its legend and its table.
"use strict";
const minus = (text) => text.replace("-", "\u2212");

function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  const digits = Math.abs(value) >= 1e4 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 };
  return minus(value.toLocaleString("en", { ...digits, useGrouping: Math.abs(value) >= 1e4 }));
}
function percent(value) {
  return value === null || value === undefined ? "-" : minus(`${(100 * value).toFixed(1)} %`);
}
// Times are on the clock of the data; Plot is told that it is UTC, so that no other clock comes in.
function moment(seconds) {
  const text = new Date(1000 * seconds).toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
}

// A line's colour and dashes, so that it can be told by either. The colours are those of Okabe and Ito.
const STYLES = {
  own: { colour: "var(--own)", dash: "" },
  naive: { colour: "var(--naive)", dash: "7 4" },
  quiet: { colour: "var(--quiet)", dash: "3 3" },
  ink: { colour: "var(--ink)", dash: "" },
  third: { colour: "var(--third)", dash: "2 3" },
  fourth: { colour: "var(--fourth)", dash: "9 3 2 3" },
};

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function legend(entries) {
  const keys = entries.map(({ name, style, area }) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    line.setAttribute("aria-hidden", "true");
    line.setAttribute("viewBox", "0 0 26 10");
    const { colour, dash } = STYLES[style];
    line.innerHTML = area
      ? `<rect width="26" height="10" fill="${colour}" opacity=".25"/>`
      : `<line x2="26" y1="5" y2="5" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/>`;
    return element("span", { class: "key" }, line, name);
  });
  return element("div", { class: "legend" }, ...keys);
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((each) => element("th", { scope: "col" }, each)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "As a table" }, made);
}

const SHARED = {
  style: { fontFamily: "inherit", fontSize: "12px", background: "none", color: "inherit", overflow: "visible" },
};
const MOST_ROWS = 400;
const format = (spec) => (spec.percent ? percent : figure);
const tick = (spec) => (spec.percent ? (value) => minus(`${Math.round(100 * value)} %`) : undefined);

const x_of = (spec) => (spec.x_type === "utc" ? spec.x.map((value) => new Date(1000 * value)) : spec.x);
const x_text = (spec, at) => (spec.x_type === "utc" ? moment(spec.x[at]) : String(spec.x[at]));

const cells = (spec, columns, at) => columns.map(({ values }) => format(spec)(values[at]));
const line_columns = (spec) => [
  ...spec.lines,
  ...spec.bands.flatMap(({ name, low, high }) => [
    { name: `low end, ${name}`, values: low },
    { name: `high end, ${name}`, values: high },
  ]),
];
const bar_columns = (spec) =>
  spec.groups.flatMap(({ name, values, low, high }) => [
    { name, values },
    ...(low ? [{ name: `${name}, from`, values: low }, { name: `${name}, to`, values: high }] : []),
  ]);

const KINDS = {
  // Lines and bands over numbers, times or names.
  lines: {
    plot(spec, width) {
      const x = x_of(spec);
      const marks = spec.rules.map((value) =>
        Plot.ruleY([value], { stroke: "var(--quiet)", strokeDasharray: "1 3" }),
      );
      for (const { low, high, style } of spec.bands || []) {
        const channels = { x, y1: low, y2: high, fill: STYLES[style].colour, fillOpacity: 0.22 };
        marks.push(Plot.areaY(x, channels));
      }
      for (const { values, style, dots } of spec.lines) {
        const { colour, dash } = STYLES[style];
        const single = values.filter((value) => value !== null).length < 2;
        if (!dots)
          marks.push(
            Plot.lineY(values, { x, y: values, stroke: colour, strokeWidth: 2, strokeDasharray: dash }),
          );
        if (dots || single || values.length <= 40)
          marks.push(Plot.dot(values, { x, y: values, fill: colour, r: dots || single ? 3.5 : 2 }));
      }
      const title = (at) =>
        [x_text(spec, at), ...spec.lines.map(({ name, values }) => `${name} ${format(spec)(values[at])}`)].join("\n");
      const first = spec.lines[0].values;
      marks.push(Plot.tip(first, Plot.pointerX({ x, y: first, title: (_, at) => title(at) })));
      return Plot.plot({
        ...SHARED,
        width,
        height: spec.height || 220,
        marginLeft: 52,
        marginRight: 14,
        marginBottom: 40,
        x: { type: spec.x_type, label: spec.x_label, ...(spec.x_type === "point" ? { domain: spec.x } : {}) },
        y: { label: spec.y_label, zero: spec.zero, nice: true, grid: true, tickFormat: tick(spec), ticks: 5 },
        marks,
      });
    },
    legend: (spec) => [
      ...spec.lines.map(({ name, style }) => ({ name, style })),
      ...spec.bands.map(({ name, style }) => ({ name, style, area: true })),
    ],
    heads: (spec) => [spec.x_label, ...line_columns(spec).map(({ name }) => name)],
    rows: (spec) => spec.x.map((_, at) => [x_text(spec, at), ...cells(spec, line_columns(spec), at)]),
  },
  // One bar for each name; or, of several groups, a dot for each, with whiskers where it has them.
  bars: {
    plot(spec, width) {
      const most = Math.floor((0.4 * width) / 7);
      const short = (name) => (name.length > most ? `${name.slice(0, most - 1)}\u2026` : name);
      const y = spec.names;
      const marks = spec.rules.map((value) =>
        Plot.ruleX([value], { stroke: "var(--quiet)", strokeDasharray: "1 3" }),
      );
      const single = spec.groups.length === 1 && !spec.groups[0].low;
      for (const { values, low, high, style } of spec.groups) {
        const fill = STYLES[style].colour;
        if (single) marks.push(Plot.barX(values, { x: values, y, fill, insetTop: 2, insetBottom: 2 }));
        else {
          if (low) marks.push(Plot.link(values, { x1: low, x2: high, y1: y, y2: y, stroke: fill, strokeWidth: 2 }));
          const hollow = style === "naive" ? { stroke: fill, fill: "var(--card)", strokeWidth: 2 } : { fill };
          marks.push(Plot.dot(values, { x: values, y, r: 4.5, ...hollow }));
        }
      }
      const first = spec.groups[0].values;
      const title = (at) =>
        [y[at], ...spec.groups.map(({ name, values }) => `${name} ${format(spec)(values[at])}`)].join("\n");
      marks.push(Plot.tip(first, Plot.pointerX({ x: first, y, title: (_, at) => title(at), maxRadius: 60 })));
      return Plot.plot({
        ...SHARED,
        width,
        height: 62 + 20 * y.length,
        marginBottom: 40,
        marginLeft: 12 + 7 * Math.max(...y.map((name) => short(name).length)),
        marginRight: 20,
        x: { label: spec.x_label, grid: true, zero: spec.zero, nice: true, tickFormat: tick(spec), ticks: 5 },
        y: { label: null, domain: y, type: "band", tickFormat: short, tickSize: 0 },
        marks,
      });
    },
    legend: (spec) => (spec.groups.length > 1 ? spec.groups.map(({ name, style }) => ({ name, style })) : []),
    heads: (spec) => ["name", ...bar_columns(spec).map(({ name }) => name)],
    rows: (spec) => spec.names.map((name, at) => [name, ...cells(spec, bar_columns(spec), at)]),
  },
  histogram: {
    plot(spec, width) {
      const bins = spec.counts.map((count, at) => ({ count, from: spec.edges[at], to: spec.edges[at + 1] }));
      const fill = STYLES.own.colour;
      return Plot.plot({
        ...SHARED,
        width,
        height: spec.height || 200,
        marginLeft: 52,
        marginRight: 14,
        marginBottom: 40,
        x: { label: spec.x_label, tickFormat: tick(spec) },
        y: { label: spec.y_label, grid: true, nice: true, ticks: 5 },
        marks: [
          Plot.rectY(bins, { x1: "from", x2: "to", y: "count", fill, insetLeft: 0.5, insetRight: 0.5 }),
          Plot.ruleY([0]),
        ],
      });
    },
    legend: () => [],
    heads: (spec) => [spec.x_label, spec.y_label],
    rows: (spec) =>
      spec.counts.map((count, at) => [
        `${format(spec)(spec.edges[at])} to ${format(spec)(spec.edges[at + 1])}`,
        figure(count),
      ]),
  },
};

// A folded table, which is made when it is first unfolded.
function tabulated(heads, rows) {
  const summary = element("summary", {}, "As a table");
  const folded = element("details", { class: "tabulated" }, summary);
  const fill = () => {
    if (folded.childElementCount > 1) return;
    const all = rows();
    folded.append(table(heads, all.slice(0, MOST_ROWS)));
    if (all.length > MOST_ROWS)
      folded.append(element("p", { class: "quiet" }, `The first ${MOST_ROWS} of ${all.length} rows.`));
  };
  summary.addEventListener("click", fill); // before the next key is pressed
  folded.addEventListener("toggle", fill);
  return folded;
}

// Draws into an element, and again where its width changes.
function draw_to_width(drawing, plot) {
  let drawn = 0;
  const draw = () => {
    const width = Math.floor(drawing.clientWidth);
    if (!width || Math.abs(width - drawn) < 2) return;
    drawn = width;
    const svg = plot(width);
    svg.setAttribute("aria-hidden", "true");
    drawing.replaceChildren(svg);
  };
  draw();
  new ResizeObserver(draw).observe(drawing);
}

// Fills the place of a chart: the drawing, its legend and its table.
function chart(place, spec) {
  const { plot, legend: entries, heads, rows } = KINDS[spec.kind];
  const drawing = element("div", { class: "drawing", role: "img", "aria-label": spec.label });
  const folded = tabulated(heads(spec), () => rows(spec));
  const keys = entries(spec);
  place.replaceChildren(drawing, ...(keys.length > 1 ? [legend(keys)] : []), folded);
  draw_to_width(drawing, (width) => plot(spec, width));
}

// A loop, since Uint8Array.from with a function takes a quarter of a second for a megabyte.
function bytes_of(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

// A payload of the page: JSON, gzipped, in base64; null where it has none of that name.
async function payload(name) {
  const place = document.querySelector(`[data-payload=${name}]`);
  if (!place) return null;
  const bytes = bytes_of(place.textContent.trim());
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function start() {
  const places = [...document.querySelectorAll("[data-chart]")];
  try {
    const explorer = await payload("explorer");
    if (explorer) explore(document.querySelector("[data-explorer]"), explorer);
    await new Promise((shown) => setTimeout(shown)); // the first chart is on the screen before the others are drawn
    const charts = await payload("charts");
    places.forEach((place) => chart(place, charts[place.dataset.chart]));
  } catch (error) {
    places.forEach((place) => (place.textContent = "This browser cannot draw the charts of this page."));
    throw error;
  } finally {
    document.documentElement.dataset.drawn = "";
  }
}
