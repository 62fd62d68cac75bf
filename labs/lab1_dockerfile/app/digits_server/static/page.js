// Draw, ask the server, show what it said and who said it. Addresses are relative:
// the page may lie behind any path prefix.

import { toNumbers } from "./digit.js";

const find = (id) => document.getElementById(id);
const pad = find("pad");
const pen = pad.getContext("2d");
const TIMES = 20;

let strokes = [];
let numbers = null;
let asked = 0; // answers to an earlier drawing must not overwrite a later one's
const answers = new Map(); // "replica model" -> {replica, model, count}

const bars = Array.from({ length: 10 }, (_, digit) => {
  const line = document.createElement("li");
  line.innerHTML = `<span>${digit}</span><span class="track"><span class="fill"></span></span><span class="share">–</span>`;
  find("bars").append(line);
  return line;
});

// ---- drawing

function place(event) {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
}

function redraw() {
  paint(pad, strokes.length ? [] : numbers ?? []); // an example has no strokes, only its numbers
  pen.lineWidth = 34;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  for (const stroke of strokes) {
    pen.beginPath();
    for (const [x, y] of stroke) pen.lineTo(x, y);
    if (stroke.length === 1) pen.lineTo(stroke[0][0] + 0.1, stroke[0][1]);
    pen.stroke();
  }
  find("invitation").hidden = strokes.length > 0 || numbers !== null;
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  event.preventDefault();
  pad.setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  redraw();
});

pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(passed.length ? passed : [event]).map(place));
  redraw();
});

pad.addEventListener("lostpointercapture", () => { // also when the finger leaves the screen
  if (strokes.length) look(toNumbers(strokes));
});

find("clear").addEventListener("click", () => {
  strokes = [];
  numbers = null;
  asked += 1;
  redraw();
  paint(find("seen"), []);
  showDigit(null);
  say("Nothing drawn yet.");
  find("again").disabled = true;
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  redraw();
  paint(find("seen"), numbers ?? []);
});

// ---- asking

async function ask() {
  const body = JSON.stringify({ instances: [numbers] });
  const sent = { method: "POST", headers: { "Content-Type": "application/json" }, body };
  let answer;
  try {
    answer = await fetch("predict", { ...sent, signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new Error("No answer: the server cannot be reached.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `The answer was ${answer.status}.`);
  return said;
}

async function look(seen) {
  numbers = seen;
  paint(find("seen"), numbers);
  find("again").disabled = false;
  const mine = ++asked;
  try {
    const said = await ask();
    count(said.pod, said.model);
    if (mine === asked) showAnswer(said);
  } catch (error) {
    count("no answer", "–");
    if (mine === asked) { showDigit(null); say(error.message, true); }
  }
}

find("again").addEventListener("click", async () => {
  find("again").disabled = true;
  const mine = asked;
  for (let time = 1; time <= TIMES && mine === asked; time++) {
    await ask().then((said) => count(said.pod, said.model), () => count("no answer", "–"));
    find("again").textContent = `Asked ${time} of ${TIMES}`;
  }
  find("again").textContent = `Ask ${TIMES} times`;
  find("again").disabled = numbers === null;
});

// ---- showing

function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
}

function paint(canvas, seen) {
  const context = canvas.getContext("2d");
  const side = canvas.width / 8;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  seen.forEach((value, i) => {
    context.globalAlpha = value / 16;
    context.fillRect(i % 8 * side, Math.floor(i / 8) * side, side, side);
  });
  context.globalAlpha = 1;
}

function showDigit(digit, shares = []) {
  find("digit").textContent = digit ?? "?";
  find("digit").classList.toggle("none", digit === null);
  bars.forEach((line, i) => {
    line.classList.toggle("best", i === digit);
    line.querySelector(".fill").style.width = `${100 * (shares[i] ?? 0)}%`;
    line.querySelector(".share").textContent = shares.length ? `${(100 * shares[i]).toFixed(1)}\u00a0%` : "–";
  });
}

function showAnswer(said) {
  const [digit] = said.predictions;
  const [shares] = said.probabilities;
  showDigit(digit, shares);
  const sure = Math.round(100 * shares[digit]);
  say(`The model reads ${digit}, ${sure < 60 ? "but is not sure" : "and is sure"} (${sure}\u00a0%).`);
}

function short(digest) {
  return digest.replace("sha256:", "").slice(0, 8);
}

function count(replica, model) {
  const key = `${replica} ${model}`;
  const one = answers.get(key) ?? { replica, model, count: 0 };
  one.count += 1;
  answers.set(key, one);
  const failed = model === "–";
  find("last").textContent = failed ? "The last request got no answer." : "";
  find("last").classList.toggle("bad", failed);
  if (!failed) find("last").append("The last answer came from ", code(replica), " with model ", code(short(model)), ".");
  const most = Math.max(...[...answers.values()].map((each) => each.count));
  find("tally").hidden = false;
  find("tally").tBodies[0].replaceChildren(...[...answers.values()].map((each) => line(each, most)));
}

function code(text) {
  const element = document.createElement("code");
  element.textContent = text;
  return element;
}

function line({ replica, model, count }, most) {
  const row = document.createElement("tr");
  row.className = model === "–" ? "failed" : "";
  row.innerHTML = `<th scope="row"></th><td></td><td><span class="count"><span class="number">${count}</span><span class="bar"></span></span></td>`;
  row.cells[0].append(code(replica));
  row.cells[1].append(code(short(model)));
  row.cells[1].title = model;
  row.querySelector(".bar").style.width = `${100 * count / most}%`;
  return row;
}

// ---- examples: held-out images, and the keyboard's way to ask

const examples = await fetch("static/examples.json").then((answer) => answer.json()).catch(() => []);
examples.forEach((image, digit) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = digit;
  button.setAttribute("aria-label", `Ask about an example of ${digit}`);
  button.addEventListener("click", () => {
    strokes = [];
    numbers = image;
    redraw();
    look(image);
  });
  find("examples").append(button);
});
showDigit(null);
