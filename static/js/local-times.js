// Moments of pages come in UTC and work so without scripts. Here they are shown in the reader's own zone; the exact
// moment in UTC stays in the title.
"use strict";

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

function showLocally(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const text = texts[element.dataset.shown];
  if (text) element.textContent = text(moment);
  else element.title = `${texts.moment(moment)} (${element.title})`;
}

// A log names each day once; in another zone the days begin at other lines.
function divideByDays(log) {
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

document.querySelectorAll("time[datetime]").forEach(showLocally);
document.querySelectorAll("ol.log").forEach(divideByDays);
