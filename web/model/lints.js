// What the service found wrong about policies and the publication, worst first, and what was gone after the last check.
import { computed, signal } from "../vendor/preact.js";
import { fetchLints } from "../admin.js";
import { Question } from "./question.js";

export const lints = new Question(fetchLints);
/** Findings that the check before had and the last one has not. */
export const fixed = signal(/** @type {import("../admin.js").Finding[]} */ ([]));

const RANK = { error: 0, warning: 1, info: 2 };

export const findings = computed(() => {
  const all = lints.state.value.answer?.findings ?? [];
  return [...all].sort((a, b) => RANK[a.level] - RANK[b.level]);
});

/** How many errors: what the section's name tells. */
export const errors = computed(() => findings.value.filter((finding) => finding.level === "error").length);

export async function checkLints() {
  const before = lints.state.peek().answer?.findings ?? [];
  const { answer } = await lints.ask();
  if (!answer) return;
  const left = new Set(answer.findings.map((finding) => finding.id));
  fixed.value = before.filter((finding) => !left.has(finding.id));
}
