// The log on a run's page: links between bars of the timeline and lines of the log; following and copying the log; and
// subflows that are opened in the timeline.
"use strict";

(() => {
  document.documentElement.classList.add("scripted");

  const plain = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  const shownLog = () => document.querySelector("#live-tab ol.log");
  const isAtEnd = (log) => log.getBoundingClientRect().bottom <= innerHeight + 48;

  let marked = "";

  function mark(row) {
    marked = row.id;
    document.querySelectorAll(".timeline tr.chosen").forEach((one) => one.classList.remove("chosen"));
    row.classList.add("chosen");
  }

  // --- from a bar to its lines ---

  async function showLog(link, since) {
    const address = new URL(link.href), row = link.closest("tr");
    if (since) address.searchParams.set("since", since);
    mark(row);
    history.replaceState(null, "", address);
    document.getElementById("live-tab").dataset.liveFrom = address.search;
    const part = await window.orionLive.choose(document.getElementById("live-beside"), address.href);
    part?.querySelector(".here, .log-beside")?.scrollIntoView({ block: "nearest" });
  }

  // --- subflows: their rows come without loading the page ---

  async function toggle(link) {
    const address = new URL(link.href), here = new URLSearchParams(location.search);
    for (const name of ["log", "since"]) if (here.has(name)) address.searchParams.set(name, here.get(name));
    // The link does not know what was opened or closed since its part was requested.
    const open = new Set((here.get("open") ?? "").split(",").filter(Boolean)), id = link.id.slice("open-".length);
    // The first ones are opened if there are too many, as when the address still has some within a closed one.
    const opens = open.delete(id) ? [...open] : [id, ...open];
    address.searchParams.delete("open");
    if (opens.length) address.search += `&open=${opens}`;
    history.replaceState(null, "", address.search);
    // Parts with one topic are requested together, at the address of any of them.
    document.querySelectorAll("[data-live-from]").forEach((part) => (part.dataset.liveFrom = address.search));
    await window.orionLive.choose(document.getElementById("live-tab"), address.href);
    // The part was replaced, and with it what had the focus.
    if (document.activeElement === document.body) document.getElementById(link.id)?.focus();
  }

  // --- from a line to its bar ---

  function showRow(line) {
    const anchor = line.querySelector(".who a")?.hash.slice(1);
    const row = anchor && document.getElementById(anchor);
    if (!row) return;
    mark(row);
    row.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("click", (event) => {
    if (!plain(event) || !(event.target instanceof Element)) return;
    const bar = event.target.closest(".timeline [data-since]");
    const toLog = ".to-log[href*='log=']";
    const link = bar ? bar.closest("tr").querySelector(toLog) : event.target.closest(toLog);
    // The log of a subflow is on its own page.
    if (link?.pathname === location.pathname && document.getElementById("live-beside")) {
      event.preventDefault();
      showLog(link, bar?.dataset.since);
      return;
    }
    const opens = event.target.closest(".timeline [aria-expanded]");
    if (opens) {
      event.preventDefault();
      toggle(opens);
      return;
    }
    const line = event.target.closest(".log-beside li[data-task]");
    if (line && !event.target.closest("a") && !String(getSelection())) showRow(line);
  });

  // --- copying and following ---

  const texts = (log) =>
    [...log.querySelectorAll(":scope > li[data-at]")]
      .map((line) => [...line.children].map((part) => part.textContent.trim()).join("  "))
      .join("\n");

  async function copy(button) {
    const log = shownLog(), words = button.textContent;
    if (!log) return;
    try {
      await navigator.clipboard.writeText(texts(log));
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(log);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = words), 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-log-copy], [data-log-follow]");
    if (!button) return;
    if ("logCopy" in button.dataset) copy(button);
    else shownLog()?.lastElementChild.scrollIntoView({ block: "end" });
  });

  // The page follows a log while its end is visible; the button shows that, and scrolls to the end.
  function show() {
    const row = marked && document.getElementById(marked);
    // A part that was refreshed does not show what the user chose in the meantime.
    if (row && !row.classList.contains("chosen")) mark(row);
    document.querySelectorAll("[data-log-copy][hidden], [data-log-follow][hidden]").forEach((one) => (one.hidden = false));
    const log = shownLog(), button = document.querySelector("[data-log-follow]");
    if (!log || !button) return;
    const follows = isAtEnd(log);
    button.setAttribute("aria-pressed", String(follows));
    const words = follows ? "Following" : "Follow";
    if (button.textContent !== words) button.textContent = words;
  }

  addEventListener("scroll", show, { passive: true });
  new MutationObserver(show).observe(document.getElementById("main"), {
    childList: true, subtree: true, attributes: true, attributeFilter: ["class"],
  });
  show();
})();
