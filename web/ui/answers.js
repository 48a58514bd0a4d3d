// What a panel shows while its question is open, when it was refused, and when there is nothing: never a blank, never a bare spinner.
import { html, useEffect, useRef } from "../vendor/preact.js";
import { token, trouble } from "../model/session.js";
import { Button, CopyButton, Icon, Sql } from "./parts.js";

/** The answer once it is there; before that a skeleton with words, or the server's own reason with a way out. */
export function Answer({ asked, words, lines = 6, again = null, children }) {
  if (asked.problem) return html`<${Refusal} problem=${asked.problem} again=${again} busy=${asked.busy} />`;
  if (asked.answer === null) return html`<${Skeleton} words=${words} lines=${lines} />`;
  return children(asked.answer);
}

/** As high as what it stands for, so that nothing jumps. */
export function Skeleton({ words, lines = 6 }) {
  return html`<div class="skel" role="status"><p class="dim">${words}</p>
    ${Array.from({ length: lines }, (_, i) => html`<i key=${i} aria-hidden="true"></i>`)}</div>`;
}

/** Why there is no answer, in the server's words, with its code and what to do. Asks `again` by itself when the cause is gone. */
export function Refusal({ problem, again = null, busy = false }) {
  const first = useRef(true);
  useEffect(() => {
    if (!first.current && trouble.value === null) again?.();
    first.current = false;
  }, [token.value, trouble.value]);
  const hint = String(problem.hint ?? "");
  const isSql = /^\s*(alter|create|grant|revoke|drop|select)\b/i.test(hint);
  return html`<div class="refusal" role="alert">
    <p class="refusal-h"><${Icon} name=${problem.status === 403 ? "i-lock" : "i-error"} /><b>${titleOf(problem)}</b></p>
    <p class="refusal-q"><q>${problem.message}</q>${problem.code && html`<code>${problem.code}</code>`}</p>
    ${hint && (isSql ? html`<div class="refusal-fix"><${Sql} text=${hint} /><${CopyButton} text=${hint} cls="btn--small" /></div>` : html`<p>${hint}</p>`)}
    ${again && trouble.value && html`<p class="dim">${trouble.value.kind === "unreachable" ? "It is asked again as soon as the server answers." : "It is asked again as soon as there is another token."}</p>`}
    ${again && html`<p><${Button} icon="i-refresh" disabled=${busy} onClick=${again}><span>Try again</span><//></p>`}
  </div>`;
}

function titleOf({ status, code }) {
  if (status === 0) return "The server was not reached.";
  if (status === 401) return "The administrator’s token is no longer taken.";
  if (status === 403) return "Only an administrator may ask this.";
  if (status === 404 && !code) return "This service does not answer that question. It may be an older version.";
  return status >= 500 ? "The service failed on this." : "The service refused this.";
}

/** Nothing there, and what would change that. */
export function Nothing({ title, children = null }) {
  return html`<div class="nothing"><h2>${title}</h2>${children}</div>`;
}
