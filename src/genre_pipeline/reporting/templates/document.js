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

  /* An element with its properties and what it holds: text is never read as markup. */
  const element = (tag, properties = {}, ...content) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...content);
    return made;
  };

  /* The probabilities of a track's segments from its beginning to its end, as the pictures of mistakes have them. */
  const timeline = (empty, answer, said, track) => {
    const [from_s, to_s] = answer.times_s;
    const points = (values) => (values.length > 1
      ? values.map((value, i) => [from_s + (i * (to_s - from_s)) / (values.length - 1), value])
      : [[0, values[0]], [track.duration_s, values[0]]]
    ).map(([time_s, value]) => `${((100 * time_s) / track.duration_s).toFixed(2)},${(20 - value / 5).toFixed(2)}`).join(" ");
    const [answers, truths] = answer.over_time;
    const spoken = said === track.genre ? "" : `; ${track.genre} ${truths.join(", ")} %`;
    const label = `Probability over time, from segment to segment: ${said} ${answers.join(", ")} %${spoken}.`;
    const made = empty.cloneNode(true);
    made.setAttribute("aria-label", label);
    made.querySelector(".truth").setAttribute("points", points(truths));
    made.querySelector(".answer").setAttribute("points", points(answers));
    return made;
  };

  for (const search of document.querySelectorAll("[data-tracks]")) {
    const { cells, tracks } = JSON.parse(search.querySelector("script").textContent);
    const [input, counter] = [search.querySelector("input"), search.querySelector("[aria-live]")];
    const [found, answers] = [search.querySelector(".found"), search.querySelector(".answers")];
    const place = (track) => (track.title ? `${track.title} (${track.id})` : track.id);
    const several = new Set(tracks.map((track) => track.dataset)).size > 1;
    /* Not the folders above it: a number of theirs would be found in every track. */
    const fileName = (track) => decodeURIComponent(track.url).split("#")[0].split("/").pop();
    const texts = tracks.map((track) => [track.id, track.title, track.genre, several ? track.dataset : "", fileName(track)].join(" ").toLowerCase());
    const byName = new Map(tracks.map((track) => [`${track.dataset}\n${track.id}`, track]));

    const button = (text, track) => {
      const made = element("button", { type: "button" }, text);
      made.addEventListener("click", () => show(track));
      return made;
    };
    const said = (answer) => cells[answer.cell].genres[answer.said];
    const card = (answer, track) => {
      const cell = cells[answer.cell];
      const genre = said(answer);
      const right = genre === track.genre;
      const bars = cell.genres.map((name, i) => [name, answer.p[i]]).sort((a, b) => b[1] - a[1])
        .filter(([name, p], i) => i < 4 && p > 0 || name === track.genre);
      const near = answer.closest.flatMap(([id, of], i) => {
        const known = byName.get(`${track.dataset}\n${id}`);
        const text = `${id === track.id ? "this track itself" : id} (${of})`;
        return [i ? ", " : "", known && known !== track ? button(text, known) : text];
      });
      const seen = cell.explained[track.id];
      const model = element("a", { href: `#${cell.card}` }, cell.model);
      return element("article", { className: cell.leaky ? "card leaky" : "card" },
        element("h4", {}, model, ` · ${cell.protocol} `, ...cell.marks.map((mark) => element("strong", { className: "badge" }, mark))),
        element("p", {}, element("strong", { className: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${genre}`),
          ` ${answer.p[answer.said]} %, ${right ? "right" : `wrong: it is ${track.genre}`}`,
          answer.n > 1 ? `; ${answer.right} of ${answer.n} repeats right` : ""),
        element("ul", { className: "shares" }, ...bars.map(([name, p]) => element("li", {},
          element("span", {}, name), element("i", { ariaHidden: "true", style: `--share:${p}%` }), element("span", {}, `${p} %`)))),
        timeline(search.querySelector("template").content.firstElementChild, answer, genre, track),
        element("p", { className: "seconds", ariaHidden: "true" }, element("span", {}, "0 s"), element("span", {}, `${track.duration_s.toFixed(1)} s`)),
        ...(near.length ? [element("p", { className: "muted" }, "Closest training tracks: ", ...near)] : []),
        ...(seen ? [element("p", {}, element("a", { href: `#${seen}` }, "What the model saw"))] : []));
    };
    const show = (track) => {
      const honest = track.answers.filter((answer) => !cells[answer.cell].leaky);
      const right = honest.filter((answer) => said(answer) === track.genre).length;
      const heading = element("h3", { tabIndex: -1 }, place(track));
      answers.replaceChildren(heading,
        element("p", {}, "True genre: ", element("strong", {}, track.genre),
          honest.length ? `. ${right} of ${honest.length} models that are not leaky are right. ` : ". ", element("a", { href: track.url }, "The file")),
        element("audio", { controls: true, preload: "metadata", src: track.url, ariaLabel: place(track) }),
        element("div", { className: "grid" }, ...track.answers.map((answer) => card(answer, track))));
      heading.focus();
    };
    const look = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const hits = words.length ? tracks.filter((track, i) => words.every((word) => texts[i].includes(word))) : [];
      /* [?] As many as a person reads. */
      const shown = hits.slice(0, 12);
      counter.textContent = words.length ? `${hits.length} of ${tracks.length} tracks${hits.length > shown.length ? `, the first ${shown.length} are shown` : ""}` : `${tracks.length} tracks`;
      found.replaceChildren(...shown.map((track) => element("li", {}, button(`${place(track)}: ${track.genre}`, track))));
    };
    input.addEventListener("input", look);
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") found.querySelector("button")?.click(); });
    look();
  }

  /* A file that is not there: the page was moved, or the music was. */
  addEventListener("error", ({ target }) => {
    if (target.tagName !== "AUDIO") return;
    target.replaceWith(element("p", { className: "muted" }, "The audio cannot be played from here: ", decodeURIComponent(target.getAttribute("src"))));
  }, true);

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
