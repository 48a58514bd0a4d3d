// Sets up the editor for SQL. It lives in a shadow root: there its styles are constructed sheets, which the page's policy allows.
import {
  autocompletion,
  bracketMatching,
  closeBrackets,
  closeBracketsKeymap,
  Compartment,
  completionKeymap,
  Decoration,
  defaultKeymap,
  drawSelection,
  EditorState,
  EditorView,
  HighlightStyle,
  history,
  historyKeymap,
  keymap,
  lineNumbers,
  placeholder,
  PostgreSQL,
  sql,
  StateEffect,
  StateField,
  syntaxHighlighting,
  tags,
} from "../vendor/codemirror.js";

const LOOK = {
  "&": { color: "var(--ink-1)", backgroundColor: "var(--bg-raised)", fontSize: "var(--sql-size, 12px)", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", fontFeatureSettings: '"calt" 0', overflow: "auto" },
  ".cm-content": { padding: "8px 0", caretColor: "var(--ink-1)" },
  ".cm-line": { padding: "0 10px 0 6px" },
  ".cm-gutters": { backgroundColor: "var(--bg-sunk)", color: "var(--ink-3)", border: "0", paddingRight: "2px" },
  ".cm-cursor": { borderLeftColor: "var(--ink-1)", borderLeftWidth: "1.5px" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    backgroundColor: "var(--bg-selected)",
  },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--bg-selected)", outline: "1px solid var(--line-strong)" },
  ".cm-placeholder": { color: "var(--ink-3)" },
  ".cm-wrong": {
    color: "var(--denied-ink)",
    backgroundColor: "var(--denied-tint)",
    textDecoration: "underline wavy var(--denied-ink)",
    textUnderlineOffset: "3px",
  },
  ".cm-tooltip": {
    color: "var(--ink-1)",
    backgroundColor: "var(--bg-raised)",
    border: "1px solid var(--line-strong)",
    borderRadius: "6px",
    boxShadow: "var(--shadow)",
    overflow: "hidden",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "12px", maxHeight: "14em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px 3px 4px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { color: "var(--ink-1)", backgroundColor: "var(--bg-selected)" },
  ".cm-completionDetail": { color: "var(--ink-3)", fontStyle: "normal" },
  ".cm-completionIcon": { color: "var(--ink-3)" },
};
const WORDS = [
  { tag: tags.keyword, fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string), tags.number, tags.bool, tags.null], color: "var(--ink-2)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--ink-3)", fontStyle: "italic" },
];

const markAt = StateEffect.define();
/** The word that an error is about. */
const wrong = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    let next = marks.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(markAt)) next = wordAt(transaction.state.doc, effect.value);
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Postgres counts characters, the editor UTF-16 units: an emoji before the place would move it. */
function unitsBefore(text, position) {
  return [...text].slice(0, position - 1).join("").length;
}

function wordAt(document, position) {
  if (!position) return Decoration.none;
  const text = document.toString();
  const start = Math.min(unitsBefore(text, position), Math.max(0, text.length - 1));
  const word = /^(?:"[^"]*"|'[^']*'|\w+|.)/su.exec(text.slice(start));
  if (!word) return Decoration.none;
  return Decoration.set([Decoration.mark({ class: "cm-wrong", attributes: { "data-wrong": "" } }).range(start, start + word[0].length)]);
}

/**
 * Typing over a selection, done here and not by the browser: that would keep the look of what was selected as an inline style,
 * which the page's policy refuses.
 */
const typeOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    if (event.inputType !== "insertText" || !event.data || empty || view.composing) return false;
    const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type" });
    event.preventDefault();
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handle) => handle(view, from, to, event.data, insert))) view.dispatch(insert());
    return true;
  },
});

function language(schema) {
  return sql({ dialect: PostgreSQL, schema: schema?.tables ?? {}, defaultSchema: "public", upperCaseKeywords: false });
}

/** Functions and phrases that policies are made of, as completion offers them. */
function phrases(schema) {
  return (context) => {
    const word = context.matchBefore(/[\w.]+/);
    if (!word || (word.from === word.to && !context.explicit)) return null;
    return { from: word.from, options: schema.current?.phrases ?? [], validFor: /^[\w.]*$/ };
  };
}

/** @param {{ input: (text: string) => void, run: () => void }} heard */
export function makeEditor(host, { label, text, schema, hint, rows }, heard) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const knows = new Compartment();
  const known = { current: schema };
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        keymap.of([{ key: "Mod-Enter", run: () => (heard.run(), true) }]),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
        [history(), lineNumbers(), drawSelection(), bracketMatching(), closeBrackets(), autocompletion(), wrong, typeOver],
        [syntaxHighlighting(HighlightStyle.define(WORDS)), EditorView.theme(LOOK), EditorView.lineWrapping],
        knows.of(language(schema)),
        PostgreSQL.language.data.of({ autocomplete: phrases(known) }),
        EditorView.theme({ ".cm-content, .cm-gutter": { minHeight: `${rows * 1.6 + 1.4}em` } }),
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
        hint ? placeholder(hint) : [],
        EditorView.updateListener.of((update) => update.docChanged && heard.input(update.state.doc.toString())),
      ],
    }),
  });
  return {
    focus: () => view.focus(),
    destroy: () => view.destroy(),
    know(next) {
      known.current = next;
      view.dispatch({ effects: knows.reconfigure(language(next)) });
    },
    write(next) {
      const had = view.state.doc.toString();
      if (had !== next) view.dispatch({ changes: { from: 0, to: had.length, insert: next } });
    },
    mark(position) {
      view.dispatch({ effects: markAt.of(position) });
      view.contentDOM.setAttribute("aria-invalid", String(position > 0));
    },
  };
}
