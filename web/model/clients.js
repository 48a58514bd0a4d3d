// The service's live connections, read again every few seconds while somebody looks at them.
import { computed, signal } from "../vendor/preact.js";
import { disconnect, fetchConnections } from "../admin.js";
import { Question } from "./question.js";

export const EVERY_MS = 5000;

export const connections = new Question(fetchConnections);
export const find = signal("");

export const found = computed(() => {
  const words = find.value.trim().toLowerCase();
  const all = connections.state.value.answer?.connections ?? [];
  if (!words) return all;
  return all.filter((one) => [one.id, one.peer, one.role, one.subject ?? "", ...one.topics].some((text) => String(text).toLowerCase().includes(words)));
});

/** Closes one; throws what the service refused. */
export async function cutOff(id) {
  await disconnect(id);
  await connections.ask();
}
