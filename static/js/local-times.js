// Moments of pages come in the zone that the reader chose, or else in UTC, and work so without scripts. In the latter case
// they are shown in the browser's own zone here. Times that pass keep passing; the exact moment in UTC stays in the title.
"use strict";

const isWritten = Boolean(document.documentElement.dataset.zone);

const pad = (number, width = 2) => String(number).padStart(width, "0");

const day = (moment) => `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}`;

const time = (moment) => `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;

// "CEST" or "GMT+2", as the reader's language has it.
const zone = (moment) =>
  new Intl.DateTimeFormat(undefined, { timeZoneName: "short" })
    .formatToParts(moment)
    .find((part) => part.type === "timeZoneName").value;

const texts = {
  moment: (moment) => `${day(moment)} ${time(moment)} ${zone(moment)}`,
  clock: (moment) => `${time(moment)}.${pad(moment.getMilliseconds(), 3)}`,
};

// As `coarse` and `period` of the server have them.
const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

function coarse(seconds) {
  const [letter, size] = units.find(([, size]) => seconds >= size) ?? ["s", 1];
  return `${Math.floor(seconds / size)}${letter}`;
}

function ago(moment, now) {
  const seconds = (now - moment) / 1000;
  const rough = coarse(Math.abs(seconds));
  return rough === "0s" ? "just now" : seconds >= 0 ? `${rough} ago` : `in ${rough}`;
}

function elapsed(moment, now) {
  const seconds = Math.max(0, Math.floor((now - moment) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const first = units.findIndex(([, size]) => seconds >= size);
  const [[letter, size], [smaller, step]] = units.slice(first, first + 2);
  const rest = Math.floor((seconds % size) / step);
  return `${Math.floor(seconds / size)}${letter}` + (rest ? ` ${rest}${smaller}` : "");
}

const passing = { ago, elapsed };

function showLocally(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const text = texts[element.dataset.shown];
  if (text) element.textContent = text(moment);
  else element.title = `${texts.moment(moment)} (${element.title})`;
}

function keepPassing(element, now) {
  const text = passing[element.dataset.shown]?.(new Date(element.dateTime), now);
  if (text && element.textContent !== text) element.textContent = text;
}

// A log names each day once; in another zone the days begin at other lines.
function divideByDays(log) {
  if (isWritten) return nameDaysOnce(log);
  log.querySelectorAll(".day-line").forEach((line) => line.remove());
  let shown = "";
  for (const line of [...log.children]) {
    const element = line.querySelector("time");
    if (!element) continue;
    const moment = new Date(element.dateTime);
    if (day(moment) === shown) continue;
    shown = day(moment);
    const head = document.createElement("li");
    head.className = "day-line";
    head.innerHTML = '<span class="day"></span>';
    head.firstChild.textContent = `${shown} ${zone(moment)}`;
    line.before(head);
  }
}

// Each part of a log that came later names its first day.
function nameDaysOnce(log) {
  let shown = "";
  for (const line of log.querySelectorAll(".day-line")) {
    if (line.textContent === shown) line.remove();
    else shown = line.textContent;
  }
}

// Also for what comes into the page later.
window.orionTimes = {
  localise(root) {
    if (!isWritten) root.querySelectorAll("time[datetime]").forEach(showLocally);
    root.querySelectorAll("ol.log").forEach(divideByDays);
  },
  divideByDays,
};

window.orionTimes.localise(document);
setInterval(() => {
  if (document.hidden) return;
  const now = new Date();
  document.querySelectorAll("time[data-shown=ago], time[data-shown=elapsed]").forEach((one) => keepPassing(one, now));
}, 1000);
