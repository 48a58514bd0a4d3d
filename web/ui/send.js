// The section Send: a broadcast, or a presence entry, as the identity in view.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { channelFor, identities, identityOf } from "../model/identities.js";
import { looking } from "../model/lens.js";
import { dropMessage, saveMessage, savedMessages } from "../model/saved.js";
import { refusal } from "../wire/channel.js";
import { clockTime } from "../format.js";
import { Button, Icon, Mark, Segments, Who } from "./parts.js";

const KINDS = [
  ["broadcast", "Broadcast", "i-broadcast"],
  ["presence", "Presence", "i-presence"],
];

/** What was written last, for as long as the page lives. */
const draft = {
  kind: "broadcast",
  channel: "",
  event: "message",
  broadcast: '{\n  "text": "hello"\n}',
  presence: '{\n  "status": "online"\n}',
  times: 1,
  pause: 1000,
};
const MOST_TIMES = 1000;
const LEAST_PAUSE_MS = 20;

export function SendPage() {
  identities.value;
  const one = looking.value.map((id) => identityOf(id)).find((identity) => identity?.state === "live");
  const plans = channels.value;
  return html`<main class="solo" id="main" aria-label="Send">
    <div class="page-in page-in--form">
      <header class="p-head"><h1>Send</h1><p class="dim">
        ${
          one
            ? html`As <${Who} letter=${one.letter}
        service=${one.kind === "service"} /> ${one.name}. Everybody on the channel receives it.`
            : "A message needs a sender."
        }
        </p></header>
      ${
        !one
          ? html`<p class="quiet-do"><${Button} icon="i-eye" onClick=${() => (dialog.value = { kind: "identity" })}>
          <span>View as someone</span><//></p>`
          : !plans.length
            ? html`<p class="quiet-do"><${Button} icon="i-plus" onClick=${() => (dialog.value = { kind: "join" })}>
            <span>Join a channel</span><//></p>`
            : html`<${SendForm} one=${one} plans=${plans} />`
      }
    </div>
  </main>`;
}

function problemOf(text, mustBeObject) {
  try {
    const value = JSON.parse(text);
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    return mustBeObject && !isObject ? "The payload must be a JSON object." : "";
  } catch (error) {
    return `Not valid JSON: ${error instanceof Error ? error.message : error}`;
  }
}

function SendForm({ one, plans }) {
  const [, redraw] = useState(0);
  const [results, setResults] = useState(/** @type {{ at: number, ok: boolean, text: string }[]} */ ([]));
  const set = (change) => {
    Object.assign(draft, change);
    redraw((n) => n + 1);
  };
  const name = plans.some((plan) => plan.name === draft.channel) ? draft.channel : plans[0].name;
  const text = draft[draft.kind];
  const problem = problemOf(text, true);
  const state = one.channels[name]?.state;
  const unnamed = draft.kind === "broadcast" && !draft.event.trim() ? "Name the event first." : "";
  const missing = state === "joined" ? unnamed || problem : `${one.name} has not joined ${name}.`;
  const done = (ok, words) => setResults((before) => [{ at: Date.now(), ok, text: words }, ...before].slice(0, 5));
  const again = useRef({ timer: 0 }).current;
  const [left, setLeft] = useState(0);
  const halt = () => {
    clearTimeout(again.timer);
    setLeft(0);
  };
  useEffect(() => () => clearTimeout(again.timer), []);
  /** Sends the same again until it was sent `n` times. */
  const repeat = async (n) => {
    setLeft(n);
    await once();
    if (n > 1) again.timer = window.setTimeout(() => repeat(n - 1), Math.max(LEAST_PAUSE_MS, draft.pause));
    else setLeft(0);
  };
  const send = (submit) => {
    submit.preventDefault();
    if (!missing && !left) repeat(draft.kind === "broadcast" ? Math.max(1, Math.min(MOST_TIMES, draft.times)) : 1);
  };
  const once = async () => {
    const channel = channelFor(one.id, name);
    if (!channel) return;
    const payload = JSON.parse(text);
    if (draft.kind === "presence") {
      done(...outcome(await channel.push("presence", { type: "presence", event: "track", payload }), `presence on ${name}`));
    } else {
      const event = draft.event.trim();
      done(...outcome(await channel.broadcast(event, payload), `${event} on ${name}`));
    }
  };
  const untrack = async () => {
    const reply = await channelFor(one.id, name)?.push("presence", { type: "presence", event: "untrack" });
    if (reply) done(...outcome(reply, `no presence on ${name} any more`));
  };
  return html`<form class="send" onSubmit=${send}>
    <${Segments} legend="What to send" hidden=${true} name="send-kind" options=${KINDS} value=${draft.kind}
      onChange=${(kind) => set({ kind })} />
    <div class="send-row">
      <label class="field"><span class="lab">Channel</span>
        <select value=${name} onChange=${(event) => set({ channel: event.currentTarget.value })}>
        ${plans.map((plan) => html`<option key=${plan.name} value=${plan.name}>${plan.name}</option>`)}</select></label>
      ${
        draft.kind === "broadcast" &&
        html`<label class="field"><span class="lab">Event</span>
        <input type="text" value=${draft.event} spellcheck=${false} autocomplete="off"
        onInput=${(event) => set({ event: event.currentTarget.value })} /></label>`
      }
    </div>
    <label class="field"><span class="lab">Payload<span class="lab-r">
      <${Mark} verdict=${problem ? "denied" : "allowed"} word=${false} />${problem ? "not valid" : "valid JSON"}</span></span>
      <textarea class="mono" rows="8" spellcheck=${false} aria-invalid=${problem !== ""} value=${text}
        onInput=${(event) => set({ [draft.kind]: event.currentTarget.value })}></textarea>
    </label>
    ${draft.kind === "broadcast" && html`<${Times} set=${set} />`}
    <${Saved} text=${text} set=${set} problem=${problem || unnamed} />
    <p class="send-why" role="status">${missing}</p>
    <div class="send-do">
      <button type="submit" class="btn btn--primary" disabled=${missing !== "" || left > 0}><${Icon} name="i-send" /><span>
        ${draft.kind === "broadcast" ? `Send as ${one.name}` : `Track ${one.name}`}</span></button>
      ${left > 0 && html`<${Button} icon="i-pause" onClick=${halt}><span>Halt, ${left} to go</span><//>`}
      ${
        draft.kind === "presence" &&
        html`<${Button} disabled=${state !== "joined"} onClick=${untrack}>
        <span>Stop tracking</span><//>`
      }
    </div>
    <ul class="sent" aria-label="Sent" aria-live="polite">
      ${results.map(
        ({ at, ok, text: words }) => html`<li key=${at}><time>${clockTime(at)}</time>
      <${Mark} verdict=${ok ? "allowed" : "denied"} word=${false} label=${ok ? "sent" : "failed"} />${words}</li>`,
      )}</ul>
  </form>`;
}

function Times({ set }) {
  const number = (name) => (event) => set({ [name]: Number(event.currentTarget.value) || 0 });
  return html`<div class="send-times"><label class="field field--inline"><span>Times</span><input type="number" min="1" max=${MOST_TIMES}
      value=${draft.times} onInput=${number("times")} /></label>
    <label class="field field--inline"><span>every, in ms</span><input type="number" min=${LEAST_PAUSE_MS} step="10" value=${draft.pause}
      disabled=${draft.times < 2} onInput=${number("pause")} /></label></div>`;
}

/** Messages to be sent again some other day. */
function Saved({ text, set, problem }) {
  const { kind } = draft;
  const name = kind === "broadcast" ? draft.event.trim() : "presence";
  const mine = savedMessages.value.filter((one) => one.kind === kind);
  return html`<p class="saved-do"><span class="dim">Saved</span>
    ${mine.map(
      (one) => html`<span class="saved" key=${one.name}><button type="button" class="pill" onClick=${() => set({ event: one.event, [kind]: one.payload })}>
      ${one.name}</button><${Button} icon="i-close" label=${`Forget the message ${one.name}`} onClick=${() => dropMessage(one.name)} /></span>`,
    )}
    <button type="button" class="pill" disabled=${problem !== ""} onClick=${() => saveMessage({ name, kind, event: draft.event, payload: text })}>
      <${Icon} name="i-star" />Save this one</button></p>`;
}

/** How a reply is said. @returns {[boolean, string]} */
function outcome({ status, response }, what) {
  if (status === "ok") return [true, `Acknowledged: ${what}`];
  if (status === "sent") return [true, `Sent without asking for an acknowledgement: ${what}`];
  if (status === "offline") return [false, `Not sent, there is no connection: ${what}`];
  if (status === "timeout") return [false, `No acknowledgement within 10 s: ${what}`];
  return [false, `Refused: ${refusal(response)}`];
}
