// The page of the service: it sends songs, and shows what the models answer. Nothing is stored but the token, for the
// time that the tab is open.

const $ = (id) => document.getElementById(id);
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#a6a6f5", "#b2df8a", "#c9b18b", "#bbbbbb"];
const AUDIO = /\.(wav|mp3|flac|ogg|oga|opus|aiff?|au|snd|caf|w64|rf64)$/i;
const state = { models: [], songs: [], nOther: 0, open: null };
let queue = Promise.resolve();

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const genresOf = () => [...new Set(state.models.flatMap((model) => model.genres))];
const colour = (genre) => COLOURS[genresOf().indexOf(genre) % COLOURS.length];
const said = (answer) => (answer.sure === false ? "not sure" : answer.genre);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function ask(path, file) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { headers };
  if (file) {
    options.method = "POST";
    options.body = new FormData();
    options.body.append("files", file, file.name);
  }
  for (;;) {
    const answer = await fetch(path, options);
    if (answer.status === 503 && answer.headers.get("Retry-After")) {
      await new Promise((resume) => setTimeout(resume, 1000 * Number(answer.headers.get("Retry-After"))));
      continue;
    }
    const content = await answer.json();
    if (answer.status === 401) {
      $("token-form").hidden = false;
      $("token-note").textContent = token ? "The service does not know this token." : "";
    }
    if (!answer.ok) throw new Error(content.detail);
    return content;
  }
}

async function begin() {
  try {
    const found = await ask("models");
    $("token-form").hidden = true;
    state.models = found.models;
    $("about").textContent = `${found.experiment}. Songs are sent to this service, classified, and forgotten.`;
    $("models").replaceChildren(
      element("legend", { textContent: "Models" }),
      ...found.models.map((model) =>
        element("label", {},
          element("input", { type: "checkbox", value: model.name, checked: model.is_champion }),
          ` ${model.name}${model.is_champion ? " (leads)" : ""}: right about ${percent(model.accuracy)} of test tracks` +
            (model.ci_low === null ? "" : ` (${percent(model.ci_low)} to ${percent(model.ci_high)})`) +
            (model.leaky ? ", LEAKY: inflated" : ""))),
    );
    $("genres").replaceChildren(...genresOf().map((genre) => element("option", { value: genre })));
  } catch (error) {
    $("status").textContent = error.message;
  }
}

const chosen = () => [...$("models").querySelectorAll("input:checked")].map((box) => box.value);

// Songs

function add(files) {
  const songs = files.filter(({ file }) => AUDIO.test(file.name) || file.type.startsWith("audio/"));
  songs.sort((one, other) => one.path.localeCompare(other.path));
  state.nOther += files.length - songs.length;
  showStatus();
  if (!songs.length) return;
  $("songs-section").hidden = false;
  for (const { file, path } of songs) {
    const song = { file, path, correct: "", row: element("tr") };
    state.songs.push(song);
    $("songs").tBodies[0].append(song.row);
    showRow(song);
    showStatus();
    queue = queue.then(() => classify(song));
  }
}

async function classify(song) {
  const query = new URLSearchParams({ timeline: "true" });
  for (const name of chosen()) query.append("model", name);
  try {
    const [answered] = (await ask(`predict?${query}`, song.file)).files;
    Object.assign(song, answered);
  } catch (error) {
    song.error = error.message;
  }
  showRow(song);
  showStatus();
}

function showStatus() {
  const { songs, nOther } = state;
  const nClassified = songs.filter((song) => song.answers?.length).length;
  const nFailed = songs.filter((song) => song.error).length;
  const parts = songs.length ? [`${nClassified} of ${songs.length} ${songs.length === 1 ? "song" : "songs"} classified`] : [];
  if (nFailed) parts.push(`${nFailed} not: see why below`);
  if (nOther) parts.push(`${nOther} other ${nOther === 1 ? "file" : "files"} left out: no audio that can be read`);
  $("status").textContent = `${parts.join("; ")}.`;
}

function showRow(song) {
  const name = element("td", {}, song.answers?.length
    ? element("button", { type: "button", className: "link", textContent: song.path, onclick: () => open(song) })
    : song.path);
  if (song.error) {
    const named = `${song.file.name}: `;
    const reason = song.error.startsWith(named) ? song.error.slice(named.length) : song.error;
    song.row.replaceChildren(name, element("td", { colSpan: 3, className: "error", textContent: reason }));
    return;
  }
  const answer = song.answers?.[0];
  const correct = element("input", { value: song.correct, size: 14, disabled: !answer });
  correct.setAttribute("list", "genres");
  correct.setAttribute("aria-label", `Correct genre of ${song.path}`);
  correct.oninput = () => {
    song.correct = correct.value.trim();
    const count = state.songs.filter((each) => each.correct).length;
    $("export").disabled = !count;
    $("export-note").textContent = `${count} ${count === 1 ? "song has" : "songs have"} a correct genre.`;
  };
  song.row.replaceChildren(
    name,
    element("td", { textContent: answer ? said(answer) : "waiting" }),
    element("td", { className: "number", textContent: answer ? `${answer.sure === false ? `${answer.genre} ` : ""}${percent(answer.probability)}` : "" }),
    element("td", {}, correct),
  );
}

const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

$("export").onclick = () => {
  const rows = state.songs.filter((song) => song.correct).map((song) => `${field(song.path)},${field(song.correct)}\n`);
  const url = URL.createObjectURL(new Blob(["path,genre\n", ...rows], { type: "text/csv" }));
  element("a", { href: url, download: "metadata.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

// Choosing and dropping

const listed = (files) => [...files].map((file) => ({ file, path: file.webkitRelativePath.split("/").slice(1).join("/") || file.name }));
for (const id of ["files", "folder"]) {
  $(id).onchange = (event) => {
    add(listed(event.target.files));
    event.target.value = "";
  };
}

async function read(entry, path) {
  if (entry.isFile) return [{ file: await new Promise((done, failed) => entry.file(done, failed)), path: path || entry.name }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!part.length) return found;
    for (const each of part) found.push(...(await read(each, path ? `${path}/${each.name}` : each.name)));
  }
}

document.ondragover = (event) => event.preventDefault();
$("drop").ondragenter = () => $("drop").classList.add("over");
$("drop").ondragleave = (event) => $("drop").contains(event.relatedTarget) || $("drop").classList.remove("over");
document.ondrop = async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of entries) add(await read(entry, ""));
};

// One song

function open(song) {
  state.open = song;
  $("song").hidden = false;
  $("song-title").textContent = song.path;
  $("song-title").focus();
  URL.revokeObjectURL($("player").src);
  $("player").src = URL.createObjectURL(song.file);
  $("player-note").textContent = "";
  $("why-figure").hidden = true;
  const models = song.answers.map((answer) => answer.model);
  $("why-model").replaceChildren(...models.map((name) => element("option", { textContent: name })));
  const genres = Object.keys(song.answers[0].probabilities);
  $("why-genre").replaceChildren(...genres.map((genre) => element("option", { textContent: genre, selected: genre === song.answers[0].genre })));
  $("timelines").replaceChildren(...song.answers.map((answer) => timeline(song, answer)));
  // One row per genre: a phone is too narrow for a column each.
  const heads = ["Genre", ...song.answers.map((answer) => answer.model + (answer.leaky ? " (LEAKY)" : ""))];
  const share = (answer, genre) => (genre in answer.probabilities ? percent(answer.probabilities[genre]) : "");
  const rows = [["Answer", ...song.answers.map(said)], ...genres.map((genre) => [genre, ...song.answers.map((answer) => share(answer, genre))])];
  $("side").replaceChildren(
    element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })))),
    element("tbody", {}, ...rows.map(([title, ...cells]) => element("tr", {},
      element("th", { scope: "row", textContent: title }),
      ...cells.map((text) => element("td", { className: "number", textContent: text }))))),
  );
  $("nearest").replaceChildren();
  $("waveform").getContext("2d").clearRect(0, 0, 1600, 120);
  $("spectrogram").removeAttribute("src");
  follow();
  explain(song, 0, true);
}

function timeline(song, answer) {
  const strip = element("div", { className: "strip timeline", tabIndex: 0 });
  const spoken = answer.segments.map((each) => `${clock(each.start_s)} ${each.genre}`).join(", ");
  strip.setAttribute("role", "slider");
  strip.setAttribute("aria-label", `Genres over time by ${answer.model}: ${spoken}`);
  strip.setAttribute("aria-valuemin", "0");
  strip.setAttribute("aria-valuemax", String(Math.round(song.duration_s)));
  strip.append(...answer.segments.map((each, number) => {
    const end = answer.segments[number + 1]?.start_s ?? each.end_s;
    const part = element("span", { textContent: each.genre, title: `${each.genre} ${percent(each.probabilities[each.genre])}` });
    part.style.left = percent(each.start_s / song.duration_s).replace(" ", "");
    part.style.width = percent((end - each.start_s) / song.duration_s).replace(" ", "");
    part.style.background = colour(each.genre);
    return part;
  }));
  strip.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const here = at(answer, $("player").currentTime);
    const next = answer.segments[Math.max(0, Math.min(answer.segments.length - 1, here + step))];
    $("player").currentTime = next.start_s;
    follow();
  };
  return element("figure", {}, element("figcaption", { textContent: `${answer.model}: ${said(answer)}` }), strip);
}

const at = (answer, time) => Math.max(0, answer.segments.findLastIndex((each) => each.start_s <= time + 1e-6));

function follow() {
  const song = state.open;
  if (!song) return;
  const time = $("player").currentTime || 0;
  for (const strip of $("plots").querySelectorAll(".strip")) {
    const head = strip.querySelector(".head") ?? strip.appendChild(element("div", { className: "head" }));
    head.style.left = `${(100 * time) / song.duration_s}%`;
  }
  const now = song.answers.map((answer) => {
    const segment = answer.segments[at(answer, time)];
    return `${segment.genre} ${percent(segment.probabilities[segment.genre])}`;
  });
  $("now").textContent = `${clock(time)}: ${now.join(" | ")}`;
  [...$("plots").querySelectorAll(".timeline")].forEach((strip, number) => {
    strip.setAttribute("aria-valuenow", String(Math.round(time)));
    strip.setAttribute("aria-valuetext", `${clock(time)} ${now[number]}`);
  });
  if (!$("player").paused) requestAnimationFrame(follow);
}

for (const name of ["play", "seeked", "timeupdate"]) $("player").addEventListener(name, follow);
$("player").onerror = () => {
  if (state.open) $("player-note").textContent = "This browser cannot play the format; the models can read it.";
};
$("plots").onclick = (event) => {
  const strip = event.target.closest(".strip");
  if (!strip) return;
  const box = strip.getBoundingClientRect();
  $("player").currentTime = ((event.clientX - box.left) / box.width) * state.open.duration_s;
  follow();
};

// Pictures and reasons

async function explain(song, from, isNew) {
  const query = new URLSearchParams({ model: $("why-model").value, from_s: String(from) });
  if (!isNew) query.append("genre", $("why-genre").value);
  $("why-words").textContent = "";
  $("why").disabled = true;
  try {
    const found = await ask(`describe?${query}`, song.file);
    if (state.open !== song) return;
    if (found.error) throw new Error(found.error);
    draw(found);
    const reason = found.explanation;
    $("seen").src = `data:image/png;base64,${reason.seen_png}`;
    $("contributions").src = `data:image/png;base64,${reason.contributions_png}`;
    $("contributions").alt = reason.words;
    $("why-words").textContent =
      `${clock(reason.start_s)} to ${clock(reason.end_s)}, by ${reason.method}: blue speaks for ${reason.genre}, red against it. ${reason.words}`;
    $("why-figure").hidden = false;
  } catch (error) {
    $("why-words").textContent = error.message;
  } finally {
    $("why").disabled = false;
  }
}

$("why").onclick = () => explain(state.open, $("player").currentTime || 0, false);

function draw(found) {
  $("spectrogram").src = `data:image/png;base64,${found.spectrogram_png}`;
  $("spectrogram").alt = `Log-mel spectrogram: ${found.spectrogram_words}`;
  $("spectrogram-words").textContent = `: ${found.spectrogram_words}`;
  const canvas = $("waveform");
  const context = canvas.getContext("2d");
  const width = canvas.width / found.waveform.length;
  const most = Math.max(0.01, ...found.waveform);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--wave");
  found.waveform.forEach((peak, number) => {
    const height = Math.max(1, (peak / most) * canvas.height);
    context.fillRect(number * width, (canvas.height - height) / 2, width, height);
  });
  canvas.setAttribute("aria-label", `Waveform of ${clock(found.duration_s)}`);
  $("nearest").replaceChildren(...found.nearest.map((each) => element("li", { textContent: `${each.name} (${each.genre}), distance ${each.distance.toFixed(1)}` })));
}

$("token-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  begin();
};

begin();
