// Lets realtime-js and supabase-js come back after a lost connection and receive the changes of tables that they missed:
//
//   new RealtimeClient(url, { transport: resuming(WebSocket), params: { apikey } })
//   createClient(url, key, { realtime: { transport: resuming(WebSocket) } })
//
// It stands between the client and its sockets: it notes in what is received how far each channel is, and says so in the joins that
// are sent after a reconnect. See "Coming back" in docs/protocol.md. A gap, or that all was made up for, comes to the channel's
// `system` listener with extension "resume".

/** A WebSocket class that remembers channels over its instances; one call for each client. */
export function resuming(WebSocket) {
  /** Topic -> the resume token of its last join, what was received since, and of an event in several frames which of them. */
  const channels = new Map();

  return class extends WebSocket {
    /** The topics that were joined on this socket. */
    #joined = new Set();

    send(data) {
      super.send(typeof data === "string" ? this.#outgoing(data) : data);
    }

    get onmessage() {
      return super.onmessage;
    }

    set onmessage(listener) {
      super.onmessage = listener && ((message) => {
        const known = typeof message.data === "string" && this.#incoming(JSON.parse(message.data));
        if (!known) listener.call(this, message);
      });
    }

    #outgoing(text) {
      const message = JSON.parse(text);
      const [topic, event, payload] = Array.isArray(message) ? message.slice(2) : [message.topic, message.event, message.payload];
      if (event === "phx_leave") channels.delete(topic);
      const known = event === "phx_join" && channels.get(topic);
      if (!known) return text;
      payload.config = { ...payload.config, resume: [known.token, known.reached].filter(Boolean).join(".") };
      return JSON.stringify(message);
    }

    /** Notes how far a channel is; whether the message was received before. */
    #incoming(message) {
      const [topic, event, payload] = Array.isArray(message) ? message.slice(2) : [message.topic, message.event, message.payload];
      const told = event === "phx_reply" && payload.status === "ok" ? payload.response : {};
      if (told.resume) {
        channels.set(topic, { token: told.resume, parts: channels.get(topic)?.parts });
        this.#joined.add(topic);
      } else if (event === "postgres_changes" && channels.has(topic)) {
        return this.#reach(channels.get(topic), payload);
      } else if (told.moment && topic === "phoenix") {
        for (const name of this.#joined) if (channels.has(name)) channels.get(name).reached = told.moment;
      }
      return false;
    }

    /** Only the last frame of an event is a place to come back to; after a cut in between the others come again. */
    #reach(channel, { event_id: event, ids, more }) {
      const part = String(ids);
      if (channel.parts?.event !== event) channel.parts = { event, seen: new Set() };
      const again = channel.parts.seen.has(part);
      channel.parts.seen.add(part);
      if (!more) channel.reached = event;
      return again;
    }
  };
}
