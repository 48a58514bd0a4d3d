// Reads CREATE POLICY and ALTER POLICY statements into their parts, and writes one from them. What is between the parentheses stays as it is.
import { quoted } from "./sql.js";

/**
 * @typedef {{ schema: string, table: string, name: string, kind: "permissive" | "restrictive", command: string, roles: string[],
 *   using: string | null, check: string | null }} PolicyText
 * @typedef {(schema: string, table: string, name: string) => PolicyText | null} Existing  what ALTER POLICY alters
 * @typedef {{ policy: PolicyText, problem: "" } | { policy: null, problem: string, position: number }} Read
 */

// https://www.postgresql.org/docs/current/sql-syntax-lexical.html
const TOKEN =
  /(?<space>\s+|--[^\n]*|\/\*[\s\S]*?\*\/)|(?<text>[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?<tag>\w*)\$[\s\S]*?\$\k<tag>\$)|(?<name>"(?:[^"]|"")+")|(?<word>[^\W\d][\w$]*)|(?<other>[\s\S])/gu;
const COMMANDS = ["all", "select", "insert", "update", "delete"];

class Wrong extends Error {
  constructor(text, at) {
    super(text);
    this.at = at;
  }
}

/** Reads the one policy that a text is. @returns {Read} */
export function readPolicy(text, /** @type {Existing} */ existing) {
  try {
    return { policy: new Reader(text, tokensOf(text)).policy(existing), problem: "" };
  } catch (error) {
    return { policy: null, ...wrongAt(text, error) };
  }
}

/**
 * The policies of a script, and how many other statements it has.
 * @returns {{ policies: PolicyText[], others: number, problem: string, position: number }}
 */
export function readScript(text, /** @type {Existing} */ existing) {
  const statements = split(tokensOf(text));
  const isPolicy = (/** @type {Token[]} */ [first, second]) => /^(create|alter)$/i.test(first?.text) && /^policy$/i.test(second?.text ?? "policy");
  const ours = statements.filter(isPolicy);
  const others = statements.length - ours.length;
  try {
    const policies = ours.map((tokens) => new Reader(text, tokens).policy(existing));
    if (!policies.length && others) throw new Wrong("There is no create policy here.", statements[0][0].at);
    return { policies, others, problem: "", position: 0 };
  } catch (error) {
    return { policies: [], others, ...wrongAt(text, error) };
  }
}

function wrongAt(text, error) {
  if (!(error instanceof Wrong)) throw error;
  return { problem: error.message, position: [...text.slice(0, error.at)].length + 1 };
}

/** @typedef {{ kind: string, text: string, at: number }} Token */

function tokensOf(text) {
  const tokens = /** @type {Token[]} */ ([]);
  for (const match of text.matchAll(TOKEN)) {
    const kind = ["space", "text", "name", "word", "other"].find((name) => match.groups?.[name] !== undefined) ?? "other";
    if (kind !== "space") tokens.push({ kind, text: match[0], at: match.index });
  }
  return tokens;
}

/** Statements, without their semicolons. */
function split(tokens) {
  const statements = /** @type {Token[][]} */ ([[]]);
  for (const token of tokens) {
    if (token.text === ";") statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements.filter((statement) => statement.length > 0);
}

class Reader {
  constructor(text, /** @type {Token[]} */ tokens) {
    this.text = text;
    this.tokens = tokens;
    this.next = 0;
  }

  get token() {
    const last = this.tokens.at(-1);
    return this.tokens[this.next] ?? { kind: "end", text: "", at: last ? last.at + last.text.length : 0 };
  }

  /** Takes the next words if they are these. */
  takes(...words) {
    const here = this.tokens.slice(this.next, this.next + words.length);
    if (here.length < words.length || here.some((token, i) => token.text.toLowerCase() !== words[i] || token.kind === "name")) return false;
    this.next += words.length;
    return true;
  }

  expects(...words) {
    if (!this.takes(...words)) throw new Wrong(`Here should stand ${words.join(" ")}.`, this.token.at);
  }

  name(what) {
    const { kind, text, at } = this.token;
    if (kind !== "word" && kind !== "name") throw new Wrong(`Here should stand ${what}.`, at);
    this.next += 1;
    return kind === "name" ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase();
  }

  oneOf(words) {
    const found = words.find((word) => this.takes(word));
    if (!found) throw new Wrong(`Here should stand ${words.slice(0, -1).join(", ")} or ${words.at(-1)}.`, this.token.at);
    return found;
  }

  /** What stands between the next parentheses. */
  inside(what) {
    const open = this.token;
    if (!this.takes("(")) throw new Wrong(`${what} wants its condition in parentheses.`, open.at);
    for (let depth = 1; depth > 0; this.next += 1) {
      if (this.token.kind === "end") throw new Wrong(`This parenthesis of ${what} is not closed.`, open.at);
      depth += { "(": 1, ")": -1 }[this.token.text] ?? 0;
    }
    const condition = this.text.slice(open.at + 1, this.tokens[this.next - 1].at).trim();
    if (!condition) throw new Wrong(`${what} has no condition.`, open.at);
    return condition;
  }

  /** @returns {PolicyText} */
  policy(/** @type {Existing} */ existing) {
    if (this.takes("alter", "policy")) return this.altered(existing);
    this.expects("create", "policy");
    const [schema, table, name] = this.named();
    const kind = this.takes("as") ? this.oneOf(["permissive", "restrictive"]) : "permissive";
    const command = this.takes("for") ? this.oneOf(COMMANDS) : "all";
    const { roles, using, check } = this.rest();
    this.fits(command, using, check);
    return { schema, table, name, kind: /** @type {any} */ (kind), command, roles: roles.length ? roles : ["public"], using, check };
  }

  /** The policy as it would be; what the statement does not name stays as it is (ALTER POLICY). */
  altered(/** @type {Existing} */ existing) {
    const { at } = this.token;
    const [schema, table, name] = this.named();
    if (this.takes("rename")) throw new Wrong("Another name changes nothing that could be tried.", at);
    const { roles, using, check } = this.rest();
    if (!roles.length && using === null && check === null) throw new Wrong("Nothing is altered: add TO, USING or WITH CHECK.", this.token.at);
    const known = existing(schema, table, name);
    if (!known) throw new Wrong(`${schema}.${table} has no policy ${name} that could be altered.`, at);
    const policy = { ...known, roles: roles.length ? roles : known.roles, using: using ?? known.using, check: check ?? known.check };
    this.fits(policy.command, policy.using, policy.check);
    return policy;
  }

  /** Schema, table and name. */
  named() {
    const name = this.name("the policy’s name");
    this.expects("on");
    const first = this.name("the table");
    return this.takes(".") ? [first, this.name("the table"), name] : ["public", first, name];
  }

  /** Roles and conditions, after which nothing may come. */
  rest() {
    const roles = [];
    if (this.takes("to")) {
      do roles.push(this.name("a role"));
      while (this.takes(","));
    }
    const using = this.takes("using") ? this.inside("USING") : null;
    const check = this.takes("with", "check") ? this.inside("WITH CHECK") : null;
    this.takes(";");
    if (this.token.kind !== "end") throw new Wrong("The statement should end here; one policy at a time.", this.token.at);
    return { roles, using, check };
  }

  /** What Postgres would refuse when the policy is created (CREATE POLICY, "Policies Applied by Command Type"). */
  fits(command, using, check) {
    if (command === "insert" && using !== null) throw new Wrong("A policy for insert has no USING: there is no row yet. Use WITH CHECK.", this.token.at);
    if (["select", "delete"].includes(command) && check !== null) {
      throw new Wrong(`A policy for ${command} has no WITH CHECK: nothing is written. Use USING.`, this.token.at);
    }
    if (using === null && check === null) throw new Wrong("The policy has no condition: add USING or WITH CHECK.", this.token.at);
  }
}

/** The statement for a policy as the service lists it. */
export function writePolicy(schema, table, { name, kind, command, roles, using, check }) {
  const all = String(command).toLowerCase();
  return [
    `create policy ${quoted(name)} on ${quoted(schema)}.${quoted(table)}`,
    String(kind).toLowerCase() === "restrictive" ? "  as restrictive" : "",
    all === "all" ? "" : `  for ${all}`,
    roles.length && !(roles.length === 1 && roles[0] === "public") ? `  to ${roles.map(quoted).join(", ")}` : "",
    using ? `  using (${bare(using)})` : "",
    check ? `  with check (${bare(check)})` : "",
  ]
    .filter(Boolean)
    .join("\n")
    .concat(";\n");
}

/** Without the parentheses that Postgres puts around a whole expression. */
function bare(expression) {
  const text = expression.trim();
  if (!text.startsWith("(")) return text;
  let depth = 0;
  for (const match of text.matchAll(TOKEN)) {
    depth += { "(": 1, ")": -1 }[match[0]] ?? 0;
    if (depth === 0) return match.index + 1 === text.length ? text.slice(1, -1).trim() : text;
  }
  return text;
}
