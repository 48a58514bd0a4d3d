// The line between list and detail: drag it, or move it with the arrow keys; the width is remembered.
import { html, useLayoutEffect, useState } from "../vendor/preact.js";

const KEPT = "inspector.detail-width";
const LEAST = 320;
const STEP = 16;
/** What the list keeps for itself, in px. */
const LIST = 480;

function apply(width) {
  const root = document.documentElement.style;
  if (width) root.setProperty("--detail", `${width}px`);
  else root.removeProperty("--detail");
}

export function Divider() {
  const [width, setWidth] = useState(() => Number(localStorage.getItem(KEPT)) || 0);
  useLayoutEffect(() => apply(width), []);
  const change = (next) => {
    const most = Math.max(LEAST, (document.querySelector(".centre")?.clientWidth ?? 0) + present() - LIST);
    const kept = Math.round(Math.max(LEAST, Math.min(most, next)));
    localStorage.setItem(KEPT, String(kept));
    apply(kept);
    setWidth(kept);
  };
  const drag = (event) => {
    const line = event.currentTarget;
    line.setPointerCapture(event.pointerId);
    line.onpointermove = (move) => change(innerWidth - move.clientX);
    line.onpointerup = () => (line.onpointermove = null);
  };
  const keys = (event) => {
    const by = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    change(present() + by);
  };
  const again = () => {
    localStorage.removeItem(KEPT);
    apply(0);
    setWidth(0);
  };
  return html`<div class="divider" role="separator" aria-orientation="vertical" aria-label="Width of the detail" tabindex="0"
    title="Drag to resize; double-click for the usual width"
    aria-valuenow=${width || 448} aria-valuemin=${LEAST} onPointerDown=${drag} onKeyDown=${keys} onDblClick=${again}></div>`;
}

function present() {
  return document.querySelector(".detail")?.getBoundingClientRect().width ?? 0;
}
