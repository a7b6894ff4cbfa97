"use strict";

/* Tables in .interactive boxes get a filter above them and a button in every column's head. */

function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text.replace(/^[–-]$/, "").replace("−", "-") || NaN);
  return { text, number, empty: !cell.dataset.value && !/[0-9A-Za-z]/.test(text) };
}

function compareRows(a, b, column, sign) {
  const left = sortKey(a, column), right = sortKey(b, column);
  if (left.empty !== right.empty) return left.empty ? 1 : -1;
  if (!isNaN(left.number) && !isNaN(right.number)) return sign * (left.number - right.number);
  if (isNaN(left.number) !== isNaN(right.number)) return isNaN(left.number) ? 1 : -1;
  return sign * left.text.localeCompare(right.text, "en", { numeric: true });
}

function addSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  const asWritten = [...table.tBodies[0].rows];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      for (const other of heads) other.removeAttribute("aria-sort");
      const rows = [...asWritten];
      if (next) {
        head.setAttribute("aria-sort", next);
        rows.sort((a, b) => compareRows(a, b, head.cellIndex, next === "ascending" ? 1 : -1));
      }
      table.tBodies[0].append(...rows);
    });
  }
}

function addFilter(box, table) {
  const line = document.createElement("p");
  line.className = "filter";
  const label = document.createElement("label");
  label.textContent = "Filter ";
  const input = document.createElement("input");
  input.type = "search";
  input.autocomplete = "off";
  input.setAttribute("aria-label", `Filter ${box.getAttribute("aria-label")}: rows that hold every word`);
  const shown = document.createElement("span");
  shown.className = "muted";
  shown.setAttribute("aria-live", "polite");
  const count = () => {
    const rows = [...table.tBodies[0].rows];
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    count();
  });
  label.append(input);
  line.append(label, shown);
  box.before(line);
  count();
}

for (const box of document.querySelectorAll(".interactive")) {
  const table = box.querySelector("table");
  addSorting(table);
  if (table.tBodies[0].rows.length > 3) addFilter(box, table);
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  for (let at = target; at; at = at.parentElement.closest("details")) at.open = true;
  target.querySelector("summary").focus({ preventScroll: true });
  target.scrollIntoView();
}
window.addEventListener("hashchange", openTarget);
/* A link to where one is already changes no address. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) openTarget();
});
openTarget();
