// The left pane: channels with what is heard on each, and the identities one can look through.
import { html } from "../vendor/preact.js";
import { dialog, drawer, section } from "../model/choice.js";
import { channels, saySubscription } from "../model/channels.js";
import { now } from "../model/clock.js";
import { query } from "../model/filter.js";
import { identities, identityOf, live, watchable } from "../model/identities.js";
import { compared, comparing, looking, viewed } from "../model/lens.js";
import { playing } from "../model/player.js";
import { pulse } from "../model/vitals.js";
import { countdown, rate } from "../format.js";
import { Button, Icon, Who } from "./parts.js";
import { Views } from "./views.js";
import { streamState } from "./top.js";

const NUMBERS = ["", "", "two", "three", "four"];

export function Left() {
  return html`<aside class="left" data-open=${drawer.value} aria-label="Channels and identities">
    <${Channels} />
    <${Identities} />
    <${Views} />
  </aside>`;
}

function Channels() {
  identities.value;
  if (playing.value) return null;
  const flowing = !streamState().stopped && live().length > 0;
  return html`<section>
    <h2>Channels<span class="num-h">${flowing && channels.value.length > 0 ? "msg/s" : ""}</span></h2>
    <ul class="list">
      ${channels.value.map((plan) => html`<${ChannelItem} key=${plan.name} plan=${plan} flowing=${flowing} />`)}
    </ul>
    <${Button} icon="i-plus" cls="btn--quiet btn--wide" keys="⇧J" onClick=${() => (dialog.value = { kind: "join" })}>
      <span>Join a channel</span><//>
  </section>`;
}

function ChannelItem({ plan, flowing }) {
  const states = looking.value.map((id) => identityOf(id)?.channels[plan.name]).filter((state) => state !== undefined);
  const refused = states.find((state) => state.state === "refused");
  const term = `channel:${/[\s"]/.test(plan.name) ? JSON.stringify(plan.name) : plan.name}`;
  const only = query.value === term;
  const icon = plan.changes.length ? "i-change" : "i-broadcast";
  return html`<li class=${`chan ${only ? "is-active" : ""}`}>
    <div class="chan-h">
      <button type="button" class="chan-b" aria-pressed=${only} title=${only ? "Show every channel" : `Show only ${plan.name}`}
        onClick=${() => (query.value = only ? "" : term)}>
        <${Icon} name=${icon} /><b>${plan.name}</b>
      </button>
      ${
        refused
          ? html`<span class="num bad" title=${refused.why}>refused</span>`
          : html`<span class="num">${flowing ? rate(pulse.value.channels.get(`realtime:${plan.name}`) ?? 0) : ""}</span>`
      }
      <${Button} icon="i-more" cls="chan-edit" label=${`Change or leave ${plan.name}`}
        onClick=${() => (dialog.value = { kind: "join", name: plan.name })} />
    </div>
    <ul class="subs">
      ${refused && html`<li class="sub-why">${refused.why}</li>`}
      ${plan.changes.map(
        (one, i) => html`<li key=${i}><span class="sub-t">
        ${one.table === "*" ? `${one.schema}, every table` : one.table}</span><span class="sub-f">${saySubscription(one)}</span>
        </li>`,
      )}
      <li><span class="sub-t">broadcast</span><span class="sub-f">
        ${plan.self ? "self" : "others only"}, ${plan.ack ? "ack" : "no ack"}</span></li>
      ${
        plan.presence &&
        html`<li><span class="sub-t">presence</span><span class="sub-f">
        ${plan.presenceKey ? `key ${plan.presenceKey}` : "observing"}</span></li>`
      }
    </ul>
  </li>`;
}

const viewAs = () => (dialog.value = { kind: "identity" });

function Identities() {
  const all = identities.value;
  const some = watchable();
  if (!all.length) {
    return html`<section>
      <h2>Identities</h2>
      <${Button} icon="i-eye" cls="btn--quiet btn--wide" keys="i" onClick=${viewAs}><span>View as someone</span><//>
    </section>`;
  }
  return html`<section>
    <h2>Identities</h2>
    <ul class="list ids">
      ${all.map((one) => html`<${IdentityItem} key=${one.id} one=${one} />`)}
    </ul>
    ${
      some.length < 4 &&
      !playing.value &&
      html`<${Button} icon="i-plus" cls="btn--quiet btn--wide" keys="i"
      onClick=${() => (dialog.value = { kind: "identity" })}><span>View as someone else</span><//>`
    }
    ${
      some.length > 1 &&
      !comparing.value &&
      html`<${Button} icon="i-compare" cls="btn--quiet btn--wide" keys="d"
      onClick=${() => (compared.value = some.map((one) => one.id))}><span>Compare these ${NUMBERS[some.length]}</span><//>`
    }
  </section>`;
}

function IdentityItem({ one }) {
  const shown = looking.value.includes(one.id);
  const look = () => {
    compared.value = [];
    viewed.value = one.id;
    section.value = "live";
    drawer.value = false;
  };
  const ended = one.state === "ended";
  const away = !ended && one.news?.state === "waiting";
  const title = ended ? one.why : `${one.label}, ${one.role}. ${one.reason}`;
  const state = one.state === "recorded" ? "recorded" : ended ? "ended" : away ? "no connection" : countdown(one.expiresAt - now.value);
  return html`<li class=${shown && !comparing.value ? "is-active" : ""}>
    <button type="button" class="id" aria-pressed=${shown} onClick=${look} title=${title}>
      <${Who} letter=${one.letter} service=${one.kind === "service"} /><b>${one.name}</b>
      <span class=${`num ${away ? "bad" : ""}`}>${state}</span>
    </button>
  </li>`;
}
