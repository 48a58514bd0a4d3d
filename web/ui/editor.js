// A field for SQL: a plain one at once, and as soon as it has loaded an editor with colours, completion and the place of an error.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";

/** @type {Promise<any> | null} */
let loading = null;
const load = () => (loading ??= import("./codemirror.js"));

/**
 * `position`: the 1-based character that an error is about, 0 for none. `schema`: what completion knows, tables by name with
 * their columns. `onRun`: what Ctrl+Enter does.
 * @param {{ label: string, value: string, onInput: (text: string) => void, onRun?: (() => void) | null, position?: number,
 *   schema?: any, rows?: number, hint?: string }} props
 */
export function SqlField({ label, value, onInput, onRun = null, position = 0, schema = null, rows = 8, hint = "" }) {
  const host = useRef(/** @type {HTMLElement | null} */ (null));
  const editor = useRef(/** @type {any} */ (null));
  const now = useRef({ onInput, onRun });
  now.current = { onInput, onRun };
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let gone = false;
    load().then(
      ({ makeEditor }) => {
        if (gone || !host.current) return;
        const heard = { input: (text) => now.current.onInput(text), run: () => now.current.onRun?.() };
        const plain = host.current.querySelector("textarea");
        const had = plain !== null && plain === document.activeElement;
        editor.current = makeEditor(host.current, { label, text: plain?.value ?? value, schema, hint, rows }, heard);
        setReady(true);
        if (had) editor.current.focus();
      },
      () => {}, // without the editor the plain field goes on working
    );
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, []);
  // At once, not after the paint: by then more may have been typed, and it would be taken back.
  useLayoutEffect(() => editor.current?.write(value), [value, ready]);
  useLayoutEffect(() => editor.current?.know(schema), [schema, ready]);
  useLayoutEffect(() => editor.current?.mark(position), [position, value, ready]);
  const run = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    onRun?.();
  };
  return html`<div class="sqlfield" data-typing="" ref=${host} data-ready=${ready}>
    ${!ready && html`<textarea class="mono" rows=${rows} aria-label=${label} spellcheck=${false} autocomplete="off" value=${value}
      placeholder=${hint} aria-invalid=${position > 0} onInput=${(event) => onInput(event.currentTarget.value)}
      onKeyDown=${run}></textarea>`}
  </div>`;
}
