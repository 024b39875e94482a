"use strict";

const { card, onnx, silent_peak: silentPeak } = globalThis.model;
const songs = document.getElementById("songs");
const state = document.getElementById("state");
const drop = document.getElementById("drop");
let session;

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

async function load() {
  const script = URL.createObjectURL(new Blob([bytes(runtime.script)], { type: "text/javascript" }));
  const ort = await import(script);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = bytes(runtime.wasm).buffer;
  session = await ort.InferenceSession.create(bytes(onnx));
  globalThis.classify = async (waveform) => {
    const found = await session.run({ waveform: new ort.Tensor("float32", waveform, [waveform.length]) });
    return Array.from(found.probabilities.data);
  };
}

/* Mono samples at the model's rate: the browser decodes and resamples. */
async function decode(file) {
  const context = new OfflineAudioContext(1, 1, card.sample_rate);
  const audio = await context.decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel += 1) {
    audio.getChannelData(channel).forEach((sample, index) => { mono[index] += sample / audio.numberOfChannels; });
  }
  return mono;
}

function peak(waveform) {
  let [lowest, highest] = [waveform[0], waveform[0]];
  for (const sample of waveform) {
    if (sample < lowest) { lowest = sample; }
    if (sample > highest) { highest = sample; }
  }
  return (highest - lowest) / 2;
}

function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

function show(name, texts) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  row.append(head, ...texts.map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    // What is said instead of an answer.
    if (texts.length === 1) { cell.colSpan = 3; }
    return cell;
  }));
  document.getElementById("answers").append(row);
}

/* Show the answer about a song; return whether there is one. */
async function answer(file) {
  let waveform;
  try {
    waveform = await decode(file);
  } catch {
    show(file.name, ["cannot be decoded"]);
    return false;
  }
  if (waveform.length < card.min_samples) {
    show(file.name, [`shorter than ${(card.min_samples / card.sample_rate).toFixed(1)} s`]);
    return false;
  }
  if (peak(waveform) < silentPeak) {
    show(file.name, ["silent, so there is nothing to classify"]);
    return false;
  }
  const probabilities = await classify(waveform);
  const order = probabilities.map((_, index) => index).sort((one, other) => probabilities[other] - probabilities[one]);
  const named = order.slice(0, 3).map((index) => `${card.genres[index]} ${percent(probabilities[index])}`);
  const isSure = !("threshold" in card) || probabilities[order[0]] >= card.threshold;
  const genre = isSure ? card.genres[order[0]] : "not sure";
  show(file.name, [genre, percent(probabilities[order[0]]), named.slice(isSure ? 1 : 0).join(", ")]);
  return true;
}

async function answerAll(files) {
  songs.disabled = true;
  let nClassified = 0;
  for (const [index, file] of [...files].entries()) {
    state.textContent = `Listening to ${file.name} (${index + 1} of ${files.length}).`;
    nClassified += await answer(file);
  }
  songs.disabled = false;
  state.textContent = `${nClassified} of ${files.length} ${files.length === 1 ? "song" : "songs"} classified.`;
}

document.getElementById("quality").textContent = card.quality ?? "";
const facts = {
  Cell: card.cell,
  Genres: card.genres.join(", "),
  Sure: card.sure,
  Warning: card.leaky ? "LEAKY: its accuracy is inflated by tracks or artists on two sides of the split." : undefined,
  "Licence of the music": card.licence || "not stated",
  "Licence of pretrained weights": card.pretraining?.licence,
};
for (const [name, text] of Object.entries(facts)) {
  if (text !== undefined) {
    const [term, description] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    description.textContent = text;
    document.getElementById("card").append(term, description);
  }
}
songs.addEventListener("change", () => answerAll(songs.files));
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (!songs.disabled) { answerAll(event.dataTransfer.files); }
});
load().then(
  () => { songs.disabled = false; state.textContent = "Ready."; },
  (error) => { state.textContent = `The model cannot be loaded: ${error.message}`; },
);
