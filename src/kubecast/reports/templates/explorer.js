// The list of series, and the fan chart of the one that is chosen.
"use strict";
const PAGE = 50;

// Times of a series: its first one, and the steps to the next ones, which most series share.
function clock(start, steps) {
  const times = [start];
  for (const step of steps) times.push(times.at(-1) + step);
  return times;
}

function path(explorer, series) {
  const scaled = (values) => (values || []).map((value) => (value === null ? null : value * series.unit));
  const seconds = clock(series.start, explorer.steps[series.steps]);
  const ends = series.y.length;
  const part = ({ mid, low, high, low2, high2 }, from) =>
    scaled(mid).map((value, at) => ({
      seconds: seconds[from + at],
      time: new Date(1000 * seconds[from + at]),
      mid: value,
      low: scaled(low)[at],
      high: scaled(high)[at],
      low2: scaled(low2)[at],
      high2: scaled(high2)[at],
    }));
  return {
    actual: part({ mid: series.y }, 0),
    evaluated: part(series.evaluated || {}, series.at),
    ahead: part(series.ahead || {}, ends),
  };
}

function fan({ actual, evaluated, ahead }, width, height, unit) {
  const band = (rows, low, high, colour, opacity) =>
    rows.length && rows[0][low] !== undefined
      ? [Plot.areaY(rows, { x: "time", y1: low, y2: high, fill: colour, fillOpacity: opacity })]
      : [];
  const line = (rows, style, strokeWidth) =>
    Plot.lineY(rows, {
      x: "time",
      y: "mid",
      stroke: STYLES[style].colour,
      strokeWidth,
      strokeDasharray: style === "quiet" ? STYLES[style].dash : undefined,
      marker: rows.length < 2 ? "circle" : undefined,
    });
  const rows = [...actual, ...ahead];
  const at = new Map(evaluated.map((row) => [row.seconds, row]));
  const title = (row) => {
    const text = [moment(row.seconds)];
    const other = at.get(row.seconds);
    if (row.low !== undefined) text.push(`forecast ${figure(row.mid)}`, `${figure(row.low)} to ${figure(row.high)}`);
    else text.push(`actual ${figure(row.mid)}`);
    if (other) text.push(`evaluated forecast ${figure(other.mid)}`);
    return text.join("\n");
  };
  const end = actual.at(-1);
  return Plot.plot({
    ...SHARED,
    width,
    height,
    marginLeft: 52,
    marginRight: 14,
    x: { type: "utc", label: null },
    y: { label: unit, nice: true, grid: true, ticks: 6 },
    marks: [
      ...(end && ahead.length ? [Plot.ruleX([end.time], { stroke: "var(--quiet)", strokeDasharray: "1 3" })] : []),
      ...band(evaluated, "low", "high", "var(--quiet)", 0.2),
      ...band(ahead, "low", "high", "var(--own)", 0.18),
      ...band(ahead, "low2", "high2", "var(--own)", 0.25),
      line(actual, "ink", 1.3),
      line(evaluated, "quiet", 2),
      line(ahead, "own", 2.2),
      Plot.tip(rows, Plot.pointerX({ x: "time", y: "mid", title })),
    ],
  });
}

function orderings(explorer) {
  const number = (key) => (series) => series[key] ?? -Infinity;
  const by = {
    flagged: (series) => (series.flags.length ? 1e12 : 0) + Math.min(Math.abs(series[explorer.error] ?? 0), 1e9),
    error: number("mase"),
    loss: (series) => (series.naive === null || series.mase === null ? -Infinity : series.mase - series.naive),
    bias: (series) => (series.bias === null ? -Infinity : Math.abs(series.bias)),
    change: (series) => (series.change === null ? -Infinity : Math.abs(series.change)),
    size: number("size"),
  };
  const { compare } = new Intl.Collator("en", { numeric: true });
  const name = (one, other) => compare(one.id, other.id);
  return (order, rows) => {
    const value = by[order];
    return [...rows].sort((one, other) => (value ? value(other) - value(one) || name(one, other) : name(one, other)));
  };
}

function explore(place, explorer) {
  const list = place.querySelector("[data-list]");
  const [find, order] = place.querySelectorAll("input, select");
  const [back, on] = place.querySelectorAll("[data-turn]");
  const status = place.querySelector("[role=status]");
  const arranged = orderings(explorer);
  let rows = [];
  let first = 0;
  let chosen = null;
  const buttons = () => [...list.querySelectorAll("button")];

  function choose(series) {
    chosen = series;
    show(place.querySelector("[data-fan]"), explorer, series);
    for (const button of buttons()) {
      const current = button.series === series;
      button.tabIndex = current ? 0 : -1;
      button.closest("tr").classList.toggle("chosen", current);
      if (current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    if (list.querySelector("[aria-current]") === null && buttons().length) buttons()[0].tabIndex = 0;
  }

  function turn() {
    first = Math.max(0, Math.min(first, rows.length - 1));
    first -= first % PAGE;
    const shown = rows.slice(first, first + PAGE);
    list.querySelector("tbody").replaceChildren(...shown.map((series) => row(explorer, series, choose)));
    back.disabled = first === 0;
    on.disabled = first + PAGE >= rows.length;
    status.textContent = rows.length
      ? `${first + 1} to ${Math.min(first + PAGE, rows.length)} of ${rows.length}`
      : "none";
    choose(chosen ?? shown[0]);
  }

  function arrange() {
    const word = find.value.trim().toLowerCase();
    const matches = explorer.series.filter(
      ({ id, flags }) => id.toLowerCase().includes(word) || flags.some((flag) => flag.toLowerCase().includes(word)),
    );
    rows = arranged(order.value, matches);
    first = 0;
    if (rows.length) chosen = rows[0];
    turn();
  }

  find.addEventListener("input", arrange);
  order.addEventListener("change", arrange);
  for (const [button, pages] of [[back, -1], [on, 1]])
    button.addEventListener("click", () => {
      first += pages * PAGE;
      turn();
    });
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -PAGE, End: PAGE }[event.key];
    if (!steps) return;
    event.preventDefault();
    const all = buttons();
    const at = Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + steps));
    choose(all[at].series);
    all[at].focus();
  });
  if (explorer.series.length) arrange();
}

function row(explorer, series, choose) {
  const button = element("button", { type: "button", tabindex: "-1" }, series.id);
  button.series = series;
  button.addEventListener("click", () => choose(series));
  const cells = explorer.columns.map(({ key, percent: share }) =>
    element("td", {}, (share ? percent : figure)(series[key])),
  );
  const more = series.flags.length > 1 ? ` +${series.flags.length - 1}` : "";
  const flags = series.flags.length ? [element("span", { class: "flag" }, series.flags[0] + more)] : [];
  return element("tr", {}, element("td", { class: "text" }, button), ...cells, element("td", { class: "text" }, ...flags));
}

function show(place, explorer, series) {
  const facts = [
    series.mase !== null && `MASE ${figure(series.mase)}`,
    series.naive !== null && `${explorer.naive} ${figure(series.naive)}`,
    series.bias !== null && `bias ${figure(series.bias)} scales`,
    series.coverage !== null && `${explorer.level} % interval holds ${percent(series.coverage)}`,
    series.change !== undefined && series.change !== null && `total ${percent(series.change)} on the season before`,
  ].filter(Boolean);
  const name = element("h3", {}, series.id);
  const flags = series.flags.map((flag) => element("span", { class: "flag" }, flag));
  const about = element("p", { class: "quiet" }, facts.join(" \u00b7 "), " ", ...flags);
  const course = path(explorer, series);
  const drawing = element("div", {
    class: "drawing",
    role: "img",
    "aria-label": `Line chart of the actuals and forecasts of series ${series.id}`,
  });
  const interval = explorer.level ? `, ${explorer.level} %` : "";
  const keys = legend([
    { name: "actual", style: "ink" },
    ...(course.evaluated.length ? [{ name: `last evaluated forecast${interval}`, style: "quiet" }] : []),
    ...(course.ahead.length ? [{ name: `forecast beyond the data${interval}`, style: "own" }] : []),
  ]);
  const folded = tabulated(["time", "actual", "forecast", "low end", "high end"], () => courses(course));
  place.replaceChildren(name, about, drawing, keys, folded);
  draw_to_width(drawing, (width) => {
    const height = Math.max(230, Math.min(420, Math.round(0.62 * width)));
    return fan(course, width, height, explorer.unit);
  });
}

function courses({ actual, evaluated, ahead }) {
  const at = new Map(evaluated.map((row) => [row.seconds, row]));
  return [
    ...ahead.map((row) => [moment(row.seconds), "-", figure(row.mid), figure(row.low), figure(row.high)]),
    ...actual.map((row) => {
      const other = at.get(row.seconds) || {};
      return [moment(row.seconds), figure(row.mid), figure(other.mid), figure(other.low), figure(other.high)];
    }),
  ];
}
