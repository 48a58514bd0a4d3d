// Notices over the list: what happened, when, what it cost, and the way out. The list below stays readable.
import { html } from "../vendor/preact.js";
import { notice } from "../model/choice.js";
import { now } from "../model/clock.js";
import { hurryAll, identities, live } from "../model/identities.js";
import { trouble } from "../model/session.js";
import { clockTime } from "../format.js";
import { Button, CopyButton, Icon } from "./parts.js";
import { TokenForm } from "./tokenform.js";

export function Notices() {
  identities.value;
  return html`${trouble.value && html`<${Trouble} trouble=${trouble.value} />`}
    ${!trouble.value && refusedConnections().map((one) => html`<${Refused} key=${one.id} one=${one} />`)}
    ${
      notice.value &&
      html`<div class="notice" role="alert"><${Icon} name="i-error" /><div>
      ${notice.value} <button type="button" class="link" onClick=${() => (notice.value = "")}>Close</button></div></div>`
    }`;
}

function Trouble({ trouble: { kind, since, text, hint } }) {
  if (kind === "unreachable") return html`<${Unreachable} since=${since} />`;
  const cost = "Open views go on until their own time is over; starting, extending or stopping one needs a new token.";
  const streams = live().length ? cost : "";
  return html`<div class="notice" role="alert"><${Icon} name="i-lock" /><div>
    <b>${kind === "expired" ? `Your token expired at ${clockTime(since)}.` : "The server refused your token."}</b> <span>
      ${kind === "expired" ? streams : [text, hint, streams].filter(Boolean).join(". ")}</span>
    <${TokenForm} words=${live().length ? "Renew and go on" : "Renew"} />
  </div></div>`;
}

function Unreachable({ since }) {
  const lost = live()
    .map((one) => one.news)
    .filter((news) => news?.state === "waiting");
  const last = lost.at(-1);
  const reason = last ? `Last reason: close code ${last.code}${last.reason ? `, ${last.reason}` : ", no goodbye"}. ` : "";
  const seconds = last ? Math.max(0, Math.ceil((last.retryAt - now.value) / 1000)) : 0;
  const next = last ? `Attempt ${last.attempt + 1} in ${seconds} s; ` : "It is asked again every 5 s; ";
  return html`<div class="notice" role="alert"><${Icon} name="i-error" /><div>
    <b>The server stopped answering at ${clockTime(since)}.</b> <span>${reason}${next}everything below stays readable.</span>
    <div class="renew"><${Button} cls="btn--primary" onClick=${hurryAll}>Try now<//>
      <${CopyButton} text=${() => report(since)} words="Copy report" /></div>
  </div></div>`;
}

function report(since) {
  const connections = live().map(({ name, news }) => ({ name, ...news }));
  const page = location.origin + location.pathname;
  return JSON.stringify({ page, browser: navigator.userAgent, since: new Date(since), connections }, null, 2);
}

/** Connections that the server refuses while it answers everything else. */
function refusedConnections() {
  return live().filter((one) => one.news?.state === "waiting" && !one.news.opened && one.news.attempt > 1);
}

function Refused({ one }) {
  const { code, reason } = one.news;
  return html`<div class="notice" role="alert"><${Icon} name="i-error" /><div>
    <b>The server does not let ${one.name} connect.</b>
    ${" "}<span>Close code ${code}${reason ? `, ${reason}` : ""}. Its token may have been revoked:
    ${" "}stop this view and start it again.</span>
  </div></div>`;
}
