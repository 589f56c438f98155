"use strict";
// Tables sort by a click (or Enter) on a heading, are filtered by a word, and can be walked through with the arrow keys.
for (const table of document.querySelectorAll("main table")) {
  const heads = [...table.querySelectorAll("thead th")], bodies = [...table.tBodies];
  const rows = body => [...body.rows].filter(row => !row.querySelector("[scope=rowgroup]"));
  if (bodies.reduce((sum, body) => sum + rows(body).length, 0) < 2) continue;
  const numberOf = cell => {
    const text = (cell.dataset.exact || cell.firstChild?.textContent || cell.textContent).replace("~", "").trim().replace("\u2212", "-");
    return /^[-+]?[\d.,]/.test(text) ? parseFloat(text.replaceAll(",", "")) : NaN;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.title = "Sort by this column";
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const body of bodies) {
        const sorted = rows(body).map((row, place) => [row, row.cells[column], place]);
        sorted.sort(([, one, first], [, two, second]) => {
          const [a, b] = [numberOf(one), numberOf(two)];
          if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
          const order = Number.isNaN(a) ? one.textContent.localeCompare(two.textContent) : a - b;
          return (down ? -order : order) || first - second;
        });
        body.append(...sorted.map(([row]) => row));
      }
    });
  });
  const all = bodies.flatMap(rows);
  if (all.length > 7) {
    const tools = document.createElement("p"), label = document.createElement("label"), input = document.createElement("input");
    const said = document.createElement("span");
    tools.className = "tools";
    input.type = "search";
    input.placeholder = "only rows with\u2026";
    input.setAttribute("aria-label", "Show only rows that hold this");
    said.className = "silent";
    said.setAttribute("role", "status");
    label.append(input);
    tools.append(label, said);
    table.closest(".scroll").before(tools);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of all) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      said.textContent = `${all.filter(row => !row.hidden).length} of ${all.length} rows`;
    });
  }
  const cells = () => bodies.flatMap(rows).filter(row => !row.hidden).map(row => [...row.querySelectorAll("td[data-exact]")]);
  const first = cells().flat()[0];
  if (!first) continue;
  for (const cell of cells().flat()) {
    cell.tabIndex = cell === first ? 0 : -1;
    const exact = document.createElement("span");
    exact.className = "silent";
    exact.textContent = ` exactly ${cell.dataset.exact}`;
    cell.append(exact);
  }
  table.addEventListener("keydown", event => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const grid = cells(), at = grid.findIndex(row => row.includes(event.target));
    if (!step || at < 0) return;
    const target = grid[at + step[0]]?.[grid[at].indexOf(event.target) + step[1]];
    if (!target) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  });
}
