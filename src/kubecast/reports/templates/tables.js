// Sorts tables and turns their pages. Without it every row is there, in the order of the page.
"use strict";
const figure = (cell) => parseFloat(cell.textContent.replace(/[,%\s]/g, "").replace("\u2212", "-"));

function compare(column, direction) {
  return (one, other) => {
    const [a, b] = [one.cells[column], other.cells[column]];
    const [x, y] = [figure(a), figure(b)];
    if (a.classList.contains("text") || a.classList.contains("wrap"))
      return direction * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // what has no value is last, up or down
    return direction * (x - y);
  };
}

function sortable(table, changed) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare(column, ascending ? 1 : -1)));
      changed();
    });
  });
}

function paged(table) {
  const size = Number(table.dataset.page);
  if (!size || table.tBodies[0].rows.length <= size) return () => {};
  const bar = document.createElement("div");
  bar.className = "pages";
  const label = document.createElement("label");
  label.textContent = "Find ";
  const find = document.createElement("input");
  find.type = "search";
  label.append(find);
  const back = document.createElement("button");
  back.textContent = "Previous";
  const on = document.createElement("button");
  on.textContent = "Next";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  bar.append(label, back, on, status);
  table.parentElement.before(bar);
  let first = 0;
  const show = () => {
    const word = find.value.toLowerCase();
    const rows = [...table.tBodies[0].rows];
    const matches = rows.filter((row) => row.textContent.toLowerCase().includes(word));
    first = Math.max(0, Math.min(first, matches.length - 1));
    first -= first % size;
    const visible = new Set(matches.slice(first, first + size));
    rows.forEach((row) => (row.hidden = !visible.has(row)));
    back.disabled = first === 0;
    on.disabled = first + size >= matches.length;
    status.textContent = matches.length
      ? `${first + 1} to ${Math.min(first + size, matches.length)} of ${matches.length}`
      : "none";
  };
  const turn = (rows) => () => {
    first += rows;
    show();
  };
  back.addEventListener("click", turn(-size));
  on.addEventListener("click", turn(size));
  const restart = () => {
    first = 0;
    show();
  };
  find.addEventListener("input", restart);
  show();
  return restart;
}

document.querySelectorAll("table.sortable").forEach((table) => sortable(table, paged(table)));
