// The smallest pieces: icons of the sprite, verdict marks, the shapes of identities, buttons, dialogs.
import { html, useLayoutEffect, useRef } from "../vendor/preact.js";

export function Icon({ name, label = "", cls = "" }) {
  const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`<svg class=${`ic ${cls}`} ...${named}><use href=${`#${name}`} /></svg>`;
}

export const KIND_ICON = {
  change: "i-change",
  broadcast: "i-broadcast",
  presence: "i-presence",
  system: "i-system",
  error: "i-error",
  reply: "i-reply",
};

/** A verdict: its shape, and its word where there is room (`word`), else as its accessible name. */
export function Mark({ verdict, word = true, label = "" }) {
  if (word)
    return html`<span class="mark" data-v=${verdict}><${Icon} name=${`v-${verdict}`} /><span class="mark-t">${verdict}
    </span></span>`;
  return html`<span class="mark" data-v=${verdict} role="img" aria-label=${label || verdict}><${Icon} name=${`v-${verdict}`} />
    </span>`;
}

const SHAPES = {
  A: () => html`<circle cx="8" cy="8" r="7.5" />`,
  B: () => html`<rect x=".75" y=".75" width="14.5" height="14.5" rx="3" />`,
  C: () => html`<path d="M8 .2 15.6 8 8 15.8 .4 8Z" />`,
  D: () => html`<path d="M4.2 1h7.6L15.6 8l-3.8 7H4.2L.4 8Z" />`,
};

/** An identity: a shape with its letter, or the bolt of what bypasses every policy. */
export function Who({ letter, service = false }) {
  if (service) return html`<${Icon} name="i-bolt" />`;
  return html`<svg class="who" viewBox="0 0 16 16" aria-hidden="true">${(SHAPES[letter] ?? SHAPES.D)()}<text x="8" y="11.2">
    ${letter}</text></svg>`;
}

/** A button; with only an icon it must have a label, which is also its tooltip. */
export function Button({ icon = "", label = "", cls = "", keys = "", children = null, ...rest }) {
  const named = label ? { "aria-label": label, title: keys ? `${label} (${keys})` : label } : {};
  const kind = icon && !children ? "btn--icon" : "";
  return html`<button type="button" class=${`btn ${kind} ${cls}`} ...${named} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children}${keys && children && html`<kbd aria-hidden="true">${keys}</kbd>`}
  </button>`;
}

/** A modal dialog; focus comes back to where it was when it closes. */
export function Dialog({ title, onClose, cls = "", children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  // Before anything else happens: the next key already belongs to the dialog.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    /** @type {HTMLElement | null | undefined} */ (element?.querySelector("[data-first]"))?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const clickOutside = (event) => event.target === dialog.current && onClose();
  const escape = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${dialog} class=${`dialog ${cls}`} aria-labelledby="dialog-title" onCancel=${escape}
    onMouseDown=${clickOutside}>
    <div class="dl">
      <header class="dl-head"><h1 id="dialog-title">${title}</h1><${Button} icon="i-close" label="Close" onClick=${onClose} />
        </header>
      ${children}
    </div>
  </dialog>`;
}

/** One of several, as radio buttons in a row. `options`: value, words, icon. */
export function Segments({ legend, name, options, value, onChange, hidden = false }) {
  return html`<fieldset>
    <legend class=${hidden ? "vh" : "lab"}>${legend}</legend>
    <div class="seg">
      ${options.map(
        ([option, words, icon]) => html`<label key=${option}>
          <input type="radio" name=${name} value=${option} checked=${option === value} onChange=${() => onChange(option)} />
          <span>${icon && html`<${Icon} name=${icon} />`}${words}</span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}

/** Code with a button that copies it. */
export function Code({ text, children = null }) {
  return html`<pre class="code" tabindex="0"><code>${children ?? text}</code></pre>`;
}

const SQL_WORDS =
  /(--[^\n]*|\b(?:alter|publication|add|table|replica|identity|full|update|set|where|in|select|from|limit|grant|revoke|to|on|begin|rollback|commit|local|role|create|drop|policy|as|permissive|restrictive|for|all|insert|delete|using|with|check|if|exists|and|or|not|enable|row level security)\b)/gi;

/** SQL with its keywords in bold, as elements: nothing is parsed from markup. */
export function Sql({ text }) {
  const parts = text.split(SQL_WORDS);
  return html`<${Code}>${parts.map((part, i) =>
    i % 2 === 0
      ? part
      : part.startsWith("--")
        ? html`<i>${part}</i>`
        : html`<b>
    ${part}</b>`,
  )}<//>`;
}

/** Copies text and says so for a moment in the button. */
export function CopyButton({ text, words = "Copy", cls = "" }) {
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const copy = async () => {
    const done = await copyText(typeof text === "function" ? text() : text);
    const label = button.current?.querySelector("span");
    if (!label) return;
    label.textContent = done ? "Copied" : "Copy failed";
    setTimeout(() => (label.textContent = words), 1500);
  };
  return html`<button type="button" ref=${button} class=${`btn ${cls}`} onClick=${copy}><${Icon} name="i-copy" /><span>${words}
    </span></button>`;
}

/** @returns {Promise<boolean>} whether the clipboard took it: it is not there on pages without TLS, other than local ones */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "vh";
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
