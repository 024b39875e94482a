"use strict";
(() => {
  /* Fits between the margins of A4 and of US letter at 96 pixels an inch. */
  const PAPER_WIDTH_PX = 620;
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const axes = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  /* Colours of the page for a figure's text, lines and heat map. */
  const theme = (layout) => {
    const changes = {
      "font.color": colour("ink"),
      "hoverlabel.bgcolor": colour("card"),
      "hoverlabel.bordercolor": colour("line"),
      "hoverlabel.font.color": colour("ink"),
    };
    for (const axis of axes(layout)) {
      changes[`${axis}.gridcolor`] = colour("grid");
      changes[`${axis}.linecolor`] = colour("grid");
      changes[`${axis}.tickcolor`] = colour("grid");
    }
    if (layout.coloraxis) changes["coloraxis.colorscale"] = [[0, colour("low")], [1, colour("high")]];
    return changes;
  };

  const plots = [];
  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const { data, layout, options } = JSON.parse(figure.querySelector("script").textContent);
    /* A finger that drags scrolls the page; a mouse zooms, a double click zooms back. */
    if (!matchMedia("(hover: hover)").matches) layout.dragmode = false;
    /* Matrices are square, also on a narrow screen. */
    if (layout.coloraxis) layout.height = Math.min(layout.height, plot.clientWidth + 40);
    plots.push(plot);
    Plotly.newPlot(plot, data, layout, { responsive: true, displayModeBar: false }).then(() => Plotly.relayout(plot, theme(layout)));
    const select = figure.querySelector("select");
    if (!select) return;
    select.addEventListener("change", () => {
      const linked = figure.parentElement.hasAttribute("data-linked") && !select.following;
      const [caption, data, changes] = options[select.selectedIndex];
      Plotly.update(plot, data, changes);
      figure.querySelector("figcaption").textContent = caption;
      if (!linked) return;
      for (const other of figure.parentElement.querySelectorAll("select")) {
        if (other === select || other.value === select.value) continue;
        other.following = true;
        other.value = select.value;
        other.dispatchEvent(new Event("change"));
        other.following = false;
      }
    });
  };
  document.querySelectorAll("figure[data-figure]").forEach(draw);

  const repaint = (size) => plots.forEach((plot) => Plotly.relayout(plot, { ...theme(plot.layout), ...size }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint({}));
  addEventListener("beforeprint", () => { root.classList.add("printing"); repaint({ width: PAPER_WIDTH_PX }); });
  addEventListener("afterprint", () => { root.classList.remove("printing"); repaint({ width: null, autosize: true }); });

  /* Sorting: the first click on a numeric column puts the greatest value on top; empty values stay at the bottom, and
     leaky rows below all others. */
  const compare = (numeric, direction) => (a, b) => {
    if (a.below !== b.below) return a.below - b.below;
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
    return direction * (numeric ? a.key - b.key : a.key.localeCompare(b.key, "en", { numeric: true }));
  };
  const sortBy = (table, header) => {
    const numeric = header.classList.contains("number");
    const before = header.getAttribute("aria-sort");
    const after = before === "none" ? (numeric ? "descending" : "ascending") : before === "ascending" ? "descending" : "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", after);
    const rows = [...table.tBodies[0].rows].map((row) => ({
      row,
      key: row.cells[header.cellIndex].dataset.sort,
      below: row.hasAttribute("data-below"),
    }));
    rows.sort(compare(numeric, after === "ascending" ? 1 : -1));
    table.tBodies[0].append(...rows.map(({ row }) => row));
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const header of table.querySelectorAll("thead th")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.addEventListener("click", () => sortBy(table, header));
      header.replaceChildren(button);
      header.setAttribute("aria-sort", "none");
    }
  }

  /* Filtering: a row stays if it holds every word that was typed. */
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
    const counter = document.querySelector(`[data-count="${input.dataset.filter}"]`);
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      counter.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} cells`;
    };
    input.addEventListener("input", filter);
    filter();
  }

  /* Paper has no clicks: what is folded is printed. */
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details:not([open])")) {
      fold.open = true;
      fold.dataset.folded = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const fold of document.querySelectorAll("details[data-folded]")) {
      fold.open = false;
      delete fold.dataset.folded;
    }
  });
})();
