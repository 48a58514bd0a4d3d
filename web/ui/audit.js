// The section Audit: who looked through whose eyes, what was run and shown, whether the record is whole, and the record as a file.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { ApiError } from "../api.js";
import { place } from "../model/choice.js";
import {
  activeOnly,
  chain,
  entries,
  filters,
  filterTrail,
  NO_FILTERS,
  offset,
  PAGE,
  readSessions,
  readTrail,
  sessionOffset,
  sessions,
  trailFile,
  turnPage,
} from "../model/trail.js";
import { now } from "../model/clock.js";
import { clockTime, count, duration, shortId } from "../format.js";
import { Answer, Nothing, Refusal } from "./answers.js";
import { Button, Mark, Segments } from "./parts.js";

const PANELS = [
  ["trail", "Entries", "i-audit"],
  ["sessions", "Sessions", "i-user"],
];
const ACTIONS = [
  ["started", "view started"],
  ["stopped", "view stopped"],
  ["replaced", "view replaced"],
  ["expired", "view expired"],
  ["revoked", "view revoked"],
  ["refused", "refused"],
  ["login", "signed in"],
  ["login_failed", "sign-in failed"],
  ["login_blocked", "sign-in blocked"],
  ["logout", "signed out"],
  ["admin_revoked", "rights taken"],
  ["admin_reinstated", "rights given back"],
  ["sql", "statement run"],
  ["sql_refused", "statement refused"],
  ["table", "table looked through"],
  ["outcome", "outcome"],
  ["joined", "channel joined"],
  ["seen", "rows counted"],
  ["trace", "asked why"],
  ["who", "asked who"],
  ["policy_tried", "policy tried"],
  ["matrix", "matrix evaluated"],
  ["assisted", "assistant asked"],
  ["connections", "connections listed"],
  ["disconnect", "client disconnected"],
  ["export", "trail exported"],
];

export function AuditPage() {
  const shown = place.value === "sessions" ? "sessions" : "trail";
  return html`<main class="solo" id="main" aria-label="Audit">
    <div class="page-in page-in--wide">
      <header class="p-head p-head--do"><h1>Audit</h1>
        <p class="dim">What was done in somebody’s name, in the order it was recorded. Nobody can change or remove an entry unnoticed.</p>
        <span class="p-do"><${Segments} legend="Panel" hidden=${true} name="audit-panel" options=${PANELS} value=${shown}
          onChange=${(name) => (place.value = name === "sessions" ? name : "")} /></span></header>
      ${shown === "sessions" ? html`<${Sessions} />` : html`<${Chain} /><${Filters} /><${Trail} />`}
    </div>
  </main>`;
}

/** Whether each entry still follows from the one before. */
function Chain() {
  const asked = chain.state.value;
  useEffect(() => void chain.ask(), []);
  if (asked.problem) return html`<${Refusal} problem=${asked.problem} again=${() => chain.ask()} />`;
  const { answer } = asked;
  const again = html`<${Button} icon="i-refresh" cls="btn--small" disabled=${asked.busy} onClick=${() => chain.ask()}><span>Verify again</span><//>`;
  if (!answer) return html`<p class="chain" role="status"><span class="dim">Verifying the chain of entries.</span></p>`;
  if (answer.intact) {
    return html`<p class="chain" role="status" data-v="allowed"><${Mark} verdict="allowed" word=${false} label="intact" />
      <span><b>The chain is intact.</b> ${count(answer.entries)} ${answer.entries === 1 ? "entry" : "entries"}${answer.head && html`, newest <code title=${answer.head}>${answer.head.slice(0, 12)}</code>`}</span>${again}</p>`;
  }
  const { id, why } = answer.first_broken ?? { id: null, why: "" };
  return html`<p class="chain chain--broken" role="alert" data-v="denied"><${Mark} verdict="denied" word=${false} label="broken" />
    <span><b>The chain is broken${id === null ? "" : ` at entry ${id}`}.</b> ${why}. Entries from there on may have been altered: compare with an export from before.</span>${again}</p>`;
}

function Filters() {
  const { action, admin_user_id: admin, session_id: session, since, until } = filters.value;
  const set = Object.values(filters.value).some(Boolean);
  const text = (name) => (event) => filterTrail({ [name]: event.currentTarget.value.trim() });
  return html`<form class="filters" aria-label="Filter entries" onSubmit=${(event) => event.preventDefault()}>
    <label class="field"><span class="lab">Action</span><select value=${action} onChange=${text("action")}>
      <option value="">all</option>${ACTIONS.map(([name, words]) => html`<option key=${name} value=${name}>${words}</option>`)}
      ${action && !ACTIONS.some(([name]) => name === action) && html`<option value=${action}>${action}</option>`}</select></label>
    <label class="field"><span class="lab">Administrator</span><input type="text" value=${admin} placeholder="id" spellcheck=${false} autocomplete="off"
      onChange=${text("admin_user_id")} /></label>
    <label class="field"><span class="lab">Session</span><input type="text" value=${session} placeholder="id" spellcheck=${false} autocomplete="off"
      onChange=${text("session_id")} /></label>
    <label class="field"><span class="lab">From</span><input type="datetime-local" value=${since} onChange=${text("since")} /></label>
    <label class="field"><span class="lab">Until</span><input type="datetime-local" value=${until} onChange=${text("until")} /></label>
    <span class="filters-do">
      ${set && html`<${Button} icon="i-close" onClick=${() => filterTrail(NO_FILTERS)}><span>Show all</span><//>`}
      <${Export} format="csv" words="CSV" /><${Export} format="ndjson" words="NDJSON" />
    </span>
  </form>`;
}

/** Saves the filtered entries; the token goes in a header, so it cannot be a link. */
function Export({ format, words }) {
  const [state, setState] = useState("");
  const link = useRef(/** @type {HTMLAnchorElement | null} */ (null));
  const save = async () => {
    setState("busy");
    try {
      const address = URL.createObjectURL(await trailFile(format));
      if (link.current) {
        link.current.href = address;
        link.current.click();
      }
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      setState("");
    } catch (error) {
      setState(error instanceof ApiError ? `Not exported: ${error.message}` : `Not exported: ${error}`);
    }
  };
  return html`<${Button} icon="i-save" disabled=${state === "busy"} onClick=${save}><span>${words}</span><//>
    <a class="vh" ref=${link} download=${`audit.${format}`} tabindex="-1" aria-hidden="true">${words}</a>
    ${state && state !== "busy" && html`<span class="bad" role="alert">${state}</span>`}`;
}

function Trail() {
  const asked = entries.state.value;
  useEffect(readTrail, [filters.value]);
  return html`<${Answer} asked=${asked} words="Reading the trail." lines=${8} again=${readTrail}>${(answer) =>
    answer.entries.length ? html`<${Entries} answer=${answer} busy=${asked.busy} />`
      : html`<${Nothing} title="No entry matches."><p>${Object.values(filters.value).some(Boolean)
        ? "Widen the filters, or show all." : "The first one is written when somebody looks through somebody’s eyes."}</p><//>`}<//>`;
}

function Entries({ answer, busy }) {
  const first = answer.offset + 1;
  const last = answer.offset + answer.entries.length;
  return html`<div class="scroll-x"><table class="ptab ptab--stack trail">
      <thead><tr><th scope="col">When</th><th scope="col">Action</th><th scope="col">What</th><th scope="col">Administrator</th><th scope="col">Session</th>
        <th scope="col">From</th></tr></thead>
      <tbody>${answer.entries.map((entry) => html`<${EntryRow} key=${entry.id} entry=${entry} />`)}</tbody>
    </table></div>
    <p class="pager"><span>${count(first)} to ${count(last)} of ${count(answer.total)}</span><span class="grow"></span>
      <${Button} icon="i-back" label="Newer entries" disabled=${offset.value === 0 || busy} onClick=${() => turnPage(-1)} />
      <${Button} icon="i-chev" label="Older entries" disabled=${last >= answer.total || busy} onClick=${() => turnPage(1)} />
      <${Button} icon="i-refresh" label="Read again" disabled=${busy} onClick=${readTrail} /></p>`;
}

const BAD = new Set(["refused", "login_failed", "login_blocked", "admin_revoked", "sql_refused"]);

function EntryRow({ entry }) {
  const time = Date.parse(entry.at);
  const action = ACTIONS.find(([name]) => name === entry.action)?.[1] ?? entry.action;
  const session = entry.session_id ?? "";
  const admin = entry.admin_user_id ?? "";
  return html`<tr>
    <th scope="row"><time datetime=${entry.at} title=${entry.at}>${dayOf(time)} ${clockTime(time)}</time></th>
    <td><span class=${`tag ${BAD.has(entry.action) ? "tag--warn" : ""}`}>${action}</span></td>
    <td class="what"><${Detail} detail=${entry.detail} /></td>
    <td data-l=${admin && "By"}>${admin && html`<button type="button" class="link" title=${`Only ${admin}`} onClick=${() => filterTrail({ admin_user_id: admin })}><code>${shortId(admin)}</code></button>`}</td>
    <td data-l=${session && "Session"}>${session && html`<button type="button" class="link" title=${`Only session ${session}`} onClick=${() => filterTrail({ session_id: session })}><code>${shortId(session)}</code></button>`}</td>
    <td class="from" data-l=${entry.ip_address && "From"} title=${entry.user_agent ?? ""}>${entry.ip_address ?? ""}</td>
  </tr>`;
}

function dayOf(time) {
  const day = new Date(time);
  const today = new Date(now.peek());
  const same = day.toDateString() === today.toDateString();
  return same ? "" : day.toLocaleDateString("en-CA");
}

const FIRST = ["reason", "sql", "topic", "table", "schema", "code", "error", "mode", "role", "target_role", "rows", "times", "sqlstate"];
const WIDEST = 160;

/** The details of an entry: the ones that say most first, cut to a line; the whole on demand. */
function Detail({ detail }) {
  if (detail === null || typeof detail !== "object") return html`<span>${detail === null ? "" : String(detail)}</span>`;
  const names = Object.keys(detail).sort((a, b) => rank(a) - rank(b));
  const said = names.filter((name) => detail[name] !== null && detail[name] !== "");
  const line = said.map((name) => `${name} ${wordOf(detail[name])}`).join(", ");
  if (line.length <= WIDEST) return html`<${Fields} names=${said} detail=${detail} />`;
  return html`<details class="more-d"><summary>${said.slice(0, 1).map((name) => html`<span class="dim">${name}</span> <code>${wordOf(detail[name]).slice(0, WIDEST)}</code> `)}<span class="dim">and ${count(said.length - 1)} more</span></summary><${Fields} names=${said} detail=${detail} /></details>`;
}

function Fields({ names, detail }) {
  return names.map((name, i) => html`${i > 0 && html`<span class="sep"></span>`}<span class="dim">${name}</span> <code>${wordOf(detail[name])}</code>`);
}

function rank(name) {
  const at = FIRST.indexOf(name);
  return at < 0 ? FIRST.length : at;
}

function wordOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function Sessions() {
  const asked = sessions.state.value;
  useEffect(readSessions, [activeOnly.value, sessionOffset.value]);
  const turn = (by) => (sessionOffset.value = Math.max(0, sessionOffset.value + by * PAGE));
  return html`<div class="filters"><label class="check"><input type="checkbox" checked=${activeOnly.value}
      onChange=${(event) => ((activeOnly.value = event.currentTarget.checked), (sessionOffset.value = 0))} /><span>Only those that run now</span></label>
      <span class="filters-do"><${Button} icon="i-refresh" disabled=${asked.busy} onClick=${readSessions}><span>Read again</span><//></span></div>
    <${Answer} asked=${asked} words="Reading the sessions." lines=${8} again=${readSessions}>${(answer) => answer.sessions.length
      ? html`<div class="scroll-x"><table class="ptab ptab--stack trail"><thead><tr><th scope="col">Began</th><th scope="col">As</th><th scope="col">Reason</th><th scope="col">Lasted</th>
          <th scope="col" class="r">Delivered</th><th scope="col" class="r">Denied</th><th scope="col" class="r">Queries</th><th scope="col" class="r">Traces</th></tr></thead>
          <tbody>${answer.sessions.map((one) => html`<${SessionRow} key=${one.id} one=${one} />`)}</tbody></table></div>
        <p class="pager"><span>${count(sessionOffset.value + 1)} to ${count(sessionOffset.value + answer.sessions.length)} of ${count(answer.total)}</span><span class="grow"></span>
          <${Button} icon="i-back" label="Newer sessions" disabled=${!sessionOffset.value || asked.busy} onClick=${() => turn(-1)} />
          <${Button} icon="i-chev" label="Older sessions" disabled=${sessionOffset.value + answer.sessions.length >= answer.total || asked.busy} onClick=${() => turn(1)} /></p>`
      : html`<${Nothing} title=${activeOnly.value ? "Nobody looks through anybody’s eyes now." : "There was no session yet."} />`}<//>`;
}

function SessionRow({ one }) {
  const began = Date.parse(one.started_at);
  const ended = one.ended_at ? Date.parse(one.ended_at) : Date.parse(one.expires_at);
  const lasted = one.is_active ? "runs" : duration(Math.max(0, ended - began));
  const why = one.is_active ? "" : (one.end_reason ?? "expired");
  const show = () => filterTrail({ ...NO_FILTERS, session_id: one.id });
  return html`<tr><th scope="row"><button type="button" class="link" title="Entries of this session" onClick=${show}>
      <time datetime=${one.started_at}>${dayOf(began)} ${clockTime(began)}</time></button></th>
    <td>${one.target_role} <span class="dim" title=${one.target_user_id ?? ""}>${one.target_user_id ? shortId(one.target_user_id) : one.impersonation_type}</span></td>
    <td class="what">${one.reason}</td><td data-l="Lasted">${lasted} <span class="dim">${why}</span></td>
    ${["Delivered", "Denied", "Queries", "Traces"].map((words) => [words, words.toLowerCase()]).map(([words, name]) => html`<td class="r" key=${name} data-l=${words}>${one[name] === undefined ? "" : count(one[name])}</td>`)}</tr>`;
}
