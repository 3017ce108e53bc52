// For every page: times in the user's zone, copy buttons, the command palette and keyboard shortcuts, in one request.

// The server writes times in the zone that the user chose, or else in UTC, which works without scripts. In the latter case
// they are converted to the browser's zone here. Relative times are updated; the title has the exact time in UTC.
"use strict";

const isWritten = Boolean(document.documentElement.dataset.zone);

const pad = (number, width = 2) => String(number).padStart(width, "0");

const day = (moment) => `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}`;

const time = (moment) => `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;

// "CEST" or "GMT+2", depending on the user's language.
const zone = (moment) =>
  new Intl.DateTimeFormat(undefined, { timeZoneName: "short" })
    .formatToParts(moment)
    .find((part) => part.type === "timeZoneName").value;

const texts = {
  moment: (moment) => `${day(moment)} ${time(moment)} ${zone(moment)}`,
  clock: (moment) => `${time(moment)}.${pad(moment.getMilliseconds(), 3)}`,
};

// The units of `coarse` and `period` on the server.
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

// A log shows each day once; in another zone the days start at other lines.
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

// Each part of a log that was added later starts with its day, which may be shown already.
function nameDaysOnce(log) {
  let shown = "";
  for (const line of log.querySelectorAll(".day-line")) {
    if (line.textContent === shown) line.remove();
    else shown = line.textContent;
  }
}

// On a narrow screen the selected tab may be beyond the edge.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  const tabs = tab.parentElement;
  tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;
}

// Also for content that is added to the page later.
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

// Buttons that copy a line. Without scripts they are hidden, and a click selects the line.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = words), 1500);
});

// A double click sends a form once. After a while it may be sent again, in case no page came, as with a file.
const ONCE_MS = 10000;
let sent = new WeakMap();
addEventListener("pageshow", () => (sent = new WeakMap()));
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (performance.now() - sent.get(form) < ONCE_MS) event.preventDefault();
  else sent.set(form, performance.now());
});

// Ticked rows stay ticked when the user returns to the list: browsers restore ticks by the order of rows.
const kept = `orion-chosen ${location.pathname}${location.search}`;
const boxes = () => [...document.querySelectorAll("main input[form=many]")];
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

function countChosen() {
  const words = document.querySelector("[data-chosen]");
  const number = words && chosen().length;
  const text = number ? `The ${number} chosen` : "The chosen";
  if (words && words.textContent !== text) words.textContent = text;
}

if (boxes().length && performance.getEntriesByType("navigation")[0]?.type !== "navigate") {
  const before = new Set(JSON.parse(sessionStorage.getItem(kept) ?? "[]"));
  for (const box of boxes()) box.checked = before.has(box.value);
  if (chosen().length) document.querySelector("main details.bulk").open = true;
} else sessionStorage.removeItem(kept);
document.addEventListener("change", (event) => {
  if (!event.target.matches("main input[form=many]")) return;
  sessionStorage.setItem(kept, JSON.stringify(chosen()));
  document.querySelector("main details.bulk").open = true;
  countChosen();
});

function show() {
  document.querySelectorAll("[data-copy][hidden]").forEach((button) => (button.hidden = false));
  countChosen();
}
show();
new MutationObserver(show).observe(document.body, { childList: true, subtree: true });

// The command palette and the keys of lists. Both are optional: the search is also a page, and rows contain links.
(() => {
  const root = document.documentElement;
  const search = document.getElementById("search");
  if (!search) return;
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]");
  const KEYS = [
    ["Ctrl K, or /", "Search, and do something"], ["?", "Show these keys"], [".", "Pause and go on with updates"],
    ["j, k", "Next and previous row"], ["Enter", "Open the row"], ["x", "Choose the row, where rows can be chosen"], ["Shift x", "Choose the rows from the last one to this"],
  ];

  // --- the palette ---

  let dialog, input, list, status, asking, timer, before;

  function build() {
    dialog = document.createElement("dialog");
    dialog.className = "palette";
    dialog.setAttribute("aria-label", "Search and commands");
    dialog.innerHTML = `<input type="text" role="combobox" aria-label="Name, id, address or line of a log" aria-autocomplete="list"
      aria-expanded="true" aria-controls="palette-options" autocomplete="off" spellcheck="false" placeholder="Name, id, address or command">
      <ul id="palette-options" role="listbox" aria-label="Results"></ul>
      <p class="visually-hidden" role="status"></p><p class="keys muted"><kbd>↑</kbd> <kbd>↓</kbd> choose · <kbd>Enter</kbd> open · <kbd>Esc</kbd> close</p>`;
    document.body.append(dialog);
    [input, list, status] = [dialog.querySelector("input"), dialog.querySelector("ul"), dialog.querySelector("[role=status]")];
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 80);
    });
    input.addEventListener("keydown", pressed);
    list.addEventListener("click", (event) => go(event.target.closest("[role=option]")));
    dialog.addEventListener("close", () => before?.focus());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  function open() {
    if (!dialog) build();
    if (dialog.open) return;
    input.value = "";
    before = document.activeElement;
    dialog.showModal();
    ask();
  }

  async function ask() {
    asking?.abort();
    const mine = (asking = new AbortController());
    const query = new URLSearchParams({ part: "list", q: input.value, from: fromHere() });
    try {
      const answer = await fetch(`${search.action}?${query}`, { signal: mine.signal });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      if (mine.signal.aborted) return;
      list.innerHTML = html;
      list.dataset.for = query.get("q");
      select(list.firstElementChild);
      status.textContent = `${list.children.length} results`;
    } catch (error) {
      if (error.name === "AbortError") return;
      list.replaceChildren();
      status.textContent = "The server does not answer.";
    }
  }

  // Addresses of the server start with its base path, which is removed here.
  const fromHere = () => location.pathname.slice(new URL(search.action).pathname.length - "/search".length);

  const selected = () => list.querySelector("[aria-selected=true]");

  function select(option) {
    selected()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option?.id ?? "");
  }

  function pressed(event) {
    const now = selected();
    const next = {
      ArrowDown: () => now?.nextElementSibling ?? list.firstElementChild,
      ArrowUp: () => now?.previousElementSibling ?? list.lastElementChild,
    }[event.key];
    if (next) select(next());
    else if (event.key === "Enter" && !event.isComposing) goSoon(now);
    else return;
    event.preventDefault();
  }

  // After pasting and pressing Enter at once, the user means the pasted text, not the list from before.
  async function goSoon(option) {
    clearTimeout(timer);
    if (list.dataset.for !== input.value) await ask();
    go(selected() ?? option);
  }

  function go(option) {
    if (!option) return;
    if (option.dataset.href) {
      dialog.close();
      location.assign(option.dataset.href);
      return;
    }
    const { question } = option.dataset;
    if (question && !confirm(`${option.querySelector(".words").textContent}? ${question}`)) return;
    // The form in the header has a CSRF token for this page.
    const form = document.querySelector(".zone-switch").cloneNode(true);
    form.action = option.dataset.post;
    form.hidden = true;
    document.body.append(form);
    form.submit();
  }

  // --- the keys ---

  function help() {
    const box = document.createElement("dialog");
    box.className = "palette";
    box.setAttribute("aria-label", "Keys");
    const here = [...document.querySelectorAll("main [aria-keyshortcuts]")].filter((one) => one.checkVisibility());
    const ours = new Map(here.map((one) => [one.getAttribute("aria-keyshortcuts"), one.title || one.textContent.trim()]));
    const rows = [...ours, ...KEYS, ...[...goTo()].map(([key, link]) => [`g ${key}`, link.textContent.trim()])];
    box.innerHTML = '<h2>Keys</h2><dl></dl><form method="dialog"><button>Close</button></form>';
    for (const [keys, words] of rows) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.append(Object.assign(document.createElement("kbd"), { textContent: keys }));
      dd.textContent = words;
      box.querySelector("dl").append(dt, dd);
    }
    // A scrolling element must be reachable by keyboard.
    box.querySelector("dl").tabIndex = 0;
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  }

  const goTo = () => new Map([...document.querySelectorAll(".menu [data-key]")].reverse().map((link) => [link.dataset.key, link]));

  function move(by) {
    const rows = [...document.querySelectorAll("main tbody tr, main [data-rows] > li")].filter((row) => linkOf(row)?.checkVisibility());
    const here = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by];
    if (!row) return;
    linkOf(row).focus();
    row.scrollIntoView({ block: "nearest" });
  }

  const linkOf = (row) => row.querySelector("a.name") ?? row.querySelector(".name-cell a");

  const boxHere = () => document.activeElement.closest("tr, li")?.querySelector("input[type=checkbox]");
  let last;

  function chooseRange() {
    const all = boxes(), [from, to] = [all.indexOf(last), all.indexOf(boxHere())].sort((one, other) => one - other);
    if (from < 0) return (last = boxHere())?.click();
    for (const box of all.slice(from, to + 1)) if (!box.checked) box.click();
  }

  let isGoing = false, forgets = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      return open();
    }
    if (root.dataset.keys === "off" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const link = isGoing && goTo().get(event.key);
    isGoing = event.key === "g" && !isGoing;
    clearTimeout(forgets);
    if (isGoing) forgets = setTimeout(() => (isGoing = false), 1500);
    // Links and buttons of the page can have a key. What changes something takes Enter as well: `g e`, typed slowly, is `e`.
    const own = link || document.querySelector(`main [aria-keyshortcuts="${CSS.escape(event.key)}"]`);
    const act = own ? () => (own.type === "submit" ? own.focus() : own.click()) : {
      "/": open,
      "?": help,
      j: () => move(1),
      k: () => move(-1),
      x: () => (last = boxHere())?.click(),
      X: chooseRange,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const opener of document.querySelectorAll("[data-palette]")) {
    opener.addEventListener("click", (event) => {
      event.preventDefault();
      open();
    });
  }
})();
