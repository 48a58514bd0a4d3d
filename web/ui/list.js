// The list: only the rows in sight exist in the page, whatever the number of messages; it stays at its end while it follows.
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { follow, following, listedRows, paused, select, selected, selectWhy, unfollow } from "../model/choice.js";
import { now } from "../model/clock.js";
import { COLUMNS, columns, timeFormat, tracks } from "../model/columns.js";
import { revision, view } from "../model/feed.js";
import { search } from "../model/filter.js";
import { identities, identityOf } from "../model/identities.js";
import { compared, comparing, viewed } from "../model/lens.js";
import { marks } from "../model/marks.js";
import { duration } from "../format.js";
import { Row } from "./row.js";
import { Who } from "./parts.js";
import { EmptyList, StillQuiet } from "./quiet.js";

const AROUND = 8;
const FEW = 12;
const MOST_ROWS = 60;
const BLANK_ROWS = 20_000;
const NO_LANES = [];
const NARROW = matchMedia("(max-width: 760px)");

/**
 * Where the list stands. Rows keep their place in px while older ones are evicted above them, so that nothing moves that need
 * not be drawn again; `origin` is the number of evicted rows at the last time when the blank at the top was taken away.
 * @typedef {{ top: number, height: number, origin: number, generation: number }} Place
 */

const rowHeight = () => (NARROW.matches ? 52 : 28);
/** Rows that were evicted and whose place is still blank at the top. */
const blank = (/** @type {Place} */ place) => view.dropped - place.origin;

/** A click on somebody's mark asks why for them; anywhere else it opens the message. */
function pick(message, who) {
  if (who && message.eventId) selectWhy(message, who);
  else select(message);
}

export function List() {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [, setDrawn] = useState(0);
  const redraw = () => setDrawn((n) => n + 1);
  /** @type {Place} */
  const place = useRef({ top: 0, height: 600, origin: view.dropped, generation: view.generation }).current;
  revision.value;
  const rows = listedRows.value;
  const lift = settle(place);
  const high = rowHeight();
  const whole = (blank(place) + rows) * high;

  useEffect(() => watch(box.current, place, redraw), []);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (following.value) element.scrollTop = whole;
    else if (lift) element.scrollTop = place.top;
  }, [following.value, whole, place.height, lift]);

  useLayoutEffect(() => {
    if (box.current && sought.value) showSought(box.current, place, rows);
  }, [sought.value, rows]);

  const lanes = comparing.value ? compared.value : NO_LANES;
  if (following.value) place.top = Math.max(0, whole - place.height);
  const around = following.value ? 1 : AROUND;
  const first = Math.max(0, Math.floor(place.top / high) - blank(place) - around);
  const pool = Math.min(MOST_ROWS, Math.ceil(place.height / high) + 2 * around);
  const last = Math.min(rows, first + pool);
  const empty = Math.round(rows * high);
  return html`<div class="listing"><div
    class="grid"
    role="grid"
    aria-label="Messages, newest last"
    aria-rowcount=${rows + 1}
    tabindex="0"
    aria-activedescendant=${selected.value ? `row-${selected.value.seq}` : undefined}
    data-view=${lanes.length ? "compare" : "one"}
    data-lanes=${lanes.length}
    style=${tracks(lanes.length) ? { "--cols": tracks(lanes.length) } : undefined}
    id="messages"
  >
    <${Head} lanes=${lanes} />
    <div class="rows" role="presentation" ref=${box} onScroll=${() => scrolled(box.current, place, redraw)} onWheel=${wheeled}
      onPointerOver=${hoverCommit} onPointerLeave=${() => (hovered.value = "")}>
      <div class="rows-all" style=${{ height: `${whole}px` }} role=${rows > 0 ? "rowgroup" : "presentation"}>
        ${rowsBetween(first, last, { lanes, pool, place })}</div>
    </div>
  </div>
    ${rows < FEW && html`<div class="hush" style=${{ top: `${empty}px` }}>${rows === 0 ? html`<${EmptyList} />` : html`<${StillQuiet} />`}</div>`}
  </div>`;
}

/** Takes the blank at the top away where the list is a new one or the blank has grown large; gives by how many px. */
function settle(/** @type {Place} */ place) {
  const fresh = place.generation !== view.generation;
  if (!fresh && blank(place) < BLANK_ROWS) return 0;
  const lift = blank(place) * rowHeight();
  place.generation = view.generation;
  place.origin = view.dropped;
  place.top = Math.max(0, place.top - lift);
  return lift;
}

/** The elements of rows are used again for the next ones that come into sight: cheaper than making new ones. */
function rowsBetween(first, last, { lanes, pool, place }) {
  const drawn = [];
  const { words } = search.value;
  for (let index = first; index < last; index += 1) {
    const message = view.at(index);
    if (!message) continue;
    const at = blank(place) + index;
    drawn.push(html`<${Row}
      key=${at % pool}
      message=${message}
      revision=${message.revision}
      columns=${columns.value}
      stamp=${stampOf(message, index)}
      index=${index}
      top=${at * rowHeight()}
      picked=${message === selected.value}
      crossed=${marks.value.includes(message)}
      wire=${wireAt(index)}
      mate=${hovered.value !== "" && message.commitId === hovered.value}
      lanes=${lanes}
      lens=${viewed.value}
      words=${words}
      onPick=${pick}
    />`);
  }
  return drawn;
}

/** The time of a row where it is not the time of day: that alone a row knows by itself. */
function stampOf(message, index) {
  if (timeFormat.value === "clock") return "";
  if (timeFormat.value === "age") return `${duration(Math.max(0, now.value - message.time))} ago`;
  const above = index > 0 ? view.at(index - 1) : undefined;
  if (!above) return "";
  const between = message.time - above.time;
  return `${between < 0 ? "−" : "+"}${duration(Math.abs(between))}`;
}

/** The commit whose rows are marked, since the mouse is over one of them. */
const hovered = signal("");

function hoverCommit(event) {
  const row = event.target instanceof Element ? event.target.closest(".row[data-commit]") : null;
  hovered.value = row?.getAttribute("data-commit") ?? "";
}

/** Which end of its commit's bracket a row is: rows of one transaction that stand next to each other hang together. */
function wireAt(index) {
  const commit = view.at(index)?.commitId;
  if (!commit) return "";
  const above = index > 0 && view.at(index - 1)?.commitId === commit;
  const below = index + 1 < listedRows.peek() && view.at(index + 1)?.commitId === commit;
  if (above) return below ? "middle" : "end";
  return below ? "start" : "";
}

function Head({ lanes }) {
  const one = identityOf(viewed.value);
  identities.value;
  return html`<div class="head" role="row" aria-rowindex="1">
    <span class="c-wire"></span>
    ${COLUMNS.filter(({ name }) => columns.value.has(name) && !(lanes.length && BESIDE_LANES.has(name))).map(({ name, words }) => headOf(name, words, one))}
    ${lanes.map((who) => {
      const lane = identityOf(who);
      return (
        lane &&
        html`<span role="columnheader" class="c-lane" key=${who}>
        <${Who} letter=${lane.letter} service=${lane.kind === "service"} /><b>${lane.name}</b></span>`
      );
    })}
  </div>`;
}

/** What gives way to the lanes. */
const BESIDE_LANES = new Set(["verdict", "lag", "size"]);
const CELLS = { time: "c-time", kind: "c-kind", op: "c-op", target: "c-target", channel: "c-chan", sum: "c-sum", lag: "c-lat", size: "c-size" };

function headOf(name, words, one) {
  if (name === "verdict") {
    const who = one ? html`<${Who} letter=${one.letter} service=${one.kind === "service"} /><b>${one.name}</b>` : "Verdict";
    return html`<span role="columnheader" class="c-v" key=${name}><span>${who}</span></span>`;
  }
  const title = name === "lag" ? "Commit to this page, both clocks included" : undefined;
  return html`<span role="columnheader" class=${CELLS[name]} key=${name} title=${title}>
    ${name === "kind" ? html`<span class="vh">${words}</span>` : words}</span>`;
}

function watch(element, place, redraw) {
  const resized = new ResizeObserver(() => {
    place.height = element.clientHeight;
    redraw();
  });
  resized.observe(element);
  NARROW.addEventListener("change", redraw);
  return () => {
    resized.disconnect();
    NARROW.removeEventListener("change", redraw);
  };
}

function scrolled(element, place, redraw) {
  const blankHeight = blank(place) * rowHeight();
  if (element.scrollTop < blankHeight) element.scrollTop = blankHeight;
  place.top = element.scrollTop;
  const atEnd = place.top + place.height >= element.scrollHeight - 2;
  if (!atEnd) unfollow();
  else if (following.value) return;
  else if (!paused.value && selected.value === null) follow();
  redraw();
}

/** A turn upwards counts at once: else the next message would win against it. */
function wheeled(event) {
  if (event.deltaY < 0) unfollow();
}

/** The message whose row is to come into sight, as soon as it is drawn that there is such a row. */
const sought = signal(/** @type {import("../model/message.js").Message | null} */ (null));

/** Brings a message's row into sight, for the keyboard. */
export function reveal(message) {
  sought.value = message;
}

function showSought(element, place, rows) {
  const index = sought.value ? view.place(sought.value.seq) : -1;
  if (index < 0 || index >= rows) return;
  const top = (blank(place) + index) * rowHeight();
  const bottom = top + rowHeight();
  if (top < element.scrollTop) element.scrollTop = top;
  else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
  sought.value = null;
}
