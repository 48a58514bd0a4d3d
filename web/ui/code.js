// Writes a channel plan as the supabase-js program that would hear the same.

/** @param {import("../wire/channel.js").ChannelPlan} plan */
export function clientCode(plan, origin) {
  const listeners = [...plan.changes.map(changeListener), `  .on("broadcast", { event: "*" }, console.log)`];
  if (plan.presence) listeners.push(`  .on("presence", { event: "sync" }, () => console.log(channel.presenceState()))`);
  return [
    `const supabase = createClient(${text(origin)}, TOKEN)`,
    `const channel = supabase.channel(${text(plan.name || "room-1")}${options(plan)})`,
    ...listeners,
    "  .subscribe(console.log)",
  ].join("\n");
}

const text = (value) => JSON.stringify(value);

function options({ self, ack, presence, presenceKey }) {
  const broadcast = [self && "self: true", ack && "ack: true"].filter(Boolean);
  const parts = [
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
