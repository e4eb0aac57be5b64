"use strict";
(() => {
  const FINGER = 22;
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  let focused = null; // the point whose card the keyboard asked for: the page scrolls to it
  const hide = () => { tip.hidden = true; focused = null; };
  // The drawings of all trials, by number: packed, as they are much alike.
  let drawings = {};
  let ready = Promise.resolve();
  const packed = document.getElementById("drawings");
  if (packed && "DecompressionStream" in window) {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    ready = new Response(stream).json().then((found) => { drawings = found; }, () => {});
  }
  // Beside (x, y), on whichever side of it has room inside of the window.
  const show = (value, x, y) => {
    const list = document.createElement("dl");
    for (const [key, text] of Object.entries(value)) {
      for (const [tag, content] of [["dt", key], ["dd", text]]) {
        list.append(Object.assign(document.createElement(tag), { textContent: content }));
      }
    }
    tip.replaceChildren(list);
    const drawing = drawings[Number(value.Trial ?? value["After trial"])];
    if (drawing) tip.insertAdjacentHTML("beforeend", drawing);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const place = (at, size, whole) => {
      const beyond = at + 14 + size > whole - 8 ? at - 14 - size : at + 14;
      return Math.max(8, Math.min(beyond, whole - 8 - size));
    };
    tip.style.left = place(x, box.width, document.documentElement.clientWidth) + "px";
    tip.style.top = place(y, box.height, window.innerHeight) + "px";
  };
  const tooltip = (handler, event, item, value) => {
    hide();
    if (value && typeof value === "object") show(value, event.clientX, event.clientY);
  };
  const follow = () => {
    if (!focused) return hide();
    const box = focused.getBoundingClientRect();
    show(focused.__data__.tooltip, box.right, box.bottom);
  };
  // One stop of the tabulator a chart; arrows go from point to point, by cost or time.
  const reachable = (target) => {
    const described = (node) => typeof node.__data__?.tooltip === "object";
    const points = () => [...target.querySelectorAll("path")].filter(described)
      .sort((a, b) => a.__data__.x - b.__data__.x || b.__data__.y - a.__data__.y);
    const enter = () => {
      const all = points();
      if (!all.some((point) => point.tabIndex === 0)) all[0]?.setAttribute("tabindex", "0");
    };
    target.setAttribute("role", "group");
    new MutationObserver(enter).observe(target, { childList: true, subtree: true });
    enter();
    target.addEventListener("focusin", (event) => {
      if (!described(event.target)) return;
      focused = event.target;
      follow();
    });
    target.addEventListener("focusout", hide);
    // A finger has no hover: the nearest point that it covers answers a tap.
    target.addEventListener("click", (event) => {
      const apart = (point) => {
        const box = point.getBoundingClientRect();
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        return Math.hypot(x - event.clientX, y - event.clientY);
      };
      const [near] = points().map((point) => [apart(point), point]).sort(([a], [b]) => a - b);
      if (near && near[0] <= FINGER) show(near[1].__data__.tooltip, event.clientX, event.clientY);
      else hide();
    });
    target.addEventListener("keydown", (event) => {
      const all = points();
      const here = all.indexOf(event.target);
      const last = all.length - 1;
      const places = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: last };
      if (event.key === "Escape") hide();
      if (here < 0 || !(event.key in places)) return;
      event.preventDefault();
      const next = all[Math.max(0, Math.min(last, places[event.key]))];
      event.target.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus({ preventScroll: false });
    });
  };
  window.addEventListener("scroll", follow, { passive: true });
  document.addEventListener("click", (event) => { if (!event.target.closest?.(".chart")) hide(); });
  const narrow = window.matchMedia("(max-width: 46rem)").matches;
  for (const script of document.querySelectorAll("script[id^=spec-]")) {
    const name = script.id.slice(5);
    const spec = JSON.parse(script.textContent);
    if (narrow) {
      spec.config.legend.columns = 3;
      if (name === "frontier") spec.height = 320;
    }
    const actions = { export: true, source: false, compiled: false, editor: false };
    const target = document.getElementById("chart-" + name);
    target.textContent = "";
    ready.then(() => window.vegaEmbed(target, spec, { mode: "vega-lite", renderer: "svg", actions, tooltip, downloadFileName: name }))
      .then(() => reachable(target))
      .catch((error) => { target.textContent = "This chart could not be drawn: " + error.message; });
  }
  const prefixes = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
  const value = (row, column) => {
    const text = row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const found = /^([+-]?\d+(?:\.\d+)?)(?:\s([kMGT])?|$)/.exec(text);
    return found ? Number(found[1]) * (prefixes[found[2]] ?? 1) : text;
  };
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keyed = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
        keyed.sort(([a], [b]) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1));
        if (!up) keyed.reverse();
        table.tBodies[0].append(...keyed.map(([, row]) => row));
      });
    });
  };
  document.querySelectorAll("main table").forEach(sortable);
  const table = document.getElementById("all");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const shown = document.getElementById("shown");
  document.getElementById("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      count += !row.hidden;
    });
    shown.textContent = words.length ? count + " of " + rows.length : "";
  });
})();
