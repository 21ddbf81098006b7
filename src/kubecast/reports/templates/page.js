// Sorts tables, leads to the parts of the page, and draws its charts. Links would leave the dashboard's frame.
"use strict";
const number = (cell) => parseFloat(cell.textContent.replace(/[,%\s]/g, "").replace("\u2212", "-"));

function compare(column, direction) {
  return (one, other) => {
    const [a, b] = [one.cells[column], other.cells[column]];
    const [x, y] = [number(a), number(b)];
    if (a.classList.contains("text"))
      return direction * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // what has no value is last, up or down
    return direction * (x - y);
  };
}

function sortable(sorted) {
  const heads = [...sorted.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = sorted.tBodies[0];
      body.append(...[...body.rows].sort(compare(column, ascending ? 1 : -1)));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("nav button").forEach((button) => {
  const part = [...document.querySelectorAll("section")].find((each) => each.dataset.name === button.textContent);
  button.addEventListener("click", () => {
    part.scrollIntoView({ block: "start" });
    part.querySelector("h2").focus({ preventScroll: true });
  });
});
start();
