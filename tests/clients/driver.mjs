// Drives one official JavaScript client: commands as lines of JSON in, everything that the client's callbacks say as lines out.
// node driver.mjs PACKAGE   (a folder of node_modules; the words are explained in tests/wire/clients/driver.py)
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { resuming } from "../../clients/resuming.mjs";

const { RealtimeClient, createClient } = await import(process.argv[2]);
const clients = new Map();
const channels = new Map();
const accounts = new Map();

// JSON knows neither numbers that are not finite nor bytes.
const plain = (_, value) => {
  if (typeof value === "number" && !Number.isFinite(value)) return { $number: String(value) };
  return value instanceof ArrayBuffer ? { $bytes: Buffer.from(value).toString("hex") } : value;
};
const say = (message) => process.stdout.write(`${JSON.stringify(message, plain)}\n`);
const bytes = ({ $bytes: hex }) => Uint8Array.from(Buffer.from(hex, "hex")).buffer;

const commands = {
  open({ client, url, key, token, resumes }) {
    const transport = resumes ? resuming(WebSocket) : WebSocket;
    accounts.set(client, token);
    if (createClient) {
      // With accounts of somebody else, supabase-js asks the application for the token: each time that it may be new.
      const accessToken = async () => accounts.get(client) ?? key;
      clients.set(client, createClient(url, key, { accessToken, realtime: { transport } }).realtime);
    } else {
      const endpoint = `${url.replace("http", "ws")}/socket`;
      clients.set(client, new RealtimeClient(endpoint, { transport, params: { apikey: key } }));
      return token && clients.get(client).setAuth(token);
    }
  },

  authenticate({ client, token }) {
    accounts.set(client, token);
    return clients.get(client).setAuth(createClient ? undefined : token);
  },

  join({ client, channel, name, config, changes, presence }) {
    const made = clients.get(client).channel(name, { config });
    const tell = (kind, heard) => say({ channel, kind, heard });
    changes.forEach((wanted, binding) => {
      made.on("postgres_changes", wanted, (change) =>
        tell("change", {
          binding,
          event: change.eventType,
          schema: change.schema,
          table: change.table,
          record: change.new,
          old_record: change.old,
          errors: change.errors,
          commit_timestamp: change.commit_timestamp,
        }),
      );
    });
    made.on("broadcast", { event: "*" }, ({ event, payload }) => tell("broadcast", { event, payload }));
    made.on("system", {}, (message) => tell("system", message));
    if (presence) {
      made.on("presence", { event: "sync" }, () => tell("presence", { event: "sync", state: made.presenceState() }));
      made.on("presence", { event: "join" }, ({ key, newPresences }) => tell("presence", { event: "join", key, metas: newPresences }));
      made.on("presence", { event: "leave" }, ({ key, leftPresences }) => tell("presence", { event: "leave", key, metas: leftPresences }));
    }
    channels.set(channel, made);
    made.subscribe((status, error) => tell("status", { status, error: error ? String(error.message ?? error) : null }));
  },

  send({ channel, event, payload, ...more }) {
    const content = payload.$bytes === undefined ? payload : bytes(payload);
    return channels.get(channel).send({ type: "broadcast", event, payload: content, ...more });
  },

  track: ({ channel, payload }) => channels.get(channel).track(payload),

  untrack: ({ channel }) => channels.get(channel).untrack(),

  state: ({ channel }) => channels.get(channel).presenceState(),

  leave: ({ channel }) => channels.get(channel).unsubscribe(),

  close({ client }) {
    clients.get(client).disconnect(); // it is a matter of time: nobody waits for it
    clients.delete(client);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...words } = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command](words))
    .then((value) => say({ id, value: value ?? null }))
    .catch((error) => say({ id, error: String(error?.stack ?? error) }));
}
process.exit(0);
