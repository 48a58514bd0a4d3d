// The sections of the page in the order of the top bar: what each is called, and the module that draws it, fetched when it is opened.
import { section } from "../model/choice.js";
import { offered } from "../model/previews.js";

/**
 * `load` gives a component that draws a whole `<main class="solo" id="main">`; Live has none, it is the page itself. `dock`:
 * in the bar for thumbs, all others are under More there. `preview`: the name of the preview that it belongs to.
 * @typedef {{ name: string, words: string, icon: string, dock?: boolean, preview?: string, load?: () => Promise<any> }} Entry
 */

/** @type {Entry[]} */
export const SECTIONS = [
  { name: "live", words: "Live", icon: "i-eye", dock: true },
  {
    name: "presence",
    words: "Presence",
    icon: "i-presence",
    dock: true,
    load: () => import("./present.js").then((module) => module.PresencePage),
  },
  {
    name: "policies",
    words: "Policies",
    icon: "i-role",
    dock: true,
    load: () => import("./policies.js").then((module) => module.PoliciesPage),
  },
  { name: "lints", words: "Lints", icon: "i-error", load: () => import("./lints.js").then((module) => module.LintsPage) },
  { name: "sql", words: "SQL", icon: "i-table", load: () => import("./sql.js").then((module) => module.SqlPage) },
  { name: "audit", words: "Audit", icon: "i-audit", load: () => import("./audit.js").then((module) => module.AuditPage) },
  {
    name: "connections",
    words: "Connections",
    icon: "i-compare",
    load: () => import("./connections.js").then((module) => module.ConnectionsPage),
  },
  { name: "send", words: "Send", icon: "i-send", dock: true, load: () => import("./send.js").then((module) => module.SendPage) },
];

export function sections() {
  return SECTIONS.filter(offered);
}

/** The section that is open, where it is one with a page of its own. */
export function openSection() {
  return sections().find((entry) => entry.name === section.value && entry.load);
}
