// What completion knows: the published tables with their columns, and what policies are usually made of.
import { computed } from "../vendor/preact.js";
import { config } from "./session.js";

const PHRASES = [
  ["auth.uid()", "who asks: the sub claim as uuid", "function"],
  ["auth.jwt()", "all claims as jsonb", "function"],
  ["auth.role()", "the role claim", "function"],
  ["auth.email()", "the email claim", "function"],
  ["(select auth.uid())", "asked once per statement, not per row", "function"],
  ["current_setting('request.jwt.claims', true)", "the claims as text", "function"],
  ["create policy", "", "keyword"],
  ["as permissive", "one of them must be true", "keyword"],
  ["as restrictive", "each of them must be true", "keyword"],
  ["for select", "", "keyword"],
  ["for insert", "", "keyword"],
  ["for update", "", "keyword"],
  ["for delete", "", "keyword"],
  ["using ()", "which rows are there", "keyword"],
  ["with check ()", "which rows may be written", "keyword"],
];

export const known = computed(() => {
  const tables = /** @type {Record<string, Record<string, string[]>>} */ ({});
  for (const { schema, name, columns } of config.value?.tables ?? []) {
    tables[schema] = { ...tables[schema], [name]: columns.map((column) => column.name) };
  }
  const roles = (config.value?.allowed_roles ?? []).map((name) => ({ label: name, detail: "role", type: "type" }));
  return { tables, phrases: [...PHRASES.map(([label, detail, type]) => ({ label, detail, type })), ...roles] };
});
