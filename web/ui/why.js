// The tab Why: the ladder from commit to subscriber with the step open that stopped the event, and each policy's answer below it.
import { html, useEffect } from "../vendor/preact.js";
import { tab, whyFor } from "../model/choice.js";
import { now } from "../model/clock.js";
import { identities, identityOf } from "../model/identities.js";
import { compared, comparing, viewed } from "../model/lens.js";
import { asksWhatIf, askWhy, traceOf } from "../model/why.js";
import { clockTime, duration, listed } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { Button, CopyButton, Icon, Mark, Sql, Who } from "./parts.js";
import { chooseForm } from "./copyas.js";
import { Combination, isRaised, markOfResult, PolicyCard } from "./policycard.js";
import { sayWhatIf, WhatIfForm } from "./whatif.js";

/** Steps by the service's names (docs/why.md). */
const STEPS = {
  subscribed: "Subscription",
  published: "Publication",
  granted: "Grants",
  row_security: "Row-level security",
  policies: "Row policies",
  filter: "Filter",
  columns: "Columns",
  size: "Size",
  joined: "Joined before the commit",
  sent: "Sent",
  queue: "Queue",
  acknowledged: "Acknowledged",
};
const STALE_MS = 30_000;

/** Of whom to tell: the one picked, else the one in view. */
function personFor() {
  const some = comparing.value ? compared.value : [viewed.value];
  const id = some.includes(whyFor.value) ? whyFor.value : (some[0] ?? "");
  return identityOf(id);
}

export function Why({ message }) {
  identities.value;
  const person = personFor();
  const event = message.eventId;
  const one = person && event ? traceOf(message, person) : null;
  const runs = person?.state === "live";
  useEffect(() => {
    if (one && runs && one.trace.state.peek().at === 0 && !one.trace.state.peek().busy) askWhy(message, person);
  }, [one, runs]);
  if (!event) return html`<${Nothing} title="Nothing to explain."><p>Only changes of rows are decided by policies.</p><//>`;
  if (!person || !one) return html`<${Nothing} title="Nobody looks."><p>Choose through whose eyes, then it can be told why.</p><//>`;
  const asked = one.trace.state.value;
  return html`<div class="why"><${People} person=${person} />
    ${asksWhatIf.value && html`<${WhatIfForm} key=${person.id} person=${person} message=${message} />`}
    ${one.whatIf && asked.answer && html`<p class="whatif-note"><${Icon} name="i-flask" /><span><b>What if: ${sayWhatIf(one.whatIf)}.</b> Nothing was changed.</span>
      <button type="button" class="link" onClick=${() => askWhy(message, person)}>Back to what is</button></p>`}
    ${runs || asked.answer
      ? html`<${Answer} asked=${asked} words=${`Asking why, as ${person.name}.`} lines=${9} again=${() => askWhy(message, person, one.whatIf)}>${(trace) =>
          html`<${TraceView} trace=${trace} person=${person} at=${asked.at} />`}<//>`
      : html`<${Nothing} title=${`${person.name}’s view has ended.`}><p>${person.why} View as ${person.name} again to ask.</p><//>`}
    <${WhyFoot} message=${message} person=${person} /></div>`;
}

/** While several are compared: of whom to tell. */
function People({ person }) {
  if (!comparing.value) return null;
  const some = compared.value.map((id) => identityOf(id)).filter((one) => one !== undefined);
  return html`<div class="aswhom aswhom--d" role="group" aria-label="Why for">${some.map(
    (one) => html`<button key=${one.id} type="button" class="pill" aria-pressed=${one.id === person.id} onClick=${() => (whyFor.value = one.id)}>
      <${Who} letter=${one.letter} service=${one.kind === "service"} />${one.name}</button>`,
  )}</div>`;
}

const VERDICTS = { allowed: "allowed", denied: "denied", raised: "raised", gone: "skipped", no_privilege: "denied" };

function TraceView({ trace, person, at }) {
  const verdict = VERDICTS[trace.verdict] ?? "skipped";
  const old = now.value - at > STALE_MS;
  return html`<p class=${`sentence ${verdict === "allowed" || verdict === "skipped" ? "" : "sentence--bad"}`} data-v=${verdict}>
      <${Mark} verdict=${verdict} word=${false} /><span><${Sentence} trace=${trace} person=${person} /></span></p>
    ${trace.agrees === false && html`<p class="disagrees" role="note"><${Icon} name="v-raised" /><span><b>The trace and the row that was selected do not agree.</b>
      The row that was selected as ${person.name} decides; the caveats below say what can cause the difference.</span></p>`}
    <${Ladder} trace=${trace} />
    ${trace.old && html`<${Before} old=${trace.old} />`}
    <${Caveats} caveats=${trace.caveats ?? []} />
    ${trace.sql && html`<section class="sub sub--sql"><h3>Reproduce in psql<span class="h3-r"><${CopyButton} text=${trace.sql} words="Copy SQL" cls="btn--small" /></span></h3>
      <${Sql} text=${trace.sql} /></section>`}
    <p class="diff-note">Asked of the ${trace.source === "tuple" ? "old row, as the log has it" : "row as it is now"}, as <code>${trace.role}</code>,
      at ${clockTime(Date.parse(trace.evaluated_at) || at)}${old ? `, ${duration(now.value - at)} ago: run again for now` : ""}.
      Claims <code title="Digest of the claims">${String(trace.claims_digest ?? "").slice(0, 12)}</code>. This look is recorded.</p>`;
}

const SAID = {
  allowed: (name) => `${name} sees this row.`,
  denied: (name) => `${name} does not see this row.`,
  raised: (name) => `${name} does not receive this row.`,
  no_privilege: (name) => `${name} receives nothing of this table.`,
};

/** The verdict about the person, and the cause in the service's words. */
function Sentence({ trace, person }) {
  const say = SAID[trace.verdict];
  const at = trace.sentence.indexOf(": ");
  if (!say || at < 0) return html`<b>${trace.sentence}.</b>`;
  const [cause] = trace.sentence.slice(at + 2).split(": "); // what follows are the values, which stand below
  return html`<b>${say(person.name)}</b> ${cause.slice(0, 1).toUpperCase()}${cause.slice(1)}.`;
}

function Ladder({ trace }) {
  const ladder = trace.ladder ?? [];
  const failed = ladder.findIndex((step) => step.state === "failed");
  const reached = failed < 0 ? ladder : ladder.slice(0, failed + 1);
  const rest = failed < 0 ? [] : ladder.slice(failed + 1);
  const withPolicies = reached.find((step) => step.step === "policies");
  return html`<ol class="ladder" aria-label="From commit to subscriber">
    ${reached.map((step, i) => html`<${StepLine} key=${i} step=${step} trace=${trace} open=${step === withPolicies} />`)}
    ${rest.length > 0 && html`<li class="st st--ghost"><span class="mark"></span><span class="st-t">Not reached: ${listed(rest.map((step) => wordOf(step.step).toLowerCase()))}</span></li>`}
  </ol>`;
}

function wordOf(name) {
  return STEPS[name] ?? String(name).replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
}

function StepLine({ step, trace, open }) {
  const stop = step.state === "failed";
  const mark = { passed: "allowed", skipped: "skipped", failed: trace.verdict === "raised" && open ? "raised" : "denied" }[step.state];
  const combined = open && trace.policies.some((policy) => policy.asked);
  return html`<li class=${`st ${stop ? "st--stop" : "st--ok"} ${open && trace.policies.length ? "st--open" : ""}`} data-v=${mark} data-state=${step.state}>
    <${Mark} verdict=${mark} word=${false} label=${step.state} /><span class="st-t">${wordOf(step.step)}</span>
    <span class="st-f">${combined ? html`<${Combination} policies=${trace.policies} />` : step.fact}</span>
    ${open && trace.policies.length > 0 && html`<div class="pols"><${Policies} policies=${trace.policies} caveats=${trace.caveats} /></div>`}
  </li>`;
}

function Policies({ policies, caveats }) {
  const counts = policies.filter((policy) => policy.applicable);
  const others = policies.filter((policy) => !policy.applicable);
  const first = (policy) => (isRaised(policy.result) ? 0 : markOfResult(policy.result) === "denied" ? 1 : 2);
  const sorted = [...counts].sort((a, b) => first(a) - first(b));
  return html`${sorted.map((policy) => html`<${PolicyCard} key=${policy.name} policy=${policy} caveats=${caveats} />`)}
    ${others.length > 0 && html`<details class="pols-other"><summary>${others.length} ${others.length === 1 ? "policy does" : "policies do"} not apply</summary>
      ${others.map((policy) => html`<${PolicyCard} key=${policy.name} policy=${policy} caveats=${caveats} />`)}</details>`}`;
}

/** What the policies say of the row as it was before the change. */
function Before({ old }) {
  const mark = old.verdict ? (VERDICTS[old.verdict] ?? "skipped") : "skipped";
  return html`<section class="sub sub--old"><details><summary>The row before the change: <${Mark} verdict=${mark} /></summary>
    <div class="pols"><${Policies} policies=${old.policies} caveats=${old.caveats} /></div></details></section>`;
}

function Caveats({ caveats }) {
  if (!caveats.length) return null;
  return html`<section class="sub"><h3>With care</h3><ul class="caveats">${caveats.map(({ code, text }, i) => {
    return html`<li key=${i}><span class="tag tag--warn"><${Icon} name="i-error" />${code.replaceAll("_", " ")}</span> ${text}</li>`;
  })}</ul></section>`;
}

/** Below the tab: what one can do with the trace. */
function WhyFoot({ message, person }) {
  const { trace, whatIf } = traceOf(message, person);
  const { busy, took, answer } = trace.state.value;
  const asTest = () => {
    chooseForm("pytest");
    tab.value = "copy";
  };
  return html`<footer class="d-foot">
    <${Button} icon="i-flask" aria-expanded=${asksWhatIf.value} onClick=${() => (asksWhatIf.value = !asksWhatIf.value)}><span>What if…</span><//>
    ${answer && !whatIf && html`<${Button} icon="i-copy" onClick=${asTest}><span>As a test</span><//>`}
    <span class="grow"></span>${answer && html`<span class="dim wide">answered in ${duration(took)}</span>`}
    <${Button} icon="i-refresh" cls="btn--primary" disabled=${busy || person.state !== "live"} onClick=${() => askWhy(message, person, whatIf)}>
      <span>${busy ? "Asking…" : "Run again"}</span><//>
  </footer>`;
}
