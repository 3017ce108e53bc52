// Live parts of a page. The server sends over a websocket which topics changed. Each part with one of these topics is
// requested at the page's own address, and replaced without moving what the user points at.
"use strict";

(() => {
  // Times in milliseconds, and numbers of lines and rows.
  const QUICKEST = 250, POLL = 5000, POLL_IDLE = 15000, IDLE_AFTER = 60000, SILENT_AFTER = 40000, LONG = 10000, LOOK_AGAIN = 60000;
  const ANNOUNCE_EVERY = 10000, LONGEST_LOG = 2000, MOST_HELD = 100, OVERLAP = 10000, OVERLAP_LINES = 200;

  const body = document.body;
  const control = document.getElementById("live-control");
  const status = document.getElementById("live-announcement");
  const states = new Map(), queues = new Map(), choices = new Map();
  // The place for requests, and the one from which another connection must start.
  let place = body.dataset.livePlace || "", since = place;
  let socket = null, topics = "", failures = 0, retry = 0;
  let isKnown = false;
  let paused = sessionStorage.getItem("orion-live") === "paused";
  // When the last message arrived, and when the page was last known to be up to date.
  let receivedAt = Date.now(), current = Date.now(), moved = Date.now(), polled = Date.now(), ticked = Date.now();

  const parts = () => [...document.querySelectorAll("[data-live]")];
  const topicsOf = (part) => part.dataset.live.split(/\s+/).filter(Boolean);
  const watches = () => !paused && !document.hidden;
  const stateOf = (part) => {
    if (!states.has(part.id)) states.set(part.id, { checked: Date.now() });
    return states.get(part.id);
  };

  // --- the websocket ---

  function connect() {
    if (socket || !watches() || !parts().length) return;
    clearTimeout(retry);
    const one = new WebSocket(new URL(body.dataset.liveSocket, location.href).href.replace(/^http/, "ws"));
    socket = one;
    one.onopen = () => {
      receivedAt = Date.now();
      topics = "";
      subscribe();
    };
    one.onmessage = (event) => {
      const message = JSON.parse(event.data);
      receivedAt = Date.now();
      failures = 0;
      place = message.at;
      since = message.since ?? place;
      const changed = new Set(message.changed);
      for (const part of parts()) {
        const isChanged = topicsOf(part).some((topic) => changed.has(topic));
        // The change replaces the whole page.
        if (isChanged && "liveReload" in part.dataset) location.reload();
        else if (isChanged || message.all) refresh(part);
      }
      show();
    };
    one.onclose = (event) => {
      if (socket !== one) return;
      socket = null;
      failures += 1;
      // 1013: the server has its limit of open pages.
      const wait = event.code === 1013 ? 30000 : Math.min(15000, 500 * 2 ** (failures - 1));
      retry = setTimeout(connect, wait * (0.75 + Math.random() / 2));
      show();
    };
  }

  function disconnect() {
    clearTimeout(retry);
    const one = socket;
    socket = null;
    one?.close();
  }

  function subscribe() {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const wanted = [...new Set(parts().flatMap(topicsOf))].sort();
    if (wanted.join() === topics) return;
    topics = wanted.join();
    socket.send(JSON.stringify({ topics: wanted, since }));
  }

  // --- requesting parts: those with the same address in one request, each log in its own ---

  const queueOf = (part) => {
    const name = "liveAppend" in part.dataset ? part.id : part.dataset.liveFrom;
    if (!queues.has(name)) queues.set(name, { dirty: new Set(), last: 0, took: 0 });
    return queues.get(name);
  };

  const requests = () => [...queues.values()].flatMap((queue) => queue.request ?? []);

  function refresh(part, urgent = false) {
    const queue = queueOf(part);
    queue.dirty.add(part.id);
    queue.urgent ||= urgent;
    schedule(queue);
  }

  function schedule(queue) {
    if (!queue.dirty.size || !watches()) return;
    if (queue.request) {
      // Somebody waits for what is requested next.
      if (queue.urgent && !queue.request.isUrgent) queue.request.abort();
      return;
    }
    if (queue.timer && !queue.urgent) return;
    clearTimeout(queue.timer);
    // Parts that take the server long are requested less often.
    const least = Math.max(QUICKEST, 2 * queue.took);
    const wait = queue.urgent ? 0 : Math.min(least, queue.last + least - Date.now());
    queue.timer = setTimeout(() => {
      queue.timer = 0;
      if (watches()) ask(queue);
    }, Math.max(0, wait));
  }

  async function ask(queue) {
    const found = [...queue.dirty].map((id) => document.getElementById(id)).filter((part) => part && !stateOf(part).lost);
    queue.dirty.clear();
    const asked = found.filter((part) => queueOf(part) === queue);
    // Those that show another choice by now have another address.
    for (const part of found) if (!asked.includes(part)) refresh(part);
    if (!asked.length) return;
    const from = asked.map((part) => part.dataset.liveFrom);
    const headers = { "Orion-Live": place };
    const etags = asked.map((part) => stateOf(part).etag);
    if (!queue.urgent && etags.every(Boolean)) headers["If-None-Match"] = `W/"${etags.join(".")}"`;
    const request = queue.request = new AbortController();
    request.began = Date.now();
    request.isUrgent = queue.urgent;
    queue.urgent = false;
    let pause = 0;
    const again = (after) => {
      pause = after;
      asked.forEach((part) => queue.dirty.add(part.id));
    };
    try {
      let answer = null, html = "";
      try {
        answer = await fetch(addressOf(asked), { headers, signal: request.signal });
        html = await answer.text();
      } catch {
        return again(500);
      }
      if (answer.status === 503) return again(250 + Math.random() * 1000);
      // Meanwhile the user chose to see something else.
      if (asked.some(({ id }, index) => (document.getElementById(id)?.dataset.liveFrom ?? from[index]) !== from[index])) return again(0);
      if (answer.status === 200 && answer.headers.get("Orion-Live")) {
        const found = /"(.*)"/.exec(answer.headers.get("ETag") ?? "")?.[1].split(".") ?? [];
        asked.forEach((part, index) => (stateOf(part).etag = found[index]));
        settle(asked[0], html);
        moved = Date.now();
      } else if (answer.status !== 304) {
        // The page changed or no longer exists: keep its content, and show how old it is.
        for (const part of asked) stateOf(part).lost = true;
        return;
      }
      current = request.began;
      for (const part of asked) stateOf(part).checked = request.began;
    } finally {
      queue.request = null;
      queue.last = Date.now();
      // Not the time for which the machine slept.
      queue.took = Math.min(LONG, Math.max(pause, queue.last - request.began));
      show();
      schedule(queue);
    }
  }

  function addressOf(asked) {
    const query = new URLSearchParams(asked[0].dataset.liveFrom);
    const line = "liveAppend" in asked[0].dataset && lineToBeginAt(asked[0]);
    if (line) {
      for (const name of ["from", "at", "before", "log", "since"]) query.delete(name);
      query.set("after", line.dataset.at);
    }
    query.set("_f", asked.map((part) => part.dataset.livePart).join());
    const held = Math.max(...asked.map((part) => (stateOf(part).reveal ? 0 : (stateOf(part).waiting ?? 0))));
    for (const part of asked) stateOf(part).held = Math.min(held, MOST_HELD);
    if (held) query.set("_held", Math.min(held, MOST_HELD));
    return `${location.pathname}?${query}`;
  }

  function settle(part, html) {
    if (!part.isConnected) return;
    htmx.swap(part, html, { swapStyle: "live", swapDelay: 0, settleDelay: 0 }, { contextElement: part });
    subscribe();
  }

  const isTouched = (part) =>
    part.matches(":hover") || part.contains(document.activeElement) || part.querySelector("details[open]");

  // --- replacing parts ---

  htmx.defineExtension("live", {
    isInlineSwap: (style) => style === "live",
    handleSwap: (style, _, fragment) => {
      if (style !== "live") return false;
      window.orionTimes?.localise(fragment);
      return [...fragment.children].flatMap((fresh) => putIn(fresh) ?? []);
    },
  });

  function putIn(fresh) {
    const part = document.getElementById(fresh.id);
    if (!part) return null;
    // An empty part that gets content would push down what the user points at if the page is too short to scroll.
    const pushes = !part.childElementCount && fresh.childElementCount > 0 && pointedAt()?.closest("[data-live]");
    if ("liveStill" in part.dataset && (isTouched(part) || pushes)) {
      const state = stateOf(part);
      state.fresh = fresh;
      clearTimeout(state.waits);
      state.waits = setTimeout(() => putIn(state.fresh), 300);
      return null;
    }
    if ("liveAppend" in part.dataset && append(part, fresh)) return null;
    holdRows(part, fresh);
    return morph(part, fresh);
  }

  function morph(part, fresh) {
    const anchor = pointedAt();
    const top = anchor?.getBoundingClientRect().top;
    const before = part.querySelector("[data-announce]")?.textContent.trim();
    const flashes = [];
    const morphed = Idiomorph.morph(part, fresh, {
      morphStyle: "outerHTML",
      callbacks: {
        // Keep what the user opened, ticked or typed.
        beforeAttributeUpdated: (name, node) =>
          !(name === "open" && node.tagName === "DETAILS") && !["checked", "value", "selected"].includes(name),
        beforeNodeMorphed: (old, fresh) => {
          if (old !== part && old.dataset && "liveStill" in old.dataset && isTouched(old)) {
            stateOf(part).etag = "";
            setTimeout(refresh, 1000, part);
            return false;
          }
          if (old.tagName === "TD" && !old.matches(".when, .number") && old.textContent !== fresh.textContent) flashes.push(old);
        },
      },
    });
    if (anchor?.isConnected) {
      const by = anchor.getBoundingClientRect().top - top;
      if (by) window.scrollBy({ top: by, behavior: "instant" });
    }
    for (const cell of flashes) {
      cell.classList.add("live-flash");
      cell.addEventListener("animationend", () => cell.classList.remove("live-flash"), { once: true });
    }
    const now = document.getElementById(part.id);
    if (now?.dataset.liveTitle) document.title = now.dataset.liveTitle;
    const word = now?.querySelector("[data-announce]");
    if (word && before && word.textContent.trim() !== before) announce(`${word.dataset.announce} ${word.textContent.trim()}`);
    return morphed;
  }

  // The element that must not move: the one with the focus, or else the one under the pointer.
  function pointedAt() {
    const focused = document.activeElement;
    if (focused && focused !== body && focused.closest("[data-live]")) return focused;
    return [...document.querySelectorAll(":hover")].pop()?.closest("tr, li, a, button, dd, p") ?? null;
  }

  // Rows that are shown stay in place; new ones wait until the user asks for them.
  function holdRows(part, fresh) {
    const state = stateOf(part);
    let waiting = 0, gone = 0, pushed = 0, noun = "rows";
    for (const list of fresh.querySelectorAll("[data-rows]")) {
      const old = part.querySelector(`[data-rows="${list.dataset.rows}"]`);
      if (state.reveal || !old?.children.length) continue;
      if ("rowsCome" in list.dataset && !old.matches(":hover") && !old.contains(document.activeElement)) continue;
      const rows = new Map([...list.children].map((row) => [row.id, row]));
      const shown = [...old.children];
      const last = shown.findLastIndex((row) => rows.has(row.id));
      const coming = rows.size - shown.filter((row) => rows.has(row.id)).length;
      const asked = (state.held ?? 0) >= Math.min(coming, MOST_HELD);
      const kept = shown.map((row, index) => {
        const now = rows.get(row.id);
        rows.delete(row.id);
        if (now) return now;
        const copy = row.cloneNode(true);
        // Rows below the last one that is still listed were pushed off the page; request as many more.
        const isPushed = index > last && last >= 0 && !asked;
        copy.classList.toggle("row-gone", !isPushed);
        if (isPushed) pushed += 1;
        else gone += 1;
        return copy;
      });
      waiting += rows.size;
      noun = list.dataset.rows;
      list.replaceChildren(...kept);
    }
    state.reveal = false;
    state.waiting = waiting;
    if (pushed) refresh(part);
    pill(part, waiting, gone, noun);
  }

  const counted = (number, noun) => `${number} new ${number === 1 ? noun.replace(/s$/, "") : noun}`;

  function pill(part, waiting, gone, noun) {
    const words = [waiting && counted(waiting, noun), gone && `${gone} not listed any more`].filter(Boolean).join(", ");
    const old = document.getElementById(`${part.id}-pill`);
    if (!words) return old?.remove();
    const holder = old ?? document.createElement("div");
    if (!old) {
      holder.id = `${part.id}-pill`;
      holder.className = "live-pill";
      holder.innerHTML = '<button type="button"></button>';
      holder.firstChild.onclick = () => reveal(document.getElementById(part.id));
      part.before(holder);
    }
    const text = `${words}: show`;
    if (holder.firstChild.textContent !== text) {
      holder.firstChild.textContent = text;
      announce(words);
    }
  }

  function reveal(part) {
    if ("liveAppend" in part.dataset) {
      const log = part.querySelector("ol.log");
      // There are more new lines than a page may have; the end is on another page.
      if (stateOf(part).full) return location.assign(log.dataset.end);
      log?.lastElementChild.scrollIntoView({ block: "end" });
      document.getElementById(`${part.id}-pill`)?.remove();
      return;
    }
    stateOf(part).reveal = true;
    part.tabIndex = -1;
    part.focus({ preventScroll: true });
    refresh(part, true);
  }

  // --- logs: only new lines, in order ---

  const lines = (part) => [...part.querySelectorAll("ol.log > li[data-at]")];
  const timeOf = (line) => Date.parse(line.dataset.at.split("~")[0]);

  // Lines of other processes may arrive late, so the last few are requested again.
  function lineToBeginAt(part) {
    const all = lines(part);
    if (!all.length) return null;
    const limit = timeOf(all.at(-1)) - OVERLAP;
    let index = all.length - 1;
    while (index > 0 && all.length - index < OVERLAP_LINES && timeOf(all[index]) >= limit) index -= 1;
    return all[index];
  }

  function append(part, fresh) {
    const log = part.querySelector("ol.log");
    if (!log || !fresh.querySelector("ol.log")) return Boolean(log);
    const isAtEnd = log.getBoundingClientRect().bottom <= innerHeight + 48;
    const coming = lines(fresh).filter((line) => !document.getElementById(line.id));
    const state = stateOf(part);
    if (!coming.length || state.full) return true;
    let all = lines(part);
    if (!isAtEnd && all.length + coming.length > LONGEST_LOG) {
      state.full = true;
      state.lines = (state.lines ?? 0) + coming.length;
      pill(part, `${state.lines}+`, 0, "lines");
      return true;
    }
    for (const line of coming) {
      let index = all.length;
      while (index > 0 && all[index - 1].dataset.at > line.dataset.at) index -= 1;
      if (index) all[index - 1].after(line);
      else all[0].before(line);
      all.splice(index, 0, line);
    }
    if (isAtEnd) for (const line of all.slice(0, Math.max(0, all.length - LONGEST_LOG))) line.remove();
    window.orionTimes?.divideByDays(log);
    if (isAtEnd) {
      log.lastElementChild.scrollIntoView({ block: "end" });
      state.lines = 0;
    } else {
      state.lines = (state.lines ?? 0) + coming.length;
    }
    pill(part, state.lines, 0, "lines");
    // This was not the end of the log; request the next lines.
    if (!("liveAppend" in fresh.dataset)) refresh(part);
    return true;
  }

  // Let a part show another choice, and keep that up to date.
  window.orionLive = {
    async choose(part, address) {
      const asked = new URL(address), { id } = part, choice = {};
      choices.set(id, choice);
      asked.searchParams.set("_f", part.dataset.livePart);
      const answer = await fetch(asked), html = await answer.text();
      // Meanwhile the user chose something else.
      if (choices.get(id) !== choice) return;
      if (!answer.ok || !answer.headers.get("Orion-Live")) return location.assign(address);
      const holder = document.createElement("template");
      holder.innerHTML = html;
      const fresh = holder.content.firstElementChild;
      window.orionTimes?.localise(fresh);
      states.delete(id);
      document.getElementById(`${id}-pill`)?.remove();
      // Not the part itself, which another choice has replaced.
      document.getElementById(id)?.replaceWith(fresh);
      subscribe();
      return fresh;
    },
  };

  // --- status messages ---

  let announcedAt = 0, announcement = "", announceTimer = 0;

  function announce(text) {
    announcement = text;
    announceTimer ||= setTimeout(() => {
      announceTimer = 0;
      announcedAt = Date.now();
      status.textContent = announcement;
    }, Math.min(ANNOUNCE_EVERY, Math.max(0, announcedAt + ANNOUNCE_EVERY - Date.now())));
  }

  const age = (since) => {
    const seconds = Math.floor((Date.now() - since) / 1000);
    return seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} m` : `${Math.floor(seconds / 3600)} h`;
  };

  function stand() {
    if (paused) return ["paused", "Paused", "Press . or this button to go on."];
    if (socket?.readyState === WebSocket.OPEN) return ["live", "Live", "Changes are shown as they come. Press . or this button to pause."];
    if (failures < 2) return ["connecting", "Connecting", "The connection to the server is being made."];
    if (Date.now() - current < 2 * POLL_IDLE) return ["polling", "Polling", "There is no lasting connection; the page asks every few seconds."];
    return ["off", "Off", "The server does not answer; the page tries again."];
  }

  function show() {
    const all = parts();
    if (socket?.readyState === WebSocket.OPEN && ![...queues.values()].some((queue) => queue.request || queue.dirty.size)) {
      current = Math.max(current, receivedAt);
    }
    const [name, word, title] = stand();
    // A page that was just loaded has nothing to say before its connection stands, fails, or takes long.
    isKnown ||= name !== "connecting" || failures > 0 || Date.now() - current > LONG;
    control.hidden = !all.length || !isKnown;
    if (control.hidden) return;
    const isOld = Date.now() - current > (name === "live" ? SILENT_AFTER : 3000);
    control.dataset.state = name;
    control.title = `${title} Shown as of ${new Date(current).toLocaleTimeString(undefined, { timeZone: document.documentElement.dataset.zone || undefined })}.`;
    control.lastElementChild.textContent = isOld ? `${word} · ${age(current)} old` : word;
  }

  function toggle() {
    paused = !paused;
    sessionStorage.setItem("orion-live", paused ? "paused" : "live");
    if (paused) disconnect();
    else goOn();
    show();
  }

  function goOn() {
    failures = 0;
    connect();
    for (const queue of queues.values()) schedule(queue);
  }

  function tick() {
    const now = Date.now();
    // The clock was set back.
    if (now < ticked) {
      [receivedAt, current, moved, polled] = [receivedAt, current, moved, polled].map((one) => Math.min(one, now));
      for (const state of states.values()) state.checked = 0;
      for (const request of requests()) request.began = Math.min(request.began, now);
    }
    ticked = now;
    if (watches()) {
      // No message at all arrived, not even a keepalive: the machine slept, or a proxy dropped the connection.
      const isSilent = socket && now - receivedAt > SILENT_AFTER;
      for (const request of requests()) {
        if (!isSilent && now - request.began <= SILENT_AFTER) continue;
        // The connection is gone; the server is not slow.
        if (isSilent) request.began = now;
        request.abort();
      }
      if (isSilent) {
        disconnect();
        failures += 1;
        connect();
      }
      const isOpen = socket?.readyState === WebSocket.OPEN;
      const polls = !isOpen && failures >= 2 && now - polled >= (now - moved > IDLE_AFTER ? POLL_IDLE : POLL);
      if (polls) polled = now;
      for (const part of parts()) {
        const every = 1000 * (part.dataset.liveEvery || 0) || LOOK_AGAIN;
        if (polls || now - stateOf(part).checked >= every) {
          stateOf(part).checked = now;
          refresh(part);
        }
      }
    }
    show();
  }

  control.addEventListener("click", toggle);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "." || event.ctrlKey || event.metaKey || event.altKey || control.hidden) return;
    if (document.documentElement.dataset.keys === "off") return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    toggle();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : watches() && goOn()));
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => event.persisted && watches() && goOn());
  setInterval(tick, 1000);
  connect();
  show();
})();
