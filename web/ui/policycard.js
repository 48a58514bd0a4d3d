// One policy of a trace: its answer, its caveats, and each part of its condition with the values on both sides.
import { html } from "../vendor/preact.js";
import { Icon, Mark } from "./parts.js";

export function isRaised(result) {
  return result !== null && typeof result === "object";
}

/** @returns {"allowed" | "denied" | "raised"} null counts as false */
export function markOfResult(result) {
  if (isRaised(result)) return "raised";
  return result === true ? "allowed" : "denied";
}

function wordOf(result) {
  if (isRaised(result)) return `raises ${result.sqlstate}`;
  return result === null || result === undefined ? "null" : String(result);
}

/** "(own or staff) and not_archived", each name in the colour of its answer. */
export function Combination({ policies }) {
  const applicable = policies.filter((policy) => policy.applicable);
  const permissive = applicable.filter((policy) => policy.kind !== "restrictive");
  const restrictive = applicable.filter((policy) => policy.kind === "restrictive");
  if (!permissive.length) return html`<span>no permissive policy for this role: nothing is seen</span>`;
  const some = joined(permissive, "or");
  return html`<code class="combo">${permissive.length > 1 && restrictive.length ? html`(${some})` : some}${restrictive.length > 0 && html` and ${joined(restrictive, "and")}`}</code>`;
}

function joined(policies, word) {
  return policies.map((policy, i) => html`${i > 0 && ` ${word} `}<em data-v=${markOfResult(policy.result)}>${policy.name}</em>`);
}

/** `caveats`: those of the whole trace, which say in words what a policy names by code. */
export function PolicyCard({ policy, caveats }) {
  const mark = policy.asked ? markOfResult(policy.result) : "skipped";
  const leaves = policy.leaves ?? [];
  return html`<article class="pol" data-v=${mark} aria-label=${`Policy ${policy.name}`}>
    <h4><span class="pol-n">${policy.name}</span><span class="tag">${policy.kind}</span>
      ${policy.command && !/^(all|\*)$/i.test(policy.command) && html`<span class="tag">${policy.command.toLowerCase()}</span>`}
      ${policy.caveats.map((code) => html`<span class="tag tag--warn" key=${code} title=${caveats?.find((one) => one.code === code)?.text ?? ""}>
        <${Icon} name="i-error" />${code.replaceAll("_", " ")}</span>`)}
      <span class="res">${policy.asked ? html`<${Mark} verdict=${mark} word=${false} label=${mark} />${wordOf(policy.result)}` : policy.applicable ? "not asked" : "does not apply"}</span></h4>
    ${policy.applicable
      ? leaves.length ? html`<${Condition} node=${policy.tree} leaves=${leaves} />` : html`<p class="pol-x"><code>${policy.expression}</code></p>`
      : html`<p class="pol-x dim">${policy.why_not}</p>`}
    ${isRaised(policy.result) && html`<p class="pol-r"><code>${policy.result.sqlstate}</code> ${policy.result.message}</p>`}
  </article>`;
}

/** The parts in their order, with what joins them between; a part inside another junction is set in. */
function Condition({ node, leaves }) {
  if (!node || !node.children?.length) {
    return leaves.map((leaf, i) => html`${i > 0 && html`<div class="and">and</div>`}<${Leaf} key=${i} leaf=${leaf} />`);
  }
  return html`<${Branch} node=${node} leaves=${leaves} depth=${0} />`;
}

function Branch({ node, leaves, depth }) {
  const children = node.children ?? [];
  if (!children.length) {
    const leaf = leaves.find((each) => each.expression === node.expression) ?? { expression: node.expression, result: node.result };
    return html`<${Leaf} leaf=${leaf} />`;
  }
  const word = node.kind === "or" ? "or" : "and";
  return html`<div class=${depth ? "branch" : ""}>${node.kind === "not" && html`<div class="and">not</div>`}
    ${children.map((child, i) => html`${i > 0 && html`<div class="and">${word}</div>`}<${Branch} key=${i} node=${child} leaves=${leaves} depth=${depth + 1} />`)}</div>`;
}

/** What stands between the values of a part that is false. */
const FALSE_WORDS = {
  "=": "is not",
  "<>": "equals",
  "!=": "equals",
  "<": "is not <",
  ">": "is not >",
  "<=": "is not ≤",
  ">=": "is not ≥",
  in: "not in",
  "= any": "not in",
  "not in": "is in",
  is: "is not",
  "is null": "is not null",
  "is not null": "is null",
  "&&": "shares nothing with",
  "@>": "has not",
};

function Leaf({ leaf }) {
  const known = leaf.result !== undefined;
  const mark = known ? markOfResult(leaf.result) : "skipped";
  const sides = sidesOf(leaf);
  return html`<div class="leaf" data-v=${mark}>
    <${Mark} verdict=${mark} word=${false} label=${known ? wordOf(leaf.result) : "not asked"} /><code>${leaf.expression}</code>
    <span class="tv">${known ? wordOf(leaf.result) : "not asked"}</span>
    ${isRaised(leaf.result) ? html`<p class="pol-r"><code>${leaf.result.sqlstate}</code> ${leaf.result.message}</p>`
      : sides && (leaf.result !== true
        ? html`<${Sides} sides=${sides} leaf=${leaf} />`
        : html`<details class="sides-more"><summary>Values</summary><${Sides} sides=${sides} leaf=${leaf} /></details>`)}
  </div>`;
}

/** What stood on either side, and what it came to; null where the part has no plain operator. */
function sidesOf(leaf) {
  const { left, right, operator } = leaf;
  if (left === undefined && right === undefined) return null;
  return {
    left: { text: leaf.left_expression, value: left },
    operator: operator ?? "",
    right: right === undefined ? null : { text: leaf.right_expression, value: right },
  };
}

function Sides({ sides, leaf }) {
  const { left, right, operator } = sides;
  const between = leaf.result === true ? operator : leaf.result === null && operator === "=" ? "or null" : (FALSE_WORDS[operator.toLowerCase()] ?? `not ${operator}`);
  return html`<div class="sides"><${Side} side=${left} /><p class="op">${between}</p>${right ? html`<${Side} side=${right} />` : html`<p class="side-none"></p>`}</div>`;
}

function Side({ side }) {
  const nothing = side.value === null || side.value === undefined;
  return html`<p><span title=${side.text}>${side.text}</span><code>${nothing ? html`<i class="null">null</i>` : html`<b>${String(side.value)}</b>`}</code></p>`;
}
