// One row of the list: when, what kind, which event, where, what changed, and who saw it.
import { Component, html } from "../vendor/preact.js";
import { receiptsOf, shownReceipt } from "../model/feed.js";
import { channelName, asText, lagOf, summary } from "../model/message.js";
import { keyColumns } from "../model/session.js";
import { bytes, clockTime, listed, milliseconds, shortId } from "../format.js";
import { Icon, KIND_ICON, Mark } from "./parts.js";

const LONGEST = 120;
const WATCHED = ["message", "revision", "top", "picked", "crossed", "lanes", "words", "lens", "wire", "mate", "columns", "stamp"];

/**
 * Drawn anew only when something about it changed: a list that follows a busy stream draws its rows 60 times a second.
 * `lanes`: identities compared, in order, else empty.
 */
export class Row extends Component {
  shouldComponentUpdate(next) {
    const before = this.props;
    return WATCHED.some((name) => next[name] !== before[name]);
  }

  render({ message, index, top, picked, crossed, lanes, words, wire, mate, columns, stamp, onPick }) {
    const style = { transform: `translateY(${top}px)` };
    const common = { id: `row-${message.seq}`, role: "row", "aria-rowindex": index + 2, style };
    if (message.kind === "gap") return gapRow(message, common);
    const receipt = shownReceipt(message);
    const parts = receipt ? summary(message, receipt, keyColumns(message.schema, message.table)) : [];
    return html`<div
      ...${common}
      class=${`row ${picked ? "is-selected" : ""} ${mate ? "is-mate" : ""} ${crossed ? "is-crossed" : ""}`}
      aria-selected=${picked}
      aria-label=${rowName(message) + (crossed ? ", marked" : "")}
      data-k=${message.kind}
      data-commit=${wire ? message.commitId : undefined}
      onClick=${(event) => onPick(message, event.target.closest("[data-who]")?.dataset.who)}
    >
      <span class="c-wire" data-w=${wire || undefined}></span>
      ${columns.has("time") && timeCell(message, stamp)}
      ${columns.has("kind") && html`<span class="c-kind" role="gridcell"><${Icon} name=${KIND_ICON[message.kind]} label=${message.kind} /></span>`}
      <span class="c-op" role="gridcell" title=${message.op}>${message.op}</span>
      <span class="c-target" role="gridcell">
        ${marked(whereOf(message), words)}${
          message.key &&
          html`<span class="key">${marked(clipped(message.key), words)}
        </span>`
        }</span>
      ${columns.has("channel") && html`<span class="c-chan" role="gridcell">${channelName(message.topic)}</span>`}
      ${columns.has("sum") && html`<span class="c-sum" role="gridcell">${parts.map((part, i) => partOf(part, i, words))}</span>`}
      ${lanes.length ? lanes.map((who) => lane(message, who)) : oneVerdict(message, receipt, columns)}
    </div>`;
  }
}

/** Where it happened, as people call it. */
export function whereOf(message) {
  return message.table || channelName(message.topic);
}

/** What is read out for a row: the verdict is part of its name. */
export function rowName(message) {
  const verdicts = [...new Set(receiptsOf(message).map((receipt) => receipt.mark))];
  return `${clockTime(message.time)} ${message.op} ${whereOf(message)} ${message.key}, ${listed(verdicts)}`;
}

function gapRow(message, common) {
  return html`<div ...${common} class=${`row row--gap ${message.healed ? "" : "row--bad"}`}>
    <span role="gridcell"><${Icon} name=${message.healed ? "i-gap" : "i-error"} />${message.text}</span>
  </div>`;
}

/** @param {import("../model/message.js").Part} part @param {number} i @param {string[]} words */
function partOf({ k, was, now }, i, words) {
  const sep = i > 0 && html`<span class="sep"></span>`;
  const name = k !== "" && html`<span class="k">${marked(k, words)}</span>`;
  if (now === undefined) return html`${sep}${name}`;
  const before = was !== undefined && html`<span class="was">${clipped(was)}</span> <span class="arr">→</span> `;
  return html`${sep}${name} ${before}<span class="now">${marked(clipped(now), words)}</span>`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function clipped(value) {
  const text = asText(value);
  if (UUID.test(text)) return shortId(text);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** The text with the searched words underlined. */
function marked(text, words) {
  const lower = text.toLowerCase();
  for (const word of words) {
    const at = lower.indexOf(word);
    if (at >= 0)
      return html`${text.slice(0, at)}<mark>${text.slice(at, at + word.length)}</mark>
      ${text.slice(at + word.length)}`;
  }
  return text;
}

function timeCell(message, stamp) {
  if (stamp) return html`<time class="c-time" role="gridcell" title=${clockTime(message.time) + milliseconds(message.time)}>${stamp}</time>`;
  return html`<time class="c-time" role="gridcell">${clockTime(message.time)}<span class="ms">${milliseconds(message.time)}</span></time>`;
}

function oneVerdict(message, receipt, columns) {
  const lag = receipt?.frame ? lagOf(message, receipt) : NaN;
  return html`<span class="c-v" role="gridcell"><span>${receipt && html`<${Mark} verdict=${receipt.mark} />`}</span></span>
    ${columns.has("lag") && lagCell(lag)}
    ${columns.has("size") && html`<span class="c-size" role="gridcell">${receipt?.frame ? bytes(receipt.frame.size) : ""}</span>`}`;
}

function lagCell(lag) {
  return html`<span class="c-lat" role="gridcell"
      title=${lag < 0 ? "Includes clock skew: the server’s clock is ahead of this one" : undefined}>
      ${!Number.isNaN(lag) && html`${lagText(lag)}<span class="u">${unitOf(lag)}</span>`}
    </span>`;
}

function lagText(lag) {
  return Math.abs(lag) < 10_000 ? String(lag).replace("-", "−") : String(Math.round(lag / 1000));
}

function unitOf(lag) {
  return Math.abs(lag) < 10_000 ? "ms" : "s";
}

function lane(message, who) {
  const receipt = message.receipt(who);
  const mark = receipt?.mark ?? "skipped";
  return html`<span class="c-lane" role="gridcell" key=${who} data-who=${who}><${Mark} verdict=${mark} word=${false} label=${mark} />
    </span>`;
}
