// The dialog that saves and opens recordings.
import { html, useState } from "../vendor/preact.js";
import { closeDialog, dialog, notice } from "../model/choice.js";
import { keptMessages } from "../model/feed.js";
import { identities } from "../model/identities.js";
import { openRecording } from "../model/player.js";
import { record, USUAL_FIELDS } from "../model/recording.js";
import { config, recordedTables } from "../model/session.js";
import { count } from "../format.js";
import { pickFile, saveFile } from "./files.js";
import { Button, Dialog, Segments } from "./parts.js";

const WHICH = [
  ["listed", "What is listed", ""],
  ["kept", "All that is kept", ""],
];

export function RecordDialog() {
  const [which, setWhich] = useState("listed");
  const [fields, setFields] = useState(USUAL_FIELDS.join(", "));
  const [claims, setClaims] = useState(false);
  const messages = keptMessages(which === "listed");
  const save = async () => {
    const world = { identities: identities.value, tables: recordedTables.value ?? config.value?.tables ?? [] };
    const masked = fields.split(/[\s,]+/).filter(Boolean);
    const text = await record(messages, world, { fields: masked, claims });
    const when = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    saveFile(`inspector-${when}.ndjson`, text, "application/x-ndjson");
    closeDialog();
  };
  return html`<${Dialog} title="Save or open a recording" onClose=${closeDialog} cls="dialog--small">
    <div class="dl-body dl-body--one record">
      <${Segments} legend="Which messages" name="record-which" options=${WHICH} value=${which} onChange=${setWhich} />
      <label class="field"><span class="lab">Masked fields<span class="lab-r">columns and payload fields of these names</span></span>
        <input type="text" class="mono" value=${fields} spellcheck=${false} autocomplete="off"
          onInput=${(event) => setFields(event.currentTarget.value)} /></label>
      <label class="check"><input type="checkbox" checked=${claims} onChange=${(event) => setClaims(event.currentTarget.checked)} />
        <span>Keep the claims of the identities<span class="dim">Else only their hash is saved, and no test can be written from the recording.
          ${" "}Tokens are never saved.</span></span></label>
      <p class="dim">One line of JSON a message. Opening one ends the views that are open: a recording is read without a server.</p>
    </div>
    <footer class="dl-foot"><p class="dim">${count(messages.length)} messages</p><span class="dl-do">
      <${Button} icon="i-open" onClick=${open}><span>Open a recording</span><//>
      <${Button} icon="i-save" cls="btn--primary" data-first disabled=${!messages.length} onClick=${save}>
        <span>Save ${count(messages.length)} messages</span><//></span></footer>
  <//>`;
}

/** Asks for a file and opens it. */
export async function open() {
  const file = await pickFile(".ndjson,.jsonl,application/x-ndjson");
  if (!file) return;
  try {
    await openRecording(file.name, await file.text());
    notice.value = "";
  } catch (error) {
    notice.value = `${file.name} was not opened: ${error instanceof Error ? error.message : error}`;
  }
  dialog.value = null;
}
