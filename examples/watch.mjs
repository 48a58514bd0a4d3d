// Prints the tweets that the key's owner may see, as they change, and the broadcasts of the channel "demo".
//   npm install @supabase/supabase-js ws      (ws only for Node below 22)
//   RTI_URL=http://127.0.0.1:4000 RTI_KEY=… node watch.mjs
// RTI_KEY is a token: of an account, or the anon key. `realtime-inspector token` makes one.
import { createClient } from "@supabase/supabase-js";

const url = process.env.RTI_URL ?? "http://127.0.0.1:4000";
const transport = globalThis.WebSocket ?? (await import("ws")).default;
const client = createClient(url, process.env.RTI_KEY, { realtime: { transport }, auth: { persistSession: false } });

client
  .channel("demo", { config: { broadcast: { self: true } } })
  .on("postgres_changes", { event: "*", schema: "public", table: "tweets" }, (change) =>
    console.log(change.eventType, JSON.stringify(change.eventType === "DELETE" ? change.old : change.new)),
  )
  .on("broadcast", { event: "*" }, ({ event, payload }) => console.log("broadcast", event, JSON.stringify(payload)))
  .subscribe((status, error) => console.log(status, error?.message ?? ""));
