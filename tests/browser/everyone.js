// What the tests ask of a page that is shown: who can use it by keyboard, in a small window, in few colours, at rest.
"use strict";

window.everyone = (() => {
  let stops = [];
  const words = (one) => {
    const text = one.innerText || one.getAttribute("aria-label") || one.name || one.id || "";
    return `<${one.tagName.toLowerCase()}> ${text.trim().slice(0, 40)}`;
  };
  const isSeen = (one) => one.checkVisibility({ visibilityProperty: true });

  // Everything that Tab should reach: of a group of radio buttons one, and what is in the order of the page.
  function reachable() {
    const groups = new Set();
    const selector = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
    stops = [...document.querySelectorAll(selector)].filter((one) => {
      if (one.tabIndex < 0 || one.disabled || !isSeen(one)) return false;
      if (one.type !== "radio") return true;
      const group = [...(one.form ?? document).querySelectorAll(`[name="${CSS.escape(one.name)}"]`)];
      const chosen = group.find((other) => other.checked) ?? group[0];
      if (groups.has(chosen)) return false;
      groups.add(chosen);
      return chosen === one;
    });
    return stops.length;
  }

  // Who has the focus now, and what is wrong with that.
  function focused() {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const wrong = [];
    const box = one.getBoundingClientRect();
    const x = Math.min(Math.max(box.left + Math.min(box.width / 2, 60), 1), innerWidth - 2);
    // Of what is taller than the window, a part is seen.
    const top = box.height > innerHeight ? Math.max(box.top, 0) : box.top;
    const y = top + Math.min((box.bottom - top) / 2, 12);
    if (y < 0 || y > innerHeight) {
      wrong.push("is out of sight");
    } else {
      const upper = document.elementFromPoint(x, y);
      const labels = [...(one.labels ?? [])];
      const isOwn = !upper || one.contains(upper) || upper.contains(one) || labels.some((label) => label.contains(upper));
      if (!isOwn) wrong.push(`is hidden by <${upper.tagName.toLowerCase()} class="${upper.className}">`);
    }
    const style = getComputedStyle(one);
    const hasRing = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
    // Nodes of a graph have a ring of their own inside.
    if (!hasRing && !one.closest(".graph-svg")) wrong.push("shows no focus");
    return { number: stops.indexOf(one), wrong: wrong.map((what) => `${words(one)} ${what}`) };
  }

  // Pixels of the height that stays covered while the page is scrolled.
  const covered = () =>
    [...document.querySelectorAll("body *")]
      .filter((one) => ["fixed", "sticky"].includes(getComputedStyle(one).position) && isSeen(one))
      .filter((one) => one.getBoundingClientRect().width > innerWidth / 2)
      .reduce((sum, one) => sum + one.getBoundingClientRect().height, 0);

  const moving = () =>
    document
      .getAnimations()
      .filter((one) => one.playState === "running" && one.effect.getComputedTiming().duration > 1)
      .map((one) => one.animationName ?? one.transitionProperty);

  // Marks that are as pale as the page they stand on.
  const pale = () => {
    const page = getComputedStyle(document.body).backgroundColor;
    const isPale = (one) => {
      const style = getComputedStyle(one);
      if (one.matches("svg")) return style.color === page;
      return style.fill === page && [page, "none"].includes(style.stroke);
    };
    return [...document.querySelectorAll("main svg.icon, main svg rect, main svg path, main svg circle")]
      .filter((one) => isSeen(one) && one.getBoundingClientRect().width > 2 && isPale(one))
      .map((one) => one.outerHTML.slice(0, 120));
  };

  return {
    reachable,
    focused,
    covered,
    moving,
    pale,
    outline: (number) => stops[number].outerHTML.slice(0, 160),
    sticksOut: () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
})();
