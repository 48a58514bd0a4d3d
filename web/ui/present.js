// The section Presence: who is on each channel now, as the identity in view is told.
import { html } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { now } from "../model/clock.js";
import { identities, identityOf } from "../model/identities.js";
import { looking } from "../model/lens.js";
import { comingsOn, presentOn } from "../model/presence.js";
import { clockTime, count, duration } from "../format.js";
import { asText } from "../model/message.js";
import { Button, Who } from "./parts.js";

export function PresencePage() {
  identities.value;
  const one = looking.value.map((id) => identityOf(id)).find((identity) => identity?.state === "live");
  const observed = channels.value.filter((plan) => plan.presence);
  return html`<main class="solo" id="main" aria-label="Presence">
    <div class="page-in">
      <header class="p-head"><h1>Presence</h1><p class="dim">
        ${
          one
            ? html`Who is there now, as <${Who} letter=${one.letter}
        service=${one.kind === "service"} /> ${one.name} is told.`
            : "Nobody looks, so nothing is known."
        }</p></header>
      ${
        !one &&
        html`<p class="quiet-do"><${Button} icon="i-eye" onClick=${() => (dialog.value = { kind: "identity" })}>
        <span>View as someone</span><//></p>`
      }
      ${
        one &&
        !observed.length &&
        html`<p>No channel is observed. Join one with presence.</p><p class="quiet-do">
        <${Button} icon="i-plus" onClick=${() => (dialog.value = { kind: "join" })}><span>Join a channel</span><//></p>`
      }
      ${one && observed.map((plan) => html`<${Room} key=${plan.name} name=${plan.name} who=${one.id} />`)}
    </div>
  </main>`;
}

function Room({ name, who }) {
  const room = presentOn(who, `realtime:${name}`);
  const people = [...(room ?? [])];
  return html`<section class="room">
    <h2>${name}<span class="dim">${room ? `${count(people.length)} present` : "not told yet"}</span></h2>
    ${
      people.length > 0 &&
      html`<div class="scroll-x"><table class="ptab">
      <thead><tr><th scope="col">Key</th><th scope="col">State</th><th scope="col" class="r">Connections</th>
        <th scope="col" class="r">Seen since</th></tr></thead>
      <tbody>${people.map(([key, present]) => html`<${Person} key=${key} name=${key} present=${present} />`)}</tbody>
    </table></div>`
    }
    <${Comings} name=${name} who=${who} />
  </section>`;
}

const WORDS = { came: "joined", left: "left", changed: "updated" };

/** A line of its own for each coming and going, newest first. */
function Comings({ name, who }) {
  const all = comingsOn(who, `realtime:${name}`);
  if (!all.length) return null;
  return html`<h3 class="comings-h">Comings and goings<span class="dim">${count(all.length)}, newest first</span></h3>
    <ol class="comings">${all.map(
      ({ at, key, what, meta }, i) => html`<li key=${all.length - i} data-what=${what}><time>${clockTime(at)}</time>
      <code>${key}</code><span>${WORDS[what]}</span><span class="comings-m">${meta && what !== "left" && fields(meta)}</span></li>`,
    )}</ol>`;
}

function Person({ name, present }) {
  const metas = [...present.metas.values()];
  return html`<tr>
    <th scope="row"><code>${name}</code></th>
    <td>${metas.map((meta, i) => html`<div class="meta" key=${i}>${fields(meta)}</div>`)}</td>
    <td class="r">${count(metas.length)}</td>
    <td class="r" title=${clockTime(present.since)}>${duration(Math.max(0, now.value - present.since))}</td>
  </tr>`;
}

function fields(meta) {
  const own = Object.entries(meta).filter(([name]) => name !== "phx_ref" && name !== "phx_ref_prev");
  if (!own.length) return html`<span class="dim">no fields</span>`;
  return own.map(
    ([name, value], i) => html`${i > 0 && html`<span class="sep"></span>`}<span class="dim">${name}</span> <code>
    ${asText(value)}</code>`,
  );
}
