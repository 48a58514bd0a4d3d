// Writes a channel plan as the program that would hear the same: with supabase-js, and with realtime for Python.

/** @typedef {import("../wire/channel.js").ChannelPlan} ChannelPlan */

const text = (value) => JSON.stringify(value);

/** @param {ChannelPlan} plan */
export function scriptCode(plan, origin) {
  const listeners = [...plan.changes.map(changeListener), `  .on("broadcast", { event: "*" }, console.log)`];
  if (plan.presence) listeners.push(`  .on("presence", { event: "sync" }, () => console.log(channel.presenceState()))`);
  return [
    `import { createClient } from "@supabase/supabase-js"`,
    "",
    `const supabase = createClient(${text(origin)}, process.env.TOKEN)`,
    `const channel = supabase.channel(${text(plan.name || "room-1")}${scriptConfig(plan)})`,
    ...listeners,
    "  .subscribe(console.log)",
  ].join("\n");
}

function scriptConfig({ self, ack, presence, presenceKey, replay, ...more }) {
  const broadcast = [self && "self: true", ack && "ack: true", more.private && replay && `replay: { since: 1, limit: ${replay} }`].filter(Boolean);
  const parts = [
    more.private && "private: true",
    broadcast.length && `broadcast: { ${broadcast.join(", ")} }`,
    presence && presenceKey && `presence: { key: ${text(presenceKey)} }`,
  ].filter(Boolean);
  return parts.length ? `, {\n  config: { ${parts.join(", ")} },\n}` : "";
}

function changeListener({ schema, table, event, filter, select }) {
  const parts = [`event: ${text(event)}`, `schema: ${text(schema)}`, `table: ${text(table)}`];
  if (filter) parts.push(`filter: ${text(filter)}`);
  if (select.length) parts.push(`select: ${text(select)}`);
  return `  .on("postgres_changes", { ${parts.join(", ")} }, console.log)`;
}

/** @param {ChannelPlan} plan @param {string[]} events broadcasts to hear: this client has no way to say every one */
export function pythonCode(plan, origin, events = ["message"]) {
  const listeners = plan.changes.map(pythonListener);
  for (const event of events) listeners.push(`    channel.on_broadcast(${text(event)}, print)`);
  if (plan.presence) listeners.push("    channel.on_presence_sync(lambda: print(channel.presence_state()))");
  const needsEvent = plan.changes.length > 0;
  return [
    "import asyncio",
    "import os",
    "",
    `from realtime import AsyncRealtimeClient${needsEvent ? ", RealtimePostgresChangesListenEvent" : ""}`,
    "",
    "",
    "async def main():",
    `    client = AsyncRealtimeClient(${text(`${origin}/socket`)}, os.environ["TOKEN"])`,
    `    channel = client.channel(${text(plan.name || "room-1")}${pythonConfig(plan)})`,
    ...listeners,
    "    await channel.subscribe(lambda status, error: print(status, error or \"\"))",
    "    await asyncio.Event().wait()",
    "",
    "",
    "asyncio.run(main())",
  ].join("\n");
}

const truth = (value) => (value ? "True" : "False");

function pythonConfig({ self, ack, presence, presenceKey, ...more }) {
  if (!self && !ack && !presenceKey && !more.private) return "";
  const broadcast = `{"ack": ${truth(ack)}, "self": ${truth(self)}}`;
  const parts = [
    `"broadcast": ${broadcast}`,
    `"presence": {"key": ${text(presenceKey)}, "enabled": ${truth(presence)}}`,
    `"private": ${truth(more.private)}`,
  ];
  return `, {"config": {${parts.join(", ")}}}`;
}

const EVENT_NAMES = { "*": "All", INSERT: "Insert", UPDATE: "Update", DELETE: "Delete" };

function pythonListener({ schema, table, event, filter, select }) {
  const named = [`table=${text(table)}`, `schema=${text(schema)}`];
  if (filter) named.push(`filter=${text(filter)}`);
  if (select.length) named.push(`select=${text(select)}`);
  return `    channel.on_postgres_changes(RealtimePostgresChangesListenEvent.${EVENT_NAMES[event]}, print, ${named.join(", ")})`;
}
