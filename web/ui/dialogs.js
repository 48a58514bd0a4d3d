// The dialogs, each fetched when it is first opened, or ahead of that when nothing else is to do.
import { html } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { Lazy } from "./lazy.js";

/** @type {Record<import("../model/choice.js").OpenDialog["kind"], () => Promise<any>>} */
const DIALOGS = {
  identity: () => import("./picker.js").then((module) => module.IdentityDialog),
  join: () => import("./join.js").then((module) => module.JoinDialog),
  claims: () => import("./claims.js").then((module) => module.ClaimsDialog),
  columns: () => import("./columnsheet.js").then((module) => module.ColumnsDialog),
  difference: () => import("./difference.js").then((module) => module.DifferenceDialog),
  record: () => import("./recorder.js").then((module) => module.RecordDialog),
  keys: () => import("./sheets.js").then((module) => module.KeysDialog),
  more: () => import("./sheets.js").then((module) => module.MoreDialog),
  previews: () => import("./sheets.js").then((module) => module.PreviewsDialog),
  disconnect: () => import("./connections.js").then((module) => module.DisconnectDialog),
};

export const LOADS = Object.values(DIALOGS);

export function OpenDialog() {
  const open = dialog.value;
  if (open === null) return null;
  const { kind, ...given } = open;
  return html`<${Lazy} key=${"name" in given ? `${kind} ${given.name}` : kind} load=${DIALOGS[kind]} ...${given} />`;
}
