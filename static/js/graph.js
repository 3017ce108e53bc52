// The graph of a run: zoom, pan, keyboard navigation along the data, and choosing nodes without reloading the page.
// The server draws the graph, also after changes; the zoom is stored outside of the drawing.
"use strict";

(() => {
  const root = document.documentElement;
  const SMALLEST = 0.1, LARGEST = 3, STEP = 1.25, READABLE = 0.75, MANY = 60, QUIET = 150;
  let zoom = 1, timer = 0, shown = null;

  const view = () => document.querySelector(".graph-view");
  const picture = () => document.querySelector(".graph-svg");
  const nodes = () => [...document.querySelectorAll(".graph-svg a")];
  const nodeOf = (number) => document.getElementById(`n${number}`);
  const numberOf = (node) => Number(node.id.slice(1));
  const edges = () =>
    [...document.querySelectorAll(".graph-svg .edge")].map((path) => ({ path, ends: path.id.slice(1).split("-").map(Number) }));

  // --- zoom: the center stays in place ---

  function setZoom(wanted) {
    const frame = view();
    if (!frame) return;
    const next = Math.min(LARGEST, Math.max(SMALLEST, wanted));
    const x = (frame.scrollLeft + frame.clientWidth / 2) / zoom, y = (frame.scrollTop + frame.clientHeight / 2) / zoom;
    zoom = next;
    root.style.setProperty("--graph-zoom", zoom);
    frame.scrollLeft = x * zoom - frame.clientWidth / 2;
    frame.scrollTop = y * zoom - frame.clientHeight / 2;
  }

  function fit(least = SMALLEST) {
    const frame = view(), box = picture()?.viewBox.baseVal;
    if (!box) return;
    // The frame grows with its picture up to a maximum height; show it in full size first to measure the frame.
    root.style.setProperty("--graph-zoom", (zoom = 1));
    setZoom(Math.max(least, Math.min(1, frame.clientWidth / box.width, frame.clientHeight / box.height)));
  }

  // Scroll only the frame, and no more than needed.
  function reveal(node) {
    const frame = view(), around = frame.getBoundingClientRect(), box = node.getBoundingClientRect();
    const by = (low, high, from, to) => (low < from ? low - from - 12 : high > to ? Math.min(high - to + 12, low - from) : 0);
    frame.scrollBy(by(box.left, box.right, around.left, around.right), by(box.top, box.bottom, around.top, around.bottom));
  }

  const zoomBy = { "+": () => setZoom(zoom * STEP), "=": () => setZoom(zoom * STEP), "-": () => setZoom(zoom / STEP), 0: () => fit() };

  // --- choosing: mark the node at once, then request its panel ---

  function reachable(start, from, to, all) {
    const found = new Set([start]), queue = [start];
    while (queue.length) {
      const one = queue.pop();
      for (const { ends } of all) {
        if (ends[from] === one && !found.has(ends[to])) {
          found.add(ends[to]);
          queue.push(ends[to]);
        }
      }
    }
    return found;
  }

  function mark(chosen) {
    const all = edges(), number = numberOf(chosen);
    const up = reachable(number, 1, 0, all), down = reachable(number, 0, 1, all);
    for (const node of nodes()) {
      const one = numberOf(node);
      node.classList.toggle("chosen", node === chosen);
      node.classList.toggle("upstream", node !== chosen && up.has(one));
      node.classList.toggle("downstream", node !== chosen && !up.has(one) && down.has(one));
    }
    for (const { path, ends } of all) {
      path.classList.toggle("upstream", up.has(ends[0]) && up.has(ends[1]));
      path.classList.toggle("downstream", down.has(ends[0]) && down.has(ends[1]));
    }
    stops(chosen);
  }

  function choose(node, wait) {
    mark(node);
    clearTimeout(timer);
    timer = setTimeout(ask, wait, new URL(node.href.baseVal, location.href).search);
  }

  function ask(search) {
    const part = view()?.closest("[data-live]");
    if (!part) return;
    history.replaceState(history.state, "", search);
    part.dataset.liveFrom = search;
    htmx.ajax("GET", `${location.pathname}${search}&_f=${part.dataset.livePart}`, { source: part, target: part, swap: "live" });
  }

  // One tab stop; arrow keys move from there.
  function stops(current) {
    const all = nodes();
    const one = current ?? all.find((node) => node.classList.contains("chosen")) ?? all[0];
    for (const node of all) node.setAttribute("tabindex", node === one ? "0" : "-1");
  }

  function settle() {
    stops(document.activeElement?.closest?.(".graph-svg a"));
    const chosen = document.querySelector(".graph-svg a.chosen");
    if (chosen && chosen.id !== shown) reveal(chosen);
    shown = chosen?.id ?? null;
  }

  // --- keyboard ---

  const heightOf = (node) => node.getBoundingClientRect().top;
  const placeOf = (node) => node.dataset.at.split(".").map(Number);

  function neighbour(node, key) {
    const number = numberOf(node);
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const [here, there] = key === "ArrowRight" ? [0, 1] : [1, 0];
      const found = edges().filter(({ ends }) => ends[here] === number && ends[there] !== number).map(({ ends }) => nodeOf(ends[there]));
      const apart = (other) => Math.abs(heightOf(other) - heightOf(node));
      return found.sort((one, other) => apart(one) - apart(other))[0];
    }
    const [rank] = placeOf(node);
    const beside = nodes().filter((other) => placeOf(other)[0] === rank).sort((one, other) => placeOf(one)[1] - placeOf(other)[1]);
    return beside[beside.indexOf(node) + (key === "ArrowDown" ? 1 : -1)];
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest?.(".graph-view")) return;
    if (event.key in zoomBy) {
      event.preventDefault();
      return zoomBy[event.key]();
    }
    const node = event.target.closest(".graph-svg a");
    if (!node) return;
    if (event.key === "Enter") {
      event.preventDefault();
      location.assign(node.dataset.open);
    } else if (event.key === " ") {
      event.preventDefault();
      choose(node, 0);
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = neighbour(node, event.key);
      if (!next) return;
      next.focus({ preventScroll: true });
      reveal(next);
      choose(next, QUIET);
    }
  });

  // --- pointer ---

  let from = null;

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-zoom]");
    if (button) return zoomBy[button.dataset.zoom]();
    const node = event.target.closest?.(".graph-svg a");
    if (!node || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(node, 0);
  });
  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest?.(".graph-view");
    // Touch devices scroll natively.
    if (!frame || event.pointerType !== "mouse" || event.button || event.target.closest("a")) return;
    from = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
    frame.classList.add("graph-drags");
  });
  document.addEventListener("pointermove", (event) => {
    if (!from) return;
    view()?.scrollTo(from.x - event.clientX, from.y - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => {
      from = null;
      view()?.classList.remove("graph-drags");
    });
  }
  document.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !event.target.closest?.(".graph-view")) return;
    event.preventDefault();
    setZoom(zoom * (event.deltaY < 0 ? STEP : 1 / STEP));
  }, { passive: false });

  root.classList.add("graph-scripts");
  if (view()?.classList.contains("graph-radar")) {
    // Center the run at a readable size; with many nodes, show the whole graph.
    fit(nodes().length > MANY ? SMALLEST : READABLE);
    const box = picture().viewBox.baseVal;
    view().scrollTo(-box.x * zoom - view().clientWidth / 2, -box.y * zoom - view().clientHeight / 2);
  }
  settle();
  // New content from the server has no tab stops, and the panel next to the graph changes its width.
  new MutationObserver(settle).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
