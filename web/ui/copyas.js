// The tab Copy as: the message in the form that one needs it in, ready to paste or to save.
import { html } from "../vendor/preact.js";
import { signal } from "../vendor/preact.js";
import { linkToMessage } from "../model/address.js";
import { FORMS } from "../model/copies.js";
import { saveFile } from "./files.js";
import { Button, Code, CopyButton, Segments, Sql } from "./parts.js";

const chosen = signal("json");

/** Opens the tab with a form chosen. */
export function chooseForm(name) {
  chosen.value = name;
}

export function CopyAs({ message, receipt }) {
  const form = FORMS.find((one) => one.name === chosen.value) ?? FORMS[0];
  const { text, why, file } = form.make(message, receipt, location.origin);
  const options = FORMS.map(({ name, words }) => [name, words, ""]);
  return html`<section class="sub copy-as">
    <${Segments} legend="Form" hidden=${true} name="form" options=${options} value=${form.name} onChange=${(name) => (chosen.value = name)} />
    ${why ? html`<p class="copy-none">${why}</p>` : isSql(form) ? html`<${Sql} text=${text} />` : html`<${Code} text=${text} />`}
    <p class="copy-do">
      ${text && html`<${CopyButton} text=${text} words=${`Copy ${form.words}`} cls="btn--primary" />`}
      ${text && file && html`<${Button} icon="i-save" onClick=${() => saveFile(file, text)}><span>Save ${file}</span><//>`}
      ${message.eventId && html`<${CopyButton} text=${linkToMessage(message)} words="Copy link" />`}
    </p>
    ${text && NOTES[form.name] && html`<p class="diff-note">${NOTES[form.name]}</p>`}
  </section>`;
}

const isSql = ({ name }) => name === "sql" || name === "pgtap";
const TOKEN = "No token is copied: put one into the variable TOKEN.";
const NOTES = {
  curl: TOKEN,
  js: TOKEN,
  python: TOKEN,
  sql: "Run it as a login that may take this role. The claims are those of the view, without what belongs to its token.",
  pytest: "It puts the row there as it was, asks as each person, and rolls back.",
  pgtap: "It puts the row there as it was, asks as each person, and rolls back.",
};
