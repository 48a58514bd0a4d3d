// The administrator's own session: the token from the address, the service's configuration, and what is wrong with either.
import { computed, signal } from "../vendor/preact.js";
import { ApiError, fetchConfig } from "../api.js";

const KEPT = "inspector.token";
const RECHECK_MS = 5000;
const REFRESH_MS = 30_000;

/** The admin token; "" where there is none. It lives in this tab only. */
export const token = signal("");
/** @type {import("../vendor/preact.js").Signal<import("../api.js").Config | null>} */
export const config = signal(null);
/**
 * @typedef {{ kind: "expired" | "refused" | "unreachable", since: number, text: string, hint: string }} Trouble
 * @type {import("../vendor/preact.js").Signal<Trouble | null>}
 */
export const trouble = signal(null);
/** When the configuration was last asked for, in ms; 0 for never. */
export const checkedAt = signal(0);
/** Whether nothing can be streamed because no table is published. */
export const unpublished = computed(() => config.value !== null && config.value.tables.length === 0);

/** Takes the token out of the address at once, before anything else can read it, or out of this tab's memory. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    fragment.delete("token");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
  }
  useToken(given ?? sessionStorage.getItem(KEPT) ?? "");
}

export function useToken(text) {
  token.value = text.trim();
  if (token.value) sessionStorage.setItem(KEPT, token.value);
  else sessionStorage.removeItem(KEPT);
  trouble.value = null;
}

/** Asks for the configuration and says what is wrong where it does not come. */
export async function loadConfig() {
  if (!token.value) return;
  clearTimeout(timer);
  try {
    const next = await fetchConfig(token.value);
    trouble.value = null;
    if (JSON.stringify(next) !== JSON.stringify(config.value)) config.value = next;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    blame(error);
  }
  checkedAt.value = Date.now();
  clearTimeout(timer); // that of a call that was under way at the same time
  timer = window.setTimeout(loadConfig, trouble.value || unpublished.value ? RECHECK_MS : REFRESH_MS);
}

let timer = 0;

/** Remembers what an API call said about the session as a whole; other refusals are the caller's. */
export function blame(/** @type {ApiError} */ error) {
  const kind = kindOf(error);
  if (!kind) return;
  if (trouble.value?.kind !== kind) trouble.value = { kind, since: Date.now(), text: error.message, hint: error.hint };
}

function kindOf({ status }) {
  if (status === 0 || status >= 502) return "unreachable";
  if (status === 401) return expired() ? "expired" : "refused";
  return status === 403 ? "refused" : "";
}

/** Claims of the admin token, for what the page says about it. Read without verifying: only the server decides. */
const claims = computed(() => {
  try {
    const body = token.value.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(body));
  } catch {
    return {};
  }
});

/** Whose admin token it is: an e-mail where the token has one. */
export const adminName = computed(() => (config.value ? String(claims.value.email ?? config.value.admin.id) : ""));

function expired() {
  return Number(claims.value.exp) * 1000 <= Date.now();
}

/** The tables of a recording that is open: they count instead of those that are published now. */
export const recordedTables = signal(/** @type {import("../api.js").Table[] | null} */ (null));

/** @returns {import("../api.js").Table | undefined} */
export function tableOf(schema, name) {
  return (recordedTables.value ?? config.value?.tables)?.find((table) => table.schema === schema && table.name === name);
}

/** Names of the columns that identify a row, as far as they are known. */
export function keyColumns(schema, name) {
  return (
    tableOf(schema, name)
      ?.columns.filter((column) => column.key)
      .map((column) => column.name) ?? []
  );
}
