// The bar above the list while a recording is open.
import { html } from "../vendor/preact.js";
import { closeRecording, halt, play, playing, showAll } from "../model/player.js";
import { clockTime, count, duration, listed } from "../format.js";
import { Button, Icon, Who } from "./parts.js";

/** In place of the lens while a recording is open. */
export function RecordingBar() {
  const now = playing.value;
  if (!now) return null;
  const { name, header, entries, broken, next, speed } = now;
  const names = listed(header.identities.map((one) => one.name));
  const span = entries.length ? entries[entries.length - 1].at - entries[0].at : 0;
  const whole = next >= entries.length;
  return html`<section class="lens lens--recording" aria-label="Recording">
    <span class="lens-eye"><${Icon} name="i-record" /><span class="wide">Recording</span></span>
    <span class="lens-who"><b title=${name}>${name}</b></span>
    <span class="lens-fact wide">${header.identities.map((one) => html`<${Who} key=${one.letter} letter=${one.letter} service=${one.kind === "service"} />`)}
      ${names}, ${duration(span)}, saved ${header.saved_at.slice(0, 10)} ${clockTime(Date.parse(header.saved_at))}${
        broken > 0 && html`<b>; ${count(broken)} lines could not be read</b>`
      }</span>
    <span class="lens-left" role="status"><b>${count(next)}</b> of ${count(entries.length)}</span>
    <span class="lens-do">
      ${speed > 0 ? html`<${Button} icon="i-pause" onClick=${halt}><span>Halt</span><//>` : html`<${Speeds} />`}
      ${!whole && html`<${Button} cls="wide" onClick=${showAll}>Show all<//>`}
      <${Button} onClick=${closeRecording}>Close<//>
    </span>
  </section>`;
}

function Speeds() {
  return html`<${Button} icon="i-play" label="Play as it came" onClick=${() => play(1)}><span>×1</span><//>
    <${Button} icon="i-play" label="Play ten times as fast" onClick=${() => play(10)}><span>×10</span><//>`;
}
