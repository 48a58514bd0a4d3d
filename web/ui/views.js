// The saved views in the left pane.
import { html, useEffect, useState } from "../vendor/preact.js";
import { goTo } from "../model/choice.js";
import { query } from "../model/filter.js";
import { dropView, isOwnView, saveView, toggleView, viewNow, views } from "../model/views.js";
import { countViews, viewCounts } from "../model/viewcounts.js";
import { count } from "../format.js";
import { Button } from "./parts.js";

export function Views() {
  useEffect(countViews, []);
  const [naming, setNaming] = useState(/** @type {string | null} */ (null));
  const now = viewNow();
  const save = (event) => {
    event.preventDefault();
    saveView(naming ?? "");
    setNaming(null);
  };
  const escape = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    setNaming(null);
  };
  return html`<section>
    <h2>Views</h2>
    <ul class="list views">${views.value.map((one) => html`<${View} key=${one.name} one=${one} shown=${one === now} />`)}</ul>
    ${
      naming !== null
        ? html`<form class="view-name" onSubmit=${save}><label class="field"><span class="vh">Name of the view</span>
          <input type="text" value=${naming} autofocus maxlength="40" spellcheck=${false} autocomplete="off" onKeyDown=${escape}
            onInput=${(event) => setNaming(event.currentTarget.value)} /></label>
          <button type="submit" class="btn btn--primary" disabled=${!naming.trim()}>Save</button></form>`
        : isOwnView() &&
          html`<${Button} icon="i-star" cls="btn--quiet btn--wide" onClick=${() => setNaming(query.value.slice(0, 40))}>
            <span>Save this view</span><//>`
    }
  </section>`;
}

function View({ one, shown }) {
  const n = viewCounts.value.get(one.name);
  const look = () => {
    toggleView(one);
    goTo("live");
  };
  return html`<li class=${shown ? "is-active" : ""}>
    <button type="button" class="id" aria-pressed=${shown} title=${one.q || "by kind"} onClick=${look}><b>${one.name}</b>
      ${n !== undefined && html`<span class="dim" title="Kept messages that it lists">${count(n)}</span>`}</button>
    <${Button} icon="i-close" cls="view-drop" label=${`Forget the view ${one.name}`} onClick=${() => dropView(one.name)} />
  </li>`;
}
