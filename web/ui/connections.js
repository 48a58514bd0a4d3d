// The section Connections: who is connected, with what, how much it was sent and missed, and a way to end it.
import { html, useEffect, useState } from "../vendor/preact.js";
import { ApiError } from "../api.js";
import { closeDialog, dialog } from "../model/choice.js";
import { connections, cutOff, EVERY_MS, find, found } from "../model/clients.js";
import { now } from "../model/clock.js";
import { bytes, clockTime, count, duration, shortId } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { Button, Dialog, Icon } from "./parts.js";

const read = () => void connections.ask();

export function ConnectionsPage() {
  const asked = connections.state.value;
  useEffect(() => {
    read();
    const timer = setInterval(() => !dialog.value && read(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const n = asked.answer?.connections.length ?? 0;
  return html`<main class="solo" id="main" aria-label="Connections">
    <div class="page-in page-in--wide">
      <header class="p-head p-head--do"><h1>Connections</h1>
        <p class="dim">${asked.answer ? `${count(n)} open, as of ${clockTime(asked.at)}; read again every ${EVERY_MS / 1000} s.` : "Sockets that are open on this service."}</p>
        <span class="p-do"><label class="search"><${Icon} name="i-search" /><span class="vh">Find a connection</span>
          <input type="search" value=${find.value} placeholder="Role, subject, topic, address" spellcheck=${false} autocomplete="off"
            onInput=${(event) => (find.value = event.currentTarget.value)} /></label></span></header>
      <${Answer} asked=${asked} words="Asking who is connected." again=${read}>${() => html`<${Listed} n=${n} />`}<//>
    </div>
  </main>`;
}

function Listed({ n }) {
  if (!n) return html`<${Nothing} title="Nobody is connected."><p>A client that opens a socket is listed here.</p><//>`;
  if (!found.value.length) return html`<${Nothing} title="No connection has that."><p><${Button} onClick=${() => (find.value = "")}><span>Show all ${n}</span><//></p><//>`;
  return html`<div class="scroll-x"><table class="ptab ptab--stack conns">
    <thead><tr><th scope="col">Who</th><th scope="col">Channels</th><th scope="col">From</th><th scope="col" class="r">For</th><th scope="col" class="r">Sent</th>
      <th scope="col" class="r">Dropped</th><th scope="col" class="r">Queue</th><th scope="col"><span class="vh">End</span></th></tr></thead>
    <tbody>${found.value.map((one) => html`<${ConnectionRow} key=${one.id} one=${one} />`)}</tbody></table></div>`;
}

function whoOf(one) {
  return one.subject ? `${one.role} ${shortId(one.subject)}` : one.role || "no channel yet";
}

function ConnectionRow({ one }) {
  const names = one.topics.map((topic) => topic.replace(/^realtime:/, ""));
  return html`<tr>
    <th scope="row"><span>${one.role || html`<span class="dim">no channel yet</span>`}</span> ${one.subject && html`<code title=${one.subject}>${shortId(one.subject)}</code>`}
      ${one.impersonation && html`<span class="tag" title=${`Session ${one.impersonation.session_id}, looked through by ${one.impersonation.actor}`}><${Icon} name="i-eye" />looked through</span>`}</th>
    <td class="what" data-l="Channels" title=${names.join(", ")}>${names.slice(0, 3).join(", ")}${names.length > 3 && html`<span class="dim"> and ${names.length - 3} more</span>`}
      ${!names.length && html`<span class="dim">none</span>`}</td>
    <td data-l="From"><code title=${`connection ${one.id}, protocol ${one.vsn}`}>${one.peer}</code></td>
    <td class="r" data-l="For">${duration(Math.max(0, now.value - one.opened_at * 1000))}</td>
    <td class="r" data-l="Sent">${count(one.sent)} <span class="dim">${bytes(one.sent_bytes)}</span></td>
    <td data-l="Dropped" class=${`r ${one.dropped ? "bad" : ""}`}>${count(one.dropped)}</td>
    <td class="r" data-l="Queue">${one.queued_bytes ? bytes(one.queued_bytes) : "empty"}</td>
    <td class="r"><${Button} cls="btn--small" aria-label=${`Disconnect ${whoOf(one)} from ${one.peer}`}
      onClick=${() => (dialog.value = { kind: "disconnect", connection: one })}><span>Disconnect</span><//></td>
  </tr>`;
}

/** Asks before it ends somebody's socket. */
export function DisconnectDialog({ connection }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const cut = async () => {
    setBusy(true);
    try {
      await cutOff(connection.id);
      closeDialog();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem([error.message, error.code && `(${error.code})`, error.hint].filter(Boolean).join(" "));
      setBusy(false);
    }
  };
  const topics = connection.topics.length;
  return html`<${Dialog} title=${`Disconnect ${whoOf(connection)}?`} onClose=${closeDialog} cls="dialog--small dialog--confirm">
    <div class="dl-body dl-body--one"><p>The socket from <code>${connection.peer}</code> is closed at once${topics ? `, and with it ${count(topics)} ${topics === 1 ? "channel" : "channels"}` : ""}.
      A client that comes back by itself connects again as long as its token is good. This is recorded under your name.</p></div>
    ${problem && html`<p class="dl-problem" role="alert"><${Icon} name="i-error" />${problem}</p>`}
    <footer class="dl-foot"><p></p><span class="dl-do"><${Button} data-first onClick=${closeDialog}>Keep it<//>
      <${Button} cls="btn--danger" disabled=${busy} onClick=${cut}><span>Disconnect</span><//></span></footer>
  <//>`;
}
