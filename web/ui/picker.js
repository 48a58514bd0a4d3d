// The dialog "View as someone else": whose view, why, for how long, and with which claims.
import { batch, html, useEffect, useRef, useState } from "../vendor/preact.js";
import { ApiError, findUsers } from "../api.js";
import { closeDialog, section } from "../model/choice.js";
import { now } from "../model/clock.js";
import { become, live, MOST } from "../model/identities.js";
import { compared } from "../model/lens.js";
import { closeRecording } from "../model/player.js";
import { recents } from "../model/recents.js";
import { adminName, blame, config, token } from "../model/session.js";
import { duration, hourMinute, shortId } from "../format.js";
import { addable, checkClaims, ClaimsEditor } from "./claims.js";
import { Button, Dialog, Icon, Segments } from "./parts.js";

const KINDS = [
  ["user", "User", "i-user"],
  ["anon", "Anon", "i-anon"],
  ["role", "Role", "i-role"],
  ["service", "Service", "i-bolt"],
];
const TIMES = [60, 300, 900, 1800, 3600];
const SHORTEST_REASON = 5;
const REASON = "inspector.reason";
const SHOWN = 4;

/** @typedef {import("../api.js").User} User */

export function IdentityDialog({ preset = "user", compare = false, stay = false }) {
  const most = config.value?.impersonation_seconds ?? 900;
  const [kind, setKind] = useState(/** @type {import("../api.js").Ask["kind"]} */ (preset));
  const [user, setUser] = useState(/** @type {User | null} */ (null));
  const [role, setRole] = useState(config.value?.allowed_roles[0] ?? "authenticated");
  const [reason, setReason] = useState(sessionStorage.getItem(REASON) ?? "");
  const [seconds, setSeconds] = useState(most);
  const [claims, setClaims] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const who = { user: user?.email?.split("@")[0] || user?.id.slice(0, 8) || "", anon: "anon", role, service: "service_role" }[
    kind
  ];
  const checked = checkClaims(kind === "user" || kind === "role" ? claims : "", kind);
  const missing = whyNot({ kind, user, reason, problem: checked.problem });

  const go = async (event) => {
    event.preventDefault();
    if (missing || busy) return;
    sessionStorage.setItem(REASON, reason.trim());
    setBusy(true);
    closeRecording();
    try {
      const chosen = { user: kind === "user" ? user : null, role: kind === "role" ? role : "" };
      await become({ kind, ...chosen, claims: checked.claims, reason: reason.trim(), seconds });
      batch(() => {
        if (compare) compared.value = live().map((one) => one.id);
        closeDialog();
        if (!stay) section.value = "live";
      });
    } catch (error) {
      setProblem(error instanceof ApiError ? [error.message, error.hint].filter(Boolean).join(". ") : String(error));
      setBusy(false);
    }
  };
  const recall = (recent) => {
    setKind(recent.kind);
    if (recent.kind === "user") setUser({ id: recent.id, email: recent.email, role: recent.userRole });
    if (recent.kind === "role") setRole(recent.role);
  };

  /** Somebody with the claims of a token: its role where the service may take it, and all that the service does not set. */
  const takeToken = (pasted) => {
    const may = config.value?.allowed_roles.includes(pasted.role);
    setKind("role");
    if (may) setRole(pasted.role);
    setClaims(JSON.stringify(addable(pasted), null, 2));
    setProblem(pasted.role && !may ? `The service may not assume the role ${pasted.role} of this token; choose another.` : "");
  };

  return html`<${Dialog} title="View as someone else" onClose=${closeDialog}>
    <form class="dl-form" onSubmit=${go}>
      <div class="dl-body">
        <div class="dl-l">
          <${Segments} legend="Whose view" hidden=${true} name="kind" options=${KINDS} value=${kind} onChange=${setKind} />
          ${kind === "user" && html`<${UserSearch} chosen=${user} onChoose=${setUser} />`}
          ${kind === "role" && html`<${RoleChoice} role=${role} onChoose=${setRole} />`}
          ${
            recents.value.length > 0 &&
            html`<p class="recent"><span class="dim">Recent</span>
            ${recents.value.map(
              (recent) => html`<button key=${`${recent.kind} ${recent.id} ${recent.role}`} class="pill"
            type="button" onClick=${() => recall(recent)}><${Icon} name=${KINDS.find(([name]) => name === recent.kind)?.[2]} />
            ${recent.email.split("@")[0] || recent.role || recent.kind}</button>`,
            )}</p>`
          }
          <label class="field"><span class="lab">Reason<span class="lab-r">required, goes to the audit log</span></span>
            <textarea rows="2" maxlength="500" value=${reason} onInput=${(event) => setReason(event.currentTarget.value)}>
              </textarea>
          </label>
          <${Segments} legend="Ends by itself after" name="seconds" options=${timesUpTo(most)} value=${seconds}
            onChange=${setSeconds} />
        </div>
        <div class="dl-r">
          ${
            kind === "user" || kind === "role"
              ? html`<${ClaimsEditor} kind=${kind} user=${user} role=${role} text=${claims} checked=${checked}
              onText=${setClaims} onToken=${takeToken} />`
              : html`<${About} kind=${kind} />`
          }
        </div>
      </div>
      ${problem && html`<p class="dl-problem" role="alert"><${Icon} name="i-error" />${problem}</p>`}
      <footer class="dl-foot">
        <p><b>${consequence(kind, who, now.value + seconds * 1000)}</b><br /><span class="dim">
          ${missing || `Recorded under ${adminName.value}; ends at once when you press Stop.`}</span></p>
        <span class="dl-do">
          <${Button} onClick=${closeDialog}>Cancel<//>
          <button type="submit" class="btn btn--primary" disabled=${missing !== "" || busy}><${Icon} name="i-eye" />
            <span>View as ${who || "…"}</span></button>
        </span>
      </footer>
    </form>
  <//>`;
}

/** Why the button cannot be pressed yet; "" where it can. */
function whyNot({ kind, user, reason, problem }) {
  if (live().length >= MOST) return `${MOST} views are open; stop one of them first.`;
  if (kind === "user" && !user) return "Choose a user first.";
  if (problem) return problem;
  return reason.trim().length < SHORTEST_REASON ? "Say why, in at least five characters." : "";
}

function consequence(kind, who, until) {
  if (kind === "service") return `You will see everything until ${hourMinute(until)}: this role bypasses row policies.`;
  return `You will see what ${who || "that user"} would see until ${hourMinute(until)}, and nothing more.`;
}

function timesUpTo(most) {
  const fitting = [...new Set([...TIMES.filter((time) => time < most).slice(-3), most])];
  return fitting.map((time) => [
    time,
    duration(time * 1000)
      .replace(" 0 s", "")
      .replace(" 0 min", ""),
    "",
  ]);
}

function RoleChoice({ role, onChoose }) {
  return html`<label class="field"><span class="lab">Database role<span class="lab-r">those that the service may assume</span>
    </span>
    <select value=${role} onChange=${(event) => onChoose(event.currentTarget.value)}>
      ${config.value?.allowed_roles.map(
        (name) => html`<option key=${name} value=${name}>
        ${name}${config.value?.privileged_roles.includes(name) ? " (bypasses row policies)" : ""}</option>`,
      )}
    </select>
  </label>`;
}

const ABOUT = {
  anon: ["Nobody signed in", "The role anon, without a sub claim: auth.uid() is null. What a visitor sees before signing in."],
  service: [
    "Bypasses row policies",
    "The role service_role. Row policies do not apply, grants do. It shows whether a row is streamed at all, " +
      "not what anybody would see.",
  ],
};

function About({ kind }) {
  const words = ABOUT[kind];
  return html`<div class=${`about ${kind === "service" ? "about--service" : ""}`}><h2>${words[0]}</h2><p>${words[1]}</p></div>`;
}

/** A search as one types, with the list below it moved through by the arrow keys. */
function UserSearch({ chosen, onChoose }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState(
    /** @type {{ users: User[], total: number, problem: string }} */ ({ users: [], total: 0, problem: "" }),
  );
  const asked = useRef(0);
  useEffect(() => {
    const mine = (asked.current += 1);
    const timer = setTimeout(() => search(text).then((answer) => mine === asked.current && setFound(answer)), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const apart = chosen && !found.users.some((user) => user.id === chosen.id);
  const users = apart ? [chosen, ...found.users].slice(0, SHOWN) : found.users;
  const move = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && users.length) {
      event.preventDefault();
      const at = users.findIndex((user) => user.id === chosen?.id);
      onChoose(users[Math.max(0, Math.min(users.length - 1, at + by))]);
    } else if (event.key === "Enter" && !chosen && users.length) {
      event.preventDefault();
      onChoose(users[0]);
    }
  };
  return html`<div class="us-box">
    <label class="search search--dl">
      <${Icon} name="i-search" /><span class="vh">Find a user by e-mail or id</span>
      <input type="text" role="combobox" aria-expanded=${users.length > 0} aria-controls=${users.length > 0 ? "users" : undefined}
        aria-activedescendant=${chosen ? `user-${chosen.id}` : undefined} data-first value=${text} placeholder="E-mail or id"
        spellcheck=${false} autocomplete="off" onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${move} />
      <span class="hint">${found.problem ? "" : `${Math.min(found.users.length, found.total)} of ${found.total}`}</span>
    </label>
    ${
      users.length > 0
        ? html`<ul class="us" role="listbox" id="users" aria-label="Users">
      ${users.map(
        (user) => html`<${UserItem} key=${user.id} user=${user} words=${text} chosen=${user.id === chosen?.id}
        onChoose=${onChoose} />`,
      )}
    </ul>`
        : html`<p class="us us-none">${found.problem || (text ? "No user has that in e-mail or id." : "No users.")}</p>`
    }
  </div>`;
}

async function search(text) {
  try {
    const { users, total, note = "" } = await findUsers(token.value, text.trim(), SHOWN);
    return { users, total, problem: note };
  } catch (error) {
    if (error instanceof ApiError) blame(error);
    return { users: [], total: 0, problem: `Users cannot be listed: ${error instanceof Error ? error.message : error}` };
  }
}

function sayRole({ role, app_metadata: metadata }) {
  return typeof metadata?.role === "string" ? `${role}, app role ${metadata.role}` : role;
}

function UserItem({ user, words, chosen, onChoose }) {
  const name = user.email || user.id;
  const at = words ? name.toLowerCase().indexOf(words.trim().toLowerCase()) : -1;
  const end = at + words.trim().length;
  return html`<li role="option" id=${`user-${user.id}`} aria-selected=${chosen} class=${`u ${chosen ? "is-on" : ""}`}
    onClick=${() => onChoose(user)}>
    <${Icon} name="i-user" cls="dimic" />
    <span class="u-m"><b>${at < 0 ? name : html`${name.slice(0, at)}<mark>${name.slice(at, end)}</mark>${name.slice(end)}`}</b>
      <span class="dim">${sayRole(user)}</span></span>
    <code title=${user.id}>${shortId(user.id)}</code>
    ${chosen && html`<${Icon} name="i-check" cls="u-c" />`}
  </li>`;
}
