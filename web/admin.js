// The questions that only an administrator may ask: why, who else, lints, policies, SQL, the trail, connections.
import { ask, call } from "./api.js";
import { token } from "./model/session.js";

/**
 * Whose eyes: a running session, or a role with claims.
 * @typedef {{ session_id: string } | { role: string, claims?: Record<string, unknown> }} Whose
 * @typedef {{ sqlstate: string, message: string }} Raised
 * @typedef {{ expression: string, result: boolean | null | Raised, left?: string | null, operator?: string, right?: string | null,
 *   left_expression?: string, right_expression?: string }} Leaf
 * @typedef {{ code: string, text: string }} Caveat
 * @typedef {{ name: string, kind: string, command: string, roles: string[], applicable: boolean, expression: string,
 *   result: boolean | null | Raised, why_not: string, asked: boolean, leaves: Leaf[], tree: any, caveats: string[] }} TracedPolicy
 * @typedef {{ step: string, state: "passed" | "failed" | "skipped", fact: string }} Step
 * @typedef {{ verdict: string, sentence: string, source: string, evaluated_at: string, role: string, claims_digest: string,
 *   bypass: string | null, ladder: Step[], grants: { schema_usage: boolean, table: boolean, columns_denied: string[] } | null,
 *   policies: TracedPolicy[], agrees: boolean | null,
 *   caveats: Caveat[], sql: string, old: { verdict: string | null, policies: TracedPolicy[], caveats: Caveat[] } | null,
 *   schema: string, table: string, key: Record<string, string | null>, operation: string | null,
 *   row: Record<string, string | null> | null, before: string | null }} Trace
 * @typedef {{ connection: string, topic: string, role: string, subject: string | null, verdict: string, reason: string,
 *   detail: string }} Subscriber
 * @typedef {{ id: string, name: string, level: "error" | "warning" | "info", title: string, detail: string, remedy_sql: string,
 *   object: { schema: string, name: string, kind: string }, docs: string }} Finding
 * @typedef {{ name: string, kind: string, command: string, roles: string[], using: string | null, check: string | null }} Policy
 * @typedef {{ schema: string, name: string, rls: boolean, forced: boolean, policies: Policy[] }} PolicyTable
 * @typedef {{ state: "all" | "some" | "none" | "raises" | "no_grant", visible: number, sampled: number, policies: any[] }} Cell
 * @typedef {{ table: any, role?: string, identity?: any, cells: Record<string, Cell> }} MatrixRow
 * @typedef {{ columns: { name: string, type: string }[], rows: (string | null)[][], row_count: number, truncated: boolean,
 *   command: string, mode: string, milliseconds: number, notices: any[], results?: Result[] }} Result
 * @typedef {{ id: number | string, at: string, action: string, admin_user_id: string | null, session_id: string | null,
 *   detail: any, ip_address: string | null, user_agent: string | null, hash: string }} Entry
 * @typedef {{ id: string, peer: string, role: string, subject: string | null, vsn: string, opened_at: number, topics: string[],
 *   sent: number, sent_bytes: number, dropped: number, queued_bytes: number,
 *   impersonation: { session_id: string, actor: string } | null }} Connection
 */

const get = (path) => call(token.value, "GET", path);
const post = (path, body) => call(token.value, "POST", path, body);

/** Parameters that say something, as a query. */
function query(parameters) {
  const said = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return new URLSearchParams(said.map(([name, value]) => [name, String(value)])).toString();
}

/** @returns {Promise<Trace>} */
export const fetchWhy = (body) => post("api/v1/why", body);
/** @returns {Promise<{ delivered: number, withheld: number, subscribers: Subscriber[] }>} */
export const fetchWho = (body) => post("api/v1/who", body);
/** @returns {Promise<{ findings: Finding[], checked_at: string }>} */
export const fetchLints = () => get("api/v1/lints");
/** @returns {Promise<{ tables: PolicyTable[] }>} */
export const fetchPolicies = () => get("api/v1/policies");
/** @returns {Promise<{ rows: MatrixRow[] }>} */
export const fetchMatrix = (body) => post("api/v1/policies/matrix", body);
/** @returns {Promise<{ identities: any[], migration: string }>} */
export const tryPolicy = (body) => post("api/v1/policies/try", body);
/** @returns {Promise<{ templates: { id: string, title: string, description: string, sql: string }[] }>} */
export const fetchTemplates = () => get("api/v1/policies/templates");
/** @returns {Promise<{ sql: string, explanation: string }>} */
export const askAssistant = (body) => post("api/v1/policies/assist", body);
/** @returns {Promise<Result>} */
export const runSql = (body) => post("api/v1/sql", body);
/** @returns {Promise<Result>} */
export const fetchRows = (schema, table, parameters) =>
  get(`api/v1/tables/${encodeURIComponent(schema)}/${encodeURIComponent(table)}/rows?${query(parameters)}`);
/** @returns {Promise<{ entries: Entry[], total: number, limit: number, offset: number }>} */
export const fetchAudit = (parameters) => get(`api/v1/audit?${query(parameters)}`);
/** @returns {Promise<{ intact: boolean, entries: number, head?: string, first_broken?: { id: number | null, why: string } }>} */
export const verifyAudit = () => get("api/v1/audit/verify");
/** @returns {Promise<{ sessions: any[], total: number }>} */
export const fetchSessions = (parameters) => get(`api/v1/auth/impersonate/sessions?${query(parameters)}`);
/** @returns {Promise<{ connections: Connection[] }>} */
export const fetchConnections = () => get("api/v1/connections");
export const disconnect = (id) => call(token.value, "DELETE", `api/v1/connections/${encodeURIComponent(id)}`);
/** The trail as a file. @returns {Promise<Blob>} */
export const exportAudit = async (parameters) => (await ask(token.value, "GET", `api/v1/audit/export?${query(parameters)}`)).blob();
