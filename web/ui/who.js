// The tab Who: how many subscribers an event reached and how many not; who they are only when asked for, since that is a look at others.
import { html, useState } from "../vendor/preact.js";
import { whoOf } from "../model/why.js";
import { longReason, markOf } from "../model/verdicts.js";
import { count, shortId } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { Button, Icon, Mark } from "./parts.js";

export function WhoElse({ message }) {
  const event = message.eventId;
  const question = whoOf(message);
  const asked = question.state.value;
  const ask = () => question.ask({ event_id: event });
  if (!event) return html`<${Nothing} title="Not known."><p>Only changes of rows are counted by subscriber.</p><//>`;
  if (!asked.at && !asked.busy) {
    return html`<${Nothing} title="Who else got this?">
      <p>The service knows every subscriber of this event and what was decided for each. The look is recorded in the trail.</p>
      <p><${Button} icon="i-user" cls="btn--primary" onClick=${ask}><span>Count them</span><//></p><//>`;
  }
  return html`<${Answer} asked=${asked} words="Asking what was decided for everybody." lines=${4} again=${ask}>${(answer) =>
    html`<${Counts} answer=${answer} message=${message} ask=${ask} busy=${asked.busy} />`}<//>`;
}

function Counts({ answer, message, ask, busy }) {
  const [names, setNames] = useState(false);
  const { delivered, withheld, subscribers = [] } = answer;
  const total = delivered + withheld;
  const share = total ? Math.round((delivered / total) * 400) : 0;
  return html`<section class="sub who-sum"><h3>${total ? `${count(delivered)} of ${count(total)} subscribers got it` : "Nobody was subscribed to it"}</h3>
      ${total > 0 && html`<svg class="who-bar" viewBox="0 0 400 8" preserveAspectRatio="none" role="img" aria-label=${`${delivered} delivered, ${withheld} withheld`}>
        <rect class="f-a" x="0" width=${share} height="8" /><rect class="f-d" x=${share} width=${400 - share} height="8" /></svg>
      <p class="legend"><${Mark} verdict="allowed" word=${false} label="delivered" /><span>delivered</span><b>${count(delivered)}</b>
        <${Mark} verdict="denied" word=${false} label="withheld" /><span>withheld</span><b>${count(withheld)}</b></p>`}
      <p class="who-do">${subscribers.length > 0 && html`<${Button} icon="i-user" aria-expanded=${names} onClick=${() => setNames(!names)}><span>${names ? "Hide names" : "Show names"}</span><//>`}
        <${Button} icon="i-refresh" disabled=${busy} onClick=${ask}><span>Ask again</span><//></p></section>
    ${names && html`<section class="sub"><h3>Subscribers</h3><div class="scroll-x"><table class="ptab whos"><thead><tr><th scope="col">Who</th><th scope="col">Channel</th><th scope="col">What was decided</th></tr></thead>
      <tbody>${subscribers.map((one, i) => html`<${SubscriberRow} key=${i} one=${one} message=${message} />`)}</tbody></table></div></section>`}`;
}

function SubscriberRow({ one, message }) {
  const reason = one.reason ?? one.verdict ?? "";
  const mark = markOf(reason === "" ? "delivered" : reason);
  const person = { name: one.subject ? shortId(one.subject) : one.role, role: one.role };
  const words = mark === "allowed" ? "" : longReason(reason, person, message.table);
  return html`<tr><th scope="row">${one.role} ${one.subject && html`<code title=${one.subject}>${shortId(one.subject)}</code>`}
      <span class="dim"><${Icon} name="i-broadcast" />${shortId(String(one.connection))}</span></th>
    <td>${String(one.topic).replace(/^realtime:/, "")}</td>
    <td><${Mark} verdict=${mark} /> <span class="dim">${words}${one.detail && one.detail !== words ? ` ${one.detail}` : ""}</span></td></tr>`;
}
