// The lens: through whose eyes the page looks, as the server resolved it, why, and for how much longer.
import { html, useState } from "../vendor/preact.js";
import { dialog, notice } from "../model/choice.js";
import { now } from "../model/clock.js";
import { EXTEND_BELOW_MS, extend, identities, identityOf, live, MOST, stop } from "../model/identities.js";
import { compared, comparing, viewed } from "../model/lens.js";
import { adminName, config, token } from "../model/session.js";
import { playing } from "../model/player.js";
import { countdown, shortId } from "../format.js";
import { Lazy } from "./lazy.js";
import { Button, Icon, Mark, Who } from "./parts.js";

export const loadBar = () => import("./recordingbar.js").then((module) => module.RecordingBar);

export function Lens() {
  identities.value;
  if (playing.value) return html`<${Lazy} key="recording" load=${loadBar} />`;
  if (!token.value || (!config.value && !live().length)) return null;
  if (comparing.value) return html`<${Several} />`;
  const one = identityOf(viewed.value);
  return one?.state === "live" ? html`<${One} one=${one} />` : html`<${Yourself} />`;
}

function Yourself() {
  const name = adminName.value;
  return html`<section class="lens" aria-label="Identity in force">
    <span class="lens-eye"><${Icon} name="i-eye" /><span class="wide">Viewing as</span></span>
    <span class="lens-who"><${Who} letter=${name.slice(0, 1).toUpperCase()} /><b>yourself</b></span>
    <span class="lens-fact wide">${name}, administrator. Streams begin when you look through somebody’s eyes.</span>
    <span class="lens-do">
      <${Button} icon="i-eye" cls="btn--primary" keys="i" onClick=${() => (dialog.value = { kind: "identity" })}>
        <span>View as someone<span class="wide"> else</span></span><//>
    </span>
  </section>`;
}

function One({ one }) {
  const service = config.value?.privileged_roles.includes(one.role) ?? false;
  const sub = one.claims.sub;
  const other = differs(one);
  return html`<section class=${`lens lens--on ${service ? "lens--service" : ""}`} aria-label="Identity in force">
    <span class="lens-eye"><${Icon} name="i-eye" /><span class="wide">Viewing as</span></span>
    <span class="lens-who"><${Who} letter=${one.letter} service=${one.kind === "service"} /><b>${one.label}</b></span>
    <span class="lens-fact">
      ${
        other &&
        html`<${Mark} verdict="raised" word=${false} label="Not what was asked for" /><span class="wide">${other}
        </span>`
      }
      ${
        service
          ? html`<span>bypasses row policies<span class="wide">: only roles like this one see all of it</span></span>`
          : html`<span class="wide">${one.role === one.label ? "" : one.role}</span>
          ${typeof sub === "string" && html`<code class="wide" title=${sub}>sub ${shortId(sub)}</code>`}`
      }
    </span>
    <q class="lens-why" title=${one.reason}>${one.reason}</q>
    <${Left} ends=${one.expiresAt} ids=${[one.id]} />
    <span class="lens-do">
      <${Button} cls="btn--inv wide" onClick=${() => (dialog.value = { kind: "claims", id: one.id })}>Claims<//>
      <${Button} cls="btn--inv" onClick=${() => stopAll([one.id])}>Stop<//>
    </span>
  </section>`;
}

/** How the role that the server resolved differs from the one asked for, in words; "" where it does not. */
function differs({ kind, ask, role }) {
  const asked = { role: ask.role, anon: "anon", user: ask.role, service: "" }[kind];
  return asked && asked !== role ? `asked for ${asked}, resolved to` : "";
}

function Several() {
  const some = compared.value.map((id) => identityOf(id)).filter((one) => one !== undefined);
  const ends = Math.min(...some.map((one) => one.expiresAt));
  const reason = some.at(-1)?.reason ?? "";
  const service = some.some((one) => config.value?.privileged_roles.includes(one.role));
  return html`<section class=${`lens lens--on ${service ? "lens--service" : ""}`} aria-label="Identities compared">
    <span class="lens-eye"><${Icon} name="i-compare" /><span class="wide">Comparing</span></span>
    ${some.map(
      (one) => html`<span class="lens-who" key=${one.id} title=${`${one.label}, ${one.role}`}>
      <${Who} letter=${one.letter} service=${one.kind === "service"} /><b>${one.name}</b></span>`,
    )}
    <q class="lens-why" title=${reason}>${reason}</q>
    <${Left} ends=${ends} ids=${some.filter((one) => one.expiresAt - now.value < EXTEND_BELOW_MS).map((one) => one.id)} />
    <span class="lens-do">
      ${
        live().length < MOST &&
        html`<${Button} icon="i-plus" cls="btn--inv wide"
        onClick=${() => (dialog.value = { kind: "identity" })}><span>Add</span><//>`
      }
      <${Button} cls="btn--inv wide" title="Back to one view (d)" onClick=${() => (compared.value = [])}>One view<//>
      <${Button} cls="btn--inv" title="Ends all the views that are compared"
        onClick=${() => stopAll(compared.value)}>Stop all<//>
    </span>
  </section>`;
}

/** Time left; below a minute it is bold and can be extended. */
function Left({ ends, ids }) {
  const [busy, setBusy] = useState(false);
  const left = ends - now.value;
  const soon = left < EXTEND_BELOW_MS;
  const more = async () => {
    setBusy(true);
    const failed = (await Promise.allSettled(ids.map(extend))).find((answer) => answer.status === "rejected");
    if (failed?.status === "rejected") notice.value = `Not extended: ${failed.reason.message}`;
    setBusy(false);
  };
  return html`<span class=${`lens-left ${soon ? "lens-left--soon" : ""}`} title="Ends by itself then">
    <${Icon} name="i-clock" /><time>${countdown(left)}</time>
    ${soon && html`<${Button} cls="btn--inv" disabled=${busy} onClick=${more}>Extend<//>`}
  </span>`;
}

export async function stopAll(ids) {
  const problems = await Promise.all([...ids].map(stop));
  notice.value = problems.filter(Boolean).join(" ");
}
