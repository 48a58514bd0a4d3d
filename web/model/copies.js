// The forms in which a message can be taken along: each a name, what it is for, and its text, or why there is none.
import { write } from "../exact.js";
import { channelOf, completed, completedSubscription } from "./channels.js";
import { pythonCode, scriptCode } from "./code.js";
import { channelName, messageJson } from "./message.js";
import { identityOf } from "./identities.js";
import { keyColumns } from "./session.js";
import { literal, quoted } from "./sql.js";
import { lasting, subjectOf } from "./subject.js";
import { fileName, pgtapCase, pytestCase } from "./testcases.js";
import { payloadText } from "../wire/texts.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Receipt} Receipt
 * @typedef {{ text: string, why: string, file?: string }} Copy  `why`: why there is no text
 */

const none = (why) => ({ text: "", why });
const given = (text, file = "") => ({ text, why: "", file });

/** @type {{ name: string, words: string, make: (message: Message, receipt: Receipt | undefined, origin: string) => Copy }[]} */
export const FORMS = [
  { name: "json", words: "JSON", make: (message, receipt) => given(messageJson(message, receipt)) },
  { name: "curl", words: "curl", make: asCurl },
  { name: "js", words: "supabase-js", make: (message, _, origin) => given(scriptCode(planFor(message), origin)) },
  { name: "python", words: "Python", make: (message, _, origin) => given(pythonCode(planFor(message), origin, eventsOf(message))) },
  { name: "sql", words: "SQL", make: asSql },
  { name: "pytest", words: "pytest", make: (message) => asTest(message, pytestCase, (name) => `test_${name}.py`) },
  { name: "pgtap", words: "pgTAP", make: (message) => asTest(message, pgtapCase, (name) => `${name}.sql`) },
];


function asCurl(message, receipt, origin) {
  if (message.kind !== "broadcast") return none("Only a broadcast can be sent again over HTTP.");
  if (!receipt?.frame || receipt.frame.bytes) return none("Raw bytes have no form in JSON.");
  const payload = payloadText(receipt.frame);
  const inner = receipt.frame.head ? payload : write(receipt.frame.payload.payload ?? {});
  const topic = JSON.stringify(channelName(message.topic));
  const body = `{"messages":[{"topic":${topic},"event":${JSON.stringify(message.op)},"payload":${inner}}]}`;
  const shell = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
  return given(
    [
      `curl ${shell(`${origin}/api/broadcast`)} \\`,
      `  --header "Authorization: Bearer $TOKEN" --header "apikey: $TOKEN" \\`,
      "  --json " + shell(body),
    ].join("\n"),
  );
}

/** The channel that would hear just this again. */
function planFor(message) {
  const known = channelOf(channelName(message.topic));
  const name = channelName(message.topic) || "room-1";
  if (message.kind !== "change") return completed({ ...known, name, changes: [], presence: message.kind === "presence" });
  const keys = keyColumns(message.schema, message.table);
  const filter = keys.length === 1 && message.key ? `${keys[0]}=eq.${message.key}` : "";
  const one = completedSubscription({ schema: message.schema, table: message.table, filter });
  return completed({ ...known, name, changes: [one], presence: false });
}

const eventsOf = (message) => (message.kind === "broadcast" ? [message.op] : []);

/** Reads the row as the identity in view would, and writes nothing. */
function asSql(message, receipt) {
  const one = receipt && identityOf(receipt.who);
  if (message.kind !== "change" || !one) return none("Only a change of a row can be looked up in SQL.");
  const table = `${quoted(message.schema)}.${quoted(message.table)}`;
  const keys = keyColumns(message.schema, message.table);
  const row = receipt.frame?.payload.data?.record ?? receipt.frame?.payload.data?.old_record ?? {};
  const known = keys.length > 0 && keys.every((name) => name in row);
  const where = known ? `\nwhere ${keys.map((name) => `${quoted(name)} = ${literal(String(row[name]))}`).join(" and ")}` : "\nlimit 20";
  return given(
    [
      `-- What ${one.name} may read of it now. Nothing is written.`,
      "begin read only;",
      `set local "request.jwt.claims" = ${literal(write(lasting(one.claims)))};`,
      `set local role ${quoted(one.role)};`,
      `select * from ${table}${where};`,
      "rollback;",
    ].join("\n"),
  );
}

function asTest(message, make, file) {
  const { subject, why } = subjectOf(message);
  return subject ? given(make(subject), file(fileName(subject))) : none(why);
}
