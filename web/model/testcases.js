// Writes a case as a test that runs: a file for pytest, and one for pgTAP. Both put the row there, ask as each person, and roll back.
import { write } from "../exact.js";
import { listed } from "../format.js";
import { dollars, literal, quoted } from "./sql.js";

/** @typedef {import("./subject.js").Subject} Subject */

const nameOf = ({ schema, table }) => `${quoted(schema)}.${quoted(table)}`;
const whereOf = ({ key }) => key.map(([name, value]) => `${quoted(name)} = ${literal(value)}`).join(" and ");

/** What the case says, in one line. */
export function claimOf(/** @type {Subject} */ subject) {
  const names = (which) => subject.people.filter(({ sees }) => which.includes(sees)).map(({ name }) => name);
  const seen = names(["yes"]);
  const hidden = names(["no", "forbidden"]);
  const raises = names(["raises"]);
  const parts = [
    seen.length && `seen by ${listed(seen)}`,
    hidden.length && `hidden from ${listed(hidden)}`,
    raises.length && `raises for ${listed(raises)}`,
  ].filter(Boolean);
  return `${subject.schema}.${subject.table} ${subject.key.map(([, value]) => value).join(" ")}: ${parts.join(", ")}`;
}

/** The row as an insert that also takes the place of one with the same key. `row`: SQL of a text with its JSON. */
function putting(/** @type {Subject} */ subject, row) {
  const columns = subject.columns.map(quoted);
  const keys = subject.key.map(([name]) => quoted(name));
  const others = columns.filter((name) => !keys.includes(name));
  const sets = others.map((name) => `${name} = excluded.${name}`).join(", ");
  return [
    `insert into ${nameOf(subject)} (${columns.join(", ")}) overriding system value`,
    `select ${columns.join(", ")} from jsonb_populate_record(null::${nameOf(subject)}, ${row}::jsonb)`,
    `on conflict (${keys.join(", ")}) do ${sets ? `update set ${sets}` : "nothing"}`,
  ];
}

const word = (text) => text.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "").toLowerCase();

/** The name of a file for it, without its ending. */
export function fileName(/** @type {Subject} */ subject) {
  return `${word(subject.table)}_${word(subject.key.map(([, value]) => value).join(" ")).slice(0, 12)}`;
}

// --- pytest ----------------------------------------------------------------------------------------------------------

/** A Python literal. Lines and backslashes stay readable between three quotes; what does not fit there is a literal in JSON, too. */
function python(text) {
  if (text.includes("'''") || /['\\]$/.test(text)) return JSON.stringify(text);
  if (/[\\\n]/.test(text)) return `r'''${text}'''`;
  return text.includes('"') ? (text.includes("'") ? JSON.stringify(text) : `'${text}'`) : `"${text}"`;
}

/** @param {Subject} subject */
export function pytestCase(subject) {
  const name = fileName(subject);
  return `"""${claimOf(subject).replace(/["\\\n]/g, "'")}.

DATABASE_URL=postgresql://… pytest test_${name}.py
Needs psycopg, and a login that may write the table and take these roles. All of it is rolled back.
"""

import contextlib
import os

import psycopg
import pytest

ROW = ${python(write(subject.row))}
PUT = ${python(putting(subject, "\0").join("\n").replaceAll("%", "%%").replace("\0", "%s"))}
READ = ${python(`select from ${nameOf(subject)} where ${whereOf(subject)}`)}


@pytest.fixture
def database():
    """A transaction in which the row is there."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("set local session_replication_role = replica")  # no triggers, no foreign keys
        connection.execute(PUT, [ROW])
        connection.execute("set local session_replication_role = default")
        yield connection
        connection.rollback()


def rows_as(database, role, claims):
    """How many rows this person reads under that key."""
    with database.transaction(force_rollback=True):
        database.execute("select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)", [claims, role])
        return database.execute(READ).rowcount


${[...control(subject, PYTEST_CONTROL), ...subject.people.map((person, i) => pytestFunction(person, distinct(subject.people, i)))].join("\n\n")}
`;
}

const PYTEST_CONTROL = `def test_the_row_is_there(database):
    assert database.execute(READ).rowcount == 1
`;

/** Where nobody sees the row, that it is there has to be tested: else a case that found nothing would pass. */
function control({ people }, text) {
  return people.some(({ sees }) => sees === "yes") ? [] : [text];
}

/** A word for one of several people, none twice. */
function distinct(people, at) {
  const words = people.map(({ name }) => word(name) || "somebody");
  return words.indexOf(words[at]) === at ? words[at] : `${words[at]}_${at + 1}`;
}

function pytestFunction({ role, claims, sees }, who) {
  const asks = `rows_as(database, ${python(role)}, ${python(write(claims))})`;
  const does = { yes: "sees", no: "does_not_see", forbidden: "may_not_read", raises: "raises_for" }[sees];
  const head = `def test_${sees === "raises" ? `it_${does}_${who}` : `${who}_${does}_it`}(database):`;
  if (sees === "yes") return `${head}\n    assert ${asks} == 1\n`;
  if (sees === "no") return `${head}\n    assert ${asks} == 0\n`;
  const error = sees === "forbidden" ? "psycopg.errors.InsufficientPrivilege" : "psycopg.Error";
  return `${head}\n    with pytest.raises(${error}):\n        ${asks}\n`;
}

// --- pgTAP -----------------------------------------------------------------------------------------------------------

/** @param {Subject} subject */
export function pgtapCase(subject) {
  const there = `select isnt_empty(${literal(readOf(subject))}, 'the row is there');\n`;
  const people = [...control(subject, there), ...subject.people.map((person) => pgtapLines(person, subject))];
  return `-- ${claimOf(subject).replaceAll("\n", " ")}.
-- pg_prove ${fileName(subject)}.sql, or psql -X -f; needs the extension pgtap. All of it is rolled back.
begin;
select plan(${people.length});

set local session_replication_role = replica;  -- no triggers, no foreign keys; without the right to it leave this out
${putting(subject, dollars(write(subject.row))).join("\n")};
set local session_replication_role = default;

${people.join("\n")}
select * from finish();
rollback;
`;
}

const readOf = (subject) => `select 1 from ${nameOf(subject)} where ${whereOf(subject)}`;

function pgtapLines({ name, role, claims, sees }, subject) {
  const read = literal(readOf(subject));
  const check = {
    yes: `isnt_empty(${read}, ${literal(`${name} sees it`)})`,
    no: `is_empty(${read}, ${literal(`${name} does not see it`)})`,
    forbidden: `throws_ok(${read}, '42501', null, ${literal(`${name} may not read the table`)})`,
    raises: `throws_ok(${read}, null, null, ${literal(`it raises for ${name}`)})`,
  }[sees];
  return `set local role ${quoted(role)};
set local "request.jwt.claims" = ${literal(write(claims))};
select ${check};
reset role;
`;
}
