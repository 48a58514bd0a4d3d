// Speaks the admin REST API with the admin token as bearer; every refusal becomes an ApiError with the server's own words.

/** What the server refused, or why it was not reached (`status` 0). `more`: the whole answer, where a code has fields of its own. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} text @param {string} hint @param {Record<string, any>} more */
  constructor(status, code, text, hint, more = {}) {
    super(text);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.more = more;
  }
}

/**
 * @typedef {{ name: string, type: string, key: boolean }} Column
 * @typedef {{ schema: string, name: string, rls: boolean, replica_identity: string, columns: Column[] }} Table
 * @typedef {{ version: string, admin: { id: string }, allowed_roles: string[], privileged_roles: string[],
 *   impersonation_seconds: number, publication: string, tables: Table[] }} Config
 * @typedef {{ id: string, email: string | null, role: string, app_metadata?: Record<string, unknown> }} User
 * @typedef {{ session: { id: string, impersonation_type: string, target_role: string, reason: string, started_at: string,
 *   expires_at: string }, target_user: User | null, access_token: string, expires_in: number,
 *   identity: { role: string, claims: Record<string, unknown> } }} Started
 */

/** @param {string} path relative to the service, which is one level above the page */
export function addressOf(path) {
  return new URL(`../${path}`, document.baseURI);
}

/** @returns {URL} of the WebSocket for a token, serializer 2.0.0 */
export function socketAddress(token) {
  const address = addressOf("socket/websocket");
  address.protocol = address.protocol.replace("http", "ws");
  address.search = new URLSearchParams({ apikey: token, vsn: "2.0.0" }).toString();
  return address;
}

/** Asks, and gives the JSON of the answer. @param {string} token @param {string} method @param {string} path @param {object} [body] */
export async function call(token, method, path, body) {
  return (await ask(token, method, path, body)).json();
}

/** Asks, and gives the answer as it came; what is no success is thrown. */
export async function ask(token, method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (method !== "GET") headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(addressOf(path), { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new ApiError(0, "UNREACHABLE", "The server does not answer", "");
  }
  if (answer.ok) return answer;
  const json = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, json.code ?? "", json.error ?? answer.statusText, json.hint ?? "", json);
}

/** @returns {Promise<Config>} */
export function fetchConfig(token) {
  return call(token, "GET", "api/v1/inspector/config");
}

/** `note` says why nobody can be found. @returns {Promise<{ users: User[], total: number, note?: string }>} */
export function findUsers(token, search, limit) {
  return call(token, "GET", `api/v1/admin/users?${new URLSearchParams({ search, limit: String(limit) })}`);
}

/**
 * @typedef {{ kind: "user" | "anon" | "service" | "role", user: User | null, role: string,
 *   claims: Record<string, unknown> | null, reason: string, seconds: number }} Ask
 * @returns {Promise<Started>}
 */
export function startImpersonation(token, /** @type {Ask} */ ask) {
  const common = { reason: ask.reason, expires_in: ask.seconds, concurrent: true };
  if (ask.kind === "anon" || ask.kind === "service") return call(token, "POST", `api/v1/auth/impersonate/${ask.kind}`, common);
  const body = ask.kind === "user" ? { target_user_id: ask.user?.id, ...common } : { role: ask.role, ...common };
  return call(token, "POST", "api/v1/auth/impersonate", ask.claims ? { ...body, claims: ask.claims } : body);
}

export function stopImpersonation(token, sessionId) {
  return call(token, "DELETE", `api/v1/auth/impersonate?${new URLSearchParams({ session_id: sessionId })}`);
}
