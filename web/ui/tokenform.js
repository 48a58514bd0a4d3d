// The field for an admin token, wherever one is missing or over.
import { html, useState } from "../vendor/preact.js";
import { loadConfig, useToken } from "../model/session.js";

/** Takes a token by hand. */
export function TokenForm({ words }) {
  const [text, setText] = useState("");
  const go = (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    useToken(text);
    loadConfig();
    setText("");
  };
  return html`<form class="renew" onSubmit=${go}>
    <label class="field"><span class="vh">Admin token</span>
      <input type="password" value=${text} placeholder="Admin token" autocomplete="off" spellcheck=${false}
      onInput=${(event) => setText(event.currentTarget.value)} /></label>
    <button type="submit" class="btn btn--primary" disabled=${!text.trim()}>${words}</button>
  </form>`;
}
