// Names and values in SQL that the page writes for people to run. The page itself never sends any of it.

const RESERVED = new Set(
  (
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create current_catalog " +
    "current_date current_role current_time current_timestamp current_user default deferrable desc distinct do else end except " +
    "false fetch for foreign from grant group having in initially intersect into lateral leading limit localtime localtimestamp " +
    "not null offset on only or order placing primary references returning select session_user some symmetric system_user table " +
    "then to trailing true union unique user using variadic when where window with authorization binary collation concurrently " +
    "cross current_schema freeze full ilike inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose"
  ).split(" "),
);

/** An SQL identifier, quoted only where it has to be. */
export function quoted(/** @type {string} */ name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal of unknown type, which takes the type of what it is compared with. */
export function literal(/** @type {string} */ value) {
  const body = `'${value.replaceAll("'", "''")}'`;
  return value.includes("\\") ? `E${body.replaceAll("\\", "\\\\")}` : body;
}

/** A text between dollars, with a tag that it does not contain. */
export function dollars(/** @type {string} */ value) {
  let tag = "$row$";
  for (let n = 1; value.includes(tag); n += 1) tag = `$row${n}$`;
  return `${tag}${value}${tag}`;
}
